package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// securedSite is a simulated site with tokens and keys. TLS itself is not
// here: the world believes nodes who they are (dial).
type securedSite struct {
	*world
	admin string // a token
	join  string // a token
}

// answer is an ActionResult with all that the tests look at.
type answer struct {
	actionResult
	Data map[string]any `json:"data"`
}

// secure founds a secured site with the first of some hosts; the others are
// taken in one by one.
func secure(w *world, alter func(*Config), ids ...string) *securedSite {
	w.t.Helper()
	for _, id := range ids {
		w.start(id, alter)
	}
	s := &securedSite{world: w}
	r, err := ask[answer](w, ids[0], "", "init", map[string]any{"joinUses": 1000})
	if err != nil || !r.Success {
		w.t.Fatalf("init: %+v, %v", r, err)
	}
	s.admin, s.join = r.Data["adminToken"].(string), r.Data["joinToken"].(string)
	for _, id := range ids[1:] {
		s.mustJoin(id, ids[0])
	}
	return s
}

// ask calls one method of a node as a client with a token.
func ask[T any](w *world, id, token, method string, args ...any) (answer T, err error) {
	return askFrom[T](w, id, "client", token, method, args...)
}

func askFrom[T any](w *world, id, from, token, method string, args ...any) (answer T, err error) {
	c, err := w.connectAs(id, from, token)
	if err != nil {
		return answer, err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return transport.Await[T](ctx, c.scope.Call(method, args...))
}

// act sends one action to a node, once.
func (s *securedSite) act(id, token, resource, action string, data map[string]any) (answer, error) {
	return ask[answer](s.world, id, token, "applyAction", map[string]any{"resource": resource, "action": action, "data": data})
}

// must sends an action as the admin to any node until it is answered, and
// wants it done.
func (s *securedSite) must(resource, action string, data map[string]any) answer {
	s.t.Helper()
	var r answer
	var err error
	s.eventually(resource+"/"+action+" is answered", func() bool {
		r, err = s.act(s.running()[0].cfg.ID, s.admin, resource, action, data)
		return err == nil
	})
	if !r.Success {
		s.t.Fatalf("%s/%s of %v: %+v", resource, action, data, r)
	}
	return r
}

func (s *securedSite) joinAt(id, at string) (answer, error) {
	return ask[answer](s.world, id, "", "join", s.hosts[at].rpcAddr(), map[string]any{"token": s.join})
}

func (s *securedSite) mustJoin(id, at string) {
	s.t.Helper()
	if r, err := s.joinAt(id, at); err != nil || !r.Success {
		s.t.Fatalf("%s joins at %s: %+v, %v", id, at, r, err)
	}
}

// token makes one and returns its text and id.
func (s *securedSite) token(data map[string]any) (text, id string) {
	s.t.Helper()
	r := s.must("token", "create", data)
	return r.Data["token"].(string), r.Data["id"].(string)
}

// follower is a running node that does not lead.
func (w *world) follower() *Node {
	w.t.Helper()
	leader := w.leader()
	for _, n := range w.running() {
		if n != leader {
			return n
		}
	}
	w.t.Fatal("no node follows")
	return nil
}

// voters are the ids that vote, as the leader has it.
func (w *world) voters() (ids []string) {
	n := w.leaderNow()
	if n == nil {
		return nil
	}
	for _, m := range n.memberList() {
		if m.Role != "nonvoter" {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// ended waits until a node ends by itself and returns why.
func (w *world) ended(id string) error {
	w.t.Helper()
	h := w.hosts[id]
	var err error
	w.eventually(id+" ends by itself", func() bool {
		select {
		case err = <-h.done:
			return true
		default:
			return false
		}
	})
	w.mu.Lock()
	h.node = nil
	w.mu.Unlock()
	return err
}

// wantWords checks that a text says what it should.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// code is the FailureCode of what a call was rejected with, or "".
func code(err error) string {
	var e *transport.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

func TestASiteIsFoundedSecuredAndJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "n1", "n2", "n3")
		defer w.shutdown()
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		r, err := ask[answer](w, "n1", "", "init", map[string]any{"as": 64999})
		if err != nil || !r.Success {
			t.Fatalf("init: %+v, %v", r, err)
		}
		for _, field := range []string{"adminToken", "joinToken", "join", "fingerprint", "siteId", "address"} {
			if text, _ := r.Data[field].(string); text == "" {
				t.Errorf("init does not answer with %s: %+v", field, r.Data)
			}
		}
		s := &securedSite{w, r.Data["adminToken"].(string), r.Data["joinToken"].(string)}
		if again, err := ask[answer](w, "n1", s.admin, "init", map[string]any{}); err != nil || again.Success || again.Code != "conflict" {
			t.Errorf("a second init: %+v, %v; want conflict", again, err)
		}
		for _, id := range []string{"n2", "n3"} {
			r, err := s.joinAt(id, "n1")
			if err != nil || !r.Success || r.Data["role"] != "voter" {
				t.Fatalf("%s joins: %+v, %v; want a voter", id, r, err)
			}
		}
		w.checkEqual()
		site := w.leader().machine.Table().ID()
		for _, n := range w.running() {
			who := n.who()
			switch instance, ok := n.machine.Table().Instance(n.cfg.ID); {
			case !n.secured() || n.keeper.Subject().Name != n.cfg.ID:
				t.Errorf("%s has no certificate of its own", n.cfg.ID)
			case who.SiteID != site || who.SiteID != r.Data["siteId"]:
				t.Errorf("%s is of site id %q, want %q", n.cfg.ID, who.SiteID, site)
			case !ok || instance != who.Instance:
				t.Errorf("%s is known as incarnation %q, and is %q", n.cfg.ID, instance, who.Instance)
			case n.members.keysVersion() != n.machine.Table().GossipKeysVersion():
				t.Errorf("%s gossips with keys of version %d", n.cfg.ID, n.members.keysVersion())
			}
		}
		// Only who shows the token is heard, at every node.
		for _, id := range sortedKeys(w.hosts) {
			if _, err := s.act(id, "", "dataChannel", "create", service("x", "http://x:80/")); code(err) != "unauthenticated" {
				t.Errorf("without a token at %s: %v, want unauthenticated", id, err)
			}
			if r, err := s.act(id, s.admin, "dataChannel", "upsert", service("x", "http://x:80/")); err != nil || !r.Success {
				t.Errorf("with the token at %s: %+v, %v", id, r, err)
			}
		}
		// A restart needs nothing but the disks.
		for _, id := range sortedKeys(w.hosts) {
			w.halt(id)
		}
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		w.eventually("the site is back", func() bool { return len(w.voters()) == 3 })
		s.must("dataChannel", "create", service("y", "http://y:80/"))
		w.checkEqual()
	})
}
