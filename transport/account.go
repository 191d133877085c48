package transport

// admit lets a call in, or says that there are too many.
func (s *Session) admit(b *binding, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked(size); err != nil {
		return err
	}
	s.owed++
	b.refs++
	s.work.Add(1)
	return nil
}

// enterLocked counts a call that takes up size bytes until leave.
func (s *Session) enterLocked(size int) error {
	switch {
	case s.ended:
		return s.err
	case s.calls >= s.limits.Calls:
		return overloaded("more than %d calls at once in this session: wait for answers", s.limits.Calls)
	case s.callBytes+size > s.limits.CallBytes && s.calls > 0:
		return overloaded("more than %d bytes of calls at once in this session: wait for answers", s.limits.CallBytes)
	}
	s.calls++
	s.callBytes += size
	return nil
}

func (s *Session) enter(size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enterLocked(size)
}

// leave makes room for another call, before the peer learns that it may send
// one.
func (s *Session) leave(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	s.callBytes -= size
}

// charge counts a result that the peer makes this side hold, until its answer
// is released.
func (s *Session) charge(a *answer, v any) {
	w := weight(v)
	if w >= lightWeight {
		s.chargeBytes(a, w)
	}
}

func (s *Session) chargeBytes(a *answer, w int) {
	a.weight.Add(int64(w))
	s.mu.Lock()
	s.heldBytes += w
	over := s.heldBytes > s.limits.HeldBytes && s.heldBytes > w
	s.mu.Unlock()
	if over {
		err := violation("results of more than %d bytes are held: release some", s.limits.HeldBytes)
		s.end(err, err)
	}
}

func (s *Session) discharge(a *answer) {
	w := a.weight.Swap(0)
	if w == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldBytes -= int(w)
}

// finished undoes the rest of admit.
func (s *Session) finished(b *binding) {
	b.release()
	s.settled()
	s.work.Done()
}

// settled takes one from what is owed.
func (s *Session) settled() {
	s.mu.Lock()
	s.owed--
	idle := s.idleLocked()
	s.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// idleLocked gives what is to run when the session has nothing left to do.
func (s *Session) idleLocked() func() {
	if s.owed == 0 {
		return s.idle
	}
	return nil
}
