package clustertests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lostProgram: what a program announced is stale some seconds after its socket was dropped, and behind what is fresh. What
// it does not announce again goes with its endOfRib.
func lostProgram(t *testing.T, rome *site) {
	js := rome.mustOpen(t, rome.follower(t), ofJS("js"))
	js.announces(t, announcement(1, service("kept"), "js"), announcement(2, service("forgotten"), "js"), endOfRIB(2))
	z := rome.mustOpen(t, rome.nodes[1], ofJS("z"))
	z.announces(t, announcement(1, service("kept"), "z", "far"), endOfRIB(1)) // a longer path
	rome.holdsFromPeers(t, "far/kept:http by z", "js/forgotten:http by js", "js/kept:http by js")
	c := rome.dial(t, rome.follower(t))
	defer c.close(t)
	w := c.watch(t, nil)
	best := func(peer string) {
		t.Helper()
		paths, err := rome.paths(rome.nodes[0], 0)
		i := slices.IndexFunc(paths, func(r route) bool { return r.ID == "kept:http" && r.Best })
		if err != nil || i < 0 || paths[i].Peer != peer {
			t.Errorf("%s (%v), want the path by %s as the best", asJSON(paths), err, peer)
		}
	}
	best("js")

	dropped := time.Now()
	js.drop(t)
	rome.holdsFromPeers(t, "far/kept:http by z", "js/forgotten:http by js stale", "js/kept:http by js stale")
	if took := time.Since(dropped); took < 4*time.Second || took > 8*time.Second {
		t.Errorf("the routes were stale after %v, want about 5 s", took)
	}
	best("z")
	again := rome.mustOpen(t, rome.nodes[1], ofJS("js"))
	again.announces(t, announcement(3, service("kept"), "js"), announcement(4, service("new"), "js"))
	rome.holdsFromPeers(t, "far/kept:http by z", "js/forgotten:http by js stale", "js/kept:http by js", "js/new:http by js")
	best("js")
	again.announces(t, endOfRIB(4))
	rome.holdsFromPeers(t, "far/kept:http by z", "js/kept:http by js", "js/new:http by js")
	expected := []string{
		"stale js/forgotten:http", "stale js/kept:http", "put js/kept:http", "put js/new:http", "delete js/forgotten:http",
	}
	if news := w.toldUpTo(t, expected[4]); !slices.Equal(news, expected) {
		t.Errorf("a watcher was told %q, want %q", news, expected)
	}
	goodbye(t, again, z)
}

