package transport

// sendCall pushes a call, or a read when in is nil, of path in i.
func (s *Session) sendCall(i *imported, path []any, in *payload) ref {
	r, ok := s.push(i, func(e *encoder) error {
		e.raw(`["push",["pipeline",`)
		e.integer(i.id)
		e.raw(",")
		if err := e.path(path); err != nil {
			return err
		}
		if in != nil {
			e.raw(",")
			if err := e.elements(in.args); err != nil {
				return err
			}
		}
		e.raw("]]")
		return nil
	})
	if !ok {
		r, _ := i.callValue(path, in)
		return r
	}
	in.release()
	return r
}

// sendMap pushes a map over what lies at path in i.
func (s *Session) sendMap(i *imported, path []any, m *mapping) ref {
	r, ok := s.push(i, func(e *encoder) error {
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

// push sends a message that asks i's side for something and returns the
// outcome to come. It is not ok when i was resolved meanwhile, and its value
// is here.
func (s *Session) push(i *imported, write func(*encoder) error) (r ref, ok bool) {
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
	result := &imported{session: s, promise: true, refs: 1, remote: 1}
	err := s.send(m, func() error {
		if len(s.imports) >= s.limits.Imports {
			return overloaded("%d calls and objects are open in this session: await or release some", len(s.imports))
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
