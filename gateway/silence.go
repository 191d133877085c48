package gateway

import (
	"context"
	"errors"
	"io"
	"time"
)

// errQuiet is that a service has said nothing for so long that it must be
// taken to be gone.
var errQuiet = errors.New("the service has fallen silent")

const (
	// beats is after how many comments a stream of events is known to have a
	// heartbeat.
	beats = 3
	// unheard is how much longer the silence of a stream without a heartbeat may
	// be: there may just be no events.
	unheard = 30
)

// attentive reads a stream, and calls quiet when nothing has come for a while.
// Only waiting counts: who is slow to take events is no fault of the service.
type attentive struct {
	r     io.Reader
	limit func() time.Duration
	quiet func()
}

func (a *attentive) Read(p []byte) (int, error) {
	defer time.AfterFunc(a.limit(), a.quiet).Stop()
	return a.r.Read(p)
}

// listenTo has the events read from r end with errQuiet when a service has
// fallen silent.
func (e *eventReader) listenTo(r io.Reader, silence time.Duration, end context.CancelCauseFunc) io.Reader {
	return &attentive{
		r: r, quiet: func() { end(errQuiet) },
		limit: func() time.Duration {
			if e.comments >= beats {
				return silence
			}
			return unheard * silence
		},
	}
}

// listen counts a subscription to the service, unless there are as many as
// there may be.
func (s *service) listen() bool {
	if s.listeners.Add(1) > int64(s.limits.Listeners) {
		s.listeners.Add(-1)
		return false
	}
	return true
}

func (s *service) unlisten() { s.listeners.Add(-1) }
