package clustertests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// siteKeys is what a site tells of its keys.
type siteKeys struct {
	Fingerprint string
	Keys        []struct {
		ID      string
		Primary bool
	}
	Certificates []struct {
		ID        string
		ExpiresAt int64
	}
}

func (s *site) keys(n *node) (siteKeys, error) {
	return once[siteKeys](s.driver, n.http(), s.scope(), call("listKeys"))
}

// TestKeysAreRotated under load, while one node is down: it finds the others again by the RPC addresses that it knows, and
// gossips with the new key.
func TestKeysAreRotated(t *testing.T) {
	s := startSecured(t, 3)
	before, err := s.keys(s.nodes[0])
	if err != nil || len(before.Keys) != 1 || !before.Keys[0].Primary {
		t.Fatalf("the keys of a new site: %s %v, want one", asJSON(before), err)
	}
	l := s.load(t, 3, "rotated")
	l.advances(t, 20)
	down := s.follower(t)
	oldKeys := down.gossipKeys(t)
	down.crash(t)
	l.aim(t)
	s.isSeen(t, down, "failed")

	got := s.cli(t, s.running()[0], 0, "keys", "rotate")
	says(t, "keys-rotate", got.stdout+got.stderr, before.Keys[0].ID, "OLD_KEY", s.primary(t, s.running()[0]), "NEW_KEY")
	l.advances(t, 20)
	for _, n := range s.running() {
		if keys := n.gossipKeys(t); keys == oldKeys {
			t.Errorf("%s keeps the old keys: the rotation took no effect", n.id)
		}
		if after, err := s.keys(n); err != nil || len(after.Keys) != 1 || after.Keys[0].ID == before.Keys[0].ID {
			t.Errorf("%s tells of the keys %s %v, want one, and another than %s", n.id, asJSON(after), err, before.Keys[0].ID)
		}
	}
	if down.gossipKeys(t) != oldKeys {
		t.Fatal("the node that is down has the new keys: the test shows nothing")
	}
	down.start(t, down.at)
	s.complete(t, 3)
	s.isSeen(t, down, "alive")
	eventually(t, "it has the new keys alone", func() error {
		if keys, others := down.gossipKeys(t), s.other(t, down).gossipKeys(t); keys != others {
			return fmt.Errorf("its file is another than that of %s", s.other(t, down).id)
		}
		return nil
	})
	l.aim(t)
	l.advances(t, 20)
	s.holds(t, l.finish(t))
	t.Run("again, with all up and all on the way", func(t *testing.T) {
		was := s.primary(t, down)
		s.cli(t, down, 0, "keys", "rotate")
		if now := s.primary(t, down); now == was {
			t.Errorf("the key is %s as before", now)
		}
		for _, n := range s.nodes {
			s.isSeen(t, n, "alive")
		}
	})
	s.keepsSecrets(t)
}

// gossipKeys is the file of a node's gossip keys.
func (n *node) gossipKeys(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "gossip-keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// primary is the id of the key with which a node encrypts.
func (s *site) primary(t testing.TB, n *node) string {
	t.Helper()
	keys, err := s.keys(n)
	if err != nil || len(keys.Keys) == 0 {
		t.Fatalf("the keys at %s: %s %v", n.id, asJSON(keys), err)
	}
	return keys.Keys[0].ID
}

// isSeen waits until every other running node sees n in a state.
func (s *site) isSeen(t testing.TB, n *node, state string) {
	t.Helper()
	eventually(t, fmt.Sprintf("all see that %s is %s", n.id, state), func() error {
		for _, at := range s.running() {
			if at == n {
				continue
			}
			if m, err := s.member(at, n.id); err != nil || m.State != state {
				return fmt.Errorf("%s sees %s %v", at.id, asJSON(m), err)
			}
		}
		return nil
	})
}

// TestCertificatesAreRenewed: certificates that are valid for ten seconds are replaced again and again and no client notices,
// and a node that was down beyond the end of its own is one of the site again.
func TestCertificatesAreRenewed(t *testing.T) {
	const life = 10 * time.Second
	s := startSecured(t, 3, "--certificate-life", life.String())
	down := s.follower(t)
	down.stop(t)
	l := s.load(t, 3, "renewed")
	open := s.dial(t, s.running()[1])
	defer open.close(t)
	open.register(t, service("begin"))
	first := s.expiries(t)
	for id, at := range first {
		if left := time.Until(time.UnixMilli(at)); left > life {
			t.Fatalf("the certificate of %s is valid for another %v, want at most %v", id, left, life)
		}
	}
	last := first
	for i := range 3 {
		eventually(t, fmt.Sprintf("renewal %d of all", i+1), func() error {
			now := s.expiries(t)
			for id, at := range last {
				if now[id] <= at {
					return fmt.Errorf("that of %s ends at %v", id, time.UnixMilli(at))
				}
			}
			last = now
			return nil
		})
	}
	eventually(t, "all first certificates are over", func() error {
		for _, at := range first {
			if left := time.Until(time.UnixMilli(at)); left > -time.Second {
				return fmt.Errorf("one has %v left", left)
			}
		}
		return nil
	})
	l.advances(t, 50)
	if _, err := open.routes(query{}); err != nil {
		t.Errorf("the session from before: %v", err)
	}
	f := l.finish(t)
	if len(f.Rejected) > 0 || len(f.Refused) > 0 {
		t.Errorf("the load noticed: %v %s", f.Rejected, asJSON(f.Refused))
	}
	f.Acked = append(f.Acked, ack{Name: "begin", Index: f.lastIndex()})
	s.holds(t, f)
	for _, n := range s.running() {
		if text := string(tail(n.log.Name(), 1<<20)); strings.Count(text, "the certificate is renewed") < 3 {
			t.Errorf("the log of %s does not tell of it", n.id)
		}
	}
	down.start(t, down.at) // its certificate is as old as the first of the others
	s.complete(t, 3)
	s.isSeen(t, down, "alive")
	s.holds(t, f)
}

// expiries are the ends of all certificates, by node.
func (s *site) expiries(t testing.TB) map[string]int64 {
	t.Helper()
	ends := map[string]int64{}
	eventually(t, "a node tells of all certificates", func() error {
		keys, err := s.keys(s.running()[0])
		if err != nil {
			return err
		}
		for _, c := range keys.Certificates {
			ends[c.ID] = c.ExpiresAt
		}
		if len(ends) != len(s.running()) {
			return fmt.Errorf("%s", asJSON(keys))
		}
		return nil
	})
	return ends
}
