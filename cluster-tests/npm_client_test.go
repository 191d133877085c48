package clustertests

import (
	"slices"
	"strings"
	"testing"
)

// TestNpmClientWorksAtAnyNode runs what the README promises to npm's capnweb, at a follower so that every action is
// carried to the leader.
func TestNpmClientWorksAtAnyNode(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	follower := s.follower(t)

	t.Run("connect and act in one round trip over WebSocket", func(t *testing.T) { connectAndActOverWebSocket(t, s, follower) })
	t.Run("connect and act in one HTTP request", func(t *testing.T) { connectAndActInOneRequest(t, s, follower) })
	t.Run("map over the routes in one HTTP request", func(t *testing.T) { mapInOneRequest(t, s, follower) })
	t.Run("a broken action does not break the session", func(t *testing.T) { brokenActions(t, s, follower) })
	t.Run("every action at every node", func(t *testing.T) { everyActionAtEveryNode(t, s) })
	t.Run("older spellings", func(t *testing.T) { olderSpellings(t, s, follower) })
	t.Run("version before any scope", func(t *testing.T) { versionWithoutScope(t, s, follower) })
	t.Run("a watch goes on through a leader change", func(t *testing.T) { watchThroughLeaderChange(t, s) })
}

func connectAndActOverWebSocket(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	c.register(t, service("first"))
	got := c.report(t)
	// push connectionFromCli, push applyAction, pull: all on the way before the node said anything.
	if got.SentBeforeFirstAnswer < 3 {
		t.Errorf("%d frames were sent before the first came back, want at least 3: %+v", got.SentBeforeFirstAnswer, got)
	}
}

func connectAndActInOneRequest(t *testing.T, s *site, n *node) {
	outcomes, requests, err := s.batch(n.http(),
		[]step{call("connectionFromCli"), call("applyAction", creation(service("batched")))},
		[]step{call("connectionFromCli"), call("listLocalRoutes", query{Name: "batched"})},
	)
	if err != nil {
		t.Fatal(err)
	}
	if requests != 1 {
		t.Errorf("%d HTTP requests, want 1", requests)
	}
	for _, o := range outcomes {
		if o.Error != nil {
			t.Fatal(o.Error)
		}
	}
	created := decode[result](t, outcomes[0].Value)
	if !created.Success || created.Data.ID != "batched:http" || created.Index == 0 {
		t.Errorf("create: %v", created)
	}
}

func mapInOneRequest(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	for _, name := range []string{"map-a", "map-b", "map-c"} {
		c.register(t, service(name))
	}
	list := []step{call("connectionFromCli"), call("listLocalRoutes"), get("routes")}
	outcomes, requests, err := s.batch(n.http(),
		append(slices.Clone(list), mapTo([]string{"service", "name"})),
		append(slices.Clone(list), mapTo(map[string][]string{"id": {"id"}, "at": {"service", "endpoint"}})),
	)
	if err != nil {
		t.Fatal(err)
	}
	if requests != 1 {
		t.Errorf("%d HTTP requests, want 1", requests)
	}
	for _, o := range outcomes {
		if o.Error != nil {
			t.Fatal(o.Error)
		}
	}
	names := decode[[]string](t, outcomes[0].Value)
	pairs := decode[[]struct{ ID, At string }](t, outcomes[1].Value)
	for _, name := range []string{"map-a", "map-b", "map-c"} {
		if !slices.Contains(names, name) {
			t.Errorf("mapped names %v lack %s", names, name)
		}
		want := struct{ ID, At string }{name + ":http", "http://127.0.0.1:9/" + name}
		if !slices.Contains(pairs, want) {
			t.Errorf("mapped pairs %v lack %v", pairs, want)
		}
	}
}

