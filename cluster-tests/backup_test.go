package clustertests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inspected is what catalyst tells of a snapshot.
type inspected struct {
	Site, ID, Epoch string
	Version         uint64
	Routes          struct{ Local, Learned int }
	Peers, Tokens   int
}

func inspect(t testing.TB, file string) inspected {
	t.Helper()
	got := cli(t, nil, "snapshot", "inspect", file, "-o", "json")
	if got.status != 0 {
		t.Fatalf("catalyst snapshot inspect: %+v", got)
	}
	return decode[inspected](t, []byte(got.stdout))
}

// TestBackupComesBack saves a site of 5,000 services through a follower, changes it, and restores it while it runs, peered
// and watched: every node shows the backup again, watches are told, and the peer site follows. Then the site is lost, and
// the backup brings it back in one that is founded anew.
func TestBackupComesBack(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 3), startNamed(t, "oslo", 1)
	want := services{}
	rome.applyAll(t, "upsert", want.numbered("rome", 0, 5000, "backup")...)
	want.register(t, oslo, oslo.dial(t, oslo.nodes[0]), service("of-oslo"))
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)

	dir := t.TempDir()
	file := filepath.Join(dir, "rome.snapshot")
	saved := rome.cli(t, rome.follower(t), 0, "snapshot", "save", file)
	says(t, "snapshot-save", saved.stdout+saved.stderr, dir+"/", "")
	held := inspect(t, file)
	if held.Site != "rome" || held.Routes.Local != 5000 || held.Routes.Learned != 1 || held.Peers != 1 {
		t.Errorf("the snapshot holds %+v, want 5000 routes of rome's own, one learned, and one peer", held)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the snapshot, which holds secrets, has mode %v, %v", info.Mode(), err)
	}

	t.Run("what is no whole snapshot of this site changes nothing", func(t *testing.T) { refusesSnapshots(t, rome, oslo, file) })
	t.Run("into the running site", func(t *testing.T) { restoreRunning(t, rome, oslo, file, want) })
	t.Run("into one founded anew", func(t *testing.T) {
		for _, n := range rome.nodes {
			n.crash(t)
		}
		restoreLost(t, file, want.of(rome))
	})
}

// numbered adds services of a site by number, whose endpoints have a mark, and returns them.
func (w services) numbered(site string, from, to int, mark string) (all []dataChannel) {
	for i := from; i < to; i++ {
		d := service(fmt.Sprintf("numbered-%d", i))
		d.Endpoint += "/" + mark
		w[key{site, d.Name + ":http"}] = d
		all = append(all, d)
	}
	return all
}

// applyAll has the operator apply a file of actions on services at any node.
func (s *site) applyAll(t testing.TB, verb string, all ...dataChannel) {
	t.Helper()
	var lines bytes.Buffer
	for _, d := range all {
		a := action{Resource: "dataChannel", Action: verb, Data: d}
		if verb == "delete" {
			a = deletion(d.Name + ":http")
		}
		fmt.Fprintln(&lines, asJSON(a))
	}
	file := filepath.Join(t.TempDir(), "actions.jsonl")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cli(t, s.follower(t), 0, "apply", "-f", file)
}

// refusesSnapshots tries to inspect and restore files that are damaged, or are another site's.
func refusesSnapshots(t *testing.T, rome, oslo *site, file string) {
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	dir := t.TempDir()
	before := rome.index(t)
	for name, content := range map[string][]byte{
		"truncated": whole[:len(whole)/2],
		"last-byte": whole[:len(whole)-1],
		"flipped":   flipped,
		"empty":     nil,
		"foreign":   []byte("PK\x03\x04 this is another program's file"),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got := cli(t, nil, "snapshot", "inspect", path)
		if got.status != 1 || got.stdout != "" {
			t.Errorf("inspect of one that is %s: %+v, want a refusal", name, got)
		}
		says(t, "snapshot-"+name, got.stderr, dir+"/", "")
		if got := rome.cli(t, rome.nodes[0], 1, "snapshot", "restore", path, "--yes"); !strings.Contains(got.stderr, "no whole snapshot") {
			t.Errorf("restore of one that is %s: %s", name, got.stderr)
		}
		restorePast(t, rome, path)
	}
	other := filepath.Join(dir, "oslo.snapshot")
	oslo.cli(t, oslo.nodes[0], 0, "snapshot", "save", other)
	wrong := rome.cli(t, rome.follower(t), 1, "snapshot", "restore", other, "--yes")
	says(t, "snapshot-of-another-site", linesWith(wrong.stdout+wrong.stderr, "now ", "then ", "error"), dir+"/", "")
	unconfirmed := rome.cli(t, rome.follower(t), 2, "snapshot", "restore", file)
	says(t, "snapshot-unconfirmed", unconfirmed.stdout+unconfirmed.stderr, filepath.Dir(file)+"/", "", dir+"/", "")
	if after := rome.index(t); after != before {
		t.Errorf("what was refused took the site from index %d to %d", before, after)
	}
}

