package peering

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestSmallTablesCrossAheadOfTheAnswer(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("books", "films")
		b.adds("music")
		a.peers("b")
		w.later(900 * time.Millisecond)
		w.reads(`
			a> open term=1 resume=-
			a> add books:http v2 path=a, add films:http v3 path=a, endOfRib v4
			b> opened term=1 resume=-
			b> add music:http v2 path=b, endOfRib v2`)
		a.holds("music [b] by b")
		b.holds("books [a] by a", "films [a] by a")
		a.stands("b")
		b.stands("a")

		w.later(time.Second)
		w.reads(`
			b> compare 1
			a> same
			a> compare 2
			b> same`)
		w.later(4 * time.Minute)
		w.reads(``)
	})
}

func TestALargeTableWaitsForTheAnswer(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(firstItems + 1)...)
		a.peers("b")
		w.later(900 * time.Millisecond)
		w.reads(`
			a> open term=1 resume=-
			b> opened term=1 resume=-
			b> endOfRib v1
			a> add s0000:http v2 path=a, … 128 more …, endOfRib v131`)
		if n := len(b.learned()); n != firstItems+1 {
			w.Errorf("b holds %d routes", n)
		}
	})
}

func TestAVeryLargeTableComesInPartsAndInOrder(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(3*sendItems + 1)...)
		b.peers("a")
		w.later(900 * time.Millisecond)
		w.reads(`
			b> open term=1 resume=-
			b> endOfRib v2
			a> opened term=1 resume=-
			a> add s0000:http v2 path=a, … 510 more …, add s0511:http v513 path=a
			a> add s0512:http v514 path=a, … 510 more …, add s1023:http v1025 path=a
			a> add s1024:http v1026 path=a, … 510 more …, add s1535:http v1537 path=a
			a> add s1536:http v1538 path=a, endOfRib v1538`)
		if p := a.peer("b"); p.RoutesOut != 3*sendItems+1 {
			w.Errorf("a says it told b of %d routes", p.RoutesOut)
		}
	})
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("s%04d", i)
	}
	return names
}

func TestBothSidesKnowWhoTheOtherIs(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a := w.site("a", func(c *Config) { c.Self.Domains = []string{"a.example"} })
		b := w.site("b", holdTime(9))
		a.adds("books")
		a.peers("b")
		w.later(4 * time.Second) // and a keepalive that did not wait for the open
		pa, pb := a.peer("b"), b.peer("a")
		opened := w.began.Add(31 * time.Millisecond).UnixMilli()
		want := Peer{
			ID: "b", Site: "b", Configured: true, Endpoints: []string{"ws://b/rpc"}, State: Established, Since: opened + 1, // binding it to its site takes a commit
			Dialled: true, Endpoint: "ws://b/rpc", Node: "b1", AS: 64512, Domains: []string{}, Epoch: "epoch-b", Term: 1,
			HoldTime: 9, RoundTripMS: 20, RoutesOut: 1, RestartTime: 120,
		}
		if got := fmt.Sprintf("%+v", pa); got != fmt.Sprintf("%+v", want) {
			w.Errorf("a sees b as\n\t%s, want\n\t%+v", got, want)
		}
		want = Peer{
			ID: "a", Site: "a", Endpoints: []string{}, State: Established, Since: opened,
			Node: "a1", AS: 64512, Domains: []string{"a.example"}, Epoch: "epoch-a", Term: 1,
			HoldTime: 9, RoundTripMS: 20, RoutesIn: 1, RestartTime: 120,
		}
		pb.Since = opened // b heard of it earlier
		if got := fmt.Sprintf("%+v", pb); got != fmt.Sprintf("%+v", want) {
			w.Errorf("b sees a as\n\t%s, want\n\t%+v", got, want)
		}
		if got := b.speaker().Peers(); len(got) != 1 {
			w.Errorf("b sees %d peers", len(got))
		}
	})
}

func TestTheLowerHoldTimeHolds(t *testing.T) {
	for name, c := range map[string]struct{ ours, theirs, want float64 }{
		"theirs":              {15, 6, 6},
		"ours":                {9, 30, 9},
		"theirs left out":     {12, 0, 12},
		"the lowest there is": {15, 3, 3},
		"the highest":         {4000, 3600, 3600},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a", holdTime(c.ours))
				w.meets("a", stranger("b", func(i *Info) { i.HoldTime = c.theirs }))
				w.later(0)
				if p := a.peer("b"); p.HoldTime != c.want {
					w.Errorf("%v and %v came to %v, want %v", c.ours, c.theirs, p.HoldTime, c.want)
				}
			})
		})
	}
}

