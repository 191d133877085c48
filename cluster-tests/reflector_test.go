package clustertests

import (
	"slices"
	"testing"
)

// TestSiteInBetweenReflects: two sites that peer with a third alone know each other's services through it if it is a route
// reflector, and only then; a direct session is preferred while there is one.
func TestSiteInBetweenReflects(t *testing.T) {
	rome, oslo, lima := startNamed(t, "rome", 1), startNamed(t, "oslo", 1), startNamed(t, "lima", 1)
	hub := startNamed(t, "hub", 1, "--route-reflector")
	for _, s := range []*site{rome, oslo} {
		s.peerWith(t, hub)
		s.peerWith(t, lima)
	}
	for _, s := range []*site{rome, oslo} {
		meet(t, s, hub)
		meet(t, s, lima)
	}
	atRome, atOslo := rome.dial(t, rome.nodes[0]), oslo.dial(t, oslo.nodes[0])
	atRome.register(t, service("of-rome"))
	atOslo.register(t, service("of-oslo"))
	hub.dial(t, hub.nodes[0]).register(t, service("of-hub"))
	hub.holdsFromPeers(t, "oslo/of-oslo:http by oslo", "rome/of-rome:http by rome")
	lima.holdsFromPeers(t, "oslo/of-oslo:http by oslo", "rome/of-rome:http by rome")
	rome.holdsFromPeers(t, "hub/of-hub:http by hub", "oslo/of-oslo:http by hub")
	oslo.holdsFromPeers(t, "hub/of-hub:http by hub", "rome/of-rome:http by hub")
	rome.uses(t, "of-oslo:http", "hub", "oslo")

	t.Run("a direct session is preferred", func(t *testing.T) {
		rome.peerWith(t, oslo)
		meet(t, rome, oslo)
		rome.holdsFromPeers(t, "hub/of-hub:http by hub", "oslo/of-oslo:http by hub", "oslo/of-oslo:http by oslo")
		rome.uses(t, "of-oslo:http", "oslo")
		rome.cli(t, rome.nodes[0], 0, "peer", "remove", "oslo")
		rome.holdsFromPeers(t, "hub/of-hub:http by hub", "oslo/of-oslo:http by hub")
		rome.uses(t, "of-oslo:http", "hub", "oslo")
	})
	t.Run("what is deleted is withdrawn along the way", func(t *testing.T) {
		atOslo.do(t, deletion("of-oslo:http"))
		rome.holdsFromPeers(t, "hub/of-hub:http by hub")
	})
	t.Run("the one in between restarts unnoticed", func(t *testing.T) {
		w := atOslo.watch(t, nil)
		hub.nodes[0].crash(t)
		comeBack(t, hub)
		meet(t, rome, hub)
		meet(t, oslo, hub)
		atRome.register(t, service("after"))
		if news := w.toldUpTo(t, "put rome/after:http"); len(news) != 1 {
			t.Errorf("a watcher was told %q, want the last alone", news)
		}
	})
	t.Run("a service behind a site that is removed goes with it", func(t *testing.T) {
		oslo.cli(t, oslo.nodes[0], 0, "peer", "remove", "hub")
		oslo.holdsFromPeers(t)
	})
}

// uses asserts that the best path to an id, at a site's first node, crosses these sites.
func (s *site) uses(t testing.TB, id string, path ...string) {
	t.Helper()
	paths, err := s.paths(s.nodes[0], 0)
	i := slices.IndexFunc(paths, func(r route) bool { return r.ID == id && r.Best })
	if err != nil || i < 0 || !slices.Equal(paths[i].Path, path) {
		t.Errorf("%s shows %s (%v), want a best path to %s over %v", s.name, asJSON(paths), err, id, path)
	}
}
