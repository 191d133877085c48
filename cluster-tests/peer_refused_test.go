package clustertests

import (
	"fmt"
	"strings"
	"testing"
)

// malformedUpdates: what cannot be read as a whole ends the session that it came in, and no other; the routes that were
// announced before stay for a while, as after any loss.
func malformedUpdates(t *testing.T, rome *site) {
	witness := rome.mustOpen(t, rome.nodes[0], ofJS("witness"))
	witness.announces(t, announcement(1, service("seen"), "witness"))
	many := make([]update, 8193)
	for i := range many {
		many[i] = withdrawal(i, "bad", "nothing:http")
	}
	for name, updates := range map[string]any{
		"a text": "updates", "a number": 7, "null": nil, "an object": args{"0": 1, "length": 1}, "8193 items": many,
	} {
		for _, n := range rome.nodes {
			bad := rome.mustOpen(t, n, ofJS("bad"))
			bad.announces(t, announcement(1, service("before"), "bad"))
			if err := bad.d.ask("announce", args{"peer": bad.name, "updates": updates}, nil); err == nil {
				t.Errorf("%s for updates, at %s: it was answered", name, n.id)
			}
			bad.breaks(t, "an update that is "+name)
			if p := rome.mustPeer(t, "bad"); p.State == "established" || !strings.Contains(p.LastError, "malformed update") {
				t.Errorf("after %s for updates the site tells of the program: %s", name, asJSON(p))
			}
		}
	}
	rome.holdsFromPeers(t, "bad/before:http by bad", "witness/seen:http by witness")
	most := rome.mustOpen(t, rome.nodes[1], ofJS("bad"))
	most.announces(t, append(many[:8191:8191], announcement(9000, service("last"), "bad"))...)
	rome.holdsFromPeers(t, "bad/before:http by bad", "bad/last:http by bad", "witness/seen:http by witness")
	if got := witness.told(t); got.Broken != nil || len(got.Faults) > 0 {
		t.Errorf("another session suffered: %s", asJSON(got))
	}
	goodbye(t, most, witness)
}

// deposedProgram: a leader of a later term takes the session of its site over, and from then on the earlier one is heard
// neither in the session that it had nor in another.
func deposedProgram(t *testing.T, rome *site) {
	leader := func(epoch string, term int) *peerInfo {
		info := ofJS("js")
		info.Epoch, info.Term = epoch, term
		return info
	}
	refusesEarlier := func() {
		t.Helper()
		for _, earlier := range []*peerInfo{leader("2024", 5), leader("2023", 99)} {
			for _, n := range rome.nodes {
				_, _, err := rome.open(n, secretOf("rome"), earlier, nil)
				if codeOf(err) != "unavailable" || !strings.Contains(err.Error(), "term") {
					t.Errorf("open by the leader of term %d of epoch %s: %v, want a rejection that says so", earlier.Term, earlier.Epoch, err)
				}
			}
		}
	}
	old := rome.mustOpen(t, rome.nodes[0], leader("2024", 5))
	old.announces(t, announcement(1, service("a"), "js"))
	young := rome.mustOpen(t, rome.nodes[1], leader("2024", 6))
	if a, err := old.says(announcement(2, service("late"), "js"), withdrawal(2, "js", "a:http")); err == nil {
		t.Errorf("a late update of the deposed leader was answered: %+v", a)
	}
	old.breaks(t, "another leader came")
	young.announces(t, announcement(3, service("b"), "js"))
	refusesEarlier()
	rome.holdsFromPeers(t, "js/a:http by js", "js/b:http by js")
	if got := young.told(t); got.Broken != nil {
		t.Errorf("the session of the later leader broke: %v", got.Broken)
	}
	if p := rome.mustPeer(t, "js"); p.State != "established" || p.Term != 6 {
		t.Errorf("the site tells of the program: %s, want term 6", asJSON(p))
	}
	young.drop(t)
	eventually(t, "the session of the later leader is over", func() error {
		if p := rome.mustPeer(t, "js"); p.State == "established" {
			return fmt.Errorf("the site tells %s", asJSON(p))
		}
		return nil
	})
	refusesEarlier()                                             // also where no session is in their way
	reborn := rome.mustOpen(t, rome.nodes[0], leader("2025", 1)) // the site was founded anew
	reborn.announces(t, announcement(1, service("c"), "js"), endOfRIB(1))
	rome.holdsFromPeers(t, "js/c:http by js")
	goodbye(t, reborn)
}

// rejectedPrograms are told why, with a code, in their own session; what needs a session does not do without.
func rejectedPrograms(t *testing.T, rome *site) {
	wrong := func(change func(*peerInfo)) *peerInfo {
		info := ofJS("js")
		change(info)
		return info
	}
	for _, n := range rome.nodes {
		for _, c := range []struct {
			name, secret, code, says string
			info                     *peerInfo
			how                      args
		}{
			{"a wrong secret", "guess" + unprintable, "unauthenticated", "secret", ofJS("js"), nil},
			{"a collector with a wrong secret", "", "unauthenticated", "secret", nil, nil},
			{"another AS", secretOf("rome"), "unauthenticated", "64999", wrong(func(i *peerInfo) { i.AS = 64999 }), nil},
			{"the site's own name", secretOf("rome"), "unauthenticated", "itself", wrong(func(i *peerInfo) { i.Site = "rome" }), nil},
			{"a hold time of a moment", secretOf("rome"), "unauthenticated", "holdTime", wrong(func(i *peerInfo) { i.HoldTime = 0.5 }), nil},
			{"a domain that is none", secretOf("rome"), "unauthenticated", "domains", wrong(func(i *peerInfo) { i.Domains = []string{"a b"} }), nil},
			{"a node that is none", secretOf("rome"), "unauthenticated", "node", wrong(func(i *peerInfo) { i.Node = "a b" }), nil},
			{"no name", secretOf("rome"), "unauthenticated", "site", wrong(func(i *peerInfo) { i.Site = "" }), nil},
			{"no callback", secretOf("rome"), "", "callback", ofJS("js"), args{"style": "none"}},
		} {
			_, _, err := rome.open(n, c.secret, c.info, c.how)
			if err == nil || codeOf(err) != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), unprintable) {
				t.Errorf("%s at %s: %v, want a rejection with code %q that names %q", c.name, n.id, err, c.code, c.says)
			}
		}
		scope := call("connectionFromIBGPPeer", secretOf("rome"))
		callback := args{"$js": "function"}
		for name, chain := range map[string][]step{
			"open over a batch":             {scope, call("open", callback)},
			"open as a peer over a batch":   {scope, call("open", callback, ofJS("js"))},
			"update without open":           {scope, call("update", []update{endOfRIB(1)})},
			"a batch with the wrong secret": {call("connectionFromIBGPPeer", "guess"), call("open", callback)},
		} {
			outcomes, _, err := rome.batch(n.http(), chain)
			if err != nil {
				t.Fatal(err)
			}
			words := map[bool]string{true: "WebSocket", false: "open"}[strings.HasPrefix(name, "open")]
			if strings.HasSuffix(name, "secret") {
				words = "secret"
			}
			if got := outcomes[0].Error; got == nil || !strings.Contains(got.Message, words) {
				t.Errorf("%s at %s: %s, want a rejection that names %q", name, n.id, asJSON(outcomes), words)
			}
		}
	}
}
