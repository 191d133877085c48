package peering

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestAReconnectTellsOnlyWhatChanged(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(200)...)
		b.adds("music", "news")
		w.meet(a, b)
		w.parts("a", "b", refused)
		w.later(time.Millisecond)
		a.drops("s0007")
		a.adds("extra")
		a.moves("s0100", "paris")
		b.drops("news")
		w.forget()
		w.parts("a", "b", together)
		w.later(2200 * time.Millisecond)
		w.reads(`
			a> open term=1 resume=epoch-b:3
			b> opened term=1 resume=epoch-a:202
			b> remove news:http@b v204, endOfRib v204 since=3
			a> remove s0007:http@a v205, add extra:http v206 path=a, add s0100:http v207 path=a region=paris, endOfRib v207 since=202
			b> compare 1
			a> same
			a> compare 200
			b> same`)
		w.equal(a, b)
		w.equal(b, a)
		if pa, pb := a.peer("b"), b.peer("a"); pa.Resumes != 1 || pb.Resumes != 1 || pa.RoutesOut != 200 || pb.RoutesOut != 1 {
			w.Errorf("a sees %+v\nb sees %+v", pa, pb)
		}
	})
}

func TestAReconnectWithoutChangesChangesNothing(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(200)...)
		b.adds("music")
		w.meet(a, b)
		before := [2]uint64{a.Table().Version(), b.Table().Version()}
		commits := a.counts() + b.counts()
		for i := range 3 {
			w.snaps("a", "b")
			w.later(900 * time.Millisecond)
			first := []int{2, 202}[min(i, 1)] // what b learned from a counts with it
			w.reads(fmt.Sprintf(`
				a> open term=1 resume=epoch-b:%d
				b> opened term=1 resume=epoch-a:%d
				b> endOfRib v202 since=%d
				a> endOfRib v203 since=%d`, first, 202+min(i, 1), first, 202+min(i, 1)))
			w.later(steady)
			w.forget()
		}
		if got := [2]uint64{a.Table().Version(), b.Table().Version()}; got != before {
			w.Errorf("versions %v became %v", before, got)
		}
		// Each reconnect is an OpenPeer and the end of a dump, at either side.
		if n := a.counts() + b.counts() - commits; n != 3*4 {
			w.Errorf("%d commits for 3 reconnects", n)
		}
	})
}

// A small table is told before it is known what the peer holds.
func TestASmallTableIsToldAgainAndChangesNothing(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("books")
		w.meet(a, b)
		before := b.Table().Version()
		w.snaps("a", "b")
		w.later(900 * time.Millisecond)
		w.reads(`
			a> open term=1 resume=epoch-b:1
			a> add books:http v2 path=a, endOfRib v3
			b> opened term=1 resume=epoch-a:3
			b> endOfRib v2 since=1`)
		if b.Table().Version() != before {
			w.Error("b's table changed")
		}
		if h := b.Table().Held("a"); h != (fsm.Held{Epoch: "epoch-a", Term: 1, Version: 3, Complete: true, Routes: 1}) {
			w.Errorf("b holds %+v", h)
		}
	})
}

func TestAnotherLifeOfASiteIsToldWhole(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(200)...)
		w.meet(b, a)
		a.stop()
		a.reborn("epoch-a2")
		a.adds(numbered(150)...)
		w.forget()
		a.lead()
		w.later(2 * time.Second)
		w.reads(`
			b> open term=1 resume=epoch-a:201
			b> endOfRib v202
			a> opened term=2 resume=-
			a> add s0000:http v2 path=a, … 149 more …, endOfRib v151
			a> compare 150
			b> same
			b> compare 0
			a> same`)
		w.equal(a, b)
		if h := b.Table().Held("a"); h != (fsm.Held{Epoch: "epoch-a2", Term: 2, Version: 151, Complete: true, Routes: 150}) {
			w.Errorf("b holds %+v", h)
		}
	})
}

// reborn is a site that was founded again, with nothing.
func (s *site) reborn(epoch string) {
	s.set(func(s *site) { s.table = new(fsm.Table) })
	s.does(fsm.Found{Site: s.name, AS: 64512, Epoch: epoch})
}

// A position that the table does not know any more, or not yet, is none.
func TestAnUnknownPositionIsToldWhole(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.adds("books", "films")
		whole := []string{"books@a [a]", "films@a [a]"}
		cases := map[string]struct {
			holds *Position
			told  []string
		}{
			"none":              {nil, whole},
			"of another life":   {&Position{"epoch-x", 2}, whole},
			"zero":              {&Position{"epoch-a", 0}, whole},
			"of the future":     {&Position{"epoch-a", 4}, whole},
			"of the far future": {&Position{"epoch-a", 1 << 63}, whole},
			"of now":            {&Position{"epoch-a", 3}, []string{}},
			"of a moment ago":   {&Position{"epoch-a", 2}, whole[1:]},
			"of the very start": {&Position{"epoch-a", 1}, whole},
		}
		for name, c := range cases {
			h := w.meets("a", stranger("b", func(i *Info) { i.Resume = c.holds }))
			w.later(time.Second)
			w.Log(name)
			h.knows(c.told...)
			h.hangsUp()
		}
		// More has changed since than the history holds.
		a.does(learnsMany("c", 0, 1<<14))
		for range 3 {
			a.does(fsm.MarkStale{Peer: "c"})
			if a.Table().Version()-3 < fsm.MaxChanges {
				a.does(fsm.Learn{Peer: "c", EndOfRIB: true, Resumed: true})
			}
		}
		h := w.meets("a", stranger("b", holding("epoch-a", a.Table().Version()-fsm.MaxChanges)))
		w.later(time.Second)
		h.knows()
		h = w.meets("a", stranger("b", holding("epoch-a", a.Table().Version()-fsm.MaxChanges-1)))
		w.later(time.Second)
		h.knows(whole...)
	})
}

