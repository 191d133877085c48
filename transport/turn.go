package transport

import (
	"context"
	"sync"
	"time"
)

// turn is the right to read a session's messages, which one goroutine has at a
// time. Between two reads it also runs the calls that came, and sends what
// there is to send: no other goroutine has to be woken for either. A call that
// blocks gives the turn away, to a goroutine made for that: at once if it
// waits by its context or concedes (Concurrent), else within a few patiences.
type turn struct {
	mu      sync.Mutex
	engaged bool       // what came asks for calls or answers; the holder's
	serving bool       // the holder runs calls
	number  int64      // of the holder's serving; changes when the turn is given away
	targets []*binding // whose calls the holder shall run
	next    func()     // makes another goroutine read
	watched bool       // the watch is on
	seen    int64      // the number at its last look
	watch   *time.Timer
}

// patience is how long a call can block before the turn is given away, more
// or less.
const patience = time.Millisecond

// mostTargets bounds what gathers before the calls begin.
const mostTargets = 64

// start prepares the turn. next makes a goroutine that reads, and has the
// writer write.
func (t *turn) start(next func()) {
	t.next = next
	t.watch = time.AfterFunc(time.Hour, t.look)
	t.watch.Stop()
}

// begin starts to serve.
func (t *turn) begin() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	t.serving = true
	if !t.watched {
		t.watched, t.seen = true, t.number
		t.watch.Reset(patience)
	}
	return t.number
}

// take takes the next target to serve, if the turn was not given away.
func (t *turn) take(number int64) *binding {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.number != number || len(t.targets) == 0 {
		return nil
	}
	b := t.targets[0]
	t.targets = t.targets[1:]
	return b
}

// finish ends the serving, and says whether the turn is still the caller's.
func (t *turn) finish(number int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.number != number {
		return false
	}
	t.serving = false
	t.targets = nil
	return true
}

// look gives the turn away if the holder has served since the last look.
func (t *turn) look() {
	t.mu.Lock()
	number, stuck := t.number, t.serving && t.number == t.seen
	t.watched = t.serving || number != t.seen
	t.seen = number
	if t.watched && !stuck {
		t.watch.Reset(patience)
	} else {
		t.watched = false
	}
	t.mu.Unlock()
	if stuck {
		t.giveAway(number)
	}
}

// giveAway makes another goroutine read, unless that has happened.
func (t *turn) giveAway(number int64) {
	t.mu.Lock()
	if !t.serving || t.number != number {
		t.mu.Unlock()
		return
	}
	t.serving = false
	t.number++
	targets := t.targets
	t.targets = nil
	t.mu.Unlock()
	drain(targets)
	t.next()
}

// scatter is for the last reader: the calls that it took in run by themselves.
func (t *turn) scatter() {
	t.mu.Lock()
	targets := t.targets
	t.targets = nil
	t.mu.Unlock()
	drain(targets)
}

func drain(targets []*binding) {
	for _, b := range targets {
		b.session.work.Go(b.drain)
	}
}

// blocks is called before a method waits: if it has the turn, another
// goroutine gets it.
func blocks(ctx context.Context) {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		c.giveTurnAway()
	}
}

func (c *Call) giveTurnAway() {
	if c.turn != 0 {
		c.binding.session.turn.giveAway(c.turn)
	}
}

// engage notes that the peer waits for something, which the reader will send.
func (s *Session) engage() {
	if s.turn.engaged {
		return
	}
	s.turn.engaged = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = true
}

// serve runs the calls that were taken in and sends what there is to send. It
// says whether the caller is still the reader.
func (s *Session) serve() (reads bool) {
	s.turn.engaged = false
	number := s.turn.begin()
	ended := false
	defer func() {
		if !ended { // a method ended its goroutine
			s.turn.giveAway(number)
		}
	}()
	for b := s.turn.take(number); b != nil; b = s.turn.take(number) {
		b.serve(number)
	}
	if s.turn.holds(number) {
		s.flush()
	}
	ended = true
	return s.turn.finish(number)
}

func (t *turn) holds(number int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.number == number
}

// Peeker is a Conn that knows whether Read would return at once. Without it
// each message is served before the next is read.
type Peeker interface {
	Conn
	Ready() bool
}

// uncork has the writer send.
func (s *Session) uncork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = false
	if len(s.out.messages) > 0 {
		s.out.signal(s.wake)
	}
}
