package transport

import (
	"context"
	"sync"
	"time"
)

// turn is the right to read a session's messages, which one goroutine has at a
// time. It gathers the calls that have come, runs them, and sends what there
// is to send: no other goroutine has to be woken for either. A call that blocks
// gives the turn away, to a goroutine made for that: at once if it waits by its
// context or concedes (Concurrent), else within two patiences.
type turn struct {
	gathered int // messages that ask for something, since the last serving; the holder's

	uncork func() // has the writer send
	next   func() // makes another goroutine read
	watch  *time.Timer

	mu      sync.Mutex
	doing   activity
	number  int64      // of what the holder does; changes when that is taken from it
	targets []*binding // whose calls the holder shall run
	watched bool       // the watch is on
	seen    int64      // the number at its last look
}

type activity int

const (
	waiting   activity = iota // for a message
	gathering                 // messages that have come, before it serves them
	serving
)

const (
	// patience is how long a call can block before the turn is given away, or a
	// message take to come in full while others wait to be served: it, or twice
	// that.
	patience = time.Millisecond
	// mostGathered is how many messages are read before they are served.
	mostGathered = 256
)

// start prepares the turn.
func (t *turn) start(uncork, next func()) {
	t.uncork, t.next = uncork, next
	t.watch = time.AfterFunc(time.Hour, t.look)
	t.watch.Stop()
}

// begin begins to gather or to serve.
func (t *turn) begin(doing activity) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	t.doing = doing
	if !t.watched {
		t.watched, t.seen = true, t.number
		t.watch.Reset(patience)
	}
	return t.number
}

// add has the holder serve b.
func (t *turn) add(b *binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.targets = append(t.targets, b)
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
	t.doing, t.targets = waiting, t.targets[:0]
	return true
}

// look sees whether the holder has been at the same thing since the last look.
func (t *turn) look() {
	t.mu.Lock()
	doing, number := t.doing, t.number
	stuck := doing != waiting && number == t.seen
	t.watched = !stuck && (doing != waiting || number != t.seen)
	t.seen = number
	if t.watched {
		t.watch.Reset(patience)
	}
	t.mu.Unlock()
	switch {
	case stuck && doing == serving:
		t.giveAway(number)
	case stuck:
		t.scatter()
		t.uncork()
	}
}

// giveAway makes another goroutine read, unless that has happened.
func (t *turn) giveAway(number int64) {
	t.mu.Lock()
	mine := t.doing == serving && t.number == number
	if mine {
		t.doing = waiting
		t.number++
	}
	t.mu.Unlock()
	if mine {
		t.scatter()
		t.uncork()
		t.next()
	}
}

// scatter has the calls that were gathered run by themselves.
func (t *turn) scatter() {
	t.mu.Lock()
	targets := t.targets
	t.targets = nil
	t.mu.Unlock()
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
	if s.turn.gathered++; s.turn.gathered > 1 {
		return
	}
	s.turn.begin(gathering)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = true
}

// serve runs the calls that were gathered and sends what there is to send. It
// says whether the caller is still the reader.
func (s *Session) serve() (reads bool) {
	s.turn.gathered = 0
	number := s.turn.begin(serving)
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

// uncork has the writer send.
func (s *Session) uncork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = false
	if len(s.out.messages) > 0 {
		s.out.signal(s.wake)
	}
}
