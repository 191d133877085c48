package transport

import "sync/atomic"

// Stub refers to an object or function, as a rule one of the peer's. Whoever
// was given a stub releases it when it is no longer needed, except that stubs
// in a call's arguments are released when the call returns. A stub may be
// passed on in arguments and results, also over another session.
type Stub struct {
	ref      ref
	released atomic.Bool
	lent     atomic.Bool // a payload owns it and will release it
}

// Call calls a method; "" calls the stub itself, a function. It sends one
// message and never waits for the answer. What may be an argument, the package
// comment lists; what fails at once is in the Promise. Stubs and promises among
// the arguments stay the caller's.
func (s *Stub) Call(method string, args ...any) *Promise {
	return s.start(methodPath(nil, method), &payload{args: args, borrowed: true})
}

// Get refers to a property of the object, or to one of that and so on. Nothing
// is sent until the Promise is awaited or used.
func (s *Stub) Get(path ...any) *Promise {
	if s.released.Load() {
		return failed(errReleased)
	}
	return &Promise{ref: s.ref, path: normalPath(nil, path), property: true}
}

func (s *Stub) start(path []any, in *payload) *Promise {
	if s.released.Load() {
		return failed(errReleased)
	}
	return &Promise{ref: s.ref.call(path, in)}
}

// Dup returns another stub for the same object, released on its own. It is
// how a stub in a call's arguments is kept.
func (s *Stub) Dup() *Stub {
	if s.released.Load() {
		return &Stub{ref: rejection(errReleased)}
	}
	s.ref.retain()
	return &Stub{ref: s.ref}
}

// Release gives the stub up; the peer is told when no stub for the object is
// left. It is idempotent. The stub from Session.Main ends with its session.
func (s *Stub) Release() {
	if s.released.CompareAndSwap(false, true) {
		s.ref.release()
	}
}

// OnBroken arranges for f to run once when the object can no longer be
// reached, as a rule because the session ended; at once if that is so now. f
// must not block.
func (s *Stub) OnBroken(f func(error)) { s.ref.broken(f) }

// methodPath appends a method's name to a path.
func methodPath(path []any, method string) []any {
	if method == "" {
		return path
	}
	return append(path[:len(path):len(path)], method)
}

// normalPath appends steps to a path; numbers become what they are on the wire.
func normalPath(path, steps []any) []any {
	path = path[:len(path):len(path)]
	for _, step := range steps {
		if i, ok := step.(int); ok {
			step = float64(i)
		}
		path = append(path, step)
	}
	return path
}
