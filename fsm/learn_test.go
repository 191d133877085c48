package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTheBestPathIsTheSameEverywhere(t *testing.T) {
	s := begin(t)
	learn := func(peer string, path ...string) {
		s.does(Learn{Peer: peer, Add: []LearnedRoute{announces("books", path...)}})
	}
	learn("rome", "rome")
	learn("oslo", "oslo")
	learn("bern", "bern", "oslo")
	learn("kyiv", "oslo") // oslo's own, at the same length, by another peer
	learn("lima", "lima")
	s.does(MarkStale{Peer: "lima"})
	s.puts("books", "about", "zebra")

	want := []string{"here", "oslo by kyiv", "oslo by oslo", "rome by rome", "oslo by bern", "lima by lima, stale"}
	id := "books:http:graphql"
	s.wants("paths", paths(s.table.Paths(id)), want)
	if best := s.table.Best(id); !alike(best, s.table.Local(id)) || !s.table.IsBest(best) {
		t.Errorf("best is %+v", best)
	}
	for _, r := range s.table.Paths(id)[1:] {
		if s.table.IsBest(r) {
			t.Errorf("%+v is the best too", r)
		}
	}
	all := slices.Collect(s.table.All())
	s.wants("all", paths(all), slices.Concat([]string{"here"}, want, []string{"here"}))

	s.wants("from behind books", paths(slices.Collect(s.table.AllFrom("booksx"))), []string{"here"})
	s.wants("from books", paths(slices.Collect(s.table.AllFrom(id))), append(slices.Clone(want), "here"))
	s.wants("own from books", paths(slices.Collect(s.table.LocalsFrom(id))), []string{"here", "here"})

	s.does(Delete{ID: id})
	if best := s.table.Best(id); best.Peer != "kyiv" {
		t.Errorf("after the own route went, best is by %s", best.Peer)
	}
	if s.table.Best("nothing:http") != nil || s.table.Paths("nothing:http") != nil {
		t.Error("found a path to nothing")
	}
}

func TestRoutesAreFoundByOriginAndByPeer(t *testing.T) {
	s := begin(t)
	s.puts("own")
	s.does(Learn{Peer: "rome", Add: []LearnedRoute{announces("b", "rome", "oslo"), announces("a", "rome"), announces("c", "rome")}})
	s.does(Learn{Peer: "bern", Add: []LearnedRoute{announces("b", "bern", "oslo")}})
	names := func(routes []*Route) (names []string) {
		for _, r := range routes {
			names = append(names, r.Service.Name+" by "+r.Peer)
		}
		return names
	}
	s.wants("from oslo", names(slices.Collect(s.table.From("oslo"))), []string{"b by bern", "b by rome"})
	s.wants("from rome", names(slices.Collect(s.table.From("rome"))), []string{"a by rome", "c by rome"})
	s.wants("from paris", names(slices.Collect(s.table.From("paris"))), []string{"own by "})
	s.wants("learned by rome", names(slices.Collect(s.table.Learned("rome"))), []string{"b by rome", "a by rome", "c by rome"})
	s.wants("learned by nobody", names(slices.Collect(s.table.Learned(""))), nil)
	if s.table.NumLearned() != 4 || s.table.NumLocal() != 1 {
		t.Errorf("%d learned, %d local", s.table.NumLearned(), s.table.NumLocal())
	}
}

func TestALostSessionKeepsItsRoutesStale(t *testing.T) {
	s := begin(t)
	s.learns("london", "a", "b", "c")
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 3, Version: 40, EndOfRIB: true})
	down := s.table.Version()
	s.does(MarkStale{Peer: "london"})
	s.wants("told", s.told(down), []string{"+a", "+b", "+c"})
	if h := s.table.Held("london"); h.Stale != 3 || h.Routes != 3 || h.Version != 40 || h.Complete || h.StaleSince == 0 {
		t.Errorf("held %+v", h)
	}
	if o := s.does(MarkStale{Peer: "london"}); o.Changed {
		t.Error("marking again changed something")
	}

	// Back: a as before, b elsewhere, d new, and c not any more.
	back := s.table.Version()
	moved := announces("b", "london")
	moved.Service.Region = "uk"
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 4, Version: 41,
		Add: []LearnedRoute{announces("a", "london"), moved, announces("d", "london")}})
	if h := s.table.Held("london"); h.Version != 40 || h.Stale != 1 {
		t.Errorf("half-way through the dump: held %+v", h)
	}
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 4, Version: 42, EndOfRIB: true})
	s.wants("told", s.told(back), []string{"+a", "+b", "+d", "-c"})
	if h := s.table.Held("london"); h != (Held{Epoch: "e1", Term: 4, Version: 42, Complete: true, Routes: 3}) {
		t.Errorf("after the dump: held %+v", h)
	}
}

