package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

func plugins() Pipeline {
	return Pipeline{AuthPlugin{}, LocalRoutingPlugin{}, DirectProxyRouteTablePlugin{}, (*GatewayIntegrationPlugin)(nil), InternalBGPPlugin{}}
}

var ann = Identity{Name: "ann", Role: Admin}

// act sends v through p the way an edge does.
func act(t testing.TB, p Pipeline, s Proposer, who Identity, v any) Result {
	t.Helper()
	a, refusal := DecodeAction(v)
	if refusal != nil {
		return *refusal
	}
	r, err := p.Apply(t.Context(), &Context{Action: a, Identity: who, Proposer: s})
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	return r
}

func fromJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestServiceLivesFromCreateToDelete(t *testing.T) {
	s := newSite(t)
	do := func(action, data string) Result {
		t.Helper()
		return act(t, plugins(), s, ann, fromJSON(t, `{"resource":"dataChannel","action":"`+action+`","data":`+data+`}`))
	}
	for _, step := range []struct {
		action, data string
		code         fsm.Code
		endpoint     string // in the table, afterwards
		unchanged    bool
	}{
		{"update", `{"name":"books","endpoint":"http://a/graphql","protocol":"http:gql"}`, fsm.NotFound, "", false},
		{"create", `{"name":"books","endpoint":"http://a/graphql","protocol":"http:gql"}`, "", "http://a/graphql", false},
		{"create", `{"name":"books","endpoint":"http://a/graphql","protocol":"http:graphql"}`, "", "http://a/graphql", true},
		{"create", `{"name":"books","endpoint":"http://b/graphql","protocol":"http:graphql"}`, fsm.Conflict, "http://a/graphql", false},
		{"update", `{"name":"books","endpoint":"http://b/graphql","protocol":"http:graphql"}`, "", "http://b/graphql", false},
		{"upsert", `{"name":"books","endpoint":"http://c/graphql","protocol":"http:graphql"}`, "", "http://c/graphql", false},
		{"delete", `{"id":"books:http:gql"}`, "", "", false},
		{"delete", `{"id":"books:http:graphql"}`, fsm.NotFound, "", false},
	} {
		r := do(step.action, step.data)
		if r.Success != (step.code == "") || r.Code != step.code || r.Success == (r.Error != "") {
			t.Errorf("%s %s: %+v, want code %q", step.action, step.data, r, step.code)
		}
		if r.Success {
			if r.Data != (RouteData{ID: "books:http:graphql", Unchanged: step.unchanged}) || r.Index == 0 || r.Index > r.State.Version() {
				t.Errorf("%s: %+v", step.action, r)
			}
		}
		got := ""
		if route := s.Table().Local("books:http:graphql"); route != nil {
			got = route.Service.Endpoint
		}
		if got != step.endpoint {
			t.Errorf("after %s the endpoint is %q, want %q", step.action, got, step.endpoint)
		}
	}
}

func TestCommandCarriesWhoAndWhichRequest(t *testing.T) {
	s := newSite(t)
	act(t, plugins(), s, ann, fromJSON(t, `{"resource":"dataChannel","action":"create","requestId":"r1","data":{"name":"db","endpoint":"tcp://db:1","protocol":"tcp","region":"eu","tags":{"a":"b"},"more":[1]}}`))
	if s.last.By != "ann" || s.last.RequestID != "r1" {
		t.Errorf("the command is %+v", s.last)
	}
	route := s.Table().Local("db:tcp")
	if route == nil || route.Service.Region != "eu" || route.Service.Tags["a"] != "b" {
		t.Errorf("the route is %+v", route)
	}
}

func TestEachProtocolHasItsPlugin(t *testing.T) {
	for _, protocol := range fsm.Protocols() {
		data := map[string]any{"name": "x", "endpoint": "http://x:1", "protocol": string(protocol)}
		for _, action := range []map[string]any{
			{"resource": "dataChannel", "action": "create", "data": data},
			{"resource": "dataChannel", "action": "delete", "data": map[string]any{"id": "x:" + string(protocol)}},
		} {
			a, _ := DecodeAction(action)
			for name, c := range map[string]struct {
				plugin Plugin
				mine   bool
			}{"local": {LocalRoutingPlugin{}, !protocol.GraphQL()}, "proxy": {DirectProxyRouteTablePlugin{}, protocol.GraphQL()}} {
				s := newSite(t)
				_, err := c.plugin.Apply(t.Context(), &Context{Action: a, Proposer: s})
				if took := s.last.By == "" && s.Table().Version() > 1 || err != nil; took != c.mine {
					t.Errorf("%s takes %s of %s: %t, want %t", name, a, protocol, took, c.mine)
				}
			}
		}
	}
}

