package transport

import (
	"context"
	"io"
	"sync"
	"time"
)

// Sink takes what a peer writes to a stream. Its methods are called one after
// the other, except that Abort may come beside a Write. After an error of
// Write the stream is over, and Abort does not follow.
type Sink interface {
	// Write takes a chunk, of a type that the package comment lists. The peer
	// may write more when it returns. Stubs in the chunk are the sink's.
	Write(ctx context.Context, chunk any) error
	// Close is the good end. The peer learns of its error.
	Close(ctx context.Context) error
	// Abort is the bad end: the writer gave up, was dropped or is out of reach.
	// It must not block.
	Abort(reason error)
}

// Writable is a stream that the receiver writes: JavaScript's WritableStream.
// Passed in arguments or a result it arrives as a *Writable. One that came in
// a call's arguments ends with the call, unless Keep was called. Whoever got
// one ends it with Close or Abort.
type Writable struct {
	target *Target // here
	sink   Sink
	stub   *Stub // at the peer

	mu      sync.Mutex
	window  window
	unpaced bool          // no acknowledgement comes while there is something to write
	changed chan struct{} // closed when the window opens or the stream ends; nil when nobody waits
	ended   bool          // by Close or Abort
	err     error         // of the first chunk that the peer could not take
}

// NewWritable returns a stream for peers to write into sink. It can be passed
// once.
func NewWritable(sink Sink) *Writable {
	e := &sinkEnd{sink: sink}
	t := NewTarget(map[string]Method{"write": e.write, "close": e.close, "abort": e.abort})
	return &Writable{target: t.OnRelease(e.dropped), sink: sink}
}

// WritableTo returns a stream of bytes for peers to write into w, which is
// closed at the end if it is an io.Closer. Other chunks than bytes fail it.
func WritableTo(w io.Writer) *Writable { return NewWritable(&writerSink{w}) }

// sinkEnd is what peers call.
type sinkEnd struct {
	sink Sink
	mu   sync.Mutex
	over error // why nothing more is taken
}

var (
	errStreamClosed  = typeErrorf("the stream is closed")
	errStreamDropped = &Error{Message: "the writer of the stream went away without closing it"}
	errStreamCut     = &Error{Message: "the HTTP batch ends in the middle of a stream"}
	errStreamUnread  = &Error{Message: "the stream was dropped without being read"}
	errStreamTaken   = typeErrorf("the stream is being read or was passed on already")
)

func (e *sinkEnd) state() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over
}

// finish ends the stream, and says whether it was this that did.
func (e *sinkEnd) finish(why error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.over == nil
	if first {
		e.over = why
	}
	return first
}

func (e *sinkEnd) write(ctx context.Context, c *Call) (any, error) {
	if err := e.state(); err != nil {
		return nil, err
	}
	chunk := c.Arg(0)
	c.in.handles()
	if err := e.sink.Write(ctx, chunk); err != nil {
		e.finish(err)
		return nil, err
	}
	return Undefined{}, nil
}

func (e *sinkEnd) close(ctx context.Context, _ *Call) (any, error) {
	if !e.finish(errStreamClosed) {
		return nil, e.state()
	}
	return Undefined{}, e.sink.Close(ctx)
}

func (e *sinkEnd) abort(_ context.Context, c *Call) (any, error) {
	if reason := asError(c.Arg(0)); e.finish(reason) {
		e.sink.Abort(reason)
	}
	return Undefined{}, nil
}

func (e *sinkEnd) dropped() {
	if e.finish(errStreamDropped) {
		e.sink.Abort(errStreamDropped)
	}
}

// writerSink writes bytes.
type writerSink struct{ w io.Writer }

func (s *writerSink) Write(_ context.Context, chunk any) error {
	data, err := bytesOf(chunk)
	if err != nil {
		return err
	}
	_, err = s.w.Write(data)
	return err
}