// restorePast sends the site what the CLI would not: the node itself must refuse it.
func restorePast(t testing.TB, s *site, path string) {
	t.Helper()
	var r result
	c := s.dial(t, s.follower(t))
	defer c.close(t)
	err := c.d.ask("restore", args{"session": c.session, "from": "cli", "file": path}, &r)
	if err == nil && (r.Success || !strings.Contains(r.Error, "nothing was restored")) {
		err = fmt.Errorf("%v", r)
	}
	if err != nil {
		t.Errorf("restore of %s by npm's client: %v, want an ActionResult that says that nothing was restored", filepath.Base(path), err)
	}
}

func (s *site) index(t testing.TB) uint64 {
	t.Helper()
	list, err := once[routes](s.driver, s.leader(t).http(), s.scope(), call("listLocalRoutes", query{Name: "none"}))
	if err != nil {
		t.Fatal(err)
	}
	return list.Index
}

func restoreRunning(t *testing.T, rome, oslo *site, file string, want services) {
	changed := services{}
	rome.applyAll(t, "delete", changed.numbered("rome", 0, 100, "")...)
	rome.applyAll(t, "upsert", changed.numbered("rome", 100, 150, "changed")...)
	rome.applyAll(t, "upsert", changed.numbered("rome", 6000, 6050, "new")...)
	want.register(t, oslo, oslo.dial(t, oslo.nodes[0]), service("of-oslo-meanwhile"))
	eventually(t, "oslo knows the changed table", func() error {
		list, err := oslo.paths(oslo.nodes[0], 0)
		if err == nil && !slices.ContainsFunc(list, func(r route) bool { return r.ID == "numbered-6049:http" }) {
			err = errors.New("it lacks the last of the changes")
		}
		return err
	})
	before := rome.index(t)
	old, err := rome.status(rome.leader(t))
	if err != nil {
		t.Fatal(err)
	}
	watches := map[*node]*watch{}
	for _, n := range rome.nodes {
		watches[n] = rome.dial(t, n).watch(t, nil)
		watches[n].reaches(t, before)
	}

	got := rome.restore(t, file)
	says(t, "snapshot-restore", linesWith(got.stdout+got.stderr, "now ", "then ", "restored", "hint"), filepath.Dir(file)+"/", "")

	everywhere(t, want, rome, oslo)
	if now := rome.index(t); now <= before {
		t.Errorf("the restored site is at index %d, and was at %d", now, before)
	}
	for _, n := range rome.nodes {
		if st, err := rome.status(n); err != nil || st.Epoch <= old.Epoch {
			t.Errorf("%s is of epoch %q, and was of %q: %v", n.id, st.Epoch, old.Epoch, err)
		}
	}
	after := insist(t, rome.dial(t, rome.nodes[0]), creation(service("after-the-restore")))
	want[key{"rome", "after-the-restore:http"}] = service("after-the-restore")
	for n, w := range watches {
		w.reaches(t, after.Index)
		isToldOfRestore(t, n, w.events(t))
	}
	everywhere(t, want, rome, oslo)
	delete(want, key{"rome", "after-the-restore:http"})
	meet(t, rome, oslo)
}