func brokenActions(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	refused := []struct {
		name   string
		action action
		code   string
		names  string // what the error must name
	}{
		{"unknown resource", action{Resource: "teapot", Action: "create", Data: args{}}, "invalid", "teapot"},
		{"unknown action", action{Resource: "dataChannel", Action: "brew", Data: args{}}, "invalid", "brew"},
		{"data of a wrong type", action{Resource: "dataChannel", Action: "create", Data: 7}, "invalid", "data"},
		{"a field of a wrong type", action{Resource: "dataChannel", Action: "create", Data: args{"name": 7, "endpoint": "http://x", "protocol": "http"}}, "invalid", "name"},
		{"nothing to delete", deletion("nobody:http"), "not_found", "nobody:http"},
		{"a peer's action from a client", action{Resource: "internalBGP", Action: "updateRoutes", Data: args{}}, "forbidden", "internalBGP"},
	}
	for _, r := range refused {
		t.Run(r.name, func(t *testing.T) {
			got, err := c.apply(r.action)
			if err != nil || got.Success || got.Code != r.code || !strings.Contains(got.Error, r.names) {
				t.Errorf("got %v %v, want code %s and an error that names %s", got, err, r.code, r.names)
			}
		})
	}
	var ignored any
	if err := c.ask(&ignored, "noSuchMethod"); err == nil {
		t.Error("an unknown method was answered")
	}
	if err := c.ask(&ignored, "constructor"); err == nil {
		t.Error("constructor could be called")
	}
	c.register(t, service("after-all-that"))
	if broken := c.report(t).Broken; broken != nil {
		t.Errorf("the session broke: %v", broken)
	}
}

func everyActionAtEveryNode(t *testing.T, s *site) {
	for i, n := range s.running() {
		c := s.dial(t, n)
		next := s.running()[(i+1)%3]
		d := service("life-" + n.id)
		made := c.register(t, d)
		if again := c.register(t, d); again.Data.ID != made.Data.ID {
			t.Errorf("the same definition again: %v", again)
		}
		moved := d
		moved.Endpoint = "http://127.0.0.1:9/moved"
		if r, err := c.apply(creation(moved)); err != nil || r.Success || r.Code != "conflict" {
			t.Errorf("another definition under the id: %v %v, want conflict", r, err)
		}
		updated := c.do(t, action{Resource: "dataChannel", Action: "update", Data: moved})
		seen := s.table(t, next, updated.Index)["life-"+n.id+":http"]
		if seen.Service.Endpoint != moved.Endpoint || seen.CreatedIndex >= seen.ModifiedIndex {
			t.Errorf("%s shows %+v after the update at %s", next.id, seen, n.id)
		}
		upserted := c.do(t, action{Resource: "dataChannel", Action: "upsert", Data: d})
		if upserted.Index <= updated.Index {
			t.Errorf("indexes went %d, %d", updated.Index, upserted.Index)
		}
		gone := c.do(t, deletion(made.Data.ID))
		if _, there := s.table(t, next, gone.Index)[made.Data.ID]; there {
			t.Errorf("%s still shows %s", next.id, made.Data.ID)
		}
		c.close(t)
	}
}

func olderSpellings(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	var r result
	err := c.ask(&r, "applyAction", args{
		"resource": "localRoute", "resourceAction": "create",
		"data": args{"name": "old", "endpoint": "http://127.0.0.1:9/graphql", "protocol": "http:gql"},
	})
	if err != nil || !r.Success || r.Data.ID != "old:http:graphql" {
		t.Fatalf("create by older names: %v %v", r, err)
	}
	if err := c.ask(&r, "deleteLocalDataChannel", "old:http:gql"); err != nil || !r.Success {
		t.Errorf("delete by the alias: %v %v", r, err)
	}
}

func versionWithoutScope(t *testing.T, s *site, n *node) {
	got, err := once[struct {
		Version  string
		Protocol int
	}](s.driver, n.http(), call("version"))
	if err != nil || got.Version == "" || got.Protocol < 1 {
		t.Errorf("version: %+v %v", got, err)
	}
}
