package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

var rome = Identity{Name: "rome", Role: Peer, Site: "rome"}

// says commits what rome's session made of its words.
func says(t *testing.T, s *site, op fsm.Op) Result {
	t.Helper()
	a, ok := PeerAction(op)
	if !ok {
		t.Fatalf("%+v is of no session", op)
	}
	return act(t, plugins(), s, rome, a)
}

func announce(name string) fsm.LearnedRoute {
	return fsm.LearnedRoute{Service: fsm.Service{Name: name, Endpoint: "tcp://" + name + ":1", Protocol: fsm.TCP}, Site: "rome", Path: []string{"rome"}}
}

// held is what the table has from rome; a star marks what is stale.
func held(s *site) []string {
	var ids []string
	for r := range s.Table().Learned("rome") {
		id := r.Service.Name
		if r.Stale {
			id += "*"
		}
		ids = append(ids, id)
	}
	return ids
}

func TestPeersSessionFromOpenToClose(t *testing.T) {
	s := newSite(t)
	add := func(names ...string) (routes []fsm.LearnedRoute) {
		for _, name := range names {
			routes = append(routes, announce(name))
		}
		return routes
	}
	for i, step := range []struct {
		op   fsm.Op
		held []string
	}{
		{fsm.OpenPeer{Peer: "rome", Epoch: "1", Term: 3}, nil},
		{fsm.Learn{Peer: "rome", Epoch: "1", Term: 3, Add: add("a", "b"), Version: 2, EndOfRIB: true}, []string{"a", "b"}},
		{fsm.Learn{Peer: "rome", Epoch: "1", Term: 3, Remove: []fsm.LearnedKey{{ID: "a:tcp", Site: "rome"}}, Add: add("c"), Version: 4}, []string{"b", "c"}},
		{fsm.MarkStale{Peer: "rome"}, []string{"b*", "c*"}},
		{fsm.OpenPeer{Peer: "rome", Epoch: "1", Term: 4}, []string{"b*", "c*"}},
		{fsm.Learn{Peer: "rome", Epoch: "1", Term: 4, Add: add("d"), Version: 5, EndOfRIB: true, Resumed: true}, []string{"b", "c", "d"}},
		{fsm.Withdraw{Peer: "rome"}, nil},
	} {
		if r := says(t, s, step.op); !r.Success {
			t.Errorf("%d: %+v: %+v", i, step.op, r)
		}
		if got := held(s); !slices.Equal(got, step.held) {
			t.Errorf("after %d the table holds %v, want %v", i, got, step.held)
		}
	}
	if v := s.Table().Held("rome").Version; v != 0 {
		t.Errorf("after the close a resume would start at %d", v)
	}
}

func TestDeposedLeaderOfAPeerIsRefused(t *testing.T) {
	s := newSite(t)
	says(t, s, fsm.OpenPeer{Peer: "rome", Epoch: "2", Term: 5})
	if r := says(t, s, fsm.Learn{Peer: "rome", Epoch: "2", Term: 4, Add: []fsm.LearnedRoute{announce("a")}}); r.Code != fsm.Conflict {
		t.Errorf("%+v, want a conflict", r)
	}
}

func TestWhatAPeerGotWrongIsCounted(t *testing.T) {
	s := newSite(t)
	bad := announce("a")
	bad.Path = []string{"rome", "oslo"}
	r := says(t, s, fsm.Learn{Peer: "rome", Add: []fsm.LearnedRoute{bad, announce("b")}})
	if d, ok := r.Data.(UpdateData); !ok || d.Malformed != 1 || d.ID != "rome" {
		t.Errorf("%+v", r)
	}
	if got := held(s); !slices.Equal(got, []string{"b"}) {
		t.Errorf("the table holds %v, want b", got)
	}
}

func TestPeerIsConfiguredAndRemoved(t *testing.T) {
	s := newSite(t)
	peer := func(action, data string) Result {
		t.Helper()
		return act(t, plugins(), s, ann, fromJSON(t, `{"resource":"peer","action":"`+action+`","data":`+data+`}`))
	}
	r := peer("create", `{"id":"rome","endpoints":["ws://rome:3000/rpc"],"secret":"s","restartTime":60,"maxRoutes":1000}`)
	want := fsm.PeerConfig{ID: "rome", Endpoints: []string{"ws://rome:3000/rpc"}, Secret: "s", RestartTime: 60, MaxRoutes: 1000, CreatedIndex: r.Index}
	if got, _ := s.Table().Peer("rome"); !r.Success || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v; the peer is %+v, want %+v", r, got, want)
	}
	if r := peer("create", `{"id":"rome","endpoints":["ws://elsewhere:3000/rpc"]}`); r.Code != fsm.Conflict {
		t.Errorf("another definition: %+v", r)
	}
	if r := peer("update", `{"id":"oslo","endpoints":["ws://oslo:3000/rpc"]}`); r.Code != fsm.NotFound {
		t.Errorf("an update of nothing: %+v", r)
	}
	for _, named := range []struct{ endpoint, id string }{{"ws://oslo:3000/rpc", "oslo-3000"}, {"wss://lima.example/rpc", "lima.example"}, {"ws://[::1]:3000/rpc", "1-3000"}} {
		if r := peer("create", `{"endpoints":["`+named.endpoint+`"]}`); r.Data != (RouteData{ID: named.id}) {
			t.Errorf("without an id, %s: %+v, want %s", named.endpoint, r, named.id)
		}
	}
	for _, wrong := range []string{"tcp://rome:3000", "http:///rpc"} {
		if r := peer("create", `{"endpoints":["ws://a/rpc","`+wrong+`"]}`); r.Code != fsm.Invalid || !strings.HasPrefix(r.Error, "data.endpoints.1: is \""+wrong+"\"; give") {
			t.Errorf("the endpoint %s: %+v", wrong, r)
		}
	}
	if r := peer("delete", `{"id":"rome"}`); !r.Success {
		t.Errorf("the delete: %+v", r)
	}
	if r := peer("delete", `{"id":"rome"}`); r.Code != fsm.NotFound {
		t.Errorf("the second delete: %+v", r)
	}
}
