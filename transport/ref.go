package transport

import "sync"

// ref is what a stub, a promise or an id of either table stands for: a target
// here (binding), something of the peer's (imported), or an outcome to come
// (answer). Whoever keeps one has retained it and releases it once.
type ref interface {
	// call takes over in and starts a call of what lies at path, or reads it
	// when in is nil. It never blocks; the result is the caller's to release.
	call(path []any, in *payload) ref
	// remap applies m to what lies at path. It takes over m's captures.
	remap(path []any, m *mapping) ref
	retain()
	release()
	// broken arranges for f to run when what is referred to breaks.
	broken(f func(error))
}

// eventual is a ref whose outcome arrives: an answer, or an imported promise.
type eventual interface {
	ref
	ask() // the outcome is wanted
	settled() <-chan struct{}
	whenSettled(f func())
	outcome() (value any, err error, ok bool)
}

// cell holds an outcome that arrives once.
type cell struct {
	mu    sync.Mutex
	set   bool
	value any
	err   error
	held  []releaser // what the value refers to
	done  chan struct{}
	then  []func()
}

type releaser interface{ Release() }

func (c *cell) outcome() (any, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.err, c.set
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *cell) settled() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set {
		return closed
	}
	if c.done == nil {
		c.done = make(chan struct{})
	}
	return c.done
}

// whenSettled runs f once the outcome is there: at once if it is.
func (c *cell) whenSettled(f func()) {
	c.mu.Lock()
	if !c.set {
		c.then = append(c.then, f)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	f()
}

// put sets the outcome, unless it is set. It reports whether it did. Those who
// wait learn of it by announce.
func (c *cell) put(value any, held []releaser, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set {
		return false
	}
	c.set, c.value, c.held, c.err = true, value, held, err
	return true
}

// announce tells those who wait that the outcome is there.
func (c *cell) announce() {
	c.mu.Lock()
	then := c.then
	c.then = nil
	if c.done != nil {
		close(c.done)
		c.done = nil
	}
	c.mu.Unlock()
	for _, f := range then {
		f()
	}
}

// settle puts the outcome and announces it.
func (c *cell) settle(value any, held []releaser, err error) bool {
	if !c.put(value, held, err) {
		return false
	}
	c.announce()
	return true
}

// empty releases what the value refers to.
func (c *cell) empty() {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, h := range held {
		h.Release()
	}
}