// restore restores a snapshot at any node. Where the leader is lost on the way, as on a machine that is too busy, the operator
// is told that nobody knows what became of it (status 3), and does it again.
func (s *site) restore(t testing.TB, file string, flags ...string) (got ran) {
	t.Helper()
	eventually(t, "the snapshot is restored", func() error {
		at := s.running()[len(s.running())-1]
		got = run(t, []string{"CATALYST_ADDR=" + at.ws(), "CATALYST_TOKEN=" + s.secret()},
			at.catalyst(append([]string{"snapshot", "restore", file, "--yes"}, flags...)...)...)
		if got.status != 0 && got.status != 3 {
			t.Fatalf("catalyst snapshot restore at %s: %+v", at.id, got)
		}
		if got.status != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	return got
}

// secret is the site's token, or empty.
func (s *site) secret() string {
	if len(s.token) == 0 {
		return ""
	}
	return fmt.Sprint(s.token[0])
}

// isToldOfRestore asserts that a watch got a snapshot, then lagged and a snapshot with all 5,000 services, and then changes.
func isToldOfRestore(t testing.TB, n *node, events []event) {
	t.Helper()
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	i := slices.Index(types, "lagged")
	if i < 1 || types[0] != "snapshot" || i+1 >= len(types) || types[i+1] != "snapshot" {
		t.Fatalf("a watch at %s got %q, want a snapshot, and after the restore lagged and a snapshot", n.id, types)
	}
	restored := events[i+1]
	local := 0
	for _, r := range restored.Routes {
		if r.Source == "local" {
			local++
		}
	}
	if local != 5000 {
		t.Errorf("the snapshot after the restore, at %s, has %d local routes, want 5000", n.id, local)
	}
	if last := events[len(events)-1]; last.Type != "put" || last.Route.ID != "after-the-restore:http" {
		t.Errorf("the last event at %s is %.300s", n.id, asJSON(last))
	}
	for i, e := range events[1:] {
		if e.Type != "lagged" && e.Index < events[i].Index {
			t.Errorf("at %s index %d follows %d", n.id, e.Index, events[i].Index)
		}
	}
}

// restoreLost founds a secured site of the same name and restores the backup into it.
func restoreLost(t *testing.T, file string, want services) {
	s := newSecured(t, 1)
	s.name = "rome"
	n := s.nodes[0]
	n.start(t, anyPort)
	s.initiate(t, n, "--site", "rome")
	s.complete(t, 1)
	s.restore(t, file)
	s.complete(t, 1)
	local := map[string]string{}
	for k, d := range want {
		local[k.id] = asJSON(d)
	}
	eventually(t, "the lost site's services are there", func() error {
		list, err := once[routes](s.driver, n.http(), s.scope(), call("listLocalRoutes"))
		if err != nil {
			return err
		}
		if len(list.Routes) != len(local) {
			return fmt.Errorf("%d services, want %d", len(list.Routes), len(local))
		}
		for _, r := range list.Routes {
			if local[r.ID] != asJSON(r.Service) {
				return fmt.Errorf("%s is %s", r.ID, asJSON(r.Service))
			}
		}
		return nil
	})
	if list, err := s.peers(n); err != nil || len(list.Peers) != 1 || list.Peers[0].ID != "oslo" || !list.Peers[0].Configured {
		t.Errorf("the peers after the restore: %s %v, want oslo", asJSON(list), err)
	}
	if tokens := s.cli(t, n, 0, "token", "list"); !strings.Contains(tokens.stdout, "of init") {
		t.Errorf("the site does not have its own tokens any more: %s", tokens.stdout)
	}
	insist(t, s.dial(t, n), creation(service("goes-on")))
}

// TestScheduledSnapshots: a node that is told to leaves snapshots as long as something changes, and keeps the newest.
func TestScheduledSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	s := startSite(t, 1, "--gateway-endpoint=", "--snapshot-dir", dir, "--snapshot-every", "1s", "--snapshot-keep", "2")
	c := s.dial(t, s.nodes[0])
	seen := map[string]bool{}
	for i := 0; len(seen) < 4; i++ {
		r := c.register(t, service(fmt.Sprint("scheduled-", i)))
		eventually(t, "a snapshot has the newest change", func() error {
			files := snapshotFiles(t, dir)
			if len(files) > 3 { // one more than are kept, until the oldest is gone
				t.Errorf("%d files: %q", len(files), files)
			}
			if len(files) == 0 {
				return errors.New("there is none")
			}
			newest := files[len(files)-1]
			if !strings.HasSuffix(newest, fmt.Sprintf("-%d.snapshot", r.Index)) {
				return fmt.Errorf("the newest is %s, the index %d", newest, r.Index)
			}
			seen[newest] = true
			return nil
		})
	}
	s.nodes[0].stop(t)
	files := snapshotFiles(t, dir)
	if len(files) != 2 {
		t.Errorf("%d files are kept, want 2: %q", len(files), files)
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		if held := inspect(t, path); held.Site != "default" || held.Routes.Local == 0 {
			t.Errorf("%s holds %+v", name, held)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

func snapshotFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".snapshot") {
			names = append(names, e.Name())
		}
	}
	return names // in the order of their times, which are in their names
}
