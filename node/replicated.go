package node

import (
	"context"
	"sync"

	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// actionStep is what a client hears of its action before the answer.
type actionStep struct {
	Step      string `json:"step"` // replicated: a majority has it on disk, and nothing undoes it
	Index     uint64 `json:"index"`
	ID        string `json:"id,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"` // it was so before
}

// listener is a client that wants to hear of its action's steps. Nobody waits
// for it, and what becomes of the call is its own affair. A nil listener hears
// nothing.
type listener struct {
	callback *transport.Stub // valid as long as the call that brought it
	once     sync.Once       // also when an action goes to one leader after the other
}

// listenerOf is the optional argument i of a call.
func listenerOf(c *transport.Call, i int) (*listener, error) {
	switch c.Arg(i).(type) {
	case nil, transport.Undefined:
		return nil, nil
	}
	stub, err := c.Stub(i)
	if err != nil {
		return nil, err
	}
	return &listener{callback: stub}, nil
}

func (l *listener) hear(s actionStep) {
	l.once.Do(func() { l.callback.Call("", s).Release() })
}

// committed is the listener as a pipeline knows it.
func (l *listener) committed() func(pipeline.Result) {
	if l == nil {
		return nil
	}
	return func(r pipeline.Result) {
		about, _ := r.Data.(pipeline.RouteData)
		l.hear(actionStep{"replicated", r.Index, about.ID, about.Unchanged})
	}
}

// carried is the listener as the leader gets it from a follower: an argument
// more, or none.
func (l *listener) carried() []any {
	if l == nil {
		return nil
	}
	return []any{transport.NewFunc(transport.Proc1(func(_ context.Context, s actionStep) error {
		l.hear(s)
		return nil
	}))}
}
