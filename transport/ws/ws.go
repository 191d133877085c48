// Package ws carries transport messages over WebSocket (RFC 6455), one text
// message each, uncompressed. It promises that a batch of messages leaves in
// one system call, that a peer that vanished is found out (Options.Ping), and
// that a browser page of another origin cannot connect to Accept.
//
// Nothing runs in the background: the session that owns a connection runs its
// KeepAlive.
package ws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/coder/websocket"
)

// Options are the same for both sides; zero fields take their defaults.
type Options struct {
	// MessageBytes is the longest message read; a longer one ends the
	// connection. Default 4 MiB.
	MessageBytes int64
	// Origins are hosts whose pages may connect, beside the server's own, as
	// in "console.example.com" or "localhost:5173". Requests without an Origin
	// come from programs and are allowed.
	Origins []string
	// Hosts are the Host headers accepted, with the port if it is not the
	// scheme's own; none accepts any.
	Hosts []string
	// Ping is the silence after which the peer is asked for a sign of life,
	// and the time it then has. Accept waits half as long again, so that as a
	// rule only one side asks. Default 15 s; negative never asks.
	Ping time.Duration
	// Protocol is the subprotocol (RFC 6455, section 1.9) that both sides must
	// speak; empty for none.
	Protocol string
	// Header goes with the request of Dial.
	Header http.Header
	// Client makes the request of Dial; its connections are its own. nil is a
	// plain client without proxy.
	Client *http.Client
}

// protocols is what the library is asked to agree on.
func (o Options) protocols() []string {
	if o.Protocol == "" {
		return nil
	}
	return []string{o.Protocol}
}

func (o Options) withDefaults() Options {
	if o.MessageBytes <= 0 {
		o.MessageBytes = 4 << 20
	}
	if o.Ping == 0 {
		o.Ping = 15 * time.Second
	}
	return o
}

// Dial opens a connection to a ws or wss (or http or https) URL. ctx bounds
// the opening only.
func Dial(ctx context.Context, url string, o Options) (transport.Conn, error) {
	o = o.withDefaults()
	var wire *wire
	client, err := o.client(func(c net.Conn) net.Conn {
		wire = newWire(c)
		return wire
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", url, err)
	}
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: o.Header, Subprotocols: o.protocols()})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", url, explain(response, err))
	}
	if ws.Subprotocol() != o.Protocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("dial %s: the server does not speak %s", url, o.Protocol)
	}
	return newConn(ws, wire, o), nil
}

// client is a client for one connection, which passes through wrap.
func (o Options) client(wrap func(net.Conn) net.Conn) (*http.Client, error) {
	client := http.Client{}
	base := &http.Transport{}
	if o.Client != nil {
		client = *o.Client
		t, ok := client.Transport.(*http.Transport)
		if !ok && client.Transport != nil {
			return nil, errors.New("the client's transport is not an *http.Transport")
		}
		if t != nil {
			base = t.Clone()
		}
	}
	dial := base.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}
	base.ForceAttemptHTTP2 = false
	base.DisableKeepAlives = true
	client.Transport = base
	return &client, nil
}

// explain prefers what the server, or the network, said to what the libraries
// say about it.
func explain(response *http.Response, err error) error {
	if op := (*net.OpError)(nil); response == nil && errors.As(err, &op) {
		return op.Err
	}
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
	return fmt.Errorf("the server answered %s: %s", response.Status, firstLine(text))
}

func firstLine(text []byte) []byte {
	for i, c := range text {
		if c < ' ' {
			return text[:i]
		}
	}
	return text
}

// Accept upgrades a request. On an error it has answered it: 403 for a host
// or an origin that is not allowed, 400 for a client that does not offer the
// Protocol.
func Accept(w http.ResponseWriter, r *http.Request, o Options) (transport.Conn, error) {
	o = o.withDefaults()
	if err := o.Allow(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, fmt.Errorf("accept %s: %w", r.RemoteAddr, err)
	}
	if o.Protocol != "" && !offers(r, o.Protocol) {
		http.Error(w, "offer the subprotocol "+o.Protocol, http.StatusBadRequest)
		return nil, fmt.Errorf("accept %s: the client does not offer the subprotocol %s", r.RemoteAddr, o.Protocol)
	}
	h := &hijacked{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // allow has verified
		Subprotocols:       o.protocols(),
	})
	if err != nil {
		return nil, fmt.Errorf("accept %s: %w", r.RemoteAddr, err)
	}
	o.Ping += o.Ping / 2
	return newConn(ws, h.wire, o), nil
}

func offers(r *http.Request, protocol string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(offer), protocol) {
				return true
			}
		}
	}
	return false
}

// peek is how many bytes of what has come the library takes before it needs
// them: little, as the wire keeps the rest and knows about it.
const peek = 16

// hijacked hands out the connection of a request wrapped in a wire.
type hijacked struct {
	http.ResponseWriter
	wire *wire
}

func (h *hijacked) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if err := rw.Flush(); err != nil {
		return nil, nil, err
	}
	early := make([]byte, rw.Reader.Buffered())
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		return nil, nil, err
	}
	h.wire = newWire(c)
	h.wire.in = early
	h.wire.left.Store(int32(len(early)))
	return h.wire, bufio.NewReadWriter(bufio.NewReaderSize(h.wire, peek), bufio.NewWriterSize(h.wire, 4096)), nil
}
