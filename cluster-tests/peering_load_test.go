package clustertests

import (
	"fmt"
	"strings"
	"testing"
)

// TestPeersUnderLoad: both sites register and delete without pause while their leaders are killed in turn. In the end each
// has exactly what was acknowledged at the other, and so has a program that collects from it.
func TestPeersUnderLoad(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 3), startNamed(t, "oslo", 3)
	rome.peerWith(t, oslo)
	oslo.peerWith(t, rome)
	meet(t, rome, oslo)
	atRome, atOslo := rome.collect(t, "whole", rome.nodes...), oslo.collect(t, "bare", oslo.nodes...)
	loads := map[*site]*load{rome: rome.load(t, 3, "rome"), oslo: oslo.load(t, 3, "oslo")}
	for range 2 {
		for _, s := range []*site{rome, oslo} {
			for _, l := range loads {
				l.advances(t, 30)
			}
			crashLeaders(t, s)
			loads[s].advances(t, 30)
			comeBack(t, s)
		}
	}
	want := services{}
	for s, l := range loads {
		f := l.finish(t)
		if len(f.Rejected) == 0 {
			t.Errorf("no attempt at %s was ever rejected: the kills did not meet the load", s.name)
		}
		for _, a := range f.Acked {
			if a.Deleted == 0 {
				want[key{s.name, a.ID}] = service(a.Name)
			}
		}
	}
	everywhere(t, want, rome, oslo)
	for _, c := range []*collector{atRome, atOslo} {
		if got := c.has(t, want); got.Sessions < 2 {
			t.Errorf("%s of %s lived through the kills: %s", c.name, c.s.name, fmt.Sprint(got.Broken))
		}
	}
	meet(t, rome, oslo)
}

// TestPeerThatAnnouncesTooMuch: over the limit what is held stays, the excess is refused, and both sides say so.
func TestPeerThatAnnouncesTooMuch(t *testing.T) {
	rome, oslo := startNamed(t, "rome", 1), startNamed(t, "oslo", 1)
	atOslo := oslo.dial(t, oslo.nodes[0])
	for i := range 3 {
		atOslo.register(t, service(fmt.Sprint("early", i)))
	}
	rome.peerWith(t, oslo, "--max-routes", "3")
	meet(t, rome, oslo)
	held := []string{"oslo/early0:http by oslo", "oslo/early1:http by oslo", "oslo/early2:http by oslo"}
	rome.holdsFromPeers(t, held...)
	for i := range 2 {
		atOslo.register(t, service(fmt.Sprint("a-late", i)))
	}
	for s, other := range map[*site]string{rome: "oslo", oslo: "rome"} {
		eventually(t, s.name+" says that routes were refused", func() error {
			p := s.mustPeer(t, other)
			if !strings.Contains(p.LastError, "refused") {
				return fmt.Errorf("it tells %s", asJSON(p))
			}
			return nil
		})
	}
	rome.holdsFromPeers(t, held...)
	if p := rome.mustPeer(t, "oslo"); p.State != "established" || p.RoutesIn != 3 {
		t.Errorf("rome tells %s, want the session to stand with three routes", asJSON(p))
	}
}
