package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/catalyst/orchestrator/gateway/lines"
	"github.com/catalyst/orchestrator/transport"
)

// FuzzEvents: what a stream of events says does not depend on the pieces in
// which it comes, and an event is no longer than it may be.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		"event: next\ndata: {\"data\":1}\n\nevent:complete\ndata:\n\n", ":\n\n:hi\r\n\r\ndata\ndata: a\r\ndata:b\n\n", "id: 7\nretry: 1\n\ndata:  x\n\n",
		"event: next\ndata: cut", "\n\n\n", "data: \r\r\n\n", "nonsense\n\nevent\n\n",
		"\ufeff:hi\r\revent: next\rdata: {\"data\":1}\r\r", "data: a\r\n\r\ndata: b\r\n\n", "data: 12345678901234567890\ndata: 1234567890\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, _ := eventsIn(bufio.NewReader(bytes.NewReader(text)), 1<<20)
		pieces, _ := eventsIn(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(text)), 16), 1<<20)
		if !slices.Equal(whole, pieces) || !slices.Equal(whole, eventsBySpec(string(text))) {
			t.Fatalf("%q: got %q, in pieces %q, want %q", text, whole, pieces, eventsBySpec(string(text)))
		}
		short, err := eventsIn(bufio.NewReaderSize(bytes.NewReader(text), 16), 20)
		for i, event := range short {
			if len(event.data) > 20 || event != whole[i] {
				t.Fatalf("%q: event %q of %q", text, event, whole)
			}
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, lines.ErrTooLong) {
			t.Fatalf("%q ends with %v", text, err)
		}
	})
}

type streamEvent struct{ name, data string }

func eventsIn(r *bufio.Reader, limit int) (events []streamEvent, end error) {
	e := eventReader{r: r, limit: limit}
	for {
		name, data, err := e.next()
		if err != nil {
			return events, err
		}
		events = append(events, streamEvent{name, string(data)})
	}
}

// eventsBySpec reads events as HTML §9.2.6 says, but for what JSON does not need:
// data that begins with an empty line.
func eventsBySpec(text string) (events []streamEvent) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(text, "\ufeff"))
	lines := strings.Split(text, "\n")
	name, data := "", ""
	for _, line := range lines[:len(lines)-1] { // what follows the last is cut off
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if name != "" || data != "" {
				events = append(events, streamEvent{name, data})
			}
			name, data = "", ""
		case field == "event":
			name = value
		case field == "data":
			if data != "" {
				data += "\n"
			}
			data += value
		}
	}
	return events
}

// heardConn is a connection that keeps what is written to it.
type heardConn struct {
	mu       sync.Mutex
	messages [][]byte
}

func (c *heardConn) Read(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
func (c *heardConn) Close(error) error                        { return nil }
func (c *heardConn) Write(_ context.Context, messages ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.messages = append(c.messages, bytes.Clone(m))
	}
	return nil
}

// heard checks that a peer was sent messages of the protocol, and returns them.
func (c *heardConn) heard(t *testing.T, types ...string) (all []socketMessage) {
	for _, text := range c.messages {
		var m socketMessage
		if err := json.Unmarshal(text, &m); err != nil || !slices.Contains(types, m.Type) {
			t.Fatalf("it was sent %q, %v", text, err)
		}
		all = append(all, m)
	}
	return all
}

// ticking answers queries, and counts to two in subscriptions.
type ticking struct{}

