package clustertests

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// across asks both services at once, so an answer needs both stitched.
const across = `{ allBooks { title Author { name } } getPokemon(pokemon: pikachu) { species } }`

// TestGatewayFollowsTheTable drives a real gateway over real GraphQL services through everything that can go wrong with
// either, and through a leader change.
func TestGatewayFollowsTheTable(t *testing.T) {
	g := startGateway(t)
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")
	s := startSite(t, 3, "--gateway-endpoint", g.api())
	c := s.dial(t, s.follower(t))

	t.Run("services register through a follower", func(t *testing.T) {
		for _, d := range []dataChannel{books.channel("books"), pokemon.channel("pokemon")} {
			if r := c.register(t, d); r.Data.Gateway == nil || r.Data.Gateway.State != "applied" {
				t.Errorf("register %s: %v, want gateway.state applied", d.Name, r)
			}
		}
		g.serves(t, "books", "pokemon")
		answersAcross(t, g)
	})
	t.Run("what is not GraphQL is not the gateway's", func(t *testing.T) {
		made := c.register(t, service("plain"))
		g.serves(t, "books", "pokemon")
		c.do(t, deletion(made.Data.ID))
	})
	t.Run("a gateway that was away gets its services back", func(t *testing.T) {
		g.kill(t)
		if _, err := g.configs(); err == nil {
			t.Fatal("the gateway was killed and still answers")
		}
		g.start(t)
		got := g.serves(t, "books", "pokemon")
		if got.Count == 0 || got.Sessions == 0 {
			t.Errorf("%+v: want a session and a list since the restart", got)
		}
		answersAcross(t, g)
	})
	t.Run("a dead service is set aside and heals by itself", func(t *testing.T) { deadService(t, s, g, c) })
	t.Run("so it is when the gateway does not say which", func(t *testing.T) {
		g.kill(t)
		g.start(t, "--anonymous-errors")
		g.serves(t, "books", "pokemon")
		deadService(t, s, g, c)
		g.kill(t)
		g.start(t)
		g.serves(t, "books", "pokemon")
	})
	t.Run("a service that cannot be stitched is set aside", func(t *testing.T) { clashingService(t, s, g, c) })
	t.Run("the incumbent keeps a name", func(t *testing.T) {
		other := startService(t, 0, "books", "--title", "An Impostor")
		made := c.register(t, other.channel("more-books"))
		g.serves(t, "books", "more-books", "pokemon")
		if got := string(g.asks(t, "{ allBooks { title } }")["allBooks"]); strings.Contains(got, "Impostor") {
			t.Errorf("allBooks comes from the newcomer: %s", got)
		}
		c.do(t, deletion(made.Data.ID))
	})
	t.Run("a new leader keeps it in step", func(t *testing.T) { gatewayAfterFailover(t, s, g, books) })
	t.Run("the last one deleted empties the gateway", func(t *testing.T) {
		at := s.dial(t, s.leader(t))
		list, err := at.routes(query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Routes {
			insist(t, at, deletion(r.ID))
		}
		g.serves(t)
	})
}

func answersAcross(t testing.TB, g gateway) {
	t.Helper()
	data := g.asks(t, across)
	if got := string(data["allBooks"]); !strings.Contains(got, "Structure and Interpretation") || !strings.Contains(got, "Hal Abelson") {
		t.Errorf("allBooks: %s", got)
	}
	if got := string(data["getPokemon"]); !strings.Contains(got, "pikachu") {
		t.Errorf("getPokemon: %s", got)
	}
}

// deadService registers a service that is down, sees that only it is affected, and starts it.
func deadService(t *testing.T, s *site, g gateway, c *client) {
	port := freePort(t)
	dead := dataChannel{Name: "late", Endpoint: fmt.Sprintf("http://127.0.0.1:%d/graphql", port), Protocol: "http:graphql"}
	made := c.register(t, dead)
	if made.Data.Gateway == nil || made.Data.Gateway.State == "applied" {
		t.Errorf("register a dead service: %v, want gateway.state rejected or pending", made)
	}
	setAside(t, s, "late:http:graphql")
	g.serves(t, "books", "pokemon")
	answersAcross(t, g)
	healthy := service("healthy-beside")
	healthy.Protocol = "tcp"
	c.do(t, deletion(c.register(t, healthy).Data.ID))

	late := startService(t, port, "books", "--title", "Better Late")
	g.serves(t, "books", "late", "pokemon")
	eventually(t, "status shows nothing set aside", func() error {
		st, err := s.status(s.follower(t))
		switch {
		case err != nil:
			return err
		case st.Gateway == nil || st.Gateway.State != "applied" || len(st.Gateway.Quarantined) > 0:
			return errors.New(asJSON(st.Gateway))
		}
		return nil
	})
	c.do(t, deletion(made.Data.ID))
	g.serves(t, "books", "pokemon")
	late.kill(t)
}

// clashingService registers a service that is well by itself and breaks the stitching.
func clashingService(t *testing.T, s *site, g gateway, c *client) {
	clash := startService(t, 0, "clash")
	made := c.register(t, clash.channel("clash"))
	if made.Data.Gateway == nil || made.Data.Gateway.State == "applied" {
		t.Errorf("register a service that clashes: %v, want gateway.state rejected or pending", made)
	}
	setAside(t, s, "clash:http:graphql")
	g.serves(t, "books", "pokemon")
	answersAcross(t, g)
	c.do(t, deletion(made.Data.ID))
	g.serves(t, "books", "pokemon")
}

// setAside waits until status, asked at a follower, shows exactly this service quarantined, with the reason.
func setAside(t testing.TB, s *site, id string) {
	t.Helper()
	follower := s.follower(t)
	eventually(t, id+" is quarantined", func() error {
		st, err := s.status(follower)
		switch {
		case err != nil:
			return err
		case st.Gateway == nil || len(st.Gateway.Quarantined) != 1:
			return errors.New(asJSON(st.Gateway))
		case st.Gateway.Quarantined[0].ID != id || st.Gateway.Quarantined[0].Error == "":
			return errors.New(asJSON(st.Gateway.Quarantined))
		}
		return nil
	})
}

// gatewayAfterFailover kills the leader: its successor opens a session of its own and pushes what is registered next.
func gatewayAfterFailover(t *testing.T, s *site, g gateway, books *peer) {
	before := g.serves(t, "books", "pokemon")
	leader, term := s.leaderAfter(t, 0)
	leader.crash(t)
	if _, now := s.leaderAfter(t, term); now <= term {
		t.Fatalf("term %d after %d: the leader did not change", now, term)
	}
	eventually(t, "the new leader connects to the gateway", func() error {
		if now, err := g.configs(); err != nil || now.Sessions <= before.Sessions || now.Count <= before.Count {
			return fmt.Errorf("%d sessions and %d lists, before the kill %d and %d (%v)",
				now.Sessions, now.Count, before.Sessions, before.Count, err)
		}
		return nil
	})
	c := s.dial(t, s.follower(t))
	defer c.close(t)
	made := insist(t, c, creation(books.channel("after-failover")))
	if made.Data.Gateway == nil || made.Data.Gateway.State != "applied" {
		t.Errorf("register under the new leader: %v, want gateway.state applied", made)
	}
	g.serves(t, "after-failover", "books", "pokemon")
	answersAcross(t, g)
	leader.start(t, leader.at)
	s.complete(t, 3)
}