func (s *writerSink) Close(context.Context) error {
	if c, ok := s.w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (s *writerSink) Abort(error) { _ = s.Close(context.Background()) }

// bytesOf is a chunk of a stream of bytes.
func bytesOf(chunk any) ([]byte, error) {
	switch c := chunk.(type) {
	case []byte:
		return c, nil
	case Bytes:
		return c.Data, nil
	}
	return nil, typeErrorf("a chunk of this stream is bytes, not %s", kindOf(chunk))
}

// asError makes an error of a value that a peer threw.
func asError(v any) *Error {
	if err, ok := v.(*Error); ok && err != nil {
		return err
	}
	message := "the peer threw " + kindOf(v)
	if text, ok := v.(string); ok {
		message = text
	}
	return &Error{Message: message, Props: map[string]any{"thrown": v}}
}

// Keep says that the stream will be written after the call in whose arguments
// it came. It returns w.
func (w *Writable) Keep() *Writable {
	if w.stub != nil {
		w.stub.lent.Store(false)
	}
	return w
}

// Send writes a chunk. It waits while as much is on its way as the stream can
// carry, and not for the peer to take this chunk: that it could not shows in a
// later Send or Close. When ctx ends the wait, the chunk was not sent. Stubs
// in the chunk stay the caller's.
func (w *Writable) Send(ctx context.Context, chunk any) error {
	if w.stub == nil {
		return w.sink.Write(ctx, chunk)
	}
	for {
		wait, err := w.trySend(chunk)
		if wait == nil {
			return err
		}
		blocks(ctx)
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// trySend sends, or returns what to wait for.
func (w *Writable) trySend(chunk any) (wait <-chan struct{}, err error) {
	w.mu.Lock()
	if err := w.overLocked(); err != nil {
		w.mu.Unlock()
		return nil, err
	}
	if w.window.full() && !w.unpaced {
		defer w.mu.Unlock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		return w.changed, nil
	}
	result, size := w.callLocked("write", chunk)
	flight := w.window.sent(size, time.Now())
	w.mu.Unlock()
	if w.unpaced {
		result.release()
	} else {
		after(result, func(err error) { w.landed(flight, err) })
	}
	return nil, nil
}

// overLocked is why nothing can be written any more.
func (w *Writable) overLocked() error {
	switch {
	case w.err != nil:
		return w.err
	case w.ended:
		return errStreamClosed
	case w.stub.released.Load():
		return errReleased
	}
	return nil
}

// landed takes in what became of a write.
func (w *Writable) landed(f flight, err error) {
	w.mu.Lock()
	if err == nil {
		w.window.ack(f, time.Now())
	} else {
		w.window.failed(f)
	}
	if w.err == nil {
		w.err = err
	}
	if w.err != nil || !w.window.full() {
		w.wakeLocked()
	}
	failed := w.err != nil && !w.ended
	w.mu.Unlock()
	if failed {
		w.stub.Release()
	}
}

func (w *Writable) wakeLocked() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// callLocked makes a call of the stream, and says how many bytes it takes.
func (w *Writable) callLocked(method string, args ...any) (result ref, size int) {
	return stream(w.stub.ref, []any{method}, &payload{args: args, borrowed: true})
}

// after runs f with the failure of r, which it takes over, or nil.
func after(r ref, f func(error)) {
	p := &Promise{ref: r}
	p.whenKnown(func(_ any, _ eventual, err error) {
		f(err)
		p.Release()
	})
}

// Write sends bytes, as io.Writer wants it, in chunks of at most 64 KiB; see
// Send. p is not kept.
func (w *Writable) Write(p []byte) (n int, err error) {
	for n < len(p) {
		chunk := p[n:min(n+chunkBytes, len(p))]
		if err := w.Send(context.Background(), chunk); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

// Close ends the stream in good order and waits until the peer has taken all
// of it. The error is that of the first chunk that it could not take, if any.
func (w *Writable) Close() error {
	if w.stub == nil {
		return w.sink.Close(context.Background())
	}
	done := make(chan error, 1)
	w.finish("close", func(err error) { done <- err })
	return <-done
}

// Abort ends the stream badly: what the peer has not taken yet is lost.
func (w *Writable) Abort(reason error) {
	if w.stub == nil {
		w.sink.Abort(reason)
		return
	}
	w.finish("abort", func(error) {}, reason)
}

// finish sends the last call of the stream, and runs done with the error that
// came first.
func (w *Writable) finish(method string, done func(error), args ...any) {
	w.mu.Lock()
	if err := w.overLocked(); err != nil {
		w.mu.Unlock()
		w.stub.Release()
		done(err)
		return
	}
	w.ended = true
	result, _ := w.callLocked(method, args...)
	w.wakeLocked()
	w.mu.Unlock()
	after(result, func(err error) {
		w.stub.Release()
		w.mu.Lock()
		if w.err != nil {
			err = w.err
		}
		w.mu.Unlock()
		done(err)
	})
}

// Release gives the stream up without a word; the peer takes that for an
// abort, unless it was closed.
func (w *Writable) Release() {
	if w.stub != nil {
		w.stub.Release()
	}
}
