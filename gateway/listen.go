package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/gateway/lines"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// noEvents is that a service does not send events over HTTP.
type noEvents struct {
	answer []byte // what it said instead, as a GraphQL service; nil for nothing of the kind
}

func (*noEvents) Error() string { return "the service does not send events over HTTP" }

// errNoSocket is that a service takes no WebSockets.
var errNoSocket = errors.New("the service takes no WebSockets")

// listenToEvents is a subscription over server-sent events, in "distinct
// connections" mode.
func (s *service) listenToEvents(ctx context.Context, body []byte, forwarded http.Header, to deliver) error {
	header := s.headers[once].Clone()
	header.Set("Accept", mediaEvents)
	outer := ctx
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// Some send the head of their answer with the first event.
	patience := time.AfterFunc(unheard*s.limits.Silence, func() { end(errQuiet) })
	response, err := s.post(ctx, body, header, forwarded)
	patience.Stop()
	switch {
	case err != nil && context.Cause(ctx) == errQuiet:
		return s.faultf("has fallen silent")
	case err != nil:
		return s.explain(outer, err)
	}
	defer response.Body.Close()
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != mediaEvents || response.StatusCode != http.StatusOK {
		late := time.AfterFunc(s.limits.Time, func() { end(errQuiet) })
		defer late.Stop()
		return s.instead(response)
	}
	events := eventReader{limit: int(s.limits.ResponseBytes)}
	events.r = bufio.NewReader(events.listenTo(response.Body, s.limits.Silence, end))
	for {
		name, data, err := events.next()
		switch {
		case errors.Is(err, lines.ErrTooLong):
			return s.faultf("sent an event of more than %d bytes", s.limits.ResponseBytes)
		case errors.Is(err, io.EOF) && ctx.Err() == nil, name == "complete":
			return nil
		case err != nil && context.Cause(ctx) == errQuiet:
			return s.faultf("has fallen silent")
		case err != nil:
			return s.explain(outer, err)
		}
		if name != "next" {
			continue
		}
		if err := to(data); err != nil {
			return err
		}
	}
}

// instead is what a service says that does not send events.
func (s *service) instead(r *http.Response) error {
	var answer bytes.Buffer
	if !isGraphQL(r.Header.Get("Content-Type")) || readAll(&answer, r, s.limits.ResponseBytes) != nil {
		return &noEvents{}
	}
	return &noEvents{answer.Bytes()}
}

// listenToSocket is a subscription over a WebSocket to a service.
func (s *service) listenToSocket(ctx context.Context, body []byte, forwarded http.Header, to deliver) error {
	header := s.headers[once].Clone()
	header.Del("Content-Type")
	header.Del("Accept")
	for name, values := range forwarded {
		if _, own := header[name]; !own {
			header[name] = values
		}
	}
	opening, cancel := context.WithTimeout(ctx, s.limits.Time)
	defer cancel()
	conn, err := ws.Dial(opening, "ws"+strings.TrimPrefix(s.url.String(), "http"), ws.Options{
		Protocol: socketProtocol, Header: header, MessageBytes: s.limits.ResponseBytes, Client: s.dialer(),
		Ping: s.limits.Silence / 8,
	})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errNoSocket
	}
	call := &socketCall{service: s, conn: conn, to: to}
	err = call.run(ctx, opening, body)
	_ = conn.Close(nil)
	return err
}

// dialer makes WebSockets with the settings of other requests.
func (s *service) dialer() *http.Client {
	switch t := s.transport.(type) {
	case *network:
		return &http.Client{Transport: t.Transport}
	case *http.Transport:
		return &http.Client{Transport: t}
	}
	return nil
}

// socketCall is one subscription to a service.
type socketCall struct {
	service *service
	conn    transport.Conn
	to      deliver
	writing sync.Mutex
}

func (c *socketCall) run(outer, opening context.Context, body []byte) error {
	ctx, cancel := context.WithCancelCause(outer)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	if k, ok := c.conn.(transport.KeepAliver); ok {
		wg.Go(func() {
			if k.KeepAlive(ctx) != nil {
				cancel(errQuiet)
			}
		})
	}
	unopened := context.AfterFunc(opening, func() { cancel(context.Cause(opening)) })
	defer unopened()
	if err := c.write([]byte(`{"type":"connection_init"}`)); err != nil {
		return c.service.explain(outer, err)
	}
	for {
		text, err := c.conn.Read(ctx)
		switch {
		case err != nil && context.Cause(ctx) == errQuiet:
			return c.service.faultf("has fallen silent")
		case err != nil:
			return c.service.explain(outer, err)
		}
		done, err := c.take(bytes.Clone(text), body, unopened)
		if done || err != nil {
			return err
		}
	}
}

func (c *socketCall) write(text []byte) error { return write(&c.writing, c.conn, text) }

// take takes a message of the service; done is that the subscription is over.
func (c *socketCall) take(text, body []byte, unopened func() bool) (done bool, err error) {
	var m socketMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return true, c.service.faultf("did not answer as a GraphQL service does")
	}
	switch m.Type {
	case "connection_ack":
		unopened()
		message := append([]byte(`{"id":"1","type":"subscribe","payload":`), body...)
		err = c.write(append(message, '}'))
	case "ping":
		err = c.write([]byte(`{"type":"pong"}`))
	case "next":
		return false, c.to(m.Payload)
	case "error":
		return true, c.to(append(append([]byte(`{"errors":`), m.Payload...), '}'))
	case "complete":
		return true, nil
	}
	if err != nil {
		return true, c.service.faultf("broke off")
	}
	return false, nil
}
