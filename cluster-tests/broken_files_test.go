package clustertests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// corruptions is how many random ones TestNoCorruptionIsSilent makes; CATALYST_CORRUPTIONS=300 asks for more. Each starts a
// process, two at a time.
const corruptions = 60

// ward is a stopped node that has lived: a secured site of its own, a table of which a part is in a snapshot and the rest in
// the log, and an older copy of its directory.
type ward struct {
	*site
	*node
	older string // the directory as it was a few changes ago
	table map[string]string
}

func newWard(t testing.TB) *ward {
	t.Helper()
	s := startSecured(t, 1)
	n := s.nodes[0]
	c := s.dial(t, n)
	for i := range 20 {
		c.register(t, service(fmt.Sprint("in-the-snapshot-", i)))
	}
	file := filepath.Join(t.TempDir(), "backup")
	s.cli(t, n, 0, "snapshot", "save", file)
	s.restore(t, file) // Raft keeps what it restored as a snapshot
	for i := range 10 {
		insist(t, c, creation(service(fmt.Sprint("in-the-log-", i))))
	}
	n.stop(t)
	w := &ward{site: s, node: n, older: filepath.Join(t.TempDir(), "older")}
	tool(t, "cp", "-a", n.dir, w.older)

	n.start(t, anyPort)
	s.complete(t, 1)
	c = s.dial(t, n)
	for i := range 10 {
		insist(t, c, creation(service(fmt.Sprint("of-the-last-run-", i))))
	}
	w.table = shown(s.table(t, n, 0))
	if len(w.table) != 40 {
		t.Fatalf("%d routes were registered, want 40", len(w.table))
	}
	n.stop(t)
	return w
}

func shown(table map[string]route) map[string]string {
	texts := map[string]string{}
	for id, r := range table {
		texts[id] = asJSON(r)
	}
	return texts
}

func byID(list []route) map[string]route {
	table := map[string]route{}
	for _, r := range list {
		table[r.ID] = r
	}
	return table
}

// files are those of the node's directory that it depends on, by their names in it.
func (w *ward) files(t testing.TB) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(w.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && name != "pulse" && name != "addresses.json" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"node.json", "gossip-keys.json", "tls/node.pem", "tls/ca.pem", "raft/raft.db"} {
		if !slices.Contains(names, want) {
			t.Fatalf("the data directory has no %s: %q", want, names)
		}
	}
	if !slices.ContainsFunc(names, func(name string) bool { return filepath.Base(name) == "state.bin" }) {
		t.Fatalf("the data directory has no snapshot: %q", names)
	}
	return names
}

// wake starts a node with a copy of the directory after damage was done to one file, whose name damage returns. What becomes
// of it is "" when it serves exactly the table that it had, else the line with which it refused to start. All else fails the
// test.
func (w *ward) wake(t *testing.T, damage func(dir string) (name string)) (refusal, dir string) {
	t.Helper()
	n := newNode(t, w.id, w.flags...)
	n.trust = w.trust
	tool(t, "cp", "-a", w.dir, n.dir)
	written := filepath.Join(n.dir, "addresses.json")
	if err := os.Remove(written); err != nil {
		t.Fatal(err)
	}
	name := damage(n.dir)
	var got map[string]string
	n.begin(t, anyPort)
	eventually(t, "it starts or refuses to", func() error {
		if !n.running() {
			return nil
		}
		text, err := os.ReadFile(written)
		if err == nil {
			err = json.Unmarshal(text, &n.at)
		}
		if err != nil {
			return err
		}
		list, err := once[routes](w.driver, n.http(), w.scope(), call("listLocalRoutes")) // linearizable: of a leader that is ready
		got = shown(byID(list.Routes))
		return err
	})
	if line := crashed(n); line != "" {
		t.Errorf("it crashed: %s", line)
	}
	if n.running() {
		if !maps.Equal(got, w.table) {
			t.Errorf("silent: it shows %d routes, and had %d: %.2000s", len(got), len(w.table), asJSON(got))
		}
		return "", n.dir
	}
	if status := n.await(t); status != 1 && status != 2 {
		t.Errorf("it refused with status %d", status)
	}
	refusal = linesWith(string(tail(n.log.Name(), 64<<10)), "error: ")
	if !namesWayOut(masked(refusal), name) {
		t.Errorf("its refusal does not name %s and the way out: %s", name, tail(n.log.Name(), 64<<10))
	}
	return refusal, n.dir
}

// namesWayOut says whether a refusal names the file, or the directory of snapshots that are all alike, and what to do.
func namesWayOut(refusal, file string) bool {
	named := strings.Contains(refusal, filepath.Base(file)) || strings.Contains(file, "snapshots/") && strings.Contains(refusal, "snapshots")
	for _, way := range []string{"restore", "copy it", "put the authority's own certificate", "empty", "join"} {
		if named && strings.Contains(refusal, way) {
			return true
		}
	}
	return false
}

