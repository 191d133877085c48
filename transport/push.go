package transport

// sendCall pushes a call, or a read when in is nil, of path in i.
func (s *Session) sendCall(i *imported, path []any, in *payload) ref {
	result := &imported{session: s, promise: true, refs: 1, remote: 1}
	r, ok := s.push(i, result, func(e *encoder) error { return e.call(`["push",["pipeline",`, i.id, path, in) })
	if !ok {
		r, _ := i.callValue(path, in)
		return r
	}
	in.release()
	return r
}

// sendStream is sendCall by a stream message: the peer sends the outcome
// unasked and forgets it then.
func (s *Session) sendStream(i *imported, path []any, in *payload) (r ref, size int) {
	result := &imported{session: s, promise: true, streamed: true, refs: 1, asked: true}
	r, ok := s.push(i, result, func(e *encoder) error {
		err := e.call(`["stream",["pipeline",`, i.id, path, in)
		size = len(e.buf)
		return err
	})
	if !ok {
		r, _ := i.callValue(path, in)
		return r, 0
	}
	in.release()
	return r, size
}

// call writes a call, or a read when in is nil.
func (e *encoder) call(kind string, id int64, path []any, in *payload) error {
	e.raw(kind)
	e.integer(id)
	e.raw(",")
	if err := e.path(path); err != nil {
		return err
	}
	if in != nil {
		e.raw(",")
		if err := in.write(e); err != nil {
			return err
		}
	}
	e.raw("]]")
	return nil
}

// sendMap pushes a map over what lies at path in i.
func (s *Session) sendMap(i *imported, path []any, m *mapping) ref {
	result := &imported{session: s, promise: true, refs: 1, remote: 1}
	r, ok := s.push(i, result, func(e *encoder) error {
		e.raw(`["push",["remap",`)
		e.integer(i.id)
		e.raw(",")
		if err := e.path(path); err != nil {
			return err
		}
		e.raw(",[")
		for n, c := range m.captures {
			if n > 0 {
				e.raw(",")
			}
			if err := e.table.stub(e, c.ref); err != nil {
				return err
			}
		}
		e.raw("],[")
		for n, instruction := range m.instructions {
			if n > 0 {
				e.raw(",")
			}
			e.buf = append(e.buf, instruction...)
		}
		e.raw("]]]")
		return nil
	})
	if !ok {
		return i.remap(path, m)
	}
	m.release()
	return r
}

// push sends a message that asks i's side for something, whose outcome will be
// result. It is not ok when i was resolved meanwhile, and its value is here.
func (s *Session) push(i, result *imported, write func(*encoder) error) (r ref, ok bool) {
	if !s.hold(i) {
		if _, _, resolved := i.outcome(); resolved {
			return nil, false
		}
		if err := s.Err(); err != nil {
			return s.rejected(unsent(err)), true
		}
		return s.rejected(errReleased), true
	}
	m := s.newMessage()
	m.held = append(m.held, i)
	if err := m.guarded(func() error { return write(&m.encoder) }); err != nil {
		s.discard(m)
		return s.rejected(unsent(err)), true
	}
	err := s.send(m, func() error {
		if len(s.imports) >= s.limits.Imports {
			return s.crowdedLocked()
		}
		result.id = s.nextPush
		s.nextPush++
		s.imports[result.id] = result
		return nil
	})
	if err != nil {
		return s.rejected(unsent(err)), true
	}
	return result, true
}

func (s *Session) crowdedLocked() error {
	return overloaded("%d calls and objects are open in this session: await or release some", len(s.imports))
}

// Mark is a moment in a session's sending, for who makes several calls and
// repeats all or none.
type Mark struct {
	session *Session
	push    int64
}

// Mark marks the present.
func (s *Session) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{s, s.nextPush}
}

// Unsent says whether the session ended without handing to the connection any
// call that was made after the mark: none of them had an effect.
func (m Mark) Unsent() bool {
	m.session.mu.Lock()
	defer m.session.mu.Unlock()
	return m.session.ended && m.session.sentPush <= m.push
}
