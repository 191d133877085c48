package redial

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

func TestAttemptsBecomeRarer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const least, most = 100 * time.Millisecond, 10 * time.Second
		s := serve(t, nil)
		var mu sync.Mutex
		var states []State
		latest := func(back int) State {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return states[len(states)-1-back]
		}
		var at []time.Time
		dial := func(ctx context.Context) (transport.Conn, error) {
			at = append(at, time.Now())
			if len(at) == 3 {
				<-ctx.Done() // a peer that does not answer
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}
		s.down = errDown
		c := New(dial, Config{MinWait: least, MaxWait: most, DialTimeout: time.Second, OnChange: func(s State) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s)
		}})
		run(t, c)
		time.Sleep(time.Hour)
		s.goDown(nil)
		time.Sleep(time.Minute)
		synctest.Wait() // connected: at does not change

		longest := time.Duration(0)
		ceiling := least
		for i := 1; i < len(at); i++ {
			wait := at[i].Sub(at[i-1])
			if i == 3 {
				wait -= time.Second
			}
			if wait < 0 || wait > ceiling {
				t.Errorf("wait %d was %v, more than %v", i, wait, ceiling)
			}
			longest = max(longest, wait)
			ceiling = min(2*ceiling, most)
		}
		if len(at) < 300 || longest < most/2 {
			t.Errorf("%d attempts in an hour, the longest wait %v", len(at), longest)
		}
		up := latest(0)
		if before := latest(1); before.Connected || before.Attempts != len(at)-1 || before.Err != errDown {
			t.Errorf("before: %+v after %d attempts", before, len(at))
		}
		if up != (State{Connected: true, Since: at[len(at)-1]}) || c.State() != up {
			t.Errorf("connected: %+v", up)
		}
		s.restart() // after a session that lasted, attempts begin anew
		lost := time.Now()
		if got := latest(0); got.Connected || !got.Since.Equal(lost) || !errors.Is(got.Err, transport.ErrBroken) {
			t.Errorf("lost: %+v", got)
		}
		time.Sleep(2 * least)
		synctest.Wait()
		if got := c.State(); !got.Connected || got.Since.Sub(lost) > least {
			t.Errorf("reconnected: %+v", got)
		}
	})
}

func TestAPeerThatSoonHangsUpIsNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := New(func(context.Context) (transport.Conn, error) {
			attempts++
			ours, theirs := transport.Pipe()
			time.AfterFunc(50*time.Millisecond, func() { _ = theirs.Close(nil) })
			return ours, nil
		}, Config{})
		run(t, c)
		time.Sleep(time.Hour)
		synctest.Wait()
		if attempts < 300 || attempts > 2000 {
			t.Errorf("%d attempts in an hour", attempts)
		}
	})
}

func TestConfigIsValidated(t *testing.T) {
	for _, c := range []Config{{MinWait: -1}, {MinWait: time.Minute}, {MaxWait: 1}, {DialTimeout: -1}, {Session: transport.Config{Limits: transport.Limits{Depth: -1}}}} {
		if err := c.Validate(); err == nil {
			t.Errorf("accepted: %+v", c)
		}
		if err := New(nil, c).Run(t.Context()); err == nil {
			t.Errorf("ran: %+v", c)
		}
	}
}