func (ticking) RoundTrip(r *http.Request) (*http.Response, error) {
	media, body := mediaJSON, `{"data":{"q":1}}`
	if r.Header.Get("Accept") == mediaEvents {
		media, body = mediaEvents, "event: next\ndata: {\"data\":{\"x\":{\"n\":1}}}\n\n:\n\nevent: next\ndata: {\"errors\":[{\"message\":\"m\"}]}\n\nevent: complete\ndata:\n\n"
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// tickingGateway serves one service, in memory.
func tickingGateway(f *testing.F) *Gateway {
	g, err := New(Config{Transport: ticking{}, Limits: Limits{Subscriptions: 4}})
	if err != nil {
		f.Fatal(err)
	}
	is, err := describe(introspectionOfSDL(f, ticksSDL), 1000)
	if err != nil {
		f.Fatal(err)
	}
	g.schema.Store(merge([]part{{service: g.newService(Service{Name: "ticks", URL: "http://ticks"}), is: is}},
		schemaConfig{limits: g.cfg.Limits, log: slog.New(slog.DiscardHandler)}))
	return g
}

// FuzzClientMessages: whatever a client sends over its WebSocket, it is answered
// as the protocol says, about operations of its own, or left with a code.
func FuzzClientMessages(f *testing.F) {
	const subscribe = `{"id":"1","type":"subscribe","payload":{"query":`
	for _, seed := range []string{
		hello, hello + "\n" + hello, "{", `[]`, `{"type":"what"}`, `{"type":"pong"}`, `{"type":"ping","payload":{"a":[1]}}`, `{"type":"ping","payload":1}`,
		hello + "\n" + subscribe + `"{q}"}}`, hello + "\n" + subscribe + `"subscription{x:tick(n:1){n}}"}}` + "\n" + `{"id":"1","type":"complete"}`,
		subscribe + `"{q}"}}`, hello + "\n" + subscribe + `"{nope}"}}` + "\n" + subscribe + `"{__typename}"}}`, hello + "\n" + `{"id":"","type":"subscribe","payload":null}`,
		hello + "\n" + `{"id":"\u0000\"","type":"subscribe","payload":{"query":"query($a:Int){q @skip(if:true) __typename}","variables":{"a":1},"operationName":null}}`,
	} {
		f.Add([]byte(seed))
	}
	g := tickingGateway(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		conn := &heardConn{}
		s := &socket{g: g, conn: conn, running: map[string]context.CancelFunc{}}
		var ids []string
		var end error
		for line := range bytes.Lines(text) {
			var m socketMessage
			if json.Unmarshal(line, &m) == nil {
				ids = append(ids, m.ID)
			}
			if end = s.take(ctx, bytes.Clone(line)); end != nil {
				break
			}
		}
		cancel()
		s.work.Wait()
		var code *transport.ClosedError
		if end != nil && (!errors.As(end, &code) || code.Code < 4400 || code.Code > 4499) {
			t.Fatalf("%q: it is left with %v", text, end)
		}
		for _, m := range conn.heard(t, "connection_ack", "pong", "next", "error", "complete") {
			if operation := m.Type == "next" || m.Type == "error" || m.Type == "complete"; operation != (m.ID != "") || operation && !slices.Contains(ids, m.ID) {
				t.Fatalf("%q: it hears of an operation that is none of its own: %+v", text, m)
			}
		}
		if len(s.running) > 0 {
			t.Fatalf("%q: %d operations are left", text, len(s.running))
		}
	})
}

// FuzzServiceMessages: whatever a service sends over its WebSocket, clients hear
// responses, and the service hears the protocol.
func FuzzServiceMessages(f *testing.F) {
	for _, seed := range []string{
		welcome, welcome + "\n" + `{"id":"1","type":"next","payload":{"data":{"x":{"n":1}}}}`, `{"type":"ping","payload":{}}` + "\n" + `{"type":"pong"}`, `{`, `[]`, `null`,
		`{"type":"error","payload":[{"message":"no","path":["x",0]}]}`, `{"type":"error"}`, `{"type":"next"}`, `{"type":"next","payload":{"data":{"x":1},"data":null}}`,
		`{"type":"next","payload":"x"}` + "\n" + `{"type":"complete"}`, `{"type":"error","payload":{"a":1}}`, `{"type":"next","payload":{"errors":[{"message":1}],"data":{"y":2}}}`,
	} {
		f.Add([]byte(seed))
	}
	g := tickingGateway(f)
	p, err := g.schema.Load().plan(`subscription { x: tick(n: 1) { n } }`, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		x := new(execution)
		x.reset(p)
		conn := &heardConn{}
		c := &socketCall{service: p.steps[0].source.service, conn: conn, to: func(event []byte) error {
			var response map[string]any
			if err := json.Unmarshal(x.pass(event), &response); err != nil || len(response) == 0 {
				return fmt.Errorf("the client hears %q: %v", x.pass(event), err)
			}
			return nil
		}}
		for line := range bytes.Lines(text) {
			done, err := c.take(bytes.Clone(line), []byte(`{"query":"q"}`), func() bool { return true })
			if blame := (*fault)(nil); err != nil && !errors.As(err, &blame) {
				t.Fatalf("%q: %v", text, err)
			}
			if done {
				break
			}
		}
		conn.heard(t, "subscribe", "pong")
	})
}