func TestOlderSpellingsWork(t *testing.T) {
	s := newSite(t)
	for _, text := range []string{
		`{"resource":"localRoute","resourceAction":"create","data":{"name":"books","endpoint":"http://a/graphql","protocol":"tcp:gql"}}`,
		`{"resource":"localRoute","action":"delete","resourceAction":"delete","data":{"id":"books:tcp:gql"}}`,
	} {
		if r := act(t, plugins(), s, ann, fromJSON(t, text)); !r.Success {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

func TestActionsAreReadFromStructsToo(t *testing.T) {
	s := newSite(t)
	older := struct {
		Resource       string      `json:"resource"`
		ResourceAction string      `json:"resourceAction"`
		Data           fsm.Service `json:"data"`
	}{"dataChannel", "create", fsm.Service{Name: "a", Endpoint: "tcp://a:1", Protocol: fsm.TCP}}
	newer := Action{Resource: "localRoute", Action: "create", Data: &fsm.Service{Name: "b", Endpoint: "tcp://b:1", Protocol: fsm.TCP, Tags: map[string]string{"k": "v"}}}
	for _, v := range []any{older, &older, newer, map[string]any{"resource": "dataChannel", "action": "delete", "data": struct {
		ID string `json:"id"`
	}{"a:tcp"}}} {
		if r := act(t, plugins(), s, ann, v); !r.Success {
			t.Errorf("%+v: %+v", v, r)
		}
	}
}

// undefined is how the transport hands on what JavaScript left undefined.
type undefined struct{}

func TestBadInputIsNamedWithTheWayOut(t *testing.T) {
	channel := func(change string, v any) map[string]any {
		data := map[string]any{"name": "books", "endpoint": "http://a/graphql", "protocol": "http:graphql"}
		data[change] = v
		return map[string]any{"resource": "dataChannel", "action": "create", "data": data}
	}
	on := func(resource, action string, data any) any {
		return map[string]any{"resource": resource, "action": action, "data": data}
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "action: is missing; send an object"},
		{undefined{}, "action: is missing; send an object"},
		{"create", "action: is a string; send an object"},
		{[]any{1.0}, "action: is a list; send an object"},
		{map[string]any{}, "resource: is missing; use one of dataChannel, internalBGP, peer"},
		{map[string]any{"resource": 7.0}, "resource: is a number; send a string"},
		{map[string]any{"resource": "books", "action": "create"}, `resource: "books" does not exist; use one of dataChannel, internalBGP, peer`},
		{map[string]any{"resource": strings.Repeat("b", 1<<20), "action": "create"}, `resource: "` + strings.Repeat("b", 80) + `…" does not exist; use one of dataChannel, internalBGP, peer`},
		{map[string]any{"resource": "dataChannel"}, "action: is missing for dataChannel; use one of create, delete, update, upsert"},
		{map[string]any{"resource": "dataChannel", "action": true}, "action: is a boolean; send a string"},
		{on("dataChannel", "remove", nil), `action: "remove" does not exist for dataChannel; use one of create, delete, update, upsert`},
		{on("dataChannel/create", "", nil), `resource: "dataChannel/create" does not exist; use one of dataChannel, internalBGP, peer`},
		{map[string]any{"resource": "dataChannel", "action": "create", "resourceAction": "delete"}, `action: is "create" but resourceAction is "delete"; send one of them`},
		{map[string]any{"resource": "dataChannel", "action": "create", "requestId": strings.Repeat("x", 129)}, "requestId: has 129 bytes; use at most 128"},
		{Action{Resource: "dataChannel", Action: "create", RequestID: strings.Repeat("x", 129)}, "requestId: has 129 bytes; use at most 128"},
		{map[string]any{"resource": "dataChannel", "action": "create", "requestId": 1.0}, "requestId: is a number; send a string"},
		{on("dataChannel", "create", nil), "data: is missing; send an object"},
		{on("dataChannel", "create", "books"), "data: is a string; send an object"},
		{channel("name", undefined{}), "data.name: is missing; give the service a name, such as books"},
		{channel("name", nil), "data.name: is missing; give the service a name, such as books"},
		{channel("name", 1.0), "data.name: is a number; send a string"},
		{channel("name", "a b"), `data.name: "a b" has a space; use 1 to 253 of letters, digits, ".", "_", "-", starting with a letter or digit`},
		{channel("endpoint", undefined{}), "data.endpoint: is missing; give an absolute URL, such as http://books:8080/graphql"},
		{channel("endpoint", 8080), "data.endpoint: is a number; send a string"},
		{channel("endpoint", []byte("x")), "data.endpoint: is bytes; send a string"},
		{channel("endpoint", "/graphql"), `data.endpoint: "/graphql" is not an absolute URL; give an absolute URL with a scheme and a host, like http://books:8080/graphql`},
		{channel("protocol", nil), "data.protocol: is missing; use one of tcp, udp, http, http:graphql, http:grpc, tcp:graphql"},
		{channel("protocol", "ftp"), `data.protocol: "ftp" is unknown; use one of tcp, udp, http, http:graphql, http:grpc, tcp:graphql`},
		{channel("region", []any{}), "data.region: is a list; send a string"},
		{channel("tags", "a=b"), "data.tags: is a string; send an object"},
		{channel("tags", map[string]any{"weight": 3.0}), "data.tags.weight: is a number; send a string"},
		{channel("tags", map[string]any{"": "x"}), "data.tags: has an empty key; give every tag a key"},
		{on("dataChannel", "delete", map[string]any{}), "data.id: is missing; give the service's id, such as books:http:graphql"},
		{on("dataChannel", "delete", map[string]any{"id": undefined{}}), "data.id: is missing; give the service's id, such as books:http:graphql"},
		{on("dataChannel", "delete", map[string]any{"id": "books"}), `data.id: "books" is not a name and a protocol; use an id such as books:http:graphql, with one of the protocols tcp, udp, http, http:graphql, http:grpc, tcp:graphql`},
		{on("peer", "create", map[string]any{}), `data.id: is empty; use 1 to 253 of letters, digits, ".", "_", "-", starting with a letter or digit`},
		{on("peer", "create", map[string]any{"endpoints": "ws://a"}), "data.endpoints: is a string; send a list"},
		{on("peer", "create", map[string]any{"endpoints": []any{1.0}}), "data.endpoints.0: is a number; send a string"},
		{on("peer", "create", map[string]any{"endpoints": []any{"ws://a"}, "restartTime": "1"}), "data.restartTime: is a string; send a number"},
		{on("peer", "create", map[string]any{"endpoints": []any{"ws://a"}, "maxRoutes": -1.0}), "data.maxRoutes: is -1; send a whole number from 0 up"},
		{on("peer", "create", map[string]any{"endpoints": []any{"ws://a"}, "maxRoutes": 0.5}), "data.maxRoutes: is 0.5; send a whole number from 0 up"},
		{on("peer", "delete", map[string]any{}), "data.id: is missing; give the peer's id; `catalyst peer list` shows them"},
	} {
		s := newSite(t)
		r := act(t, plugins(), s, ann, c.v)
		if r.Success || r.Code != fsm.Invalid || r.Error != c.want {
			t.Errorf("%.200v:\n got %s %q\nwant %q", c.v, r.Code, r.Error, c.want)
		}
		if s.Table().Version() != 1 {
			t.Errorf("%v moved the table", c.v)
		}
	}
}

func TestRolesMayDoWhatTheyMay(t *testing.T) {
	data := map[string]any{"name": "x", "endpoint": "tcp://x:1", "protocol": "tcp", "id": "x:tcp", "endpoints": []any{"ws://x:1"}}
	for _, c := range []struct {
		resource, action string
		may              []Role
	}{
		{"dataChannel", "create", []Role{Operator, Admin}},
		{"dataChannel", "delete", []Role{Operator, Admin}},
		{"peer", "create", []Role{Admin}},
		{"member", "remove", []Role{Admin}},
		{"internalBGP", "close", []Role{Peer}},
	} {
		for _, role := range []Role{Viewer, Operator, Admin, Peer, Role(9)} {
			s := newSite(t)
			p := append(plugins(), answering{"member/remove"})
			sent := any(map[string]any{"resource": c.resource, "action": c.action, "data": data})
			if c.resource == internalBGP {
				sent, _ = PeerAction(fsm.Withdraw{Peer: "rome"})
			}
			r := act(t, p, s, Identity{Name: "x", Role: role, Site: "rome"}, sent)
			may := slices.Contains(c.may, role)
			if denied := r.Code == fsm.Forbidden; denied == may || denied != r.Stop {
				t.Errorf("%s on %s/%s: %+v, want may %t", role, c.resource, c.action, r, may)
			}
			if !may && (!strings.Contains(r.Error, "needs the role "+c.may[0].String()) || s.Table().Version() != 1) {
				t.Errorf("%s on %s/%s: %q", role, c.resource, c.action, r.Error)
			}
		}
	}
}

func TestPeerSpeaksOnlyForItself(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		who  Identity
		data any
		code fsm.Code
	}{
		{rome, fsm.OpenPeer{Peer: "rome"}, ""},
		{rome, fsm.OpenPeer{Peer: "oslo"}, fsm.Forbidden},
		{rome, fsm.Withdraw{Peer: "rome"}, fsm.Forbidden}, // is a close
		{rome, fsm.Delete{ID: "books:http"}, fsm.Forbidden},
		{rome, map[string]any{"peer": "rome"}, fsm.Forbidden},
		{rome, nil, fsm.Forbidden},
		{Identity{Name: "nobody", Role: Peer}, fsm.OpenPeer{Peer: "rome"}, fsm.Forbidden},
		{ann, fsm.OpenPeer{Peer: "rome"}, fsm.Forbidden},
	} {
		action := Action{Resource: internalBGP, Action: "open", Data: c.data}
		for _, p := range []Pipeline{plugins(), {InternalBGPPlugin{}}} {
			if r := act(t, p, s, c.who, action); r.Code != c.code {
				t.Errorf("%+v with %v: %+v, want code %q", c.who, c.data, r, c.code)
			}
		}
	}
}

// answering handles one kind of action, in one file and one line.
type answering struct{ kind string }

func (answering) Name() string        { return "answering" }
func (p answering) Handles() []string { return []string{p.kind} }
func (p answering) Apply(_ context.Context, c *Context) (Result, error) {
	if c.Action.String() != p.kind {
		return c.Result, nil
	}
	return Result{Success: true, Data: "done"}, nil
}

// scripted says what it is told to, and notes what it saw.
type scripted struct {
	say  func(ctx context.Context, c *Context) (Result, error)
	seen *[]string
	name string
}

func (p scripted) Name() string { return p.name }
func (p scripted) Apply(ctx context.Context, c *Context) (Result, error) {
	*p.seen = append(*p.seen, p.name)
	if p.say == nil {
		return c.Result, nil
	}
	return p.say(ctx, c)
}

var dbCreate = map[string]any{"resource": "dataChannel", "action": "create", "data": map[string]any{"name": "db", "endpoint": "tcp://db:1", "protocol": "tcp"}}

func TestStopHaltsThePipeline(t *testing.T) {
	stop := func(success bool, code fsm.Code) func(context.Context, *Context) (Result, error) {
		return func(_ context.Context, c *Context) (Result, error) {
			r := c.Result
			r.Success, r.Stop, r.Code = success, true, code
			return r, nil
		}
	}
	for name, c := range map[string]struct {
		first, second func(context.Context, *Context) (Result, error)
		seen          string
		success       bool
		committed     bool
	}{
		"nobody stops":                             {nil, nil, "first second third", true, true},
		"a refusal stops":                          {stop(false, fsm.Forbidden), nil, "first", false, false},
		"a success before stops":                   {stop(true, ""), nil, "first", true, false},
		"a success after stops":                    {nil, stop(true, ""), "first second", true, true},
		"after the commit a refusal stops nothing": {nil, stop(false, fsm.Forbidden), "first second third", true, true},
	} {
		s := newSite(t)
		var seen []string
		p := Pipeline{scripted{c.first, &seen, "first"}, LocalRoutingPlugin{}, scripted{c.second, &seen, "second"}, scripted{nil, &seen, "third"}}
		r := act(t, p, s, ann, dbCreate)
		if got := strings.Join(seen, " "); got != c.seen {
			t.Errorf("%s: ran %q, want %q", name, got, c.seen)
		}
		if committed := s.Table().NumLocal() == 1; r.Success != c.success || committed != c.committed {
			t.Errorf("%s: %+v, committed %t", name, r, committed)
		}
	}
}

func TestResultIsHandedOn(t *testing.T) {
	s := newSite(t)
	var seen []string
	p := Pipeline{LocalRoutingPlugin{}, scripted{func(_ context.Context, c *Context) (Result, error) {
		if !c.Result.Success || c.Result.State.Local("db:tcp") == nil {
			t.Errorf("the plugin behind the commit sees %+v", c.Result)
		}
		r := c.Result
		r.Data = "mine"
		return r, nil
	}, &seen, "last"}}
	if r := act(t, p, s, ann, dbCreate); r.Data != "mine" || r.Index == 0 {
		t.Errorf("the result is %+v", r)
	}
}

func TestRefusalAsAnErrorIsAnAnswer(t *testing.T) {
	var seen []string
	quota := scripted{func(context.Context, *Context) (Result, error) {
		return Result{}, fmt.Errorf("quota: %w", &fsm.Refusal{Code: fsm.TooLarge, Message: "name: you have 10 services; remove one first"})
	}, &seen, "quota"}
	r := act(t, append(Pipeline{quota}, plugins()...), newSite(t), ann, dbCreate)
	if r.Code != fsm.TooLarge || r.Error != "name: you have 10 services; remove one first" {
		t.Errorf("the result is %+v", r)
	}
}

func TestRefusalAlwaysHasACodeAndASentence(t *testing.T) {
	for _, said := range []Result{{Error: "no"}, {Stop: true}, {Code: fsm.Invalid}} {
		var seen []string
		p := append(Pipeline{scripted{func(context.Context, *Context) (Result, error) { return said, nil }, &seen, "curt"}}, plugins()...)
		if r := act(t, p, newSite(t), ann, dbCreate); r.Success || r.Code != fsm.Invalid || r.Error == "" {
			t.Errorf("%+v becomes %+v", said, r)
		}
	}
}

type lostProposer struct{ err error }

func (p lostProposer) Propose(context.Context, fsm.Command) (fsm.Outcome, *fsm.Table, error) {
	return fsm.Outcome{}, nil, p.err
}

type defectiveProposer struct{}

func (defectiveProposer) Propose(context.Context, fsm.Command) (fsm.Outcome, *fsm.Table, error) {
	return fsm.Outcome{Code: fsm.Internal, Message: "apply the command: index out of range"}, new(fsm.Table), nil
}

func TestWhatTheSiteCannotAnswerIsAnError(t *testing.T) {
	a, _ := DecodeAction(dbCreate)
	lost := errors.New("leadership lost")
	_, err := plugins().Apply(t.Context(), &Context{Action: a, Identity: ann, Proposer: lostProposer{lost}})
	if !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), "LocalRoutingPlugin: ") {
		t.Errorf("no leader: %v", err)
	}
	if r, err := plugins().Apply(t.Context(), &Context{Action: a, Identity: ann, Proposer: defectiveProposer{}}); err == nil {
		t.Errorf("a defect: %+v, want an error", r)
	}
}

