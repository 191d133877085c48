package clustertests

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// secretOf is what peers show at a site. No output and no log may have its end.
func secretOf(site string) string { return site + unprintable }

const unprintable = "-secret-that-nobody-may-print"

// newSite makes a site of size nodes that peer sites may dial, and starts none of them. In the end none of them must have
// logged a secret, or what no node should ever have to say.
func newSite(t testing.TB, name string, size int, flags ...string) *site {
	t.Helper()
	s := &site{driver: startDriver(t), owner: t, name: name}
	for i := range size {
		n := newNode(t, fmt.Sprintf("%s-%d", name, i+1), append([]string{"--site", name}, flags...)...)
		n.env = []string{"CATALYST_PEERING_SECRET=" + secretOf(name)}
		s.nodes = append(s.nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range s.nodes {
			text, err := os.ReadFile(n.log.Name())
			if err != nil || !strings.Contains(string(text), "listening") {
				t.Errorf("the log of %s is not where it was looked for: %v", n.id, err)
			}
			for _, word := range []string{unprintable, "panic", "DATA RACE"} {
				if _, after, found := strings.Cut(string(text), word); found {
					t.Errorf("the log of %s has %q: …%.2000s", n.id, word, after)
				}
			}
		}
	})
	return s
}

// startNamed starts a site that peer sites may dial and that has no gateway.
func startNamed(t testing.TB, name string, size int, flags ...string) *site {
	t.Helper()
	s := newSite(t, name, size, append([]string{"--gateway-endpoint="}, flags...)...)
	s.start(t, anyPort)
	return s
}

// cli runs catalyst for this site's operator, where its nodes run, at one of them.
func (s *site) cli(t testing.TB, n *node, want int, args ...string) ran {
	t.Helper()
	env := []string{"CATALYST_ADDR=" + n.ws()}
	if len(s.token) > 0 {
		env = append(env, fmt.Sprint("CATALYST_TOKEN=", s.token[0]))
	}
	got := run(t, env, slices.Concat(n.under, []string{programs.catalyst}, args)...)
	if got.status != want {
		t.Fatalf("catalyst %s at %s: exit status %d, want %d\nstdout: %s\nstderr: %s",
			strings.Join(args, " "), n.id, got.status, want, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout+got.stderr, unprintable) {
		t.Errorf("catalyst %s prints a secret: %s%s", strings.Join(args, " "), got.stdout, got.stderr)
	}
	return got
}

// peerWith has the operator of a site configure another, at a follower if there is one. The other is told nothing.
func (s *site) peerWith(t testing.TB, other *site, flags ...string) {
	t.Helper()
	at := s.running()[0]
	if len(s.running()) > 1 {
		at = s.follower(t)
	}
	args := slices.Concat([]string{"peer", "add"}, other.urls(), []string{"--id", other.name, "--secret", secretOf(other.name)}, flags)
	s.cli(t, at, 0, args...)
}

func (s *site) peers(n *node) (peerSites, error) {
	return once[peerSites](s.driver, n.http(), s.scope(), call("listPeers"))
}

// peer is what a node tells of a peer site.
func (s *site) peer(n *node, site string) (peerSite, error) {
	list, err := s.peers(n)
	if err != nil {
		return peerSite{}, err
	}
	i := slices.IndexFunc(list.Peers, func(p peerSite) bool { return cmp.Or(p.Site, p.ID) == site })
	if i < 0 {
		return peerSite{}, fmt.Errorf("%s knows no peer %s: %s", n.id, site, asJSON(list.Peers))
	}
	return list.Peers[i], nil
}

// meet waits until the leaders that two sites have now hold a session, and every running node of both says so.
func meet(t testing.TB, a, b *site) {
	t.Helper()
	eventually(t, fmt.Sprintf("the leaders of %s and %s have a session", a.name, b.name), func() error {
		return errors.Join(a.met(b), b.met(a))
	})
}

func (s *site) met(other *site) error {
	leader, err := other.agreed()
	if err != nil {
		return err
	}
	for _, n := range s.running() {
		p, err := s.peer(n, other.name)
		switch {
		case err != nil:
			return err
		case p.State != "established" || p.Node != leader.Node || uint64(p.Term) != leader.Term:
			return fmt.Errorf("%s tells of %s: %s; want a session with %s of term %d", n.id, other.name, asJSON(p), leader.Node, leader.Term)
		case p.Healed > 0:
			return fmt.Errorf("%s and %s did not hold what they had told each other: %s", n.id, other.name, asJSON(p))
		}
	}
	return nil
}

// key names a service among all sites.
type key struct{ site, id string }

// services are what is registered, at whatever site.
type services map[key]dataChannel

func (k key) String() string { return k.site + "/" + k.id }

// registerAtEach registers so many services at each site, named as of-rome0.
func registerAtEach(t testing.TB, count int, sites ...*site) services {
	t.Helper()
	w := services{}
	for _, s := range sites {
		c := s.dial(t, s.leader(t))
		for i := range count {
			w.register(t, s, c, service(fmt.Sprint("of-", s.name, i)))
		}
		c.close(t)
	}
	return w
}

// register registers a service at a site through a client of it.
func (w services) register(t testing.TB, s *site, c *client, d dataChannel) result {
	t.Helper()
	r := insist(t, c, action{Resource: "dataChannel", Action: "upsert", Data: d})
	w[key{s.name, r.Data.ID}] = d
	return r
}

// remove deletes a service of a site.
func (w services) remove(t testing.TB, s *site, c *client, id string) result {
	t.Helper()
	delete(w, key{s.name, id})
	return insist(t, c, deletion(id))
}

// paths are all that one node knows, read from that node alone at index minIndex or later.
func (s *site) paths(n *node, minIndex uint64) ([]route, error) {
	list, err := once[routes](s.driver, n.http(), s.scope(), call("listRoutes", query{Consistency: "stale", MinIndex: minIndex}))
	return list.Routes, err
}

// everywhere waits until every running node of all sites shows exactly what is registered, each service as its own or as
// learned from its site, and fresh.
func everywhere(t testing.TB, want services, sites ...*site) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d services are shown everywhere", len(want)), func() error {
		for _, s := range sites {
			for _, n := range s.running() {
				got, err := s.paths(n, 0)
				if err := cmp.Or(err, s.differs(got, want)); err != nil {
					return fmt.Errorf("%s: %w", n.id, err)
				}
			}
		}
		return nil
	})
}

// differs says where a node's paths are not what two peered sites that have registered want should show.
func (s *site) differs(got []route, want services) error {
	missing, best := maps.Clone(want), map[string]int{}
	for _, r := range got {
		k := key{r.Site, r.ID}
		d, there := missing[k]
		delete(missing, k)
		peer, source := r.Site, "peer"
		if r.Site == s.name {
			peer, source = "", "local"
		}
		switch {
		case !there:
			return fmt.Errorf("it shows %v, which is not registered, or twice", asJSON(r))
		case asJSON(d) != asJSON(r.Service):
			return fmt.Errorf("it shows %v as %s, registered is %s", k, asJSON(r.Service), asJSON(d))
		case r.Source != source || r.Peer != peer || !slices.Equal(r.Path, []string{r.Site}) || r.Stale:
			return fmt.Errorf("it shows %v as %s", k, asJSON(r))
		}
		if r.Best {
			best[r.ID]++
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("it lacks %v", slices.Collect(maps.Keys(missing)))
	}
	for k := range want {
		if best[k.id] != 1 {
			return fmt.Errorf("%d paths to %s are the best", best[k.id], k.id)
		}
	}
	return nil
}