func TestWhatADumpDoesNotConfirmGoes(t *testing.T) {
	for name, away := range map[string]time.Duration{"at once": 0, "when it is stale": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 4, "b"), announces("films", 5, "b"), announces("music", 3, "b", "c"), ends(9))
				h.hangsUp()
				w.later(away)
				h = w.meets("a", stranger("b"))
				h.tells(announces("books", 4, "b"))
				if n := len(a.learned()); n != 3 {
					w.Errorf("before the end of the dump %d routes are left", n)
				}
				h.tells(announces("news", 11, "b"))
				h.tells(ends(12))
				a.holds("books [b] by b", "news [b] by b")
			})
		})
	}
}

// since confirms what is not mentioned only when it is where this side was.
func TestOnlyAKnownPositionIsResumedFrom(t *testing.T) {
	for since, kept := range map[uint64]bool{5: true, 9: true, 10: false, 1 << 50: false, 0: false} {
		t.Run(fmt.Sprint(since), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 4, "b"), ends(9))
				h.hangsUp()
				w.later(time.Minute)
				a.holds("books [b] by b, stale")
				h, info, err := w.plays("a", stranger("b"))
				if err != nil || info.Resume == nil || *info.Resume != (Position{"epoch-b", 9}) {
					w.Fatalf("open: %+v, %v", info, err)
				}
				h.tells(Update{Type: endOfRIB, Version: 20, Since: since})
				if kept {
					a.holds("books [b] by b")
				} else {
					a.holds()
				}
				if p := a.peer("b"); (p.Resumes == 1) != kept {
					w.Errorf("%d resumes", p.Resumes)
				}
			})
		})
	}
}

func TestHalfADumpIsNoPosition(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 700, "b"))
		h.hangsUp()
		h, info, _ := w.plays("a", stranger("b"))
		if info.Resume != nil {
			w.Errorf("after half a dump: %+v", info.Resume)
		}
		h.tells(announces("books", 700, "b"), ends(710))
		h.tells(announces("films", 720, "b"))
		h.hangsUp()
		h, info, _ = w.plays("a", stranger("b"))
		if info.Resume == nil || info.Resume.Version != 720 {
			w.Errorf("after a whole one: %+v", info.Resume)
		}
		h.tells(announces("zebra", 900, "b")) // the next one is broken off
		h.hangsUp()
		_, info, _ = w.plays("a", stranger("b"))
		if info.Resume == nil || info.Resume.Version != 720 {
			w.Errorf("after half of the next: %+v", info.Resume)
		}
		a.holds("books [b] by b", "films [b] by b", "zebra [b] by b")
	})
}

// An end of RIB that ends nothing only moves the position.
func TestAnEndOutsideADumpRemovesNothing(t *testing.T) {
	for name, first := range map[string]Update{"after a whole dump": ends(9), "after a resumed one": {Type: endOfRIB, Version: 9, Since: 4}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 2, "b"), announces("films", 3, "b"), ends(4))
				h.hangsUp()
				h = w.meets("a", stranger("b"))
				if first.Since == 0 {
					h.tells(announces("books", 2, "b"), announces("films", 3, "b"))
				}
				h.tells(first)
				h.tells(announces("music", 12, "b"))
				h.tells(ends(20))
				a.holds("books [b] by b", "films [b] by b", "music [b] by b")
				if held := a.Table().Held("b"); held.Version != 20 || !held.Complete {
					w.Errorf("a holds %+v", held)
				}
			})
		})
	}
}

func TestThePositionNeverGoesBack(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(ends(9))
		h.tells(announces("books", 20, "b"), announces("films", 14, "b"))
		h.tells(announces("music", 17, "b"))
		if held := a.Table().Held("b"); held.Version != 20 {
			w.Errorf("a holds %+v", held)
		}
	})
}

// The name under which a peer is configured is no matter.
func TestAPeerOfAnotherNameIsResumedToo(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(200)...)
		b.adds("music")
		a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{door("b")}})
		w.later(10 * time.Second)
		w.snaps("a", "b")
		w.forget()
		w.later(900 * time.Millisecond)
		w.reads(`
			a> open term=1 resume=epoch-b:2
			b> opened term=1 resume=epoch-a:202
			b> endOfRib v202 since=2
			a> endOfRib v203 since=202`)
	})
}
