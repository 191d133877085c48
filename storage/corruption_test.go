package storage

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// corruptions is how many each test of this file makes.
const corruptions = 300

// past is a directory as it was a few times, the last time closed.
type past []string

func (p past) now() string { return p[len(p)-1] }

// lived builds the directory of a node that has seen something: elections,
// batches of all sizes, overruled tails, snapshots and compactions.
func lived(t testing.TB) past {
	t.Helper()
	dir, kept := filepath.Join(t.TempDir(), "raft"), past{}
	r := rand.New(rand.NewPCG(1, 2))
	s := open(t, dir)
	index, base := uint64(0), 1
	for term := uint64(1); term <= 12; term++ {
		must(t, s.SetUint64(keyCurrentTerm, term))
		must(t, s.SetUint64(keyVoteTerm, term))
		must(t, s.Set(keyVotedFor, fmt.Appendf(nil, "node-%d", term%3)))
		if cut := uint64(r.IntN(9)); term > 1 && cut > 0 {
			must(t, s.DeleteRange(index-cut+1, index))
			index -= cut
		}
		for batch := range 15 {
			logs := records(index+1, index+1+uint64(r.IntN(8)), term)
			if batch == 7 { // longer than a page
				logs[0].Data = bytes.Repeat([]byte("long"), 1500)
			}
			must(t, s.StoreLogs(logs))
			index += uint64(len(logs))
		}
		if term%4 == 0 {
			snapshot(t, s, index-5, term, strings.Repeat(fmt.Sprintf("the table at %d;", index-5), 200))
			must(t, s.DeleteRange(uint64(base), index-120))
			base = int(index) - 119
		}
		must(t, s.mark())
		if term%3 == 0 {
			kept = append(kept, filepath.Join(t.TempDir(), "raft"))
			must(t, os.CopyFS(kept[len(kept)-1], os.DirFS(dir)))
		}
	}
	// A few records more, so that the last state is not one that was kept.
	must(t, s.StoreLogs(records(index+1, index+3, 12)))
	must(t, s.Close())
	return append(kept, dir)
}

// seen is what Raft would get of a directory.
type seen struct {
	logs     []raft.Log
	values   map[string]string
	snapshot raft.SnapshotMeta
	state    string
}

func look(dir string) (seen, error) {
	v := seen{values: map[string]string{}}
	s, err := Open(dir, Options{LockTimeout: time.Millisecond, MarkEvery: time.Hour})
	if err != nil {
		return v, err
	}
	defer s.Close()
	first, err := s.FirstIndex()
	if err != nil {
		return v, err
	}
	last, err := s.LastIndex()
	if err != nil {
		return v, err
	}
	for i := first; i <= last; i++ {
		var log raft.Log
		if err := s.GetLog(i, &log); err != nil {
			return v, err
		}
		log.AppendedAt = log.AppendedAt.UTC()
		v.logs = append(v.logs, log)
	}
	for _, key := range [][]byte{keyCurrentTerm, keyVoteTerm, keyVotedFor} {
		value, err := s.Get(key)
		if err != nil {
			return v, err
		}
		v.values[string(key)] = string(value)
	}
	list, err := s.Snapshots().List()
	if err != nil || len(list) == 0 {
		return v, err
	}
	_, state, err := s.Snapshots().Open(list[0].ID)
	if err != nil {
		return v, err
	}
	defer state.Close()
	b, err := io.ReadAll(state)
	v.snapshot, v.state = *list[0], string(b)
	return v, err
}

// corrupt damages a copy of the newest directory in one place, and says how.
func corrupt(t testing.TB, seed int, p past) (dir, what string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "raft")
	must(t, os.CopyFS(dir, os.DirFS(p.now())))
	r := rand.New(rand.NewPCG(uint64(seed), 3))
	file := pick(t, r, dir)
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	must(t, err)
	place := func() int { return r.IntN(len(b)) }
	if used := treePages(b); file == boltName && r.IntN(4) > 0 {
		place = func() int { return used[r.IntN(len(used))]*4096 + r.IntN(4096) }
	}
	sector := place() / 512 * 512
	end := min(sector+512, len(b))
	switch how := r.IntN(9); {
	case how <= 2:
		at := place()
		b[at] ^= 1 << r.IntN(8)
		what = fmt.Sprintf("a bit of %s at %d", file, at)
	case how == 3:
		clear(b[sector:end])
		what = fmt.Sprintf("zeros in %s at %d", file, sector)
	case how == 4:
		for i := range b[sector:end] {
			b[sector+i] = byte(r.Uint32())
		}
		what = fmt.Sprintf("noise in %s at %d", file, sector)
	case how == 5:
		b = b[:r.IntN(len(b))]
		what = fmt.Sprintf("%s cut off at %d", file, len(b))
	case how == 6 && file == boltName:
		x, y := place()/4096*4096, place()/4096*4096
		one, two := slices.Clone(b[x:x+4096]), slices.Clone(b[y:y+4096])
		copy(b[x:], two)
		copy(b[y:], one)
		what = fmt.Sprintf("pages at %d and %d of %s changed places", x, y, file)
	case how == 7 && file == boltName:
		old, err := os.ReadFile(filepath.Join(p[r.IntN(len(p)-1)], file))
		must(t, err)
		at := place() / 4096 * 4096
		copy(b[at:min(at+4096, len(b))], old[min(at, len(old)):])
		what = fmt.Sprintf("an older page at %d of %s", at, file)
	case how == 8 && file == boltName:
		old := r.IntN(len(p) - 1)
		b, err = os.ReadFile(filepath.Join(p[old], file))
		must(t, err)
		what = fmt.Sprintf("%s as it was at %d", file, old)
	default:
		must(t, os.Remove(path))
		return dir, file + " gone"
	}
	must(t, os.WriteFile(path, b, 0o600))
	return dir, what
}

