package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

var rome = Identity{Name: "rome", Role: Peer, Site: "rome"}

// says sends what rome says and returns the answer.
func says(t *testing.T, s *site, action, data string) Result {
	t.Helper()
	return act(t, plugins(), s, rome, fromJSON(t, `{"resource":"internalBGP","action":"`+action+`","data":`+data+`}`))
}

func announce(name, url string, version int) string {
	return fmt.Sprintf(`{"type":"add","version":%d,"route":{"id":"%s:tcp","site":"rome","path":["rome"],"service":{"name":"%s","endpoint":"%s","protocol":"tcp"}}}`, version, name, name, url)
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
	for _, step := range []struct {
		action, data string
		held         []string
	}{
		{"open", `{}`, nil},
		{"updateRoutes", `{"epoch":"1","term":3,"updates":[` + announce("a", "tcp://a:1", 1) + `,` + announce("b", "tcp://b:1", 2) + `,{"type":"endOfRib","version":2}]}`, []string{"a", "b"}},
		{"updateRoutes", `{"epoch":"1","term":3,"updates":[{"type":"remove","id":"a:tcp","site":"rome","version":3},` + announce("c", "tcp://c:1", 4) + `]}`, []string{"b", "c"}},
		{"close", `{"lost":true}`, []string{"b*", "c*"}},
		{"open", `{"resume":true}`, []string{"b*", "c*"}},
		{"updateRoutes", `{"epoch":"1","term":3,"resume":true,"updates":[` + announce("d", "tcp://d:1", 5) + `,{"type":"endOfRib","version":5}]}`, []string{"b", "c", "d"}},
		{"open", `{}`, []string{"b*", "c*", "d*"}},
		{"updateRoutes", `{"epoch":"1","term":3,"updates":[` + announce("c", "tcp://c:1", 4) + `,{"type":"endOfRib","version":5}]}`, []string{"c"}},
		{"close", `{"reason":"removed"}`, nil},
	} {
		if r := says(t, s, step.action, step.data); !r.Success {
			t.Errorf("%s %s: %+v", step.action, step.data, r)
		}
		if got := held(s); !slices.Equal(got, step.held) {
			t.Errorf("after %s the table holds %v, want %v", step.action, got, step.held)
		}
	}
	if v := s.Table().Held("rome").Version; v != 0 {
		t.Errorf("after the close a resume would start at %d", v)
	}
}

func TestDeposedLeaderOfAPeerIsRefused(t *testing.T) {
	s := newSite(t)
	says(t, s, "updateRoutes", `{"epoch":"2","term":5,"updates":[]}`)
	if r := says(t, s, "updateRoutes", `{"epoch":"2","term":4,"updates":[`+announce("a", "tcp://a:1", 1)+`]}`); r.Code != fsm.Conflict {
		t.Errorf("%+v, want a conflict", r)
	}
}

func TestLatestWordOnARouteCounts(t *testing.T) {
	s := newSite(t)
	remove := `{"type":"remove","id":"a:tcp","site":"rome","version":2}`
	says(t, s, "updateRoutes", `{"updates":[`+announce("a", "tcp://a:1", 1)+`,`+remove+`]}`)
	if got := held(s); got != nil {
		t.Errorf("added, then removed: the table holds %v", got)
	}
	says(t, s, "updateRoutes", `{"updates":[`+remove+`,`+announce("a", "tcp://a:1", 3)+`]}`)
	if got := held(s); len(got) != 1 {
		t.Errorf("removed, then added: the table holds %v", got)
	}
}

