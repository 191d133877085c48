package clustertests

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills the disk of the leader, and then those of all nodes: a node whose disk is full leads no more and says
// why, a site of such nodes takes no changes and goes on answering, and both heal by themselves.
func TestFullDisk(t *testing.T) {
	s := &site{driver: startDriver(t), owner: t}
	for i := range 3 {
		n := newNode(t, fmt.Sprintf("n%d", i+1), "--gateway-endpoint=")
		mountMemory(t, n.dir, "64m")
		s.nodes = append(s.nodes, n)
	}
	s.start(t, anyPort)
	l := s.load(t, 4, "full")

	t.Run("of the leader", func(t *testing.T) {
		leader, term := s.leaderAfter(t, 0)
		l.advances(t, 50)
		empty := fill(t, leader.dir, 0)
		saysReadOnly(t, s, leader)
		next, now := s.leaderAfter(t, term)
		if next == leader {
			t.Fatalf("%s leads in term %d with a full disk", leader.id, now)
		}
		tellsOfFullDisk(t, s, leader, next)

		at := s.dial(t, leader)
		defer at.close(t)
		insist(t, at, creation(service("through-the-full-one")))
		l.advances(t, 50)

		empty()
		saysWritable(t, s, leader)
		s.complete(t, 3)
		l.advances(t, 50)
	})
	f := l.finish(t)
	f.Acked = append(f.Acked, acknowledged(t, s, "through-the-full-one"))
	s.caughtUp(t, f)
	s.holds(t, f)

	t.Run("of all", func(t *testing.T) {
		var empty []func()
		for _, n := range s.nodes {
			empty = append(empty, fill(t, n.dir, 8<<20))
		}
		for _, n := range s.nodes {
			saysReadOnly(t, s, n)
		}
		c := s.dial(t, s.nodes[0])
		defer c.close(t)
		eventually(t, "a write is refused with the reason", func() error {
			r, err := c.apply(creation(service("refused")))
			if codeOf(err) != "unavailable" || !strings.Contains(err.Error(), "make room in") {
				return fmt.Errorf("%v %v", r, err)
			}
			return nil
		})
		refused := cli(t, nil, "service", "add", "refused", "http://127.0.0.1:9/", "--address", s.nodes[0].ws(), "--timeout", "3s")
		if refused.status == 0 {
			t.Errorf("catalyst service add: %+v", refused)
		}
		says(t, "full-disk-service-add", refused.stdout+refused.stderr, "n1", "LEADER", "n2", "LEADER", "n3", "LEADER")
		for _, n := range s.nodes {
			eventually(t, n.id+" goes on answering linearizable reads", func() error {
				list, err := once[routes](s.driver, n.http(), s.scope(), call("listLocalRoutes"))
				if err == nil && len(list.Routes) == 0 {
					err = errors.New("it lists no route")
				}
				return err
			})
		}
		for _, n := range s.nodes {
			empty = append(empty, fill(t, n.dir, 0))
		}
		eventually(t, "a write is refused with the reason, without a byte left as well", func() error {
			r, err := c.apply(creation(service("refused-again")))
			if err == nil || !strings.Contains(err.Error(), "make room in") {
				return fmt.Errorf("%v %v", r, err)
			}
			return nil
		})
		s.table(t, s.nodes[0], 0)
		for _, e := range empty {
			e()
		}
		for _, n := range s.nodes {
			saysWritable(t, s, n)
		}
		insist(t, c, creation(service("healed")))
		s.complete(t, 3)
	})
	f.Acked = append(f.Acked, acknowledged(t, s, "healed"))
	s.caughtUp(t, f)
	s.holds(t, f)
	for _, n := range s.nodes {
		neverPanicked(t, n)
	}
}

// caughtUp waits until every running node has what was acknowledged. Raft asks a follower that took nothing again and again,
// but ever more rarely: up to 10 s pass.
func (s *site) caughtUp(t testing.TB, f finished) {
	t.Helper()
	for _, n := range s.running() {
		eventually(t, fmt.Sprintf("%s is at index %d", n.id, f.lastIndex()), func() error {
			st, err := s.status(n)
			if err == nil && st.Index < f.lastIndex() {
				err = fmt.Errorf("it is at %d", st.Index)
			}
			return err
		})
	}
}

