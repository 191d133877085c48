package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/catalyst/orchestrator/transport"
)

// The part of api that has to do with streams.

func arg[T any](c *call, i int) (v T, err error) {
	err = c.Decode(i, &v)
	return v, err
}

func read(_ context.Context, c *call) (any, error) {
	r, err := arg[*transport.Request](c, 0)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body.(io.Reader))
	return fmt.Sprintf("%s %s %s", r.Method, r.URL, body), err
}

func collect(ctx context.Context, c *call) (any, error) {
	r, err := arg[*transport.Readable](c, 0)
	if err != nil {
		return nil, err
	}
	chunks := []any{}
	for chunk, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
	}
	return chunks, nil
}

// numbers is a stream of n values, then of end.
func numbers(n int, value func(i int) any, end error) *transport.Readable {
	i := 0
	return transport.NewReadable(func(context.Context) (any, error) {
		if i == n {
			return nil, end
		}
		i++
		return value(i - 1), nil
	}, nil)
}

func produce(_ context.Context, c *call) (any, error) {
	n, err := arg[int](c, 0)
	return map[string]any{"stream": numbers(n, func(i int) any { return i }, io.EOF)}, err
}

func produceBadly(_ context.Context, c *call) (any, error) {
	n, err := arg[int](c, 0)
	return numbers(n, func(i int) any { return i }, errors.New("the source broke")), err
}

func counterStream(_ context.Context, c *call) (any, error) {
	n, err := arg[int](c, 0)
	return numbers(n, func(i int) any { return newCounter(float64(i), func() {}) }, io.EOF), err
}

func write(ctx context.Context, c *call) (any, error) {
	w, err := arg[*transport.Writable](c, 0)
	if err != nil {
		return nil, err
	}
	chunks, err := arg[[]any](c, 1)
	if err != nil {
		return nil, err
	}
	for _, chunk := range chunks {
		if err := w.Send(ctx, chunk); err != nil {
			return nil, err
		}
	}
	return nil, w.Close()
}

func abort(_ context.Context, c *call) (any, error) {
	w, err := arg[*transport.Writable](c, 0)
	if err == nil {
		w.Abort(errors.New(c.Arg(1).(string)))
	}
	return nil, err
}

func leaveOpen(ctx context.Context, c *call) (any, error) {
	w, err := arg[*transport.Writable](c, 0)
	if err != nil {
		return nil, err
	}
	return nil, w.Send(ctx, "and nothing more")
}

// sunken is a sink that remembers.
type sunken struct {
	mu     sync.Mutex
	chunks []any
	end    string
}

func (s *sunken) Write(_ context.Context, chunk any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks = append(s.chunks, chunk)
	return nil
}

func (s *sunken) finish(end string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
}

func (s *sunken) Close(context.Context) error { s.finish("closed"); return nil }
func (s *sunken) Abort(reason error)          { s.finish(reason.Error()) }

func (a *api) sink(context.Context, *call) (any, error) {
	a.sunken = &sunken{}
	return transport.NewWritable(a.sunken), nil
}

func (a *api) sunk(context.Context, *call) (any, error) {
	a.sunken.mu.Lock()
	defer a.sunken.mu.Unlock()
	return map[string]any{"chunks": a.sunken.chunks, "end": a.sunken.end}, nil
}

// slowly reads a stream only as it is told.
func slowly(_ context.Context, c *call) (any, error) {
	r, err := arg[*transport.Readable](c, 0)
	if err != nil {
		return nil, err
	}
	r.Keep()
	return transport.NewTarget(map[string]method{
		"take": func(ctx context.Context, c *call) (any, error) {
			n, err := arg[int](c, 0)
			for i := 0; i < n && err == nil; i++ {
				_, err = r.Next(ctx)
			}
			return n, err
		},
	}).OnRelease(func() { _ = r.Close() }), nil
}
