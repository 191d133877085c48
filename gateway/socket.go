package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// socketProtocol is graphql-transport-ws: PROTOCOL.md of the npm package
// graphql-ws.
const socketProtocol = "graphql-transport-ws"

// socketMessage is a message of it, either way.
type socketMessage struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// initially is how long a client may take to send connection_init.
const initially = 5 * time.Second

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// Close codes of the protocol.
func closed(code int, reason string) error { return &transport.ClosedError{Code: code, Reason: reason} }

// serveSocket serves one WebSocket until it ends.
func (g *Gateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := ws.Accept(w, r, ws.Options{
		Hosts: g.cfg.Hosts, Origins: g.cfg.Origins, Protocol: socketProtocol, MessageBytes: g.cfg.Limits.BodyBytes,
	})
	if err != nil {
		g.log.Debug("a WebSocket was refused", "err", err)
		return
	}
	s := &socket{g: g, conn: conn, forwarded: g.forwarded(r.Header), running: map[string]context.CancelFunc{}}
	s.serve(r.Context())
}

// socket is a client's session.
type socket struct {
	g         *Gateway
	forwarded http.Header
	end       context.CancelCauseFunc
	work      sync.WaitGroup

	writing sync.Mutex
	conn    transport.Conn

	mu           sync.Mutex
	acknowledged bool
	running      map[string]context.CancelFunc // by id
}

// serve reads messages until the client leaves, has to, or ctx ends.
func (s *socket) serve(ctx context.Context) {
	ctx, s.end = context.WithCancelCause(ctx)
	defer s.work.Wait()
	defer s.end(nil)
	s.work.Go(func() {
		<-ctx.Done()
		_ = s.conn.Close(goodbye(context.Cause(ctx))) // ends Read, too
	})
	s.work.Go(func() { s.keepAlive(ctx) })
	late := time.AfterFunc(initially, func() {
		if !s.isAcknowledged() {
			s.end(closed(4408, "connection_init did not come in time"))
		}
	})
	defer late.Stop()
	for {
		text, err := s.conn.Read(context.Background())
		if err != nil {
			s.end(errLeft)
			return
		}
		if err := s.take(ctx, bytes.Clone(text)); err != nil {
			s.end(err)
			return
		}
	}
}

var errLeft = errors.New("the client has left")

// goodbye is what a client is told when the session ends.
func goodbye(cause error) error {
	var code *transport.ClosedError
	switch {
	case errors.As(cause, &code):
		return code
	case errors.Is(cause, errLeft):
		return nil
	}
	return closed(1001, "the gateway stops")
}

// keepAlive ends the session when the client is gone without a word.
func (s *socket) keepAlive(ctx context.Context) {
	k, ok := s.conn.(transport.KeepAliver)
	if !ok {
		return
	}
	if err := k.KeepAlive(ctx); err != nil {
		s.end(errLeft)
	}
}

func (s *socket) isAcknowledged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged
}

// take takes one message. An error ends the session.
func (s *socket) take(ctx context.Context, text []byte) error {
	var m socketMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return closed(4400, "the message is malformed")
	}
	switch m.Type {
	case "connection_init":
		s.mu.Lock()
		again := s.acknowledged
		s.acknowledged = true
		s.mu.Unlock()
		if again {
			return closed(4429, "too many initialisation requests")
		}
		return s.send(ctx, socketMessage{Type: "connection_ack"})
	case "ping":
		return s.send(ctx, socketMessage{Type: "pong", Payload: m.Payload})
	case "pong":
		return nil
	case "subscribe":
		return s.subscribe(ctx, m)
	case "complete":
		s.mu.Lock()
		cancel := s.running[m.ID]
		s.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	}
	return closed(4400, "the message is of an unknown type")
}

// subscribe begins an operation.
func (s *socket) subscribe(ctx context.Context, m socketMessage) error {
	if !s.isAcknowledged() {
		return closed(4401, "unauthorized")
	}
	if m.ID == "" {
		return closed(4400, "subscribe without an id")
	}
	request, err := readRequest(m.Payload)
	if err != nil {
		return closed(4400, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[m.ID] != nil {
		return closed(4409, "subscriber for "+m.ID+" already exists")
	}
	if len(s.running) >= s.g.cfg.Limits.Subscriptions {
		return closed(4429, "too many operations")
	}
	ctx, cancel := context.WithCancel(ctx)
	s.running[m.ID] = cancel
	s.work.Go(func() {
		defer cancel()
		s.operate(ctx, m.ID, request)
	})
	return nil
}

// operate runs one operation. A client that completed it is told no more.
func (s *socket) operate(ctx context.Context, id string, r request) {
	last := socketMessage{ID: id, Type: "complete"}
	x := s.g.executions.Get().(*execution)
	defer s.g.release(x)
	x.forwarded, x.traced = s.forwarded, false
	if err := s.g.prepare(x, r); err != nil {
		last.Type, last.Payload = "error", errorList(err)
	} else if x.perform(ctx, func(response []byte) error {
		return s.send(ctx, socketMessage{ID: id, Type: "next", Payload: response})
	}) != nil {
		last.Type = ""
	}
	s.mu.Lock()
	delete(s.running, id)
	s.mu.Unlock()
	if last.Type != "" && ctx.Err() == nil {
		_ = s.send(ctx, last) // who has gone need not hear it
	}
}

// send writes a message. A client that does not read it in time is left.
func (s *socket) send(ctx context.Context, m socketMessage) error {
	text := []byte{'{'}
	if m.ID != "" {
		text = append(appendQuoted(append(text, `"id":`...), m.ID), ',')
	}
	text = appendQuoted(append(text, `"type":`...), m.Type)
	if len(m.Payload) > 0 {
		text = append(append(text, `,"payload":`...), m.Payload...)
	}
	text = append(text, '}')
	return write(&s.writing, s.conn, text)
}

// write writes to a connection that several write to. An operation that is
// completed must not take the connection with it: no context of one gets here.
func write(mu *sync.Mutex, conn transport.Conn, text []byte) error {
	mu.Lock()
	defer mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), writing)
	defer cancel()
	return conn.Write(ctx, text)
}
