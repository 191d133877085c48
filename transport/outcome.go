package transport

import "errors"

// answerWhenKnown sends the outcome of an export once it is there.
func (s *Session) answerWhenKnown(id int64) error {
	s.mu.Lock()
	x := s.exports[id]
	if x == nil {
		defer s.mu.Unlock()
		return s.unknown(id)
	}
	again := x.asked
	x.asked = true
	if !again {
		s.owed++
	}
	s.mu.Unlock()
	if again {
		return nil
	}
	s.follow(x.ref, func(v any, err error) { s.sendOutcome(id, x, v, err) })
	return nil
}

func (s *Session) unknown(id int64) error {
	if s.ended {
		return s.err
	}
	return violation("no object or result with id %d", id)
}

// follow runs f with r's outcome. It stops at a promise of the same peer: the
// peer knows that outcome first.
func (s *Session) follow(r ref, f func(any, error)) {
	e, ok := r.(eventual)
	if !ok {
		f(nil, errNoPromise)
		return
	}
	if i, ok := r.(*imported); ok && !i.promise {
		f(nil, errNoPromise)
		return
	}
	e.ask()
	e.whenSettled(func() {
		v, err, _ := e.outcome()
		if p, ok := v.(*Promise); ok && err == nil && !s.pending(p) {
			s.follow(p.Pull().ref, f)
			return
		}
		if a, ok := e.(*answer); ok {
			afterParts(a.parts(), func() { f(v, err) })
			return
		}
		f(v, err)
	})
}

// afterParts runs f when the answers among an outcome's parts are there, so
// that the results of a map travel in one message.
func afterParts(parts []releaser, f func()) {
	for i, part := range parts {
		p, ok := part.(*Promise)
		if !ok {
			continue
		}
		if a, ok := p.ref.(*answer); ok {
			if _, _, known := a.outcome(); !known {
				a.whenSettled(func() { afterParts(parts[i+1:], f) })
				return
			}
		}
	}
	f()
}

// pending says whether p is a promise of this session's peer without outcome,
// to which messages can refer: the outcome of a stream message is not.
func (s *Session) pending(p *Promise) bool {
	i, ok := p.ref.(*imported)
	if !ok || i.session != s || i.streamed {
		return false
	}
	_, _, known := i.outcome()
	return !known
}

func (s *Session) sendOutcome(id int64, x *export, v any, err error) {
	if err == nil {
		err = s.sendResult(id, x, v)
	}
	if err != nil {
		s.sendRejection(id, x, err)
	}
	if x.once {
		s.forget(id, x)
	}
	s.settled()
}

// forget takes out an export that the peer will not release.
func (s *Session) forget(id int64, x *export) {
	s.mu.Lock()
	gone := s.exports[id] == x
	if gone {
		delete(s.exports, id)
	}
	s.mu.Unlock()
	if gone {
		x.ref.release()
	}
}

var errNotWanted = errors.New("the peer released the result")

// sendResult fails only when v cannot be encoded.
func (s *Session) sendResult(id int64, x *export, v any) error {
	m := s.newMessage()
	m.raw(`["resolve",`)
	m.integer(id)
	m.raw(",")
	if err := m.guarded(func() error { return m.value(v) }); err != nil {
		s.discard(m)
		return err
	}
	m.raw("]")
	_ = s.send(m, func() error { return s.wantedLocked(id, x) })
	return nil
}

// sendRejection sends an error, without references.
func (s *Session) sendRejection(id int64, x *export, err error) {
	m := s.newMessage()
	m.table = nil
	m.raw(`["reject",`)
	m.integer(id)
	m.raw(",")
	start := len(m.buf)
	if failed := m.guarded(func() error { m.failure(err); return nil }); failed != nil {
		m.buf = m.buf[:start]
		m.failure(failed)
	}
	m.raw("]")
	_ = s.send(m, func() error { return s.wantedLocked(id, x) })
}

func (s *Session) wantedLocked(id int64, x *export) error {
	if s.exports[id] != x {
		return errNotWanted
	}
	return nil
}
