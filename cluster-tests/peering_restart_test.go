package clustertests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSiteRestartsUnnoticed: a whole site is killed or stopped and is back in a moment. The session goes on where it was,
// and who watches the other site sees only what was registered there meanwhile.
func TestSiteRestartsUnnoticed(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 1), startNamed(t, "oslo", 1)
	rome.peerWith(t, oslo)
	want := registerAtEach(t, 10, rome, oslo)
	for _, restart := range []struct {
		name        string
		site, other *site
		end         func(*node, testing.TB)
	}{
		{"the one that is dialled is killed", oslo, rome, (*node).crash},
		{"the one that dials is stopped", rome, oslo, (*node).stop},
		{"the one that is dialled is stopped", oslo, rome, (*node).stop},
		{"the one that dials is killed", rome, oslo, (*node).crash},
	} {
		t.Run(restart.name, func(t *testing.T) {
			away, stays := restart.site, restart.other
			meet(t, rome, oslo)
			everywhere(t, want, rome, oslo)
			before := stays.mustPeer(t, away.name)
			at := stays.dial(t, stays.nodes[0])
			w := at.watch(t, nil)

			restart.end(away.nodes[0], t)
			eventually(t, "the session has ended", func() error {
				if p, err := stays.peer(stays.nodes[0], away.name); err != nil || p.State == "established" {
					return fmt.Errorf("%s %w", p.State, err)
				}
				return nil
			})
			meanwhile, after := service("meanwhile-"+fmt.Sprint(len(want))), service("after-"+fmt.Sprint(len(want)))
			want.register(t, stays, at, meanwhile)
			comeBack(t, away)
			meet(t, rome, oslo)
			everywhere(t, want, rome, oslo)
			want.register(t, stays, at, after)

			own := "put " + stays.name + "/"
			expected := []string{own + meanwhile.Name + ":http", own + after.Name + ":http"}
			if news := w.toldUpTo(t, expected[1]); !slices.Equal(news, expected) {
				t.Errorf("a watcher was told %q, want %q", news, expected)
			}
			if p := stays.mustPeer(t, away.name); p.Resumes != before.Resumes+1 {
				t.Errorf("%d resumes after %d: want one more", p.Resumes, before.Resumes)
			}
		})
	}
}

// mustPeer is what the site's first node tells of a peer.
func (s *site) mustPeer(t testing.TB, name string) peerSite {
	t.Helper()
	p, err := s.peer(s.nodes[0], name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSessionThroughAFollower: a session may come in at a node that does not lead. It goes on elsewhere when the leader
// behind that node freezes, long before the hold time, and when the node is killed; nobody who watches learns of either.
func TestSessionThroughAFollower(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 1), startNamed(t, "oslo", 3)
	atRome, want := rome.dial(t, rome.nodes[0]), registerAtEach(t, 2, rome, oslo)
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)
	for _, story := range []struct {
		name  string
		fault func(*testing.T, *node) (undo func())
	}{
		{"the leader behind it freezes", func(t *testing.T, _ *node) func() { return freezeLeader(t, oslo) }},
		{"the node is killed", func(t *testing.T, carries *node) func() {
			carries.crash(t)
			return func() { comeBack(t, oslo) }
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			followers := oslo.followers(t)
			rome.cli(t, rome.nodes[0], 0, "peer", "update", "oslo", followers[0].ws(), followers[1].ws(), "--secret", secretOf("oslo"))
			rome.carriedBy(t, "oslo", followers[:1]...)
			meet(t, rome, oslo)
			everywhere(t, want, rome, oslo)
			watches := []*watch{atRome.watch(t, nil), oslo.dial(t, followers[1]).watch(t, nil)}

			undo := story.fault(t, followers[0])
			began := time.Now()
			meet(t, rome, oslo)
			rome.carriedBy(t, "oslo", followers...)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("the session went on after %v: only a hold timer takes so long", took)
			}
			undo()
			after := service("after-" + fmt.Sprint(len(want)))
			want.register(t, rome, atRome, after)
			for _, w := range watches {
				if news := w.toldUpTo(t, "put rome/"+after.Name+":http"); len(news) != 1 {
					t.Errorf("a watcher was told %q, want the last alone", news)
				}
			}
			everywhere(t, want, rome, oslo)
			meet(t, rome, oslo)
		})
	}
}