func TestAResumedSessionConfirmsWhatItDoesNotMention(t *testing.T) {
	s := begin(t)
	s.learns("london", "a", "b", "c")
	s.does(Learn{Peer: "london", Version: 40, EndOfRIB: true})
	s.does(MarkStale{Peer: "london"})
	s.does(Learn{Peer: "london", Version: 42, Remove: []LearnedKey{{ID: "b:http:gql", Site: "london"}}, EndOfRIB: true, Resumed: true})
	for name, want := range map[string]bool{"a": true, "b": false, "c": true} {
		r := s.table.Path(name+":http:graphql", "london", "london")
		if (r != nil) != want || r != nil && r.Stale {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestTheSameAnnouncementAgainIsNoChange(t *testing.T) {
	s := begin(t)
	s.learns("london", "a")
	before := s.table.Version()
	again := announces("a", "london")
	again.Version++
	if o := s.does(Learn{Peer: "london", Add: []LearnedRoute{again}}); o.Changed || o.Index != before {
		t.Errorf("got %+v", o)
	}
	if s.table.Version() != before {
		t.Error("the version moved")
	}
}

func TestABadItemWithdrawsItsRoute(t *testing.T) {
	bad := func(change func(*LearnedRoute)) LearnedRoute {
		a := announces("a", "london")
		a.ID = "a:http:graphql"
		change(&a)
		return a
	}
	for story, c := range map[string]struct {
		item      LearnedRoute
		malformed int
	}{
		"an endpoint that is none":     {bad(func(a *LearnedRoute) { a.Service.Endpoint = "nowhere" }), 1},
		"a service under another id":   {bad(func(a *LearnedRoute) { a.Service.Name = "b" }), 1},
		"no path":                      {bad(func(a *LearnedRoute) { a.Path = nil }), 1},
		"a path from elsewhere":        {bad(func(a *LearnedRoute) { a.Path = []string{"london", "rome"} }), 1},
		"a path with no name in it":    {bad(func(a *LearnedRoute) { a.Path = []string{"a b", "london"} }), 1},
		"a path without an end":        {bad(func(a *LearnedRoute) { a.Path = slices.Repeat([]string{"london"}, MaxPath+1) }), 1},
		"a path that crossed our site": {bad(func(a *LearnedRoute) { a.Path = []string{"rome", "paris", "london"} }), 0},
	} {
		t.Run(story, func(t *testing.T) {
			s := begin(t)
			s.learns("london", "a", "b")
			s.learns("rome", "a")
			before := s.table.Version()
			o := s.does(Learn{Peer: "london", Add: []LearnedRoute{c.item}})
			if o.Malformed != c.malformed || !o.Changed {
				t.Errorf("got %+v", o)
			}
			s.wants("told", s.told(before), []string{"-a"})
			if h := s.table.Held("london"); h.Routes != 1 {
				t.Errorf("held %+v", h)
			}
			if s.table.Path("a:http:graphql", "rome", "rome") == nil {
				t.Error("the route of another peer went too")
			}
		})
	}
}

func TestADeposedLeaderOfAPeerIsNotHeard(t *testing.T) {
	s := begin(t)
	from := func(epoch string, term uint64) Learn {
		return Learn{Peer: "london", Epoch: epoch, Term: term, Version: 9, EndOfRIB: true,
			Add: []LearnedRoute{announces(fmt.Sprint("x", epoch, term), "london")}}
	}
	s.does(from("e1", 5))
	s.refuses(Conflict, from("e1", 4))
	s.does(from("e1", 5))
	s.does(from("e2", 1))
	s.refuses(Conflict, from("e1", 6))
	if h := s.table.Held("london"); h.Epoch != "e2" || h.Term != 1 || h.Routes != 3-1 {
		t.Errorf("held %+v", h)
	}
}

func TestANewEpochIsNoPlaceToResume(t *testing.T) {
	s := begin(t)
	s.does(Learn{Peer: "london", Epoch: "e1", Version: 40, EndOfRIB: true})
	s.does(Learn{Peer: "london", Epoch: "e2", Version: 3, Add: []LearnedRoute{announces("a", "london")}})
	if h := s.table.Held("london"); h.Version != 0 || h.Complete {
		t.Errorf("held %+v", h)
	}
}

func TestAPeerOverItsLimitKeepsWhatItHas(t *testing.T) {
	s := begin(t)
	s.does(PutPeer{Peer: PeerConfig{ID: "london", Endpoints: []string{"ws://london:3000/rpc"}, MaxRoutes: 2}})
	o := s.learns("london", "a", "b", "c", "a")
	if o.Refused != 1 || !o.Changed || o.Code != "" {
		t.Errorf("got %+v", o)
	}
	if h := s.table.Held("london"); h.Routes != 2 {
		t.Errorf("held %+v", h)
	}
}

func TestWithdrawForgetsAPeerThatOnlyAnnounced(t *testing.T) {
	s := begin(t)
	s.learns("london", "a", "b")
	s.learns("rome", "a")
	before := s.table.Version()
	s.does(Withdraw{Peer: "london"})
	s.wants("told", s.told(before), []string{"-a", "-b"})
	if o := s.does(Withdraw{Peer: "london"}); o.Changed {
		t.Errorf("again: %+v", o)
	}
	var holding []string
	for id := range s.table.Holding() {
		holding = append(holding, id)
	}
	s.wants("holding", holding, []string{"rome"})
}

func TestPeersAreConfigured(t *testing.T) {
	s := begin(t)
	london := PeerConfig{ID: "london", Endpoints: []string{"ws://london:3000/rpc"}, Secret: "s"}
	s.refuses(NotFound, PutPeer{Mode: Update, Peer: london})
	s.refuses(Invalid, PutPeer{Peer: PeerConfig{ID: "paris", Endpoints: london.Endpoints}})
	s.refuses(Invalid, PutPeer{Peer: PeerConfig{ID: "london"}})
	s.does(PutPeer{Peer: london})
	if o := s.does(PutPeer{Peer: london}); o.Changed {
		t.Error("the same again changed something")
	}
	other := london
	other.Secret = "t"
	s.refuses(Conflict, PutPeer{Peer: other})
	s.does(PutPeer{Mode: Update, Peer: other})
	if p, ok := s.table.Peer("london"); !ok || p.Secret != "t" || s.table.PeersVersion() != s.table.Version() {
		t.Errorf("got %+v, %t at %d", p, ok, s.table.PeersVersion())
	}

	s.learns("london", "a")
	before := s.table.Version()
	s.does(DeletePeer{ID: "london"})
	s.wants("told", s.told(before), []string{"-a"})
	if _, ok := s.table.Peer("london"); ok || len(slices.Collect(s.table.Peers())) != 0 {
		t.Error("the peer is still there")
	}
	s.refuses(NotFound, DeletePeer{ID: "london"})
}

func TestAWithdrawnPeerThatIsConfiguredKeepsItsFence(t *testing.T) {
	s := begin(t)
	s.does(PutPeer{Peer: PeerConfig{ID: "london", Endpoints: []string{"ws://london:3000/rpc"}}})
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 5, Version: 9, EndOfRIB: true})
	s.does(Withdraw{Peer: "london"})
	if h := s.table.Held("london"); h != (Held{Epoch: "e1", Term: 5}) {
		t.Errorf("held %+v", h)
	}
	s.refuses(Conflict, Learn{Peer: "london", Epoch: "e1", Term: 4})
}

// A peer with more routes than the history holds goes stale: whoever followed
// starts over, and nothing else breaks.
func TestMarkStaleOfMoreRoutesThanTheHistoryHolds(t *testing.T) {
	s := begin(t)
	const routes = 100_000
	for i := 0; i < routes; i += 10_000 {
		l := Learn{Peer: "london"}
		for j := range 10_000 {
			l.Add = append(l.Add, announces(fmt.Sprint("s", i+j), "london"))
		}
		s.does(l)
	}
	before := s.table.Version()
	s.does(MarkStale{Peer: "london"})
	if got := s.table.Version() - before; got != routes {
		t.Errorf("%d changes, want %d", got, routes)
	}
	if _, ok := s.table.Changes(before); ok {
		t.Error("more changes are told than the history holds")
	}
	if told := s.told(s.table.Version() - MaxChanges); len(told) != MaxChanges {
		t.Errorf("%d changes told, want %d", len(told), MaxChanges)
	}
	s.does(Learn{Peer: "london", EndOfRIB: true})
	if s.table.NumLearned() != 0 {
		t.Errorf("%d routes left", s.table.NumLearned())
	}
}

func TestAPeerStandsForTheSiteThatAnswersAtItsEndpoint(t *testing.T) {
	s := begin(t)
	endpoint := func(id string) PutPeer {
		return PutPeer{Mode: Upsert, Peer: PeerConfig{ID: id, Endpoints: []string{"ws://" + id + "/rpc"}, MaxRoutes: 1}}
	}
	s.does(endpoint("10-0-0-2"))
	s.does(endpoint("10-0-0-3"))
	s.refuses(NotFound, BindPeer{ID: "10-0-0-4", Peer: "london"})
	s.refuses(Invalid, BindPeer{ID: "10-0-0-2", Peer: "paris"})
	s.refuses(Invalid, BindPeer{ID: "10-0-0-2", Peer: "no name"})
	s.does(BindPeer{ID: "10-0-0-2", Peer: "london"})
	s.does(BindPeer{ID: "10-0-0-2", Peer: "london"})
	s.refuses(Conflict, BindPeer{ID: "10-0-0-2", Peer: "oslo"})
	s.refuses(Conflict, BindPeer{ID: "10-0-0-3", Peer: "london"})
	s.does(OpenPeer{Peer: "london", Epoch: "e1", Term: 6})
	s.refuses(Conflict, OpenPeer{Peer: "london", Epoch: "e1", Term: 5})
	if c, ok := s.table.Configured("london"); !ok || c.ID != "10-0-0-2" {
		t.Errorf("london is configured as %+v, %t", c, ok)
	}
	if o := s.learns("london", "a", "b"); o.Refused != 1 {
		t.Errorf("the limit of the configuration does not hold: %+v", o)
	}

	s.does(Withdraw{Peer: "london"})
	if h := s.table.Held("london"); h != (Held{Epoch: "e1", Term: 6}) {
		t.Errorf("the fence went with the routes: %+v", h)
	}
	s.learns("london", "a")
	before := s.table.Version()
	s.does(DeletePeer{ID: "10-0-0-2"})
	s.wants("told", s.told(before), []string{"-a"})

	moved := endpoint("10-0-0-3")
	s.does(BindPeer{ID: "10-0-0-3", Peer: "oslo"})
	moved.Peer.Secret = "s"
	s.does(moved)
	if c, _ := s.table.Peer("10-0-0-3"); c.Site != "oslo" {
		t.Errorf("another secret made %+v of it", c)
	}
	moved.Peer.Endpoints = []string{"ws://elsewhere/rpc"}
	s.does(moved)
	if c, _ := s.table.Peer("10-0-0-3"); c.Site != "" {
		t.Errorf("at another endpoint it stands for %q still", c.Site)
	}
}

func TestAPeersEpochIsBounded(t *testing.T) {
	s := begin(t)
	for _, epoch := range []string{strings.Repeat("e", MaxName+1), "e\x1b[2J"} {
		s.refuses(Invalid, OpenPeer{Peer: "london", Epoch: epoch})
		s.refuses(Invalid, Learn{Peer: "london", Epoch: epoch})
	}
	if h := s.table.Held("london"); h != (Held{}) {
		t.Errorf("held %+v", h)
	}
}

func TestADumpUnderWayMovesNoPosition(t *testing.T) {
	s := begin(t)
	s.does(Learn{Peer: "london", Epoch: "e1", Version: 40, EndOfRIB: true})
	s.does(Learn{Peer: "london", Epoch: "e1", Version: 41})
	s.does(OpenPeer{Peer: "london", Epoch: "e1", Term: 1})
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 1, Version: 90})
	if h := s.table.Held("london"); h.Version != 41 || h.Complete {
		t.Errorf("held %+v", h)
	}
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 1, Version: 95, EndOfRIB: true})
	s.does(Learn{Peer: "london", Epoch: "e1", Term: 1, Version: 7})
	if h := s.table.Held("london"); h.Version != 95 || !h.Complete {
		t.Errorf("held %+v", h)
	}
}

func TestWhatAReturnedPeerNeverConfirmedCanBeDropped(t *testing.T) {
	s := begin(t)
	s.learns("london", "a", "b", "c")
	s.does(MarkStale{Peer: "london"})
	s.learns("london", "b")
	before := s.table.Version()
	s.does(Withdraw{Peer: "london", Stale: true})
	s.wants("told", s.told(before), []string{"-a", "-c"})
	if h := s.table.Held("london"); h.Routes != 1 || h.Stale != 0 || h.StaleSince != 0 {
		t.Errorf("held %+v", h)
	}
}
