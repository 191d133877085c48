package peering

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestWhatWasTamperedWithIsHealed(t *testing.T) {
	other := service("books", "b")
	other.Region = "elsewhere"
	for name, op := range map[string]fsm.Op{
		"all is gone":          fsm.Withdraw{Peer: "b"},
		"one is gone":          fsm.Learn{Peer: "b", Remove: []fsm.LearnedKey{{ID: "books:http", Site: "b"}}},
		"one is otherwise":     fsm.Learn{Peer: "b", Add: []fsm.LearnedRoute{{Service: other, Site: "b", Path: []string{"b"}}}},
		"one came another way": fsm.Learn{Peer: "b", Add: []fsm.LearnedRoute{{Service: service("books", "b"), Site: "b", Path: []string{"b", "b"}}}},
		"one is too many":      fsm.Learn{Peer: "b", Add: []fsm.LearnedRoute{{Service: service("ghost", "b"), Site: "b", Path: []string{"b"}}}},
		"one is of another":    fsm.Learn{Peer: "b", Add: []fsm.LearnedRoute{{Service: service("books", "c"), Site: "c", Path: []string{"b", "c"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books", "films")
				a.adds("music")
				w.meet(a, b)
				since := a.peer("b").Since
				a.does(op)
				w.later(checkEvery)
				a.holds("books [b] by b", "films [b] by b")
				b.holds("music [a] by a")
				pa, pb := a.peer("b"), b.peer("a")
				if pa.Healed != 1 || pb.Healed != 1 || pa.Since != since {
					w.Errorf("a sees %+v\nb sees %+v", pa, pb)
				}
				if h := a.Table().Held("b"); !h.Complete || h.Version < 3 || h.Routes != 2 {
					w.Errorf("a holds %+v", h)
				}
				w.later(time.Hour)
				if pa := a.peer("b"); pa.Healed != 1 {
					w.Errorf("a sees %+v", pa)
				}
			})
		})
	}
}

func TestAHealingReads(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books", "films")
		w.meet(a, b)
		a.does(fsm.Withdraw{Peer: "b"})
		w.later(checkEvery)
		w.reads(`
			b> compare 2
			a> differs
			a> compare 0
			b> add books:http v2 path=b, add films:http v3 path=b, endOfRib v3
			b> same`)
	})
}

// What was missed while the session was away is found right after it is back.
func TestAResumedSessionIsCheckedSoon(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds(numbered(200)...)
		w.meet(a, b)
		a.does(fsm.Learn{Peer: "b", Remove: []fsm.LearnedKey{{ID: "s0007:http", Site: "b"}}})
		w.snaps("a", "b")
		w.later(1500 * time.Millisecond)
		w.equal(b, a)
		if p := a.peer("b"); p.Healed != 1 || p.Resumes != 1 {
			w.Errorf("a sees %+v", p)
		}
	})
}

// A reflector is checked by what it reflects, paths and all.
func TestAReflectorIsCheckedToo(t *testing.T) {
	inBubble(t, func(w *world) {
		_, s := w.star("a", "b")
		s["a"].adds("books")
		w.later(time.Hour)
		if p := s["b"].peer("hub"); p.Healed != 0 {
			w.Errorf("b sees %+v", p)
		}
		s["b"].does(fsm.Learn{Peer: "hub", Add: []fsm.LearnedRoute{{Service: service("books", "a"), Site: "a", Path: []string{"hub", "x", "a"}}}})
		w.later(checkEvery)
		s["b"].holds("books [hub a] by hub")
		if p := s["b"].peer("hub"); p.Healed != 1 {
			w.Errorf("b sees %+v", p)
		}
	})
}

// A peer over its bound is told once, not over and over.
func TestAPeerAtItsBoundIsLeftAlone(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds(numbered(10)...)
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, MaxRoutes: 6})
		w.later(10 * time.Second)
		if n := len(a.learned()); n != 6 {
			w.Fatalf("a holds %d routes", n)
		}
		pa, pb := a.peer("b"), b.peer("a")
		if pa.Refused != 4 || !strings.Contains(pa.LastError, "refused 4 routes") {
			w.Errorf("a sees %+v", pa)
		}
		if !strings.Contains(pb.LastError, "did not take 4 routes") || !strings.Contains(pb.LastError, "it may hold 6") {
			w.Errorf("b sees %+v", pb)
		}
		w.forget()
		sent := b.speaker().cfg.Counts.UpdatesOut.Load()
		w.later(3 * time.Hour)
		if n := b.speaker().cfg.Counts.UpdatesOut.Load() - sent; n != 0 {
			w.Errorf("b sent %d items more", n)
		}
		if pa, pb := a.peer("b"), b.peer("a"); pa.Healed+pb.Healed != 0 || pa.Refused != 4 {
			w.Errorf("a sees %+v\nb sees %+v", pa, pb)
		}

		// What is held is kept up to date.
		b.moves("s0000", "paris")
		b.drops("s0001")
		w.later(time.Second)
		if r := a.Table().Path("s0000:http", "b", "b"); r == nil || r.Service.Region != "paris" {
			w.Errorf("a holds %+v", r)
		}
		if n := len(a.learned()); n != 5 {
			w.Errorf("a holds %d routes", n)
		}
		// There is room for one more, which a check finds out.
		w.later(checkEvery)
		if n := len(a.learned()); n != 6 {
			w.Errorf("a holds %d routes", n)
		}
	})
}

