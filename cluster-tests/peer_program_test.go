package clustertests

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// program is a JavaScript program in the driver that holds one session with a site, as a peer or as a collector
// (js/peer.mjs).
type program struct {
	d    *driver
	name string
}

// told is what a program was told in its session.
type told struct {
	Routes                     []announced
	Dumps, Changes, KeepAlives int
	Version, Since             int      // of the last dump
	Faults                     []string // what no site should say
	Closed                     *string
	Broken                     *failure
}

// update is one item of an update.
type update map[string]any

func announcement(version int, d dataChannel, path ...string) update {
	route := announced{ID: d.Name + ":" + d.Protocol, Service: d, Site: path[len(path)-1], Path: path}
	return update{"type": "add", "route": route, "version": version}
}

func withdrawal(version int, site, id string) update {
	return update{"type": "remove", "site": site, "id": id, "version": version}
}

func endOfRIB(version int) update { return update{"type": "endOfRib", "version": version} }

// answer is what became of an update.
type answer struct {
	Success   bool
	Error     string
	Malformed int
}

// ofJS is how a JavaScript program introduces itself as the leader of a site.
func ofJS(site string) *peerInfo {
	return &peerInfo{Site: site, AS: 64512, Node: site + "-1", Domains: []string{}}
}

// open opens a session at a node. Without info it is a collector's; how has "style" for another kind of callback.
func (s *site) open(n *node, secret string, info *peerInfo, how args) (*program, peerInfo, error) {
	p := &program{s.driver, s.driver.name("peer")}
	a := args{"peer": p.name, "url": n.ws(), "secret": secret}
	if info != nil {
		a["info"] = info
	}
	for name, value := range how {
		a[name] = value
	}
	var site peerInfo
	err := s.ask("peer", a, &site)
	return p, site, err
}

// mustOpen opens a session that must come to be.
func (s *site) mustOpen(t testing.TB, n *node, info *peerInfo) *program {
	t.Helper()
	p, site, err := s.open(n, secretOf(s.name), info, nil)
	if err != nil || site.Site != s.name || site.AS != 64512 || site.Epoch == "" || site.Term == 0 {
		t.Fatalf("open at %s: %s %v, want the PeerInfo of %s", n.id, asJSON(site), err, s.name)
	}
	return p
}

// says sends one update; its answer comes after the commit.
func (p *program) says(updates ...update) (answer, error) {
	var a answer
	err := p.d.ask("announce", args{"peer": p.name, "updates": updates}, &a)
	return a, err
}

// announces sends one update that must be taken in whole.
func (p *program) announces(t testing.TB, updates ...update) {
	t.Helper()
	if a, err := p.says(updates...); err != nil || !a.Success || a.Malformed > 0 {
		t.Fatalf("update %s: %+v %v", asJSON(updates), a, err)
	}
}

func (p *program) told(t testing.TB) told {
	t.Helper()
	var got told
	p.d.must(t, "told", args{"peer": p.name}, &got)
	return got
}

// drop ends the connection without a word.
func (p *program) drop(t testing.TB) {
	t.Helper()
	p.d.must(t, "drop", args{"peer": p.name}, nil)
	p.breaks(t, "its connection was dropped")
}

// breaks waits until the program finds its session broken, and returns how.
func (p *program) breaks(t testing.TB, after string) *failure {
	t.Helper()
	var got told
	eventually(t, "the session breaks after "+after, func() error {
		if got = p.told(t); got.Broken == nil {
			return errors.New("it stands")
		}
		return nil
	})
	return got.Broken
}

// holdsFromPeers waits until every node of a site holds exactly these paths from other sites: "js/a:http by js", with "stale" behind
// what is.
func (s *site) holdsFromPeers(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("every node of %s holds %q", s.name, want), func() error {
		for _, n := range s.running() {
			if got, err := s.fromPeers(n); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("%s holds %q (%v)", n.id, got, err)
			}
		}
		return nil
	})
}

func (s *site) fromPeers(n *node) ([]string, error) {
	paths, err := s.paths(n, 0)
	lines := []string{}
	for _, r := range paths {
		if r.Source != "peer" {
			continue
		}
		line := fmt.Sprintf("%s by %s", key{r.Site, r.ID}, r.Peer)
		if r.Stale {
			line += " stale"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, err
}
