package clustertests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// collector is a JavaScript program in the driver that keeps a copy of a site's table (js/collector.mjs).
type collector struct {
	s    *site
	name string
}

// collected is what a collector has come to.
type collected struct {
	told
	Sessions int
	Broken   []failure // why each session ended, or did not begin
	Site     peerInfo
}

// collect starts a collector that dials nodes of a site in turn, with a kind of callback.
func (s *site) collect(t testing.TB, style string, nodes ...*node) *collector {
	t.Helper()
	c := &collector{s, s.driver.name("collector")}
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.ws())
	}
	s.must(t, "collect", args{"collector": c.name, "urls": urls, "secret": secretOf(s.name), "style": style}, nil)
	return c
}

func (c *collector) collected(t testing.TB) collected {
	t.Helper()
	var got collected
	c.s.must(t, "collected", args{"collector": c.name}, &got)
	return got
}

// has waits until a collector's copy is exactly what is registered, the site's own and what it learned.
func (c *collector) has(t testing.TB, want services) collected {
	t.Helper()
	var got collected
	eventually(t, fmt.Sprintf("%s of %s has %d services", c.name, c.s.name, len(want)), func() error {
		got = c.collected(t)
		if got.Dumps == 0 || got.Sessions == 0 || len(got.Routes) != len(want) { // the dump may overtake open's answer
			return fmt.Errorf("it has %d after %d dumps in %d sessions: %.300s", len(got.Routes), got.Dumps, got.Sessions, asJSON(got))
		}
		for _, r := range got.Routes {
			path := []string{c.s.name, r.Site}
			if d, there := want[key{r.Site, r.ID}]; !there || asJSON(d) != asJSON(r.Service) || !slices.Equal(r.Path, slices.Compact(path)) {
				return fmt.Errorf("it has %s, registered is %s", asJSON(r), asJSON(d))
			}
		}
		return nil
	})
	if len(got.Faults) > 0 {
		t.Errorf("%s of %s was told what no site should say: %q", c.name, c.s.name, got.Faults)
	}
	return got
}

// churn registers so many services, updates every second and deletes every third.
func (w services) churn(t testing.TB, s *site, c *client, prefix string, count int) {
	t.Helper()
	for i := range count {
		d := service(fmt.Sprint(prefix, i))
		id := w.register(t, s, c, d).Data.ID
		if i%2 == 0 {
			d.Tags = map[string]string{"round": "two"}
			w.register(t, s, c, d)
		}
		if i%3 == 0 {
			w.remove(t, s, c, id)
		}
	}
}

