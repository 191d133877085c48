package clustertests

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestPeeredSitesKnowEachOthersServices: an operator configures a peer at one node of one site, and from then on every
// node of both sites shows the services of both, until the peer is removed.
func TestPeeredSitesKnowEachOthersServices(t *testing.T) {
	rome := startNamed(t, "rome", 3, "--log-level", "debug")
	oslo := startNamed(t, "oslo", 2, "--log-level", "debug")
	atRome, atOslo := rome.dial(t, rome.follower(t)), oslo.dial(t, oslo.follower(t))
	want := services{}
	want.register(t, rome, atRome, service("before"))

	rome.peerWith(t, oslo)
	meet(t, rome, oslo)

	t.Run("services of either are at every node of both", func(t *testing.T) {
		want.register(t, oslo, atOslo, dataChannel{
			Name: "ledger", Endpoint: "tcp://127.0.0.1:9", Protocol: "tcp", Region: "north", Tags: map[string]string{"tier": "gold"},
		})
		want.register(t, rome, atRome, service("books"))
		everywhere(t, want, rome, oslo)
	})
	t.Run("an update is known", func(t *testing.T) {
		want.register(t, oslo, atOslo, dataChannel{
			Name: "ledger", Endpoint: "tcp://127.0.0.1:10", Protocol: "tcp", Tags: map[string]string{"tier": "iron", "new": "yes"},
		})
		everywhere(t, want, rome, oslo)
	})
	t.Run("a delete withdraws", func(t *testing.T) {
		want.remove(t, oslo, atOslo, "ledger:tcp")
		want.remove(t, rome, atRome, "before:http")
		everywhere(t, want, rome, oslo)
	})
	t.Run("the backup of a lost path is used at once", func(t *testing.T) { backupTakesOver(t, rome, oslo, want, atRome, atOslo) })
	t.Run("the command line tells of it", func(t *testing.T) { cliTellsOfPeers(t, rome, oslo) })
	t.Run("the metrics tell no secret", func(t *testing.T) {
		for _, n := range append(rome.running(), oslo.running()...) {
			response, err := web.Get("http://" + n.at.RPC + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || !strings.Contains(string(text), "catalyst") || strings.Contains(string(text), unprintable) {
				t.Errorf("the metrics of %s have a secret, or are none: %v %.300s", n.id, err, text)
			}
		}
	})
	t.Run("the peer is removed", func(t *testing.T) {
		rome.cli(t, rome.follower(t), 0, "peer", "remove", "oslo")
		everywhere(t, want.of(rome), rome)
		everywhere(t, want.of(oslo), oslo)
		for _, s := range []*site{rome, oslo} {
			for _, n := range s.nodes {
				eventually(t, n.id+" knows no peer", func() error {
					list, err := s.peers(n)
					if err == nil && len(list.Peers)+len(list.Collectors) > 0 {
						err = fmt.Errorf("it lists %s", asJSON(list))
					}
					return err
				})
			}
		}
		oslo.cli(t, oslo.nodes[0], 1, "peer", "remove", "rome") // it never was configured here
	})
}

// of are the services of one site alone.
func (w services) of(s *site) services {
	own := services{}
	for k, d := range w {
		if k.site == s.name {
			own[k] = d
		}
	}
	return own
}

// backupTakesOver has both sites offer one service. Each prefers its own; from the very change that deletes it, every
// node of that site uses the other's.
func backupTakesOver(t *testing.T, rome, oslo *site, want services, atRome, atOslo *client) {
	both := service("both")
	want.register(t, rome, atRome, both)
	both.Endpoint += "/of-oslo"
	want.register(t, oslo, atOslo, both)
	everywhere(t, want, rome, oslo)

	gone := want.remove(t, rome, atRome, "both:http")
	for _, n := range rome.nodes {
		paths, err := rome.paths(n, gone.Index)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(paths, func(r route) bool { return r.ID == "both:http" })
		if i < 0 || !paths[i].Best || paths[i].Site != "oslo" || paths[i].Service.Endpoint != both.Endpoint {
			t.Errorf("%s at the index of the delete: %s, want oslo's path as the best", n.id, asJSON(paths))
		}
	}
	everywhere(t, want, rome, oslo)
	want.register(t, rome, atRome, service("both"))
	everywhere(t, want, rome, oslo)
}

// cliTellsOfPeers reads peers and routes as an operator and as a script would, at followers of both sites.
func cliTellsOfPeers(t *testing.T, rome, oslo *site) {
	at := func(s *site, args ...string) string {
		t.Helper()
		return s.cli(t, s.follower(t), 0, args...).stdout
	}
	for _, side := range []struct {
		here, there *site
		configured  bool
	}{{rome, oslo, true}, {oslo, rome, false}} {
		name := side.there.name
		for _, args := range [][]string{{"peer", "list", "-o", "json"}, {"peer", "show", name, "-o", "json"}} {
			list := decode[peerSites](t, []byte(at(side.here, args...)))
			if len(list.Peers) != 1 {
				t.Fatalf("%v at %s: %s, want one peer", args, side.here.name, asJSON(list))
			}
			p, in, out := list.Peers[0], side.there.locals(t), side.here.locals(t)
			if p.ID != name || p.State != "established" || p.Configured != side.configured || p.Dialled != side.configured ||
				p.RoutesIn != in || p.RoutesOut != out || p.Stale != 0 || (len(p.Endpoints) > 0) != side.configured {
				t.Errorf("%v at %s: %s, want %d routes in and %d out", args, side.here.name, asJSON(p), in, out)
			}
		}
		for _, args := range [][]string{{"peer", "list"}, {"peer", "show", name}} {
			if got := at(side.here, args...); !strings.Contains(got, name) || !strings.Contains(got, "established") {
				t.Errorf("%v at %s prints %s", args, side.here.name, got)
			}
		}
		st := decode[status](t, []byte(at(side.here, "status", "-o", "json")))
		if st.Site != side.here.name || st.Peers.Established != 1 || st.Peers.Configured != map[bool]int{true: 1}[side.configured] ||
			st.Routes.Local != side.here.locals(t) || st.Routes.Learned != side.there.locals(t) {
			t.Errorf("status at %s: %+v", side.here.name, st)
		}
	}
	shown := decode[struct {
		Paths []struct {
			Route  route
			Why    string
			SentTo []string
		}
	}](t, []byte(at(rome, "route", "show", "both", "-p", "http", "-o", "json")))
	if len(shown.Paths) != 2 {
		t.Fatalf("route show both: %s, want two paths", asJSON(shown))
	}
	own, learned := shown.Paths[0], shown.Paths[1]
	if own.Route.Site != "rome" || !own.Route.Best || !slices.Equal(own.SentTo, []string{"oslo"}) || own.Why == "" {
		t.Errorf("route show both begins with %s, want rome's own path, the best and sent to oslo", asJSON(own))
	}
	if learned.Route.Peer != "oslo" || learned.Route.Best || len(learned.SentTo) != 0 || learned.Why == "" {
		t.Errorf("route show both goes on with %s, want the path from oslo, sent to nobody", asJSON(learned))
	}
	if got := at(rome, "route", "list"); !strings.Contains(got, "peer oslo") {
		t.Errorf("route list does not say who announced: %s", got)
	}
}

// locals counts the services registered at a site.
func (s *site) locals(t testing.TB) int {
	t.Helper()
	return len(s.table(t, s.leader(t), 0))
}

// TestPeersThatCannotBe: a peer that is refused stays configured, the dialler's lastError says what is wrong in words that
// name what to change, and the sites go on.
func TestPeersThatCannotBe(t *testing.T) {
	rome, oslo, lima := startNamed(t, "rome", 1, "--log-level", "debug"), startNamed(t, "oslo", 1), startNamed(t, "lima", 1, "--as", "64999")
	for _, refused := range []struct {
		name, endpoint, secret string
		says                   []string
	}{
		{"wrong-secret", oslo.nodes[0].ws(), "guessed" + unprintable, []string{"secret", "not valid"}},
		{"another-as", lima.nodes[0].ws(), secretOf("lima"), []string{"64512", "64999", "--as"}},
		{"itself", rome.nodes[0].ws(), secretOf("rome"), []string{"rome", "itself"}},
		{"nobody-there", fmt.Sprintf("ws://127.0.0.1:%d/rpc", freePort(t)), secretOf("oslo"), []string{"refused"}},
	} {
		t.Run(refused.name, func(t *testing.T) {
			n := rome.nodes[0]
			rome.cli(t, n, 0, "peer", "add", refused.endpoint, "--id", refused.name, "--secret", refused.secret)
			var p peerSite
			eventually(t, "the dialler says why there is no session", func() (err error) {
				if p, err = rome.peer(n, refused.name); err == nil && p.LastError == "" {
					err = fmt.Errorf("it says nothing: %s", asJSON(p))
				}
				return err
			})
			for _, word := range append(refused.says, refused.endpoint) {
				if !strings.Contains(p.LastError, word) {
					t.Errorf("lastError does not name %q: %s", word, p.LastError)
				}
			}
			if p.State == "established" || strings.Contains(p.LastError, unprintable) {
				t.Errorf("%s", asJSON(p))
			}
			if got := rome.cli(t, n, 0, "peer", "show", refused.name).stdout; !strings.Contains(got, refused.says[0]) {
				t.Errorf("peer show does not say why: %s", got)
			}
		})
	}
	t.Run("a peer that is named as the site itself", func(t *testing.T) {
		got := rome.cli(t, rome.nodes[0], 1, "peer", "add", oslo.nodes[0].ws(), "--id", "rome", "--secret", secretOf("oslo"))
		if !strings.Contains(got.stderr, "this site itself") {
			t.Errorf("it is refused with %s", got.stderr)
		}
	})
	want := services{}
	for _, s := range []*site{rome, oslo, lima} {
		c := s.dial(t, s.nodes[0])
		want.register(t, s, c, service("goes-on"))
		everywhere(t, want.of(s), s)
	}
	rome.peerWith(t, oslo) // beside the one with the wrong secret
	meet(t, rome, oslo)
}