// treePages are the pages of a raft.db that are not free.
func treePages(b []byte) (used []int) {
	m, _, err := newestMeta(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	s := &survey{f: bytes.NewReader(b), meta: m, known: make([]bool, m.pages)}
	_ = s.freelist()
	for id := 2; id < len(s.known); id++ {
		if !s.known[id] {
			used = append(used, id)
		}
	}
	return used
}

// pick favours the log, which is most of a directory.
func pick(t testing.TB, r *rand.Rand, dir string) string {
	t.Helper()
	files := []string{highName}
	names, err := snapshotNames(dir)
	must(t, err)
	for _, n := range names {
		for _, name := range []string{metaName, stateName, sealName} {
			files = append(files, filepath.Join(snapshotDir, n.id, name))
		}
	}
	if r.IntN(4) > 0 {
		return boltName
	}
	return files[r.IntN(len(files))]
}

// outcome tells what became of a corruption, within a bounded time.
func outcome(dir string, want seen, read func(string) (seen, error)) string {
	done := make(chan string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Sprintf("panic: %v", p)
			}
		}()
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		got, err := read(dir)
		switch {
		case err != nil:
			done <- "loud: " + err.Error()
		case reflect.DeepEqual(got, want):
			done <- "harmless"
		default:
			done <- "silent"
		}
	}()
	select {
	case o := <-done:
		return o
	case <-time.After(time.Minute):
		return "hang"
	}
}

func kind(outcome string) string { k, _, _ := strings.Cut(outcome, ":"); return k }

// No damage to any file of a node's directory gives Raft anything that was
// not stored, ends the process, or keeps it for ever.
func TestNoCorruptionIsSilent(t *testing.T) {
	p := lived(t)
	want, err := look(p.now())
	must(t, err)
	count := map[string]int{}
	for seed := range corruptions {
		dir, what := corrupt(t, seed, p)
		r, err := Survey(dir)
		if err != nil {
			t.Errorf("%d, %s: survey: %v", seed, what, err)
		}
		o := outcome(dir, want, look)
		count[kind(o)]++
		switch kind(o) {
		case "loud":
			if !strings.Contains(o, "Replace it") {
				t.Errorf("%d, %s: want the way out, got %s", seed, what, o)
			}
			if len(r.Damage) == 0 {
				t.Errorf("%d, %s: the survey found nothing, opening did: %s", seed, what, o)
			}
		case "harmless":
		default:
			t.Errorf("%d, %s: %s", seed, what, o)
		}
		must(t, os.RemoveAll(dir))
	}
	t.Logf("%d corruptions: %v", corruptions, count)
	if count["loud"] < corruptions/3 {
		t.Errorf("got %v, want many that do harm", count)
	}
}

// lookBare reads as a node does that trusts its disk.
func lookBare(dir string) (v seen, err error) {
	s, err := raftboltdb.NewBoltStore(filepath.Join(dir, boltName))
	if err != nil {
		return v, err
	}
	first, err := s.FirstIndex()
	if err != nil {
		return v, err
	}
	last, err := s.LastIndex()
	if err != nil {
		return v, err
	}
	for i := first; i <= last; i++ {
		var log raft.Log
		if err := s.GetLog(i, &log); err != nil {
			return v, err
		}
		v.logs = append(v.logs, raft.Log{Index: log.Index, Term: log.Term, Type: log.Type, Data: log.Data})
	}
	return v, s.Close()
}

// The same corruptions deceive bare raft-boltdb, or end its process: the test
// above has teeth. It runs in processes of its own, since not every end of
// one can be recovered from.
func TestBareBoltIsDeceived(t *testing.T) {
	if testing.Short() {
		t.Skip("proves that another test has teeth")
	}
	if from := os.Getenv("STORAGE_BARE_FROM"); from != "" {
		bareChild(t, from)
		return
	}
	count := map[string]int{}
	for next := 0; next < corruptions; {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBareBoltIsDeceived$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), "STORAGE_BARE_FROM="+strconv.Itoa(next))
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if o, ok := strings.CutPrefix(lines.Text(), "outcome "); ok {
				count[kind(o)]++
				next++
			}
		}
		if cmd.Wait() != nil && next < corruptions {
			count["crash"]++
			next++
		}
	}
	t.Logf("bare raft-boltdb, %d corruptions: %v", corruptions, count)
	if count["silent"] < 10 {
		t.Errorf("got %v, want many that deceive a store without checksums", count)
	}
}

func bareChild(t *testing.T, from string) {
	start, err := strconv.Atoi(from)
	must(t, err)
	p := lived(t)
	clean := filepath.Join(t.TempDir(), "raft")
	must(t, os.CopyFS(clean, os.DirFS(p.now())))
	want, err := lookBare(clean)
	must(t, err)
	for seed := start; seed < corruptions; seed++ {
		dir, _ := corrupt(t, seed, p)
		fmt.Println("outcome", kind(outcome(dir, want, lookBare)))
	}
}