func TestWhoIsRefusedLearnsWhy(t *testing.T) {
	long := make([]string, maxDomains+1)
	for i := range long {
		long[i] = "example"
	}
	cases := map[string]struct {
		adapt func(*Info)
		says  string
	}{
		"this site itself":   {func(i *Info) { i.Site = "a" }, "cannot peer with itself"},
		"no name":            {func(i *Info) { i.Site = "" }, "name the site"},
		"a bad name":         {func(i *Info) { i.Site = "b c" }, `"b c"`},
		"a very long name":   {func(i *Info) { i.Site = strings.Repeat("b", 5000) }, "name the site"},
		"another AS":         {func(i *Info) { i.AS = 65000 }, "autonomous system 65000"},
		"no AS":              {func(i *Info) { i.AS = 0 }, "autonomous system 0"},
		"a bad node":         {func(i *Info) { i.Node = "b\n1" }, `"b\n1"`},
		"a bad domain":       {func(i *Info) { i.Domains = []string{"ok", "not ok"} }, "domains"},
		"very many domains":  {func(i *Info) { i.Domains = long }, "domains"},
		"hold time 1":        {func(i *Info) { i.HoldTime = 1 }, "holdTime is 1 s"},
		"hold time 2":        {func(i *Info) { i.HoldTime = 2 }, "holdTime is 2 s"},
		"hold time 2.999":    {func(i *Info) { i.HoldTime = 2.999 }, "holdTime is 2.999 s"},
		"hold time negative": {func(i *Info) { i.HoldTime = -15 }, "holdTime is -15 s"},
		"hold time huge":     {func(i *Info) { i.HoldTime = 1e300 }, "holdTime is 1e+300 s"},
		"hold time 3601":     {func(i *Info) { i.HoldTime = 3601 }, "holdTime is 3601 s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				x, _, err := a.speaker().Accept(&end{}, stranger("b", c.adapt), Admission{})
				refused, ok := IsRefused(fmt.Errorf("open: %w", err))
				if x != nil || !ok || refused.Kind != NotAllowed || !strings.Contains(err.Error(), c.says) {
					w.Errorf("%v, %v; want a refusal that says %q", x, err, c.says)
				}
				if len(err.Error()) > 500 {
					w.Errorf("the refusal has %d bytes", len(err.Error()))
				}
				w.later(time.Minute)
				if n := a.counts(); n != 0 || len(a.speaker().Peers()) != 0 {
					w.Errorf("%d commits, peers %+v", n, a.speaker().Peers())
				}
			})
		})
	}
}

func TestTheDiallerRefusesToo(t *testing.T) {
	for name, c := range map[string]struct {
		adapt func(*Config)
		says  string
	}{
		"another AS":   {func(c *Config) { c.Self.AS = 65000 }, "autonomous system"},
		"itself":       {func(c *Config) { c.Self.Site = "a" }, "cannot peer with itself"},
		"a short hold": {holdTime(2), "holdTime is 2 s"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b", c.adapt)
				a.adds("books")
				a.peers("b")
				w.later(20 * time.Second)
				p := a.peer("b")
				if p.State != Idle || !strings.Contains(p.LastError, c.says) {
					w.Errorf("a sees %+v, want an error that says %q", p, c.says)
				}
				a.holds()
				if len(w.between("a", "b")) != 0 {
					w.Error("the connection was left open")
				}
				if name == "another AS" && len(b.learned()) != 0 {
					w.Errorf("b took in %q", b.learned())
				}
			})
		})
	}
}

func TestWithoutALeaderNobodySpeaks(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		speaker := a.speaker()
		a.stop()
		if _, _, err := speaker.Accept(&end{}, stranger("b"), Admission{}); err != ErrNotSpeaking {
			w.Errorf("after the term: %v", err)
		}
		if _, _, err := New(Config{Site: a.lead()}).Accept(&end{}, stranger("b"), Admission{}); err != ErrNotSpeaking {
			w.Errorf("before Run: %v", err)
		}
	})
}

func TestASecretStandsForItsPeer(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b, c := w.site("a"), w.site("b"), w.site("c")
		for _, s := range []*site{a, b, c} {
			s.secret = "of " + s.name
			s.lead()
		}
		b.adds("music")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://nowhere/rpc"}, Secret: "a and b"})
		b.configures(fsm.PeerConfig{ID: "a", Endpoints: []string{door("a")}, Secret: "a and b"})
		w.later(time.Second)
		c.configures(fsm.PeerConfig{ID: "a", Endpoints: []string{door("a")}, Secret: "a and b"}) // it got hold of it
		w.later(10 * time.Second)
		b.stands("a")
		a.stands("b")
		a.holds("music [b] by b")
		c.idles("a")
		if p := c.peer("a"); !strings.Contains(p.LastError, "shows the secret of another peer") {
			w.Errorf("c sees %+v", p)
		}
		if ids := peerIDs(a.speaker().Peers()); !slices.Equal(ids, []string{"b"}) {
			w.Errorf("a sees %q", ids)
		}
	})
}

func peerIDs(peers []Peer) (ids []string) {
	for _, p := range peers {
		ids = append(ids, p.ID)
	}
	return ids
}