// TestNoCorruptionIsSilent damages one file at a time of a stopped node, of all that it keeps, and starts it: it refuses, or
// shows exactly the table that it had.
func TestNoCorruptionIsSilent(t *testing.T) {
	w := newWard(t)
	files := w.files(t)

	count := corruptions
	if text := os.Getenv("CATALYST_CORRUPTIONS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CATALYST_CORRUPTIONS: %v", err)
		}
	}
	t.Logf("%d random corruptions", count)
	outcomes := make([]string, count)
	t.Run("random", func(t *testing.T) {
		for seed := range count {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				outcomes[seed], _ = w.wake(t, func(dir string) string {
					name, what := w.corrupt(t, seed, dir, files)
					t.Log(what)
					return name
				})
			})
		}
	})
	refused := len(outcomes) - len(slices.DeleteFunc(slices.Clone(outcomes), func(o string) bool { return o != "" }))
	t.Logf("%d of %d corruptions are refused, the rest are harmless", refused, count)
	if refused < count/5 { // what the log can give back, a node mends
		t.Errorf("only %d of %d corruptions are refused: they do no harm", refused, count)
	}
}

var damages = []struct {
	what string
	do   func(path string) error
}{
	{"is gone", os.Remove},
	{"is empty", func(path string) error { return os.Truncate(path, 0) }},
	{"is cut in half", halve},
	{"begins with zeros", zero},
}

// TestDamageIsTold does the plainest damage to each kind of file, and holds what the node says then.
func TestDamageIsTold(t *testing.T) {
	w := newWard(t)
	kinds := map[string]string{} // a file of each kind, by the name of the kind
	for _, name := range w.files(t) {
		kinds[filepath.Base(name)] = name
	}
	told := map[string]string{}
	var mu sync.Mutex // guards told
	t.Run("each", func(t *testing.T) {
		for kind, name := range kinds {
			for order, damage := range damages {
				if kind == "raft.db" && damage.what == "begins with zeros" {
					continue // of its two first pages the second may be the newer one, and then nothing is lost
				}
				t.Run(kind+" "+damage.what, func(t *testing.T) {
					t.Parallel()
					refusal, dir := w.wake(t, func(dir string) string {
						if err := damage.do(filepath.Join(dir, name)); err != nil {
							t.Fatal(err)
						}
						return name
					})
					mu.Lock()
					told[fmt.Sprint(kind, order)] = fmt.Sprintf("%s %s:\n%s\n", kind, damage.what, orStarts(refusal))
					mu.Unlock()
					if kind == "raft.db" && damage.what == "is cut in half" {
						doctor := cli(t, []string{"CATALYST_ADDR=127.0.0.1:1"}, "doctor", "--data-dir", dir)
						says(t, "damage-doctor", doctor.stdout+doctor.stderr)
					}
				})
			}
		}
	})
	var all strings.Builder
	for _, key := range slices.Sorted(maps.Keys(told)) {
		all.WriteString(told[key])
	}
	says(t, "damage", all.String(), snapshotNames(w.files(t))...)
}

func orStarts(refusal string) string {
	if refusal == "" {
		return "(it starts, with the table that it had)\n"
	}
	return refusal
}

// snapshotNames are replacements for the names of snapshots, which have the time in them.
func snapshotNames(files []string) (more []string) {
	for _, name := range files {
		if parts := strings.Split(name, "/"); len(parts) == 4 && parts[1] == "snapshots" {
			more = append(more, parts[2], "SNAPSHOT")
		}
	}
	return more
}

func halve(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()/2)
}

func zero(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 64), 0)
	return errors.Join(err, f.Close())
}

// corrupt does one thing to one file, and says what.
func (w *ward) corrupt(t testing.TB, seed int, dir string, files []string) (name, what string) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 5))
	name = files[r.IntN(len(files))]
	if r.IntN(2) == 0 {
		name = "raft/raft.db" // the most there is to damage
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		t.Fatalf("read %s: %d bytes, %v", name, len(b), err)
	}
	at := r.IntN(len(b))
	end := min(at+512, len(b))
	page := at / 4096 * 4096
	switch how := r.IntN(8); {
	case how <= 2:
		b[at] ^= 1 << r.IntN(8)
		what = fmt.Sprintf("a bit of %s at %d", name, at)
	case how == 3:
		clear(b[at:end])
		what = fmt.Sprintf("zeros in %s at %d", name, at)
	case how == 4:
		for i := range b[at:end] {
			b[at+i] = byte(r.Uint32())
		}
		what = fmt.Sprintf("noise in %s at %d", name, at)
	case how == 5:
		b = b[:at]
		what = fmt.Sprintf("%s cut off at %d", name, at)
	case how == 6:
		old, err := os.ReadFile(filepath.Join(w.older, name))
		if err != nil {
			t.Fatal(err)
		}
		what = fmt.Sprintf("an older page at %d of %s", page, name)
		if len(b) <= 4096 || r.IntN(2) == 0 {
			b, what = old, name+" as it was before"
		} else if page < len(old) {
			copy(b[page:], old[page:min(page+4096, len(old))])
		}
	default:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return name, name + " gone"
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, what
}

// TestLostCredentialsAreMended: a member of a secured site that has lost its certificate, the authority's and the keys of
// gossip, but not its log, comes back by itself as who it was.
func TestLostCredentialsAreMended(t *testing.T) {
	s := startSecured(t, 3)
	n := s.follower(t)
	n.stop(t)
	made := insist(t, s.dial(t, s.leader(t)), creation(service("meanwhile")))
	for _, name := range []string{"tls", "gossip-keys.json"} {
		if err := os.RemoveAll(filepath.Join(n.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	n.start(t, n.at)
	s.complete(t, 3)
	if _, there := s.table(t, n, made.Index)["meanwhile:http"]; !there {
		t.Errorf("%s does not show what was registered while it was down", n.id)
	}
	for _, other := range s.nodes {
		s.sees(t, other, n.id, "alive")
	}
}
