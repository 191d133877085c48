package fsm

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Machine is the replicated state machine of one node: it applies the log to
// a Table and tells who waits. Raft calls the methods of raft.FSM; all others
// are for any goroutine. The zero Machine is ready.
type Machine struct {
	table   atomic.Pointer[Table]
	applied atomic.Uint64

	mu   sync.Mutex
	wake chan struct{} // closed at the next publication; nil while nobody waits

	decode func([]byte) ([]Command, error) // nil for DecodeBatch; tests use one with a defect
}

var (
	_ raft.FSM                = (*Machine)(nil)
	_ raft.ConfigurationStore = (*Machine)(nil)
)

func NewMachine() *Machine { return new(Machine) }

// Table is the newest table. It never changes; hold it as long as you like.
func (m *Machine) Table() *Table {
	if t := m.table.Load(); t != nil {
		return t
	}
	return new(Table)
}

// Applied is the Raft index up to which the table shows the log. Raft hands
// barriers and no-ops to no FSM, so it can lag behind Raft's own index where
// those are last: see Advance.
func (m *Machine) Applied() uint64 { return m.applied.Load() }

// Advance raises Applied to an index that is known to be in the table because
// a Barrier with that index has returned.
func (m *Machine) Advance(index uint64) { m.publish(nil, index) }

// Await returns the first table it sees that is newer than a version, at once
// when there is one already. The error is the cause of ctx's end.
func (m *Machine) Await(ctx context.Context, newerThan uint64) (*Table, error) {
	return m.await(ctx, func() (*Table, bool) {
		t := m.Table()
		return t, t.Version() > newerThan
	})
}

// AwaitApplied returns a table that shows the log up to a Raft index.
func (m *Machine) AwaitApplied(ctx context.Context, index uint64) (*Table, error) {
	return m.await(ctx, func() (*Table, bool) {
		reached := m.Applied() >= index // looked at first, as publish stores it last
		return m.Table(), reached
	})
}

func (m *Machine) await(ctx context.Context, look func() (*Table, bool)) (*Table, error) {
	for {
		if t, ok := look(); ok {
			return t, nil
		}
		wake := m.next()
		if t, ok := look(); ok { // published between the look and the wait
			return t, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// next is closed at the next publication. All who wait share one channel.
func (m *Machine) next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake == nil {
		m.wake = make(chan struct{})
	}
	return m.wake
}

// publish shows a table, if there is a new one, and the index it reaches.
func (m *Machine) publish(t *Table, applied uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t != nil {
		m.table.Store(t)
	}
	if applied > m.applied.Load() {
		m.applied.Store(applied)
	}
	if m.wake != nil {
		close(m.wake)
		m.wake = nil
	}
}

// Apply carries out one log entry and returns its []Outcome, or an error when
// the entry cannot be read or something panics over it. Such an entry changes
// nothing on any node: it is committed, and stopping at it would stop the site
// for good.
func (m *Machine) Apply(entry *raft.Log) any {
	table, outcomes, err := m.carryOut(entry.Data)
	m.publish(table, entry.Index)
	if err != nil {
		return fmt.Errorf("apply log entry %d: %w", entry.Index, err)
	}
	return outcomes
}

// carryOut gives no table when there is an error.
func (m *Machine) carryOut(data []byte) (table *Table, outcomes []Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			table, outcomes, err = nil, nil, fmt.Errorf("a defect of this build: %v", p)
		}
	}()
	decode := m.decode
	if decode == nil {
		decode = DecodeBatch
	}
	commands, err := decode(data)
	if err != nil {
		return nil, nil, err
	}
	table, outcomes = m.Table().Apply(commands)
	return table, outcomes, nil
}

// StoreConfiguration only notes that the index has passed; Raft keeps the
// configuration itself.
func (m *Machine) StoreConfiguration(index uint64, _ raft.Configuration) { m.Advance(index) }

// Snapshot takes the pointer; the encoding happens in Persist, beside Apply.
func (m *Machine) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{table: m.Table(), applied: m.Applied()}, nil
}

// Restore replaces the table by that of a snapshot, once it has been read and
// checked in full.
func (m *Machine) Restore(source io.ReadCloser) error {
	defer source.Close()
	table, applied, err := readState(source)
	if err != nil {
		return err
	}
	m.applied.Store(0) // a restored backup may be of another log
	m.publish(table, applied)
	return nil
}

type snapshot struct {
	table   *Table
	applied uint64
}

func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := writeState(sink, s.table, s.applied); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *snapshot) Release() {}
