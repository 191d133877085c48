package transport

import (
	"bytes"
	"sync"
)

// message is one on its way out; its buffers are used again.
type message struct {
	encoder
	wireTable
	refers bool // to something of the peer's, or to a call
}

var messages = sync.Pool{New: func() any { return &message{encoder: encoder{buf: make([]byte, 0, 512)}} }}

func newMessage() *message {
	m := messages.Get().(*message)
	m.buf, m.table, m.depth = m.buf[:0], nil, 0
	return m
}

// newMessage returns a message that can refer to the session's objects.
func (s *Session) newMessage() *message {
	m := newMessage()
	m.session, m.depth = s, s.limits.Depth
	m.table = &m.wireTable
	return m
}

// keptBuffer is the largest buffer worth keeping, in bytes.
const keptBuffer = 64 << 10

func (m *message) free() {
	if cap(m.buf) <= keptBuffer {
		m.session = nil
		messages.Put(m)
	}
}

// outbox gathers messages for the writer.
type outbox struct {
	messages []*message
	views    [][]byte
	bytes    int
	longest  int
}

// emptied gives the buffers of a written outbox back and returns it empty.
func (o *outbox) emptied() outbox {
	for i, m := range o.messages {
		m.free()
		o.messages[i] = nil
	}
	return outbox{messages: o.messages[:0], views: o.views[:0]}
}

func (o *outbox) add(m *message) {
	o.messages = append(o.messages, m)
	o.bytes += len(m.buf)
	o.longest = max(o.longest, len(m.buf))
}

func (o *outbox) slices() [][]byte {
	o.views = o.views[:0]
	for _, m := range o.messages {
		o.views = append(o.views, m.buf)
	}
	return o.views
}

func (o *outbox) signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// sendLocked queues m for the writer, in order. A peer that reads too slowly
// ends its session.
func (s *Session) sendLocked(m *message) {
	if s.ended || s.choked {
		return
	}
	o := &s.out
	if o.bytes-o.longest > s.limits.BufferedBytes {
		s.choked = true
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			err := violation("more than %d bytes unsent: the peer reads too slowly", s.limits.BufferedBytes)
			s.end(err, err)
		}()
		return
	}
	m.refers = len(m.held) > 0
	o.add(m)
	if len(o.messages) == 1 && !s.corked {
		o.signal(s.wake)
	}
}

// takeLocked gives the writer what is queued, and leaves an empty outbox.
func (s *Session) takeLocked(empty outbox) outbox {
	if !s.ended {
		s.sentPush = s.nextPush
	}
	taken := s.out
	s.out = empty
	return taken
}

// withdrawLocked takes back what an ended session has queued, so that calls
// that were not handed over are known not to have happened. Answers stay,
// unless they refer to such a call perhaps. To the sender of an HTTP batch
// everything goes: its session ends when all is said.
func (s *Session) withdrawLocked() {
	if s.oneWay {
		s.sentPush = s.nextPush
		return
	}
	var kept outbox
	for _, m := range s.out.messages {
		if m.answers() {
			kept.add(m)
		} else {
			m.free()
		}
	}
	s.out, s.choked = kept, false
}

func (m *message) answers() bool {
	return !m.refers && (bytes.HasPrefix(m.buf, []byte(`["resolve"`)) || bytes.HasPrefix(m.buf, []byte(`["reject"`)))
}