// carriedBy waits until a site's first node tells that its session with a peer is with one of these nodes.
func (s *site) carriedBy(t testing.TB, peer string, nodes ...*node) {
	t.Helper()
	eventually(t, "another node carries the session", func() error {
		p, err := s.peer(s.nodes[0], peer)
		if err != nil || p.State != "established" || !slices.ContainsFunc(nodes, func(n *node) bool { return p.Endpoint == n.ws() }) {
			return fmt.Errorf("%s tells %s (%v)", s.name, asJSON(p), err)
		}
		return nil
	})
}

// TestSiteThatIsGone: the services of a site that does not come back are stale after a moment, behind what is fresh, and
// withdrawn after the restart time that was configured for it. When it does come back, so do they.
func TestSiteThatIsGone(t *testing.T) {
	const staleAfter, restartTime = 5 * time.Second, 8 * time.Second
	rome, oslo := startNamed(t, "rome", 2), startNamed(t, "oslo", 1)
	atRome, atOslo := rome.dial(t, rome.follower(t)), oslo.dial(t, oslo.nodes[0])
	want := services{}
	want.register(t, rome, atRome, service("own"))
	want.register(t, oslo, atOslo, service("lost"))
	want.register(t, oslo, atOslo, service("other"))
	rome.peerWith(t, oslo, "--restart-time", restartTime.String())
	oslo.peerWith(t, rome) // so that it dials when it is back: rome asks for it more and more rarely
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)
	w := atRome.watch(t, nil)

	gone := time.Now()
	oslo.nodes[0].crash(t)
	stale := rome.becomes(t, gone, staleAfter, "oslo's services are stale, and there", func(p peerSite, learned []route) error {
		if p.Stale != 2 || len(learned) != 2 || !learned[0].Stale || !learned[1].Stale {
			return errors.New("they are not")
		}
		return nil
	})
	if got := rome.mustPeer(t, "oslo"); got.State == "established" || got.LastError == "" || got.RestartTime != restartTime.Seconds() {
		t.Errorf("while it is away: %s", asJSON(got))
	}
	if got := rome.cli(t, rome.nodes[0], 0, "route", "show", "lost", "-p", "http").stdout; !strings.Contains(got, "stale") {
		t.Errorf("route show prints %s", got)
	}
	rome.becomes(t, stale, restartTime, "oslo's services are withdrawn", func(p peerSite, learned []route) error {
		if len(learned) > 0 || p.RoutesIn+p.Stale > 0 {
			return errors.New("they are not")
		}
		return nil
	})
	expected := []string{"delete oslo/lost:http", "delete oslo/other:http", "stale oslo/lost:http", "stale oslo/other:http"}
	w.toldUpTo(t, expected[1])
	if news := w.news(t); !slices.Equal(slices.Sorted(slices.Values(news)), expected) {
		t.Errorf("a watcher was told %q, want %q", news, expected)
	}
	comeBack(t, oslo)
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)
}

// becomes waits until every node of a site shows of oslo what check wants, and asserts that this took the given time since
// a moment, and not much more.
func (s *site) becomes(t testing.TB, since time.Time, want time.Duration, what string, check func(peerSite, []route) error) time.Time {
	t.Helper()
	eventually(t, what, func() error {
		for _, n := range s.nodes {
			p, err := s.peer(n, "oslo")
			if err != nil {
				return err
			}
			paths, err := s.paths(n, 0)
			if err != nil {
				return err
			}
			learned := slices.DeleteFunc(paths, func(r route) bool { return r.Site != "oslo" })
			if err := check(p, learned); err != nil {
				return fmt.Errorf("%s: %w: %s %s", n.id, err, asJSON(p), asJSON(learned))
			}
		}
		return nil
	})
	if took := time.Since(since); took < want-time.Second || took > want+5*time.Second {
		t.Errorf("%s after %v, want about %v", what, took, want)
	}
	return time.Now()
}