// acknowledged is a service that some client registered, as a load would have it.
func acknowledged(t testing.TB, s *site, name string) ack {
	t.Helper()
	r, there := s.table(t, s.leader(t), 0)[name+":http"]
	if !there {
		t.Fatalf("%s is not shown by the leader", name)
	}
	return ack{Name: name, ID: r.ID, Index: r.CreatedIndex}
}

// tellsOfFullDisk holds what an operator sees of a node with a full disk.
func tellsOfFullDisk(t testing.TB, s *site, full, leader *node) {
	t.Helper()
	who := []string{full.id, "FULL", leader.id, "LEADER"}
	st := cli(t, nil, "status", "--address", full.ws())
	says(t, "full-disk-status", linesWith(st.stdout, "warning")+st.stderr, who...)
	doctor := cli(t, nil, "doctor", "--address", full.ws())
	if doctor.status != 1 {
		t.Errorf("catalyst doctor at a node with a full disk: status %d, want 1", doctor.status)
	}
	says(t, "full-disk-doctor", linesWith(doctor.stdout, "disk", "read-only")+doctor.stderr, who...)
	eventually(t, "its log tells of it", func() error {
		if log := tail(full.log.Name(), 1<<20); !strings.Contains(string(log), "read-only: the disk is nearly full") {
			return fmt.Errorf("it ends with %.300s", log)
		}
		return nil
	})
}

// linesWith is the lines of a text that have one of the words.
func linesWith(text string, words ...string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		for _, word := range words {
			if strings.Contains(line, word) {
				kept.WriteString(line)
				break
			}
		}
	}
	return kept.String()
}

func (s *site) readOnly(n *node) (string, error) {
	st, err := once[struct{ ReadOnly string }](s.driver, n.http(), s.scope(), call("status"))
	return st.ReadOnly, err
}

func saysReadOnly(t testing.TB, s *site, n *node) {
	t.Helper()
	eventually(t, n.id+" is read-only and says why", func() error {
		why, err := s.readOnly(n)
		if err == nil && !strings.Contains(why, n.dir) {
			err = fmt.Errorf("it says %q", why)
		}
		return err
	})
}

func saysWritable(t testing.TB, s *site, n *node) {
	t.Helper()
	eventually(t, n.id+" takes changes again", func() error {
		why, err := s.readOnly(n)
		if err == nil && why != "" {
			err = fmt.Errorf("it says %q", why)
		}
		return err
	})
}

// neverPanicked fails the test when the node's log tells of a crash.
func neverPanicked(t testing.TB, n *node) {
	t.Helper()
	if line := crashed(n); line != "" {
		t.Errorf("the log of %s has %q", n.id, line)
	}
}