// TestCollectorsSeeWhatTheSitesKnow: programs that are told of everything, at both of two peered sites and through every
// kind of callback, end with the table that the sites have, also when a leader was killed under them.
func TestCollectorsSeeWhatTheSitesKnow(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 3), startNamed(t, "oslo", 2)
	leader, followers := rome.leader(t), rome.followers(t)
	atRome, atOslo := rome.dial(t, followers[0]), oslo.dial(t, oslo.follower(t))
	want := services{}
	want.churn(t, rome, atRome, "early", 5)
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)

	atLeader := rome.collect(t, "whole", leader, followers[0], followers[1])
	atFollower := rome.collect(t, "record", followers[1], followers[0], leader)
	ofOslo := oslo.collect(t, "bare", oslo.nodes...)
	all := []*collector{atLeader, atFollower, ofOslo}
	t.Run("from the first moment on", func(t *testing.T) {
		for _, c := range all {
			if got := c.has(t, want); got.Dumps != 1 || got.Sessions != 1 || got.Site.Site != c.s.name || got.Site.AS != 64512 || got.Changes != 0 {
				t.Errorf("%s has %s, want one session, one dump and nothing else", c.name, asJSON(got))
			}
		}
		for s, count := range map[*site]int{rome: 2, oslo: 1} {
			if list, err := s.peers(s.follower(t)); err != nil || len(list.Collectors) != count || len(list.Peers) != 1 {
				t.Errorf("%s tells of %s %v, want %d collectors and a peer", s.name, asJSON(list), err, count)
			}
		}
		want.churn(t, rome, atRome, "calm", 9)
		want.churn(t, oslo, atOslo, "calm", 9)
		everywhere(t, want, rome, oslo)
		for _, c := range all {
			if got := c.has(t, want); got.Dumps != 1 || got.Changes == 0 {
				t.Errorf("%s has %d dumps and %d changes, want one and some", c.name, got.Dumps, got.Changes)
			}
		}
	})
	t.Run("what one announces lives as long as its session", func(t *testing.T) { collectorAnnounces(t, rome, oslo, atLeader, want) })
	t.Run("through the loss of a leader", func(t *testing.T) {
		announcer := rome.announcer(t, followers[1])
		want.churn(t, rome, atRome, "before", 6)
		crashLeaders(t, rome)
		want.churn(t, rome, atRome, "after", 9)
		want.churn(t, oslo, atOslo, "after", 9)
		announcer.breaks(t, "the leader was killed")
		everywhere(t, want, rome, oslo) // and nothing that was announced by one that has gone
		for _, c := range all {
			got := c.has(t, want)
			if c.s == rome && (got.Sessions < 2 || len(got.Broken) == 0) {
				t.Errorf("%s lived through the kill: %s", c.name, asJSON(got))
			}
			if c.s == oslo && got.Sessions != 1 {
				t.Errorf("%s, whose leader lives, had %d sessions: %s", c.name, got.Sessions, asJSON(got.Broken))
			}
		}
		if got := atLeader.collected(t); got.KeepAlives == 0 {
			t.Errorf("%s was never asked whether it lives: %s", atLeader.name, asJSON(got))
		}
		comeBack(t, rome)
	})
}

// announcer opens a session without info and announces a service in it.
func (s *site) announcer(t testing.TB, n *node) *program {
	t.Helper()
	p, _, err := s.open(n, secretOf(s.name), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.announces(t, announcement(1, service("brief"), "edge"))
	return p
}

// collectorAnnounces: it is a route from a peer at every node of the site and in the copies of others, not told to peer
// sites, and gone the moment its session is.
func collectorAnnounces(t *testing.T, rome, oslo *site, other *collector, want services) {
	p := rome.announcer(t, rome.follower(t))
	brief := key{"edge", "brief:http"}
	for _, n := range rome.nodes {
		eventually(t, n.id+" shows what the collector announced", func() error {
			paths, err := rome.paths(n, 0)
			i := slices.IndexFunc(paths, func(r route) bool { return r.Site == brief.site && r.ID == brief.id })
			if err != nil || i < 0 || paths[i].Source != "peer" || paths[i].Peer == "" || !paths[i].Best ||
				!slices.Equal(paths[i].Path, []string{"edge"}) {
				return fmt.Errorf("%s %v", asJSON(paths), err)
			}
			return nil
		})
	}
	eventually(t, "another collector is told", func() error {
		got := other.collected(t)
		if !slices.ContainsFunc(got.Routes, func(r announced) bool { return r.Site == brief.site && r.ID == brief.id }) {
			return fmt.Errorf("it has %s", asJSON(got.Routes))
		}
		return nil
	})
	atRome := rome.dial(t, rome.follower(t))
	defer atRome.close(t)
	want.register(t, rome, atRome, service("sentinel")) // oslo is told of this, and of nothing before
	eventually(t, "oslo is told of what came later", func() error {
		lines, err := oslo.fromPeers(oslo.nodes[0])
		switch {
		case strings.Contains(fmt.Sprint(lines), "brief"):
			t.Fatalf("oslo was told what a collector announced at rome: %q", lines)
		case !slices.Contains(lines, "rome/sentinel:http by rome"):
			return fmt.Errorf("it holds %q (%v)", lines, err)
		}
		return nil
	})
	w := atRome.watch(t, nil)
	p.drop(t)
	dropped := time.Now()
	w.toldUpTo(t, "delete edge/brief:http")
	if took := time.Since(dropped); took > 3*time.Second {
		t.Errorf("it outlived its session by %v", took)
	}
	everywhere(t, want, rome, oslo)
	other.has(t, want)
}