func TestFailureBehindTheCommitStaysBehindIt(t *testing.T) {
	var seen []string
	p := Pipeline{LocalRoutingPlugin{}, scripted{func(ctx context.Context, c *Context) (Result, error) {
		return Result{}, errors.Join(errors.New("the notice was not sent"), ctx.Err())
	}, &seen, "notice"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, _ := DecodeAction(dbCreate)
	r, err := p.Apply(ctx, &Context{Action: a, Proposer: newSite(t)})
	if err != nil || !r.Success || r.Data != (RouteData{ID: "db:tcp"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNewPluginIsOneFileAndOneLine(t *testing.T) {
	remove := map[string]any{"resource": "member", "action": "remove", "data": map[string]any{"id": "n1"}}
	if r := act(t, plugins(), newSite(t), ann, remove); r.Code != fsm.Invalid || !strings.Contains(r.Error, `"member" does not exist`) {
		t.Errorf("without it: %+v", r)
	}
	p := append(plugins(), answering{"member/remove"})
	if r := act(t, p, newSite(t), ann, remove); !r.Success || r.Data != "done" {
		t.Errorf("with it: %+v", r)
	}
	if r := act(t, p, newSite(t), ann, map[string]any{"resource": "x"}); !strings.HasSuffix(r.Error, "use one of dataChannel, internalBGP, member, peer") {
		t.Errorf("what exists: %q", r.Error)
	}
}

func TestListedActionThatNobodyTakesIsInvalid(t *testing.T) {
	p := Pipeline{DirectProxyRouteTablePlugin{}} // and no LocalRoutingPlugin
	if r := act(t, p, newSite(t), ann, dbCreate); r.Code != fsm.Invalid || r.Error != "action: no plugin took dataChannel/create; check its data" {
		t.Errorf("%+v", r)
	}
}

func TestResultsJSONIsTheContracts(t *testing.T) {
	for _, c := range []struct {
		r    Result
		want string
	}{
		{Result{Success: true, Data: RouteData{ID: "a:tcp"}, State: new(fsm.Table), Index: 7}, `{"success":true,"data":{"id":"a:tcp"},"index":7}`},
		{Result{Success: true, Data: RouteData{ID: "a:tcp:graphql", Gateway: &GatewayData{State: GatewayApplied}}, Index: 7}, `{"success":true,"data":{"id":"a:tcp:graphql","gateway":{"state":"applied"}},"index":7}`},
		{Result{Success: true, Data: RouteData{ID: "a:tcp:graphql", Gateway: &GatewayData{State: GatewayPending, Error: "e", Queries: []string{"q"}, Mutations: []string{"m"}, Subscriptions: []string{"s"}, Warnings: []string{"w"}}}, Index: 7},
			`{"success":true,"data":{"id":"a:tcp:graphql","gateway":{"state":"pending","error":"e","queries":["q"],"mutations":["m"],"subscriptions":["s"],"warnings":["w"]}},"index":7}`},
		{Result{Stop: true, Code: fsm.Forbidden, Error: "no"}, `{"success":false,"stop":true,"code":"forbidden","error":"no"}`},
	} {
		if got, err := json.Marshal(c.r); err != nil || string(got) != c.want {
			t.Errorf("got %s, %v\nwant %s", got, err, c.want)
		}
	}
	status, _ := json.Marshal((&GatewayIntegrationPlugin{cfg: GatewayConfig{Endpoint: "ws://g"}}).Status())
	if want := `{"endpoint":"ws://g","state":"pending","services":0,"quarantined":[],"waiting":[],"warnings":[]}`; string(status) != want {
		t.Errorf("got %s\nwant %s", status, want)
	}
}

func FuzzAction(f *testing.F) {
	for _, seed := range []string{
		`{"resource":"dataChannel","action":"create","data":{"name":"books","endpoint":"http://a/graphql","protocol":"http:gql","tags":{"a":"b"}}}`,
		`{"resource":"localRoute","resourceAction":"delete","data":{"id":"books:http:gql"}}`,
		`{"resource":"peer","action":"create","data":{"endpoints":["ws://[::1]:3000/rpc"],"restartTime":1e300}}`,
		`{"resource":"internalBGP","action":"updateRoutes","data":{"updates":[{"type":"add","route":{"id":":","site":"rome","service":{}},"version":-1},7]}}`,
		`[]`, `null`, `{"data":[[[]]]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		for _, who := range []Identity{ann, {Role: Peer, Site: "rome"}} {
			r := act(t, plugins(), newSite(t), who, v)
			if r.Success == (r.Code != "") || r.Success == (r.Error != "") || len(r.Error) > 4096 {
				t.Errorf("%s: %+v", text, r)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	p := plugins()
	for b.Loop() {
		a, _ := DecodeAction(map[string]any{"resource": "dataChannel", "action": "create", "data": channel("books", "http://books:8080/graphql")})
		if _, err := p.Apply(b.Context(), &Context{Action: a, Identity: ann, Proposer: instantProposer{}}); err != nil {
			b.Fatal(err)
		}
	}
}

type instantProposer struct{}

func (instantProposer) Propose(context.Context, fsm.Command) (fsm.Outcome, *fsm.Table, error) {
	return fsm.Outcome{ID: "books:http:graphql", Index: 1}, nil, nil
}
