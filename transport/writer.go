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
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	late := time.AfterFunc(math.MaxInt64, cancel)
	defer late.Stop()
	defer context.AfterFunc(s.ctx, func() { late.Reset(flushTime) })()
	var batch outbox
	for {
		runtime.Gosched() // others may have more to add: fewer and fuller writes
		s.mu.Lock()
		ended := s.ended
		batch = s.takeLocked(batch.emptied())
		s.mu.Unlock()
		if len(batch.messages) > 0 {
			if err := s.conn.Write(ctx, batch.slices()...); err != nil {
				s.end(fmt.Errorf("send: %w", err), nil)
				break
			}
			continue
		}
		if ended {
			break
		}
		<-s.wake
	}
	s.mu.Lock()
	goodbye := s.goodbye
	s.mu.Unlock()
	_ = s.conn.Close(goodbye) // the session has its own error
}