func TestMalformedUpdateWithdrawsItsRouteAndCounts(t *testing.T) {
	for name, item := range map[string]string{
		"no service":         `{"type":"add","version":2,"route":{"id":"a:tcp","site":"rome","path":["rome"]}}`,
		"name of a number":   `{"type":"add","version":2,"route":{"id":"a:tcp","site":"rome","path":["rome"],"service":{"name":1,"endpoint":"tcp://a:1","protocol":"tcp"}}}`,
		"a path of numbers":  `{"type":"add","version":2,"route":{"id":"a:tcp","site":"rome","path":[1],"service":{"name":"a","endpoint":"tcp://a:1","protocol":"tcp"}}}`,
		"a false origin":     `{"type":"add","version":2,"route":{"id":"a:tcp","site":"rome","path":["rome","oslo"],"service":{"name":"a","endpoint":"tcp://a:1","protocol":"tcp"}}}`,
		"no endpoint at all": `{"type":"add","version":2,"route":{"id":"a:tcp","site":"rome","path":["rome"],"service":{"name":"a","endpoint":"","protocol":"tcp"}}}`,
		"a negative version": `{"type":"add","version":-2,"route":{"id":"a:tcp","site":"rome","path":["rome"],"service":{"name":"a","endpoint":"tcp://a:1","protocol":"tcp"}}}`,
	} {
		s := newSite(t)
		says(t, s, "updateRoutes", `{"updates":[`+announce("a", "tcp://a:1", 1)+`,`+announce("b", "tcp://b:1", 1)+`]}`)
		r := says(t, s, "updateRoutes", `{"updates":[`+item+`]}`)
		if d, ok := r.Data.(UpdateData); !ok || d.Malformed != 1 || d.ID != "rome" {
			t.Errorf("%s: %+v", name, r)
		}
		if got := held(s); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%s: the table holds %v, want b", name, got)
		}
	}
}

func TestItemsThatNameNothingOnlyCount(t *testing.T) {
	s := newSite(t)
	says(t, s, "updateRoutes", `{"updates":[`+announce("a", "tcp://a:1", 1)+`]}`)
	r := says(t, s, "updateRoutes", `{"updates":[7,null,{},{"type":"add"},{"type":"remove","id":"a:tcp"},{"type":"swap","id":"x","site":"rome","version":1}]}`)
	if d, ok := r.Data.(UpdateData); !ok || d.Malformed != 6 {
		t.Errorf("%+v, want 6 malformed", r)
	}
	if got := held(s); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the table holds %v, want a", got)
	}
}

func TestMalformedEnvelopeIsRefused(t *testing.T) {
	s := newSite(t)
	for data, want := range map[string]string{
		`7`:                         "data: is a number; send an object",
		`{"updates":{}}`:            "data.updates: is an object; send a list",
		`{"epoch":1}`:               "data.epoch: is a number; send a string",
		`{"term":"1"}`:              "data.term: is a string; send a number",
		`{"resume":1}`:              "data.resume: is a number; send true or false",
		`{"term":9007199254740993}`: "data.term: is 9.007199254740992e+15; send a whole number from 0 up",
		`{"epoch":"a"}`:             "",
	} {
		if r := says(t, s, "updateRoutes", data); r.Error != want {
			t.Errorf("%s: %+v, want %q", data, r, want)
		}
	}
	many := make([]any, MaxUpdates+1)
	r := act(t, plugins(), s, rome, map[string]any{"resource": "internalBGP", "action": "updateRoutes", "data": map[string]any{"updates": many}})
	if r.Code != fsm.TooLarge || r.Error != "data.updates: has 8193 items; send at most 8192 at a time" {
		t.Errorf("%+v", r)
	}
}

func TestPeerIsConfiguredAndRemoved(t *testing.T) {
	s := newSite(t)
	peer := func(action, data string) Result {
		t.Helper()
		return act(t, plugins(), s, ann, fromJSON(t, `{"resource":"peer","action":"`+action+`","data":`+data+`}`))
	}
	r := peer("create", `{"id":"rome","endpoints":["ws://rome:3000/rpc"],"secret":"s","restartTime":60,"maxRoutes":1000}`)
	want := fsm.PeerConfig{ID: "rome", Endpoints: []string{"ws://rome:3000/rpc"}, Secret: "s", RestartTime: 60, MaxRoutes: 1000}
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
	if r := peer("delete", `{"id":"rome"}`); !r.Success {
		t.Errorf("the delete: %+v", r)
	}
	if r := peer("delete", `{"id":"rome"}`); r.Code != fsm.NotFound {
		t.Errorf("the second delete: %+v", r)
	}
}
