package fsm

import (
	"fmt"
	"math/rand/v2"
)

// choices turns bytes into commands: random bytes make a random log, and a
// fuzzer that changes a byte changes one decision.
type choices struct {
	left []byte
	now  int64
}

func randomChoices(seed uint64, size int) *choices {
	random := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return &choices{left: data, now: 1_000_000}
}

func (c *choices) more() bool { return len(c.left) > 0 }

// of is a choice in [0, n); without bytes the first.
func (c *choices) of(n int) int {
	if len(c.left) == 0 {
		return 0
	}
	b := int(c.left[0])
	c.left = c.left[1:]
	return b % n
}

func pick[T any](c *choices, from ...T) T { return from[c.of(len(from))] }

func (c *choices) batch() []Command {
	commands := make([]Command, 1+c.of(6))
	for i := range commands {
		commands[i] = c.command()
	}
	return commands
}

func (c *choices) command() Command {
	c.now += int64(pick(c, 0, 1, 1000, 60_000, 300_000, -1000))
	command := Command{At: c.now, By: pick(c, "admin", "admin", "token ops"), Op: c.op()}
	if c.of(3) == 0 {
		command.RequestID = fmt.Sprint("r", c.of(12))
	}
	return command
}

func (c *choices) op() Op {
	switch c.of(32) {
	case 0, 1, 2, 3, 4, 5, 6:
		return Put{Mode: Mode(c.of(3)), Service: c.service()}
	case 7, 8, 9:
		return Delete{ID: c.id()}
	case 10, 11, 12, 13, 14:
		return c.learn()
	case 15:
		return MarkStale{Peer: c.peer()}
	case 16:
		return Withdraw{Peer: c.peer(), Stale: c.of(2) == 0}
	case 17:
		return PutPeer{Mode: Mode(c.of(3)), Peer: PeerConfig{ID: c.peer(), Endpoints: []string{pick(c, "ws://peer", "ws://peer", "ws://other")}, MaxRoutes: pick(c, 0, 0, 5), Secret: pick(c, "", "s")}}
	case 18:
		return DeletePeer{ID: c.peer()}
	case 19:
		return OpenPeer{Peer: c.peer(), Epoch: pick(c, "", "e1", "e2"), Term: uint64(c.of(3)), Collector: c.of(5) == 0}
	case 20:
		return BindPeer{ID: c.peer(), Peer: c.peer()}
	case 21, 22, 23:
		return c.tokenOp()
	case 24:
		return Admit{ID: c.member(), Instance: pick(c, "i1", "i1", "i2")}
	case 25:
		return pick[Op](c, Expel{ID: c.member()}, Expel{ID: c.member()}, Raise{Level: c.of(4)})
	case 26:
		return SetAuthority{Certificate: []byte(pick(c, "c1", "c1", "c2")), Key: []byte(pick(c, "k1", "k1", ""))}
	case 27, 28:
		return SetGossipKeys{Was: uint64(c.of(40)), Keys: pick(c, [][]byte{hash("1")}, [][]byte{hash("2"), hash("1")}, [][]byte{hash("1"), hash("1")}, nil)}
	case 29:
		return Renew{Epoch: fmt.Sprintf("e%03d", c.of(256)), ID: pick(c, "id-1", "id-2", ""), Keep: pick(c, nil, []string{"n1"}, []string{"n2", "n3"})}
	case 30:
		return Note{Action: pick(c, "member/remove", "member/promote", ""), ID: c.member(), Detail: pick(c, "", "by force")}
	}
	return pick[Op](c, nil, Found{Site: "paris"}, HoldBack{ID: c.member(), Held: c.of(2) == 0})
}

// founding is of either level.
func (c *choices) founding() Found {
	return Found{Site: "paris", AS: 1, Epoch: "e", ID: pick(c, "id-1", ""), Level: pick(c, 2, 2, 2, 0)}
}

func (c *choices) member() string { return pick(c, "n1", "n2", "n3") }

func (c *choices) tokenOp() Op {
	id := pick(c, "t1", "t2", "t3", "t4")
	switch c.of(3) {
	case 0:
		return RevokeToken{ID: id, Force: c.of(2) == 0}
	case 1:
		return UseToken{ID: id, For: pick(c, "n1 00ff", "n2 00fe")}
	}
	t := Token{ID: id, Role: pick(c, RoleAdmin, RoleAdmin, RoleJoin, RoleJoin, RolePeer, RoleViewer), Hash: hash(id), ExpiresAt: c.now + int64(pick(c, 1, 200_000, 900_000, 0))}
	switch {
	case t.Role == RoleJoin:
		t.Uses = c.of(4)
	case t.Role == RolePeer:
		t.Site = c.peer()
	case c.of(2) == 0:
		t.ExpiresAt = 0
	}
	return PutToken{t}
}

func (c *choices) service() Service {
	v := Service{
		Name:     pick(c, "a", "ab", "b", "books", "c", "films", "a b"),
		Endpoint: pick(c, "http://x", "http://y", "http://x", "nowhere"),
		Protocol: pick(c, HTTPGraphQL, "http:gql", TCP, UDP, TCP, "smtp"),
		Region:   pick(c, "", "", "eu"),
	}
	if c.of(4) == 0 {
		v.Tags = map[string]string{"k": pick(c, "1", "2"), "team": "t"}
	}
	return v
}

func (c *choices) id() string {
	return pick(c, "a", "ab", "b", "books", "c", "films") + ":" + pick(c, "http:graphql", "http:gql", "tcp", "udp", "tcp:graphql")
}

func (c *choices) peer() string { return pick(c, "london", "rome", "oslo", "paris") }

func (c *choices) learn() Learn {
	l := Learn{
		Peer: c.peer(), Epoch: pick(c, "", "e1", "e2"), Term: uint64(c.of(3)), Version: uint64(c.of(50)),
		EndOfRIB: c.of(3) == 0, Resumed: c.of(2) == 0,
	}
	for range c.of(4) {
		l.Remove = append(l.Remove, LearnedKey{ID: c.id(), Site: pick(c, "london", "rome", "oslo")})
	}
	for range c.of(6) {
		path := pick(c, []string{"london"}, []string{"rome"}, []string{"rome", "oslo"}, []string{"oslo"}, []string{"london", "rome"}, []string{"paris", "rome"}, nil)
		a := LearnedRoute{Service: c.service(), Path: path, Site: pick(c, "rome", "oslo"), Version: uint64(c.of(50))}
		if len(path) > 0 && c.of(8) > 0 {
			a.Site = path[len(path)-1]
		}
		if c.of(4) == 0 {
			a.ID = c.id()
		}
		l.Add = append(l.Add, a)
	}
	return l
}
