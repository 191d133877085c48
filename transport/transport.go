// Package transport speaks Cap'n Web, the object-capability RPC protocol of
// the npm package capnweb (0.12 is the reference), as client and as server.
//
// A Session runs over one Conn and is symmetric: each side offers a main
// Target and reaches the other's through Main. Calls never wait for answers:
// Stub.Call returns a Promise, on which further calls can be pipelined before
// anything has come back. Targets and functions may appear anywhere in
// arguments and results; the other side holds them by reference until it
// releases them.
//
// The package promises: a peer can break its own session and nothing else;
// calls reach a target in the order they were sent; everything a peer can
// grow has a bound (Limits); Session.Run owns every goroutine it starts and
// joins them before it returns. The package knows no sockets: see transport/ws
// for WebSocket, BatchHandler and NewBatch for HTTP, Pipe for memory.
//
// # Values
//
// What crosses the wire, and as what it arrives:
//
//	Go value sent                         Go value received
//	nil                                   nil (null)
//	Undefined{}                           Undefined{}
//	bool                                  bool
//	any integer or float                  float64, with infinities and NaN
//	string kinds                          string
//	time.Time                             time.Time in UTC, to the millisecond
//	[]byte                                []byte
//	Bytes                                 Bytes, or []byte for a Uint8Array
//	*big.Int                              *big.Int
//	slices, arrays                        []any
//	maps with string keys                 map[string]any
//	structs, by their json tags           map[string]any
//	encoding.TextMarshaler                string
//	error                                 *Error
//	*Target, *Stub                        *Stub
//	*Promise                              what it resolves to
//	*Readable                             *Readable
//	*Writable                             *Writable
//	Blob                                  Blob
//	URL, *url.URL                         URL
//	http.Header                           http.Header
//	*Request, *Response                   *Request, *Response
//
// The zero time.Time stands for JavaScript's invalid date. Integers beyond
// 2^53 lose precision on arrival, as they do in JavaScript: use *big.Int.
//
// # Streams
//
// A Readable is read by whom it is passed to, a Writable is written. Chunks are
// values of any kind; streams of bytes are an io.Reader and an io.Writer.
// Writers are held up when as much is on its way as the link carries, and
// readers thereby hold up writers.
//
// # Failures
//
// A call that fails with ErrUnsent never left and can be repeated. One that
// fails with ErrBroken alone, or whose context ended while it waited, may have
// happened. Package redial repeats what can be repeated, over as many
// connections as it takes. Everything else is the peer's answer, an *Error.
//
// # Proxies
//
// What a session received can be passed on over another: stubs, promises,
// streams. Calls go straight through, with what is pipelined on them. A session
// with Config.Proxy does not even look at values: they leave as they came. See
// transport/relay.
package transport

import (
	"context"
	"fmt"
	"io"
)

// Conn carries whole messages both ways. Read and Write are each called by
// one goroutine at a time; Close may be called beside both and ends them.
type Conn interface {
	// Read returns the next message, valid until the next Read. An error ends
	// the session; io.EOF says the peer closed in good order. ctx ends only
	// with the session.
	Read(ctx context.Context) ([]byte, error)
	// Write sends each message as one frame, with as few system calls as it
	// can. It keeps no message after it returned.
	Write(ctx context.Context, messages ...[]byte) error
	// Close frees what the connection holds and tells the peer the reason if
	// the medium can: nil is a good end, a *ClosedError asks for just that code
	// and text. A Read or Write in progress returns.
	Close(reason error) error
}

// ClosedError is how a peer closed the connection, in the codes of WebSocket
// (RFC 6455, section 7.4): 1005 is a goodbye without a code, 1006 a connection
// that was cut.
type ClosedError struct {
	Code   int
	Reason string
}

func (e *ClosedError) Error() string {
	switch {
	case e.Code == 1006:
		return "the connection was cut"
	case e.Reason == "":
		return fmt.Sprintf("the peer closed the connection (%d)", e.Code)
	}
	return fmt.Sprintf("the peer closed the connection (%d): %s", e.Code, e.Reason)
}

// Is says that a goodbye, unlike a cut, is io.EOF.
func (e *ClosedError) Is(target error) bool { return target == io.EOF && e.Code != 1006 }

// KeepAliver is a Conn that finds out whether its peer is still there. The
// session runs KeepAlive, which returns nil when ctx ends, and the reason when
// the peer is gone.
type KeepAliver interface {
	Conn
	KeepAlive(ctx context.Context) error
}

// Peeker is a Conn that knows whether Read would return at once. Without it
// each message is served before the next is read.
type Peeker interface {
	Conn
	Ready() bool
}
