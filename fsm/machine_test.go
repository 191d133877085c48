package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// follower is a machine with a log that is fed by hand.
type follower struct {
	*testing.T
	*Machine
	index uint64
}

func newNode(t *testing.T) *follower {
	n := &follower{T: t, Machine: NewMachine()}
	n.commits(Found{Site: "paris", AS: 1, Epoch: "e"})
	return n
}

func (n *follower) commits(ops ...Op) []Outcome {
	n.Helper()
	commands := make([]Command, len(ops))
	for i, op := range ops {
		commands[i] = Command{Op: op}
	}
	n.index++
	outcomes, ok := n.Apply(&raft.Log{Index: n.index, Data: EncodeBatch(nil, commands)}).([]Outcome)
	if !ok || len(outcomes) != len(ops) {
		n.Fatalf("entry %d gave %v", n.index, outcomes)
	}
	return outcomes
}

func TestTheMachineFollowsTheLog(t *testing.T) {
	if empty := NewMachine(); empty.Table().Version() != 0 || empty.Applied() != 0 {
		t.Error("a new machine is not empty")
	}
	n := newNode(t)
	outcomes := n.commits(Put{Service: service("a")}, Delete{ID: "nobody"})
	if outcomes[0].Index != 2 || outcomes[1].Code != NotFound {
		t.Errorf("outcomes %+v", outcomes)
	}
	if n.Table().NumLocal() != 1 || n.Applied() != 2 {
		t.Errorf("%d routes, applied %d", n.Table().NumLocal(), n.Applied())
	}
	n.StoreConfiguration(5, raft.Configuration{})
	n.Advance(4)
	if n.Applied() != 5 {
		t.Errorf("applied %d, want 5", n.Applied())
	}
}

func TestAnEntryThatCannotBeReadDoesNotStopTheSite(t *testing.T) {
	n := newNode(t)
	before := n.Table()
	n.index++
	if err, ok := n.Machine.Apply(&raft.Log{Index: n.index, Data: []byte("garbage")}).(error); !ok || err == nil {
		t.Errorf("got %v", err)
	}
	if n.Table() != before || n.Applied() != 2 {
		t.Errorf("the table moved, or the index %d did not", n.Applied())
	}
	n.commits(Put{Service: service("a")})
	if n.Table().NumLocal() != 1 {
		t.Error("the next entry was not applied")
	}
}

// A build with a defect: the site goes on without the entry.
func TestAnEntryThatPanicsDoesNotStopTheSite(t *testing.T) {
	n := newNode(t)
	before := n.Table()
	poison := &raft.Log{Index: 2, Data: EncodeBatch(nil, []Command{{Op: Put{Service: service("a")}}})}

	n.decode = func([]byte) ([]Command, error) { panic("a defect of the decoder") }
	err, ok := n.Machine.Apply(poison).(error)
	if !ok || !strings.Contains(err.Error(), "apply log entry 2: a defect of this build: a defect of the decoder") {
		t.Errorf("got %v", err)
	}
	if n.Table() != before || n.Applied() != 2 {
		t.Errorf("the table moved, or the index %d did not", n.Applied())
	}

	n.decode = func([]byte) ([]Command, error) {
		return []Command{{RequestID: "r1", Op: panics{Put{Service: service("b")}}}, {Op: Put{Service: service("c")}}}, nil
	}
	poison.Index = 3
	outcomes, ok := n.Machine.Apply(poison).([]Outcome)
	if !ok || outcomes[0].Code != Internal || outcomes[1].Code != "" {
		t.Errorf("got %+v", outcomes)
	}
	if n.Table().NumLocal() != 1 || n.Applied() != 3 {
		t.Errorf("%d routes, applied %d", n.Table().NumLocal(), n.Applied())
	}

	n.decode, n.index = nil, 3
	n.commits(Put{Service: service("d")})
	if n.Table().NumLocal() != 2 {
		t.Error("the next entry was not applied")
	}
}

func TestOneCommitWakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if table, err := n.Await(t.Context(), 1); err != nil || table.Version() != 2 {
					t.Errorf("got %v, %v", table, err)
				}
			})
			wg.Go(func() {
				if table, err := n.AwaitApplied(t.Context(), 3); err != nil || table.Version() != 2 {
					t.Errorf("got %v, %v", table, err)
				}
			})
		}
		synctest.Wait()
		n.commits(Put{Service: service("a")})
		n.commits(Put{Service: service("a")}) // no new version, but a new index
		wg.Wait()
		if table, err := n.Await(t.Context(), 1); err != nil || table != n.Table() {
			t.Errorf("a newer table that is there already: %v, %v", table, err)
		}
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the leadership is lost")
		done := make(chan error)
		go func() { _, err := n.Await(ctx, 1); done <- err }()
		synctest.Wait()
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}

// sink is raft's place for a snapshot.
type sink struct {
	bytes.Buffer
	full              bool
	closed, cancelled bool
}

func (s *sink) ID() string    { return "1" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }
func (s *sink) Write(b []byte) (int, error) {
	if s.full {
		return 0, errDiskFull
	}
	return s.Buffer.Write(b)
}

func TestASnapshotIsOfTheMomentItWasTaken(t *testing.T) {
	n := newNode(t)
	n.commits(Put{Service: service("a")})
	n.Advance(9)
	taken, err := n.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	n.commits(Put{Service: service("b")})
	s := &sink{}
	if err := taken.Persist(s); err != nil || !s.closed {
		t.Fatalf("persist: %v", err)
	}
	taken.Release()

	other := NewMachine()
	if err := other.Restore(io.NopCloser(&s.Buffer)); err != nil {
		t.Fatal(err)
	}
	if other.Table().NumLocal() != 1 || other.Applied() != 9 {
		t.Errorf("restored %d routes at %d", other.Table().NumLocal(), other.Applied())
	}
}

func TestAFullDiskCancelsTheSnapshot(t *testing.T) {
	taken, _ := newNode(t).Snapshot()
	s := &sink{full: true}
	if err := taken.Persist(s); !errors.Is(err, errDiskFull) || !s.cancelled || s.closed {
		t.Errorf("got %v, %+v", err, s)
	}
}

func TestABadSnapshotLeavesTheTable(t *testing.T) {
	n := newNode(t)
	n.commits(Put{Service: service("a")})
	before := n.Table()
	data := snapshotOf(t, busy(t))
	if err := n.Restore(io.NopCloser(bytes.NewReader(data[:len(data)-3]))); err == nil {
		t.Error("restored half a snapshot")
	}
	if n.Table() != before || n.Applied() != 2 {
		t.Error("the machine changed")
	}
}

// Readers hold tables of all ages while the log goes on; the race detector
// looks on.
func TestReadersNeedNoLock(t *testing.T) {
	n := newNode(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var seen uint64
			for {
				table, err := n.Await(ctx, seen)
				if err != nil {
					return
				}
				if changes, ok := table.Changes(seen); ok {
					for c := range changes {
						seen = c.Index
					}
				}
				seen = table.Version()
				if got := len(slices.Collect(table.All())); got != table.NumLocal()+table.NumLearned() {
					t.Errorf("%d routes, counted %d", got, table.NumLocal()+table.NumLearned())
				}
				table.Outcome("r1")
				table.Paths("s1:http:graphql")
				if err := WriteSnapshot(io.Discard, table); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 600 {
		n.commits(
			Put{Mode: Upsert, Service: service(fmt.Sprint("s", i%50))}, Delete{ID: fmt.Sprintf("s%d:http:graphql", (i+25)%50)},
			Learn{Peer: "oslo", Add: []LearnedRoute{announces(fmt.Sprint("s", i%70), "oslo")}, EndOfRIB: i%9 == 0}, MarkStale{Peer: "oslo"},
		)
	}
	stop()
	wg.Wait()
}
