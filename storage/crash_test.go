package storage

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// The file shrinks under a running node: reading beyond its end is a fault,
// which would end the process.
func TestAFaultIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 2000, 1)))
	must(t, os.Truncate(filepath.Join(dir, boltName), 2*4096))
	var got error
	for i := uint64(1); i <= 2000 && got == nil; i++ {
		got = s.GetLog(i, &raft.Log{})
	}
	if !IsDamage(got) || !strings.Contains(got.Error(), "cannot be trusted any more") {
		t.Fatalf("got %v, want damage", got)
	}
	for what, err := range map[string]error{
		"store": s.StoreLog(record(2001, 1)),
		"vote":  s.SetUint64(keyCurrentTerm, 2),
		"cut":   s.DeleteRange(1, 5),
		"close": s.Close(),
	} {
		if !IsDamage(err) {
			t.Errorf("%s: got %v, want damage", what, err)
		}
	}
	refused(t, dir, "raft.db is damaged") // the lock is free
}

// killed is how often a process is killed in the midst of its writes.
const killed = 20

// A node that is killed at any moment keeps what it acknowledged, and opens
// again without being taken for damaged.
func TestAKilledNodeComesBack(t *testing.T) {
	if dir := os.Getenv("STORAGE_CRASH_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "raft")
	for round := range killed {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledNodeComesBack$")
		cmd.Env = append(os.Environ(), "STORAGE_CRASH_DIR="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		var last, term uint64
		left := 1 + rand.IntN(60)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, _ := fmt.Sscanf(lines.Text(), "acknowledged %d %d", &last, &term); n == 2 {
				left--
			}
			if left == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		if left > 0 {
			t.Fatalf("round %d: the process ended by itself", round)
		}
		s := open(t, dir)
		if got, _ := s.LastIndex(); got < last && s.snapshots.latest().index < last {
			t.Errorf("round %d: got records up to %d, want %d", round, got, last)
		}
		if got, err := s.GetUint64(keyCurrentTerm); got < term || err != nil {
			t.Errorf("round %d: got term %d %v, want %d", round, got, err, term)
		}
		must(t, s.Close())
	}
}

// writeUntilKilled does what Raft does, and says what it has done. What it
// says last before it deletes a tail is what it keeps.
func writeUntilKilled(t *testing.T, dir string) {
	s, err := Open(dir, Options{MarkEvery: time.Millisecond})
	must(t, err)
	term, _ := s.GetUint64(keyCurrentTerm)
	index := max(s.last.index, s.snapshots.latest().index)
	for {
		term++
		must(t, s.SetUint64(keyCurrentTerm, term))
		must(t, s.Set(keyVotedFor, fmt.Appendf(nil, "node-%d", term)))
		fmt.Println("acknowledged", index, term)
		for range 5 {
			logs := records(index+1, index+1+uint64(rand.IntN(20)), term)
			must(t, s.StoreLogs(logs))
			index += uint64(len(logs))
			fmt.Println("acknowledged", index, term)
		}
		must(t, s.StoreLogs(records(index+1, index+5, term)))
		must(t, s.DeleteRange(index+1, index+5))
		if term%8 == 0 {
			snapshot(t, s, index, term, strings.Repeat("state", 1000))
			first, err := s.FirstIndex()
			must(t, err)
			must(t, s.DeleteRange(first, index-10))
		}
	}
}
