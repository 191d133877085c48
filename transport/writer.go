package transport

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"
)

// flushTime bounds how long an ended session goes on writing what it had to
// say, its abort above all.
const flushTime = 5 * time.Second

// write hands messages to the connection, as many at once as there are, until
// the session has ended and there are none. Then it closes the connection.
func (s *Session) write() {
	defer s.stopWriting()
	late := time.AfterFunc(math.MaxInt64, s.stopWriting)
	defer late.Stop()
	defer context.AfterFunc(s.ctx, func() { late.Reset(flushTime) })()
	for {
		runtime.Gosched() // others may have more to add: fewer and fuller writes
		s.writing <- struct{}{}
		wrote, ended, err := s.writeOnce()
		<-s.writing
		switch {
		case wrote && err == nil:
			continue
		case !wrote && !ended:
			<-s.wake
			continue
		}
		break
	}
	s.mu.Lock()
	goodbye := s.goodbye
	s.mu.Unlock()
	_ = s.conn.Close(goodbye) // the session has its own error
}

// flush is the reader's: it sends what there is, unless the writer is at it.
func (s *Session) flush() {
	select {
	case s.writing <- struct{}{}:
		_, _, _ = s.writeOnce() // an error has ended the session
		<-s.writing
	default:
		s.uncork()
	}
}

// writeOnce sends what there is. Session.writing is the caller's. An error ends the
// session.
func (s *Session) writeOnce() (wrote, ended bool, err error) {
	s.mu.Lock()
	ended = s.ended
	s.corked = false
	s.written = s.takeLocked(s.written.emptied())
	s.mu.Unlock()
	if len(s.written.messages) == 0 {
		return false, ended, nil
	}
	if err = s.conn.Write(s.writeCtx, s.written.slices()...); err != nil {
		s.end(fmt.Errorf("send: %w", err), nil)
	}
	return true, ended, err
}