// crashed is the first line of a log that only a program that crashed writes.
func crashed(n *node) string {
	for line := range strings.Lines(string(tail(n.log.Name(), 8<<20))) {
		for _, word := range []string{"panic:", "fatal error", "SIGSEGV", "SIGBUS", "DATA RACE"} {
			if strings.Contains(line, word) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// mountMemory gives dir a disk of its own, in memory.
func mountMemory(t testing.TB, dir, size string) {
	t.Helper()
	asRoot(t, "mount")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tool(t, "mount", "-t", "tmpfs", "-o", "size="+size+",mode=0700", "tmpfs", dir)
	t.Cleanup(func() { tool(t, "umount", dir) })
}

// fill leaves about so many bytes free on the disk of dir, and returns what makes room again.
func fill(t testing.TB, dir string, left int64) (empty func()) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = io.CopyN(f, zeros{}, free(t, dir)-left)
	if left == 0 && err == nil {
		_, err = io.Copy(f, zeros{})
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if now := free(t, dir); now > left+1<<20 {
		t.Fatalf("%s was filled and has %d bytes free", dir, now)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

func free(t testing.TB, dir string) int64 {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	return int64(disk.Bavail) * disk.Bsize
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestFrozenDisk freezes the file system beneath the leader: its heartbeats go on and its log does not. It must make room
// for another leader, and end with a status that tells. A follower whose disk hangs is in nobody's way, and only waits.
func TestFrozenDisk(t *testing.T) {
	s := &site{driver: startDriver(t), owner: t}
	s.nodes = append(s.nodes, newNode(t, "frozen", "--gateway-endpoint="), newNode(t, "n2", "--gateway-endpoint="), newNode(t, "n3", "--gateway-endpoint="))
	frozen := s.nodes[0]
	mountLoop(t, frozen.dir, "64M")
	s.start(t, anyPort)
	l := s.load(t, 4, "frozen")
	l.advances(t, 50)
	leads(t, s, frozen)
	_, term := s.leaderAfter(t, 0)

	freeze(t, frozen.dir)
	began := time.Now()
	rest := s.without(frozen)
	if next, now := rest.leaderAfter(t, term); next == frozen || now <= term {
		t.Fatalf("%s leads in term %d", next.id, now)
	}
	took := time.Since(began)
	t.Logf("another leads %v after the freeze", took.Round(time.Millisecond))
	if took > 10*time.Second { // 5 s is what it should be on a machine that does nothing else
		t.Errorf("another led after %v", took)
	}
	(&load{rest, l.name}).aim(t) // until the disk answers, what is left of the process takes connections and says nothing
	l.advances(t, 50)

	thaw(t, frozen.dir)
	if status := frozen.await(t); status == 0 {
		t.Errorf("the node whose disk hung ended with status 0, want another")
	}
	text := string(tail(frozen.log.Name(), 64<<10))
	i := strings.Index(text, "error: ")
	if i < 0 {
		t.Fatalf("it did not say why it ended: %s", text)
	}
	says(t, "frozen-disk", linesWith(text[i:], "error: "))

	frozen.start(t, frozen.at)
	s.complete(t, 3)
	freeze(t, frozen.dir)
	_, term = rest.leaderAfter(t, 0)
	l.advances(t, 50)
	if _, now := rest.leaderAfter(t, 0); now != term {
		t.Errorf("a follower with a disk that hangs cost an election: term %d after %d", now, term)
	}
	thaw(t, frozen.dir)
	l.aim(t)
	s.complete(t, 3)
	l.advances(t, 50)
	f := l.finish(t)
	s.caughtUp(t, f)
	s.holds(t, f)
}

// without is the site as it is seen when nobody asks one of its nodes.
func (s *site) without(absent *node) *site {
	rest := *s
	rest.nodes = nil
	for _, n := range s.nodes {
		if n != absent {
			rest.nodes = append(rest.nodes, n)
		}
	}
	return &rest
}

// leads makes a node lead by stopping whoever else does.
func leads(t testing.TB, s *site, want *node) {
	t.Helper()
	for range 10 {
		leader := s.leader(t)
		if leader == want {
			return
		}
		leader.stop(t)
		s.without(leader).leader(t)
		leader.start(t, leader.at)
		s.complete(t, len(s.nodes))
	}
	t.Fatalf("%s was not elected in ten elections", want.id)
}

// mountLoop gives dir an ext4 of its own in a file.
func mountLoop(t testing.TB, dir, size string) {
	t.Helper()
	asRoot(t, "mkfs.ext4", "losetup", "mount", "fsfreeze")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk")
	tool(t, "truncate", "-s", size, image)
	tool(t, "mkfs.ext4", "-q", image)
	device := strings.TrimSpace(tool(t, "losetup", "-f", "--show", image))
	t.Cleanup(func() { tool(t, "losetup", "-d", device) })
	tool(t, "mount", device, dir)
	t.Cleanup(func() { tool(t, "umount", dir) })
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// freeze stops all writes to the file system at dir, and asserts it: what is frozen cannot be frozen again.
func freeze(t testing.TB, dir string) {
	t.Helper()
	tool(t, "fsfreeze", "-f", dir)
	t.Cleanup(func() { _ = exec.Command("fsfreeze", "-u", dir).Run() }) // thawed already when all went well
	if err := exec.Command("fsfreeze", "-f", dir).Run(); err == nil {
		t.Fatalf("%s was frozen twice: it was not frozen", dir)
	}
}

func thaw(t testing.TB, dir string) {
	t.Helper()
	tool(t, "fsfreeze", "-u", dir)
}

// asRoot fails a test that lacks the rights or the programs to break things.
func asRoot(t testing.TB, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("this test uses %s: run it as root", strings.Join(programs, ", "))
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test uses %s, which is not there: %v", program, err)
		}
	}
}

// tool runs a program that must not fail and returns what it printed.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
