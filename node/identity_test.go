package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/trust"
)

// nodeIn makes a node that stands on a directory, and runs nothing.
func nodeIn(t *testing.T, dir, id, site string) *Node {
	t.Helper()
	cfg := valid()
	cfg.ID, cfg.Site, cfg.DataDir = id, site, dir
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADirectoryRemembersWhoseItIs(t *testing.T) {
	dir := t.TempDir()
	first := nodeIn(t, dir, "a", "paris")
	if err := first.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	again := nodeIn(t, dir, "a", "")
	if err := again.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	if got := again.who(); got.Instance != first.who().Instance || got.Instance == "" || got.Site != "paris" {
		t.Errorf("the same directory is %+v, was %+v", got, first.who())
	}
	other := nodeIn(t, t.TempDir(), "a", "paris")
	if err := other.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	if other.who().Instance == first.who().Instance {
		t.Error("two directories are the same incarnation")
	}
	for _, c := range []struct{ id, site string }{{"b", ""}, {"a", "rome"}} {
		err := nodeIn(t, dir, c.id, c.site).recallIdentity()
		if err == nil {
			t.Fatalf("a directory of node a of site paris serves %q of %q", c.id, c.site)
		}
		wantWords(t, err.Error(), dir, `node "a"`, `site "paris"`, "--id", "--site", "--data-dir")
	}
}

func TestADamagedIdentityIsNamedWithTheWayOut(t *testing.T) {
	dir := t.TempDir()
	n := nodeIn(t, dir, "a", "paris")
	if err := n.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, identityFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"cut off":         string(good[:len(good)/2]),
		"empty":           "",
		"another text":    "{}",
		"a changed site":  strings.Replace(string(good), "paris", "parks", 1),
		"without its sum": `{"data":{"node":"a","site":"paris","instance":"x"}}`,
		"of nobody":       `{"sum":"` + sumOf([]byte(`{}`)) + `","data":{}}`,
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		err := nodeIn(t, dir, "a", "paris").recallIdentity()
		if err == nil {
			t.Errorf("%s: it was believed", name)
			continue
		}
		wantWords(t, err.Error(), identityFile, dir, "damaged", "catalyst member remove a", "join it anew")
	}
	// Every single flipped bit is noticed, or changes nothing.
	before, _ := readIdentity(good)
	for i := range good {
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			if got, err := readIdentity(bad); err == nil && !reflect.DeepEqual(got, before) {
				t.Fatalf("bit %d of byte %d flipped: believed as %+v", bit, i, got)
			}
		}
	}
}

func TestAnIdentityIsWrittenWhenItChangesAndOnlyThen(t *testing.T) {
	g := &countingGround{}
	s := self{ground: g}
	s.now.Store(&identity{Node: "a", Site: "paris", Instance: "i"})
	for i, c := range []struct {
		change func(*identity)
		writes int
	}{
		{func(i *identity) { i.SiteID = "1" }, 1},
		{func(i *identity) { i.SiteID = "1" }, 1},
		{func(i *identity) { i.Gossip = []string{"10.0.0.1:1"} }, 2},
		{func(i *identity) { i.Gossip = []string{"10.0.0.1:1"} }, 2},
		{func(i *identity) { i.Renewal = &renewal{Keep: []string{"a"}} }, 3},
		{func(i *identity) { i.Renewal = nil }, 4},
	} {
		if err := s.alter(c.change); err != nil || g.writes != c.writes {
			t.Errorf("change %d: %d writes, %v; want %d", i, g.writes, err, c.writes)
		}
	}
	g.err = errors.New("the disk is full")
	if err := s.alter(func(i *identity) { i.SiteID = "2" }); err == nil || s.now.Load().SiteID != "1" {
		t.Errorf("what could not be written holds: %+v, %v", s.now.Load(), err)
	}
}

// countingGround counts what is remembered; nothing else may be asked of it.
type countingGround struct {
	ground
	writes int
	err    error
}

func (g *countingGround) remember(string, []byte) error {
	if g.err == nil {
		g.writes++
	}
	return g.err
}

// FuzzReadIdentity: what is believed names a node, is under its checksum, and
// is the same when it is written and read again.
func FuzzReadIdentity(f *testing.F) {
	whole, err := checked(identity{Node: "a", Site: "paris", SiteID: "s", Instance: "i", Gossip: []string{"10.0.0.1:3002"}, Renewal: &renewal{Keep: []string{"a"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"sum":"00000000","data":{"node":"a","instance":"i"}}`))
	f.Add([]byte(`{"sum":"` + sumOf([]byte(`null`)) + `","data":null}`))
	odd := `{"node":"\ud800","instance":"<i>","gossip":null,"renewal":{}}`
	f.Add([]byte(`{"sum":"` + sumOf([]byte(odd)) + `","data":` + odd + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := readIdentity(data)
		if err != nil {
			return
		}
		if i.Node == "" || i.Instance == "" {
			t.Fatalf("believed: %+v", i)
		}
		again, err := checked(i)
		if err != nil {
			t.Fatal(err)
		}
		if j, err := readIdentity(again); err != nil || string(must(checked(j))) != string(again) {
			t.Fatalf("written and read again: %+v, %v; want %+v", j, err, i)
		}
	})
}

func must(data []byte, _ error) []byte { return data }

// A node without its keys cannot gossip until its log or another node gives it
// them: what is damaged is not believed, and named in the log.
func TestADamagedKeyFileIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	n := nodeIn(t, dir, "a", "paris")
	if k, err := n.recallKeys(); err != nil || len(k.Keys) != 0 {
		t.Errorf("without the file: %+v, %v; want no keys", k, err)
	}
	if err := os.WriteFile(filepath.Join(dir, keysFile), []byte(`{"keys":["`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := n.recallKeys()
	if err == nil {
		t.Fatal("half a file was believed")
	}
	wantWords(t, err.Error(), keysFile, dir, "damaged")
}

// Files of others in the data directory do not pass for this node's.
func TestACertificateOfAnotherNodeIsRefused(t *testing.T) {
	authority, err := trust.NewAuthority("paris", newSiteID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := nodeIn(t, dir, "a", "paris")
	if err := n.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.recallCredentials(); err != nil || n.secured() {
		t.Fatalf("without credentials: %v, secured: %v", err, n.secured())
	}
	key, request, err := trust.NewRequest("b")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(request, trust.Subject{Site: "paris", Role: trust.Node, Name: "b"}, nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := &trust.Credentials{Key: key, Certificate: certificate, Authority: authority.Certificate}
	if err := n.ground.keepCredentials(c); err != nil {
		t.Fatal(err)
	}
	_, err = n.recallCredentials()
	if err == nil {
		t.Fatal("node a goes by the certificate of node b")
	}
	wantWords(t, err.Error(), "node b", "node a", "--id")
	if errors.Is(err, fs.ErrNotExist) {
		t.Error("it passes for none")
	}
}
