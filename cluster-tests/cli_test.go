package clustertests

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestCommandLine runs every client command that needs no peer site as a user or a script would, at a follower.
func TestCommandLine(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	follower := s.follower(t)
	at := func(t *testing.T, want int, args ...string) ran {
		t.Helper()
		got := cli(t, []string{"CATALYST_ADDR=" + follower.ws()}, args...)
		if got.status != want {
			t.Errorf("catalyst %s: exit status %d, want %d\nstdout: %s\nstderr: %s",
				strings.Join(args, " "), got.status, want, got.stdout, got.stderr)
		}
		return got
	}

	t.Run("services", func(t *testing.T) { cliServices(t, at) })
	t.Run("the site", func(t *testing.T) { cliSite(t, s, at) })
	t.Run("refused is 1", func(t *testing.T) {
		at(t, 0, "service", "add", "taken", "http://127.0.0.1:9/a", "-p", "http")
		refused := at(t, 1, "service", "add", "taken", "http://127.0.0.1:9/b", "-p", "http")
		if strings.Contains(refused.stdout, "taken:http") || !strings.Contains(refused.stderr, "taken:http") {
			t.Errorf("a conflict: %+v, want the reason on stderr alone", refused)
		}
		at(t, 1, "service", "remove", "nobody:http")
		at(t, 1, "service", "add", "bad name", "http://127.0.0.1:9/")
		answer := decode[result](t, []byte(at(t, 1, "service", "remove", "nobody:http", "-o", "json").stdout))
		if answer.Success || answer.Code != "not_found" {
			t.Errorf("refused with -o json: %v, want the RPC result on stdout", answer)
		}
	})
	t.Run("wrong usage is 2", func(t *testing.T) {
		for _, args := range [][]string{{"service", "add", "alone"}, {"service", "list", "--nope"}, {"nope"}, {"status", "-o", "yaml"}} {
			if got := at(t, 2, args...); got.stderr == "" || got.stdout != "" {
				t.Errorf("%v: %+v, want the reason on stderr", args, got)
			}
		}
	})
	t.Run("nobody there is 3", func(t *testing.T) {
		dead := fmt.Sprintf("ws://127.0.0.1:%d/rpc", freePort(t))
		if got := at(t, 3, "status", "--address", dead); !strings.Contains(got.stderr, dead[5:len(dead)-4]) {
			t.Errorf("stderr does not name the address: %s", got.stderr)
		}
		at(t, 0, "status", "--address", dead+","+follower.ws())
	})
	t.Run("a file of actions", func(t *testing.T) {
		applyFile(t, follower, fatTable(500, 0))
		list := decode[routes](t, []byte(at(t, 0, "service", "list", "-o", "json").stdout))
		if len(list.Routes) < 500 {
			t.Errorf("%d services after 500 were applied", len(list.Routes))
		}
	})
	t.Run("without a node", func(t *testing.T) {
		if got := at(t, 0, "version"); got.stdout == "" {
			t.Error("version prints nothing")
		}
		if got := at(t, 0, "completion", "bash"); !strings.Contains(got.stdout, "catalyst") {
			t.Error("completion bash prints no script")
		}
	})
}

type atFollower func(t *testing.T, want int, args ...string) ran

func cliServices(t *testing.T, at atFollower) {
	added := decode[result](t, []byte(at(t, 0, "service", "add", "books", "http://127.0.0.1:9/graphql", "--region", "eu", "--tag", "a=b", "--tag", "c=d", "-o", "json").stdout))
	if !added.Success || added.Data.ID != "books:http:graphql" || added.Index == 0 {
		t.Errorf("service add: %v", added)
	}
	find := func(command ...string) route {
		t.Helper()
		list := decode[routes](t, []byte(at(t, 0, append(command, "-o", "json")...).stdout))
		i := slices.IndexFunc(list.Routes, func(r route) bool { return r.ID == "books:http:graphql" })
		if i < 0 {
			t.Fatalf("%v does not list books: %s", command, asJSON(list))
		}
		return list.Routes[i]
	}
	first := find("service", "list")
	if d := first.Service; d.Region != "eu" || d.Tags["a"] != "b" || d.Tags["c"] != "d" || d.Protocol != "http:graphql" {
		t.Errorf("service list: %+v", d)
	}
	if r := find("route", "list"); !r.Best || r.Source != "local" {
		t.Errorf("route list: %+v", r)
	}
	if got := at(t, 0, "service", "list").stdout; !strings.Contains(got, "books") || json.Valid([]byte(got)) {
		t.Errorf("the table: %s", got)
	}
	if got := at(t, 0, "service", "show", "books:http:graphql").stdout; !strings.Contains(got, "http://127.0.0.1:9/graphql") {
		t.Errorf("service show: %s", got)
	}
	at(t, 0, "service", "update", "books", "http://127.0.0.1:9/moved")
	if moved := find("service", "list"); moved.Service.Endpoint != "http://127.0.0.1:9/moved" || moved.CreatedIndex != first.CreatedIndex {
		t.Errorf("after service update: %+v", moved)
	}
	at(t, 0, "service", "remove", "books:http:graphql")
	if got := at(t, 0, "service", "list", "-o", "json").stdout; strings.Contains(got, "books") {
		t.Errorf("after service remove: %s", got)
	}
}

func cliSite(t *testing.T, s *site, at atFollower) {
	st := decode[status](t, []byte(at(t, 0, "status", "-o", "json").stdout))
	if st.Voters != 3 || st.Tolerates != 1 || st.Leader == "" {
		t.Errorf("status: %+v", st)
	}
	if got := at(t, 0, "status").stdout; !strings.Contains(got, s.leader(t).id) {
		t.Errorf("status does not name the leader: %s", got)
	}
	list := decode[struct{ Members []member }](t, []byte(at(t, 0, "members", "-o", "json").stdout))
	roles := map[string]int{}
	for _, m := range list.Members {
		roles[m.Role]++
		if m.State != "alive" || m.RPC != s.node(t, m.ID).at.RPC || m.Raft == "" || m.Gossip == "" || m.Version == "" {
			t.Errorf("members: %+v", m)
		}
	}
	if roles["leader"] != 1 || roles["voter"] != 2 {
		t.Errorf("members: %v", roles)
	}
	at(t, 0, "metrics", "show", "-o", "json")
}
