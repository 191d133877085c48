package clustertests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCutBetweenSites takes the network between two sites away for longer than the hold time. Both sites go on by
// themselves with what they knew of each other, stale; what either did meanwhile is at the other when the network is back,
// and nothing else was ever withdrawn.
func TestCutBetweenSites(t *testing.T) {
	const holdTime, keepAlive = 15 * time.Second, 5 * time.Second
	w, rome, oslo := inNamespaces(t, "--raft-timing=2s") // a busy machine must not hold elections here
	sites := []*site{rome, oslo}
	want := registerAtEach(t, 5, sites...)
	clients := map[*site]*client{rome: rome.dial(t, rome.follower(t)), oslo: oslo.dial(t, oslo.follower(t))}
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)
	watches := watchFollowers(t, rome, oslo)
	reach(t, rome, oslo, 0)
	reach(t, oslo, rome, 0)

	began := time.Now()
	w.cut(t)
	reach(t, rome, oslo, 3)
	reach(t, oslo, rome, 3)
	before := maps.Clone(want)
	for _, s := range sites {
		want.register(t, s, clients[s], service("meanwhile-"+s.name))
		want.remove(t, s, clients[s], "of-"+s.name+"0:http")
	}
	for _, s := range sites {
		other := sites[1-slices.Index(sites, s)]
		p := s.lost(t, other)
		if took := time.Since(began); !strings.Contains(p.LastError, "hold timer") || took < holdTime-keepAlive-time.Second {
			t.Errorf("after %v %s tells of %s: %s, want the hold timer as the last error", took, s.name, other.name, asJSON(p))
		}
	}
	for _, s := range sites {
		other := sites[1-slices.Index(sites, s)]
		kept := []string{}
		for k := range before.of(other) {
			kept = append(kept, fmt.Sprintf("%s by %s stale", k, other.name))
		}
		slices.Sort(kept)
		s.holdsFromPeers(t, kept...) // as it was when the cut began
	}
	w.heal(t)
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)
	t.Logf("the sites met again %v after the cut began", time.Since(began).Round(time.Second))
	want.register(t, rome, clients[rome], service("healed"))
	for _, watch := range watches {
		news := slices.DeleteFunc(watch.toldUpTo(t, "put rome/healed:http"), func(line string) bool { return !strings.HasPrefix(line, "delete") })
		slices.Sort(news)
		if expected := []string{"delete oslo/of-oslo0:http", "delete rome/of-rome0:http"}; !slices.Equal(news, expected) {
			t.Errorf("a watcher was told of %q, want %q", news, expected)
		}
	}
}

// reach runs catalyst where one site is, at a node of the other.
func reach(t testing.TB, from, to *site, want int) {
	t.Helper()
	env := []string{fmt.Sprint("CATALYST_TOKEN=", to.token[0])}
	command := append(slices.Clone(from.nodes[0].under), programs.catalyst, "status", "--timeout", "1s", "--address", to.nodes[0].ws())
	if got := run(t, env, command...); got.status != want {
		t.Fatalf("catalyst status at %s, run where %s is: %+v, want exit status %d", to.nodes[0].id, from.name, got, want)
	}
}

// lost waits until a site tells that its session with another is over, and returns the first that it tells.
func (s *site) lost(t testing.TB, other *site) (p peerSite) {
	t.Helper()
	eventually(t, s.name+" has lost "+other.name, func() (err error) {
		if p, err = s.peer(s.nodes[0], other.name); err == nil && p.State == "established" {
			err = fmt.Errorf("it tells %s", asJSON(p))
		}
		return err
	})
	return p
}
