package node

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// adjoining is a log that goes on behind a snapshot: entries 6 and 7, and a snapshot of five.
func adjoining(t *testing.T) *seam {
	t.Helper()
	s := &seam{raft.NewInmemStore(), &shelf{}}
	sink, err := s.snapshots.Create(1, 5, 3, raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}, {ID: "b", Address: "b"}}}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs([]*raft.Log{{Index: 6, Term: 3, Data: []byte("six")}, {Index: 7, Term: 4}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSeamKnowsTheEntryBeforeTheFirst(t *testing.T) {
	s := adjoining(t)
	var entry raft.Log
	if err := s.GetLog(5, &entry); err != nil || entry.Index != 5 || entry.Term != 3 {
		t.Errorf("entry 5: %+v, %v; want one of term 3", entry, err)
	}
	if err := s.GetLog(6, &entry); err != nil || string(entry.Data) != "six" {
		t.Errorf("entry 6: %+v, %v", entry, err)
	}
	for _, index := range []uint64{0, 4, 8} {
		if err := s.GetLog(index, &entry); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v, want not found", index, err)
		}
	}
	s.snapshots = &shelf{}
	if err := s.GetLog(5, &entry); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("entry 5 without a snapshot: %v, want not found", err)
	}
	if s.IsMonotonic() || !(&seam{monotonic{raft.NewInmemStore()}, nil}).IsMonotonic() {
		t.Error("the seam does not say what the log beneath says")
	}
}

// A leader that did not hear the first answer says it all again, from the snapshot on.
func TestAnAppendIsTakenAgainAfterASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := adjoining(t)
		_, here := raft.NewInmemTransport("a")
		_, there := raft.NewInmemTransport("b")
		there.Connect("a", here)
		c := raft.DefaultConfig()
		c.LocalID, c.LogOutput = "a", io.Discard
		c.HeartbeatTimeout, c.ElectionTimeout, c.NoSnapshotRestoreOnStart = time.Hour, time.Hour, true
		r, err := raft.NewRaft(c, &raft.MockFSM{}, s, raft.NewInmemStore(), s.snapshots, here)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.Shutdown().Error(); err != nil {
				t.Error(err)
			}
		}()
		var answer raft.AppendEntriesResponse
		err = there.AppendEntries("a", "a", &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: c.ProtocolVersion, ID: []byte("b"), Addr: []byte("b")}, Term: 4,
			PrevLogEntry: 5, PrevLogTerm: 3, Entries: []*raft.Log{{Index: 6, Term: 3, Data: []byte("six")}, {Index: 7, Term: 4}, {Index: 8, Term: 4}},
		}, &answer)
		if err != nil || !answer.Success || answer.LastLog != 7 && answer.LastLog != 8 {
			t.Errorf("the append was answered %+v, %v", answer, err)
		}
		if last, _ := s.LastIndex(); last != 8 {
			t.Errorf("the log ends with %d, want 8", last)
		}
	})
}
