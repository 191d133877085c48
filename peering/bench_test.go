package peering

import (
	"context"
	"fmt"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

const many = 100_000

// stocked is a site with very many services.
func stocked(site string, n int) *fsm.Table {
	ops := make([]fsm.Command, n)
	for i := range ops {
		s := service(fmt.Sprintf("service-%06d", i), site)
		s.Region, s.Tags = "eu-west-1", map[string]string{"team": fmt.Sprint("team-", i%50), "tier": "gold"}
		ops[i].Op = fsm.Put{Service: s}
	}
	t, _ := founded(site).Apply(ops)
	return t
}

// dumped is a dump of a table as it comes over the wire, an update a time.
func dumped(t *fsm.Table) (updates []any) {
	var batch []Update
	for r := range (export{to: "a"}).all(t) {
		if batch = append(batch, announce(t, r, r.ModifiedIndex)); len(batch) == sendItems {
			updates, batch = append(updates, wire(batch)), nil
		}
	}
	return append(updates, wire(append(batch, Update{Type: endOfRIB, Version: t.Version()})))
}

// A first dump of 100,000 routes: read, made a command of, and with apply also
// carried out.
func BenchmarkDump(b *testing.B) {
	updates := dumped(stocked("b", many))
	for _, apply := range []bool{false, true} {
		b.Run(fmt.Sprintf("apply=%v", apply), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t := founded("a")
				x := listening(t)
				for _, u := range updates {
					items, err := readUpdates(u)
					if err != nil {
						b.Fatal(err)
					}
					l, malformed := x.learn(items)
					if malformed != 0 {
						b.Fatalf("%d malformed", malformed)
					}
					if apply {
						t, _ = t.Apply([]fsm.Command{{At: 1, Op: l}})
					}
				}
				if apply && t.Held("b").Routes != many {
					b.Fatalf("%+v", t.Held("b"))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
		})
	}
}

// The same dump again, by a session that has lost its position: what was not
// announced is looked for.
func BenchmarkDumpAgain(b *testing.B) {
	updates := dumped(stocked("b", many))
	t := founded("a")
	take := func() {
		x := listening(t)
		for _, u := range updates {
			items, _ := readUpdates(u)
			l, _ := x.learn(items)
			t, _ = t.Apply([]fsm.Command{{At: 1, Op: l}})
		}
	}
	take()
	before := t.Version()
	for b.Loop() {
		take()
	}
	if t.Version() != before {
		b.Fatal("the same again was a change")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
}

// One change of a table of 100,000 routes, told to one peer.
func BenchmarkDifference(b *testing.B) {
	old := stocked("b", many)
	moved := service("service-050000", "b")
	moved.Region = "elsewhere"
	t, _ := old.Apply([]fsm.Command{{Op: fsm.Put{Mode: fsm.Update, Service: moved}}})
	for _, reflects := range []bool{false, true} {
		b.Run(fmt.Sprintf("reflect=%v", reflects), func(b *testing.B) {
			b.ReportAllocs()
			x := export{to: "a", learned: reflects}
			for b.Loop() {
				n := 0
				updates, _ := x.difference(old, t)
				for range updates {
					n++
				}
				if n != 1 {
					b.Fatalf("%d items", n)
				}
			}
		})
	}
	b.Run("without history", func(b *testing.B) {
		x := export{to: "a"}
		for b.Loop() {
			n := 0
			for range x.compare(old, t) {
				n++
			}
			if n != 1 {
				b.Fatalf("%d items", n)
			}
		}
	})
}

// What a check costs either side at 100,000 routes.
func BenchmarkDigest(b *testing.B) {
	t := stocked("b", many)
	b.Run("told", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if d := (export{to: "a"}).told(t); d.Routes != many {
				b.Fatalf("%+v", d)
			}
		}
	})
	at := founded("a")
	x := listening(at)
	for _, u := range dumped(t) {
		items, _ := readUpdates(u)
		l, _ := x.learn(items)
		at, _ = at.Apply([]fsm.Command{{At: 1, Op: l}})
	}
	b.Run("held", func(b *testing.B) {
		b.ReportAllocs()
		want := export{to: "a"}.told(t)
		for b.Loop() {
			if d := held(at, "b"); d != want {
				b.Fatalf("%+v, want %+v", d, want)
			}
		}
	})
}

// A committed change, told to a hundred peers that take it at once.
func BenchmarkTellingAHundredPeers(b *testing.B) {
	t := stocked("b", 1000)
	site := &growing{t: t, wake: make(chan struct{})}
	s := New(Config{Self: Info{Site: "b", AS: 64512, Term: 1, Epoch: "epoch-b"}, Site: site})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	heard := make(chan struct{}, 1<<16)
	for i := range 100 {
		for {
			if _, _, err := s.Accept(ready{heard}, stranger(fmt.Sprint("p", i)), Admission{}); err == nil {
				break
			}
		}
	}
	await := func() {
		for range 100 {
			<-heard
		}
	}
	for range 2 { // 1000 routes are two updates
		await()
	}
	for i := 0; b.Loop(); i++ {
		moved := service("service-000500", "b")
		moved.Region = fmt.Sprint(i)
		site.apply(fsm.Put{Mode: fsm.Update, Service: moved})
		await()
	}
}