// resumedProgram: a program that presents what it holds of a site is told only what has changed since, and one that holds
// something of another life of the site is told everything.
func resumedProgram(t *testing.T, rome *site) {
	c := rome.dial(t, rome.leader(t))
	defer c.close(t)
	c.register(t, service("passing"))
	first, site, err := rome.open(rome.nodes[0], secretOf("rome"), ofJS("js"), nil)
	if err != nil {
		t.Fatal(err)
	}
	was := first.dumped(t, 1)
	first.drop(t)
	c.do(t, deletion("passing:http"))
	c.register(t, service("arrived"))

	info := ofJS("js")
	info.Resume = args{"epoch": site.Epoch, "version": was.Version}
	second, _, err := rome.open(rome.nodes[1], secretOf("rome"), info, args{"after": first.name})
	if err != nil {
		t.Fatal(err)
	}
	got := second.dumped(t, 2)
	if got.Since != was.Version || got.Version <= was.Version || len(got.Faults) > 0 ||
		!slices.Equal(got.names(), []string{"arrived", "own"}) {
		t.Errorf("it held version %d, and was told %s; want arrived, the loss of passing, and no more", was.Version, asJSON(got))
	}
	second.drop(t)
	info.Resume = args{"epoch": "another life", "version": got.Version}
	third, _, err := rome.open(rome.nodes[0], secretOf("rome"), info, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := third.dumped(t, 1); got.Since != 0 || len(got.Faults) > 0 || !slices.Equal(got.names(), []string{"arrived", "own"}) {
		t.Errorf("it held another life's version, and was told %s; want everything", asJSON(got))
	}
	c.do(t, deletion("arrived:http"))
	goodbye(t, third)
}

// dumped waits until a program's copy has had so many dumps.
func (p *program) dumped(t testing.TB, count int) told {
	t.Helper()
	var got told
	eventually(t, fmt.Sprintf("%s has had %d dumps", p.name, count), func() error {
		if got = p.told(t); got.Dumps != count {
			return fmt.Errorf("it was told %s", asJSON(got))
		}
		return nil
	})
	return got
}

func (g told) names() []string {
	var names []string
	for _, r := range g.Routes {
		names = append(names, r.Service.Name)
	}
	slices.Sort(names)
	return names
}

// silentProgram: the lower of both hold times counts, and who says nothing for so long is lost.
func silentProgram(t *testing.T, rome *site) {
	const holdTime = 3 * time.Second
	info := ofJS("js")
	info.HoldTime = holdTime.Seconds()
	js := rome.mustOpen(t, rome.follower(t), info)
	js.announces(t, announcement(1, service("a"), "js"), endOfRIB(1))
	if p := rome.mustPeer(t, "js"); p.HoldTime != holdTime.Seconds() {
		t.Errorf("the site tells %s, want a hold time of %v", asJSON(p), holdTime)
	}
	js.d.must(t, "fallSilent", args{"peer": js.name}, nil)
	silent := time.Now()
	var p peerSite
	eventually(t, "the session is over", func() error {
		if p = rome.mustPeer(t, "js"); p.State == "established" {
			return fmt.Errorf("the site tells %s", asJSON(p))
		}
		return nil
	})
	if took := time.Since(silent); !strings.Contains(p.LastError, "hold timer") || took < holdTime/2 || took > holdTime+3*time.Second {
		t.Errorf("after %v of silence the site tells %s, want the hold timer as the last error after %v", took, asJSON(p), holdTime)
	}
	rome.holdsFromPeers(t, "js/a:http by js")
	js.d.must(t, "wake", args{"peer": js.name}, nil)
	js.breaks(t, "silence")
	goodbye(t, rome.mustOpen(t, rome.nodes[0], ofJS("js")))
}

// slowProgram: a collector that does not read costs the site little and others nothing, and is told the latest of all when
// it reads again.
func slowProgram(t *testing.T, rome *site) {
	slow, _, err := rome.open(rome.follower(t), secretOf("rome"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	slow.dumped(t, 1)
	slow.d.must(t, "fallSilent", args{"peer": slow.name}, nil)
	quick := rome.collect(t, "whole", rome.nodes...)
	const rounds = 5
	want := services{{"rome", "own:http"}: service("own")}
	for round := range rounds {
		actions := fatTable(1000, round)
		applyFile(t, rome.nodes[0], actions)
		for _, a := range actions {
			d := a.Data.(dataChannel)
			want[key{"rome", d.Name + ":http"}] = d
		}
	}
	quick.has(t, want)
	if got := slow.told(t); len(got.Routes) != 1 {
		t.Errorf("the program that does not read has %d services", len(got.Routes))
	}
	slow.d.must(t, "wake", args{"peer": slow.name}, nil)
	var got told
	eventually(t, "the slow program has all", func() error {
		if got = slow.told(t); len(got.Routes) != len(want) || got.Broken != nil {
			return fmt.Errorf("it has %d services: %v", len(got.Routes), got.Broken)
		}
		for _, r := range got.Routes {
			if d := want[key{r.Site, r.ID}]; asJSON(d) != asJSON(r.Service) {
				return fmt.Errorf("it has %s", asJSON(r))
			}
		}
		return nil
	})
	if len(got.Faults) > 0 {
		t.Errorf("it was told what no site should say: %q", got.Faults)
	}
	t.Logf("it was told %d changes of %d", got.Changes, rounds*1000)
	for _, n := range rome.nodes {
		if mib := n.memory(); mib > 512 {
			t.Errorf("%s held %d MiB at its most, want less than 512", n.id, mib)
		}
	}
	var actions []action
	for k := range want {
		if k.id != "own:http" {
			actions = append(actions, deletion(k.id))
		}
	}
	applyFile(t, rome.nodes[0], actions)
	slow.drop(t)
}

// failingProgram: one whose callback throws loses its session, and can have another.
func failingProgram(t *testing.T, rome *site) {
	witness := rome.mustOpen(t, rome.nodes[1], ofJS("witness"))
	for _, info := range []*peerInfo{ofJS("js"), nil} {
		for _, n := range rome.nodes {
			bad, _, err := rome.open(n, secretOf("rome"), info, args{"style": "throwing"})
			if err != nil {
				t.Fatalf("open at %s: %v", n.id, err)
			}
			bad.breaks(t, "its callback has thrown")
		}
	}
	goodbye(t, rome.mustOpen(t, rome.nodes[0], ofJS("js")))
	if got := witness.told(t); got.Broken != nil {
		t.Errorf("another session suffered: %s", asJSON(got))
	}
	goodbye(t, witness)
}
