package peering

import "sync"

// calls counts the far end's calls that are on their way to the table. Once a
// session has ended nobody may be told of its peer, nor may another session
// begin, before they have arrived there.
type calls struct {
	idle chan struct{} // closed when over and none is left

	mu    sync.Mutex
	count int
	over  bool
}

// enter is false when it is over.
func (c *calls) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.count++
	}
	return !c.over
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count--; c.over && c.count == 0 {
		close(c.idle)
	}
}

// end lets no more in, and waits for those that are.
func (c *calls) end() {
	c.mu.Lock()
	if !c.over && c.count == 0 {
		close(c.idle)
	}
	c.over = true
	c.mu.Unlock()
	<-c.idle
}