func TestAHigherBoundLetsTheRestIn(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds(numbered(10)...)
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, MaxRoutes: 6})
		w.later(time.Hour)
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, MaxRoutes: 20})
		w.later(3 * time.Second) // long before the next check is due
		w.equal(b, a)
	})
}

// A peer that never holds what it is told is asked less and less often.
func TestWhatARefreshDoesNotMendIsLookedAtLess(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.adds("books")
		h := w.meets("a", stranger("b"))
		differs := &contrary{hand: h}
		h.end.mu.Lock()
		h.end.callee = differs
		h.end.mu.Unlock()
		w.later(6 * time.Hour)
		a.stands("b")
		want := []time.Duration{time.Second, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour, time.Hour, time.Hour}
		at := time.Duration(0)
		for i, d := range differs.asked {
			at += want[min(i, len(want)-1)]
			if d != at {
				w.Errorf("check %d came at %v, want %v", i, d, at)
			}
		}
		if n := len(differs.asked); n != 8 {
			w.Errorf("%d checks: %v", n, differs.asked)
		}
		if h.ended != 1+len(differs.asked) {
			w.Errorf("%d dumps for %d checks", h.ended, len(differs.asked))
		}
	})
}

func TestAPeerThatCannotCompareIsNotAskedAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.adds("books")
		h := w.meets("a", stranger("b"))
		w.later(time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		asked := 0
		for _, l := range w.lines {
			if strings.HasPrefix(l.text, "compare") {
				asked++
			}
		}
		if asked != 1 || h.ended != 1 {
			w.Errorf("asked %d times, %d dumps", asked, h.ended)
		}
	})
}

func TestDigestsTellTablesApart(t *testing.T) {
	base := func(s *fsm.Service) {}
	seen := map[Digest]string{}
	for name, change := range map[string]func(*fsm.Service){
		"as it is":         base,
		"another name":     func(s *fsm.Service) { s.Name = "books2" },
		"another region":   func(s *fsm.Service) { s.Region = "x" },
		"another door":     func(s *fsm.Service) { s.Endpoint = "http://x/" },
		"a tag":            func(s *fsm.Service) { s.Tags = map[string]string{"k": "v"} },
		"another tag":      func(s *fsm.Service) { s.Tags = map[string]string{"kv": ""} },
		"two tags":         func(s *fsm.Service) { s.Tags = map[string]string{"k": "v", "l": "v"} },
		"another protocol": func(s *fsm.Service) { s.Protocol = fsm.TCP },
	} {
		tbl := founded("a")
		s := service("books", "a")
		change(&s)
		tbl, _ = tbl.Apply([]fsm.Command{{Op: fsm.Put{Service: s}}, {Op: fsm.Put{Service: service("films", "a")}}})
		d := export{to: "b"}.told(tbl)
		if same := seen[d]; same != "" || d.Routes != 2 {
			t.Errorf("%s has the digest of %s: %+v", name, same, d)
		}
		seen[d] = name
	}
	// The order in which routes came is no matter.
	var digests []Digest
	for _, names := range [][]string{{"x", "y", "z"}, {"z", "x", "y"}} {
		tbl := founded("a")
		for _, name := range names {
			tbl, _ = tbl.Apply([]fsm.Command{{Op: fsm.Put{Service: service(name, "a")}}})
		}
		digests = append(digests, export{}.told(tbl))
	}
	if digests[0] != digests[1] {
		t.Errorf("%+v and %+v", digests[0], digests[1])
	}
	if d := (export{}).told(founded("a")); d != (Digest{0, fmt.Sprintf("%016x", 0)}) {
		t.Errorf("nothing at all: %+v", d)
	}
}

func founded(site string) *fsm.Table {
	t, _ := new(fsm.Table).Apply([]fsm.Command{{Op: fsm.Found{Site: site, AS: 64512, Epoch: "epoch-" + site}}})
	return t
}
