package clustertests

import (
	"fmt"
	"slices"
	"testing"
)

// TestPeersServicesReachTheGateway: the gateway of a site serves what is registered at the peer site too, one query across
// both; what is deleted at either leaves it, and the last one leaves it empty.
func TestPeersServicesReachTheGateway(t *testing.T) {
	g := startGateway(t)
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")
	rome := startNamed(t, "rome", 1)
	oslo := newSite(t, "oslo", 2, "--gateway-endpoint", g.api())
	oslo.start(t, anyPort)
	atRome, atOslo := rome.dial(t, rome.nodes[0]), oslo.dial(t, oslo.follower(t))
	want := services{}
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)

	want.register(t, rome, atRome, books.channel("books"))
	want.register(t, oslo, atOslo, pokemon.channel("pokemon"))
	g.serves(t, "books", "pokemon")
	answersAcross(t, g)

	t.Run("a learned definition is replaced", func(t *testing.T) {
		moved := startService(t, 0, "books", "--title", "Structure and Interpretation, moved")
		want.register(t, rome, atRome, moved.channel("books"))
		everywhere(t, want, rome, oslo)
		eventually(t, "the gateway asks at the new endpoint", func() error {
			c, err := g.configs()
			if err != nil || !slices.Contains(c.Serving, endpoint{"books", moved.graphql()}) {
				return fmt.Errorf("it serves %+v (%v)", c.Serving, err)
			}
			return nil
		})
		answersAcross(t, g)
	})
	t.Run("what is withdrawn leaves the gateway", func(t *testing.T) {
		want.remove(t, rome, atRome, "books:http:graphql")
		g.serves(t, "pokemon")
	})
	t.Run("the last one deleted empties the gateway", func(t *testing.T) {
		want.register(t, rome, atRome, books.channel("books"))
		want.remove(t, oslo, atOslo, "pokemon:http:graphql")
		g.serves(t, "books")
		want.remove(t, rome, atRome, "books:http:graphql")
		g.serves(t)
	})
	t.Run("a removed peer leaves nothing", func(t *testing.T) {
		want.register(t, rome, atRome, books.channel("books"))
		g.serves(t, "books")
		rome.cli(t, rome.nodes[0], 0, "peer", "remove", "oslo")
		g.serves(t)
	})
}
