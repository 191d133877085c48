package transport

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"sync/atomic"
)

// Readable is a stream that the receiver reads: JavaScript's ReadableStream.
// Passed in arguments or a result it arrives as a *Readable, which reads like
// an io.Reader if its chunks are bytes. Whoever got one reads it to its end or
// closes it; one in a call's arguments that nobody has begun to read when the
// call returns is closed then, unless Keep was called.
type Readable struct {
	source source
	lent   atomic.Bool // a payload owns it and will close it

	mu      sync.Mutex
	reading bool // by this side
	passed  bool // to a peer
	rest    []byte
	err     error // why there is nothing more
}

// source is where chunks come from.
type source interface {
	// next returns io.EOF at the good end.
	next(ctx context.Context) (any, error)
	// cancel says that no more is wanted. It is called at most once, perhaps
	// beside next.
	cancel(reason error)
}

// NewReadable returns a stream of what next returns, until an error; io.EOF is
// the good end. next is called by one goroutine at a time, its ctx ends with
// the session that the stream is passed to. cancel, which may be nil, runs when
// the reader gives up, perhaps beside next. Stubs in chunks are the session's.
func NewReadable(next func(ctx context.Context) (any, error), cancel func(reason error)) *Readable {
	return &Readable{source: &funcSource{next, cancel}}
}

// ReadableFrom returns a stream of the bytes of r. If r is an io.Closer it is
// closed when the reader gives up, and at the end.
func ReadableFrom(r io.Reader) *Readable {
	return &Readable{source: &readerSource{r: r}}
}

type funcSource struct {
	f func(context.Context) (any, error)
	c func(error)
}

func (s *funcSource) next(ctx context.Context) (any, error) { return s.f(ctx) }

func (s *funcSource) cancel(reason error) {
	if s.c != nil {
		s.c(reason)
	}
}

type readerSource struct {
	r      io.Reader
	over   bool
	closed sync.Once
}

// chunkBytes is the longest chunk made of a stream of bytes.
const chunkBytes = 64 << 10

func (s *readerSource) next(context.Context) (any, error) {
	if s.over {
		return nil, io.EOF
	}
	buf := make([]byte, chunkBytes)
	for {
		n, err := s.r.Read(buf)
		if err != nil {
			s.cancel(nil)
		}
		switch {
		case n > 0:
			s.over = err == io.EOF
			return buf[:n], nil
		case err != nil:
			return nil, err
		}
	}
}

func (s *readerSource) cancel(error) {
	if c, ok := s.r.(io.Closer); ok {
		s.closed.Do(func() { _ = c.Close() }) // nobody is left to hear of it
	}
}

// Keep says that the stream will be read after the call in whose arguments it
// came. It returns r.
func (r *Readable) Keep() *Readable {
	r.lent.Store(false)
	return r
}

// Next returns the next chunk, of a type that the package comment lists, or
// io.EOF at the end. Stubs in it are the caller's. Taking a chunk lets the
// writer send more. When ctx ends the wait, nothing is lost.
func (r *Readable) Next(ctx context.Context) (any, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	chunk, err := r.source.next(ctx)
	if err != nil && ctx.Err() == nil {
		r.mu.Lock()
		r.err = err
		r.mu.Unlock()
	}
	return chunk, err
}

// begin makes this side the reader.
func (r *Readable) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.passed:
		return errStreamTaken
	case r.err != nil:
		return r.err
	}
	r.reading = true
	return nil
}

// pass makes a peer the reader.
func (r *Readable) pass() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.passed || r.reading:
		return errStreamTaken
	case r.err != nil:
		return r.err
	}
	r.passed = true
	return nil
}

// unpass takes back a pass that came to nothing.
func (r *Readable) unpass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = false
}

// All is the rest of the stream. An error comes last, with a nil chunk; to
// break off closes the stream.
func (r *Readable) All(ctx context.Context) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for {
			chunk, err := r.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(chunk, err) {
				_ = r.Close()
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// Read reads a stream whose chunks are bytes. It waits until the session ends,
// if need be.
func (r *Readable) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && len(p) > 0 {
		chunk, err := r.Next(context.Background())
		if err != nil {
			return 0, err
		}
		if r.rest, err = bytesOf(chunk); err != nil {
			ReleaseAll(chunk)
			_ = r.Cancel(err)
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close gives the rest of the stream up.
func (r *Readable) Close() error { return r.Cancel(errStreamUnread) }

// Cancel is Close with a reason for the writer. What was passed on stays.
func (r *Readable) Cancel(reason error) error {
	r.mu.Lock()
	again := r.passed || r.err != nil
	if !again {
		r.err = errStreamClosed
	}
	r.mu.Unlock()
	if !again {
		r.source.cancel(reason)
	}
	return nil
}

// Release closes a stream that nobody reads.
func (r *Readable) Release() {
	r.mu.Lock()
	reading := r.reading
	r.mu.Unlock()
	if !reading {
		_ = r.Close()
	}
}
