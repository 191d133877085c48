package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestRefusedServiceIsQuarantinedAndTheOthersShip(t *testing.T) {
	for how, say := range map[string]func(string) string{"named by URL": saysURL, "by name": saysName, "not named": saysNothing} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.lead()
				w.add("books")
				w.add("authors")
				w.gateway.guard()
				w.gateway.set(func() { w.gateway.refuses = refusing(say, "dead") })
				w.later(time.Hour)
				got := w.add("dead")
				if got.State != GatewayRejected || got.Error != say("dead") {
					w.Errorf("answer: %+v, want rejected with the gateway's words", got)
				}
				w.serves("authors", "books")
				w.status(GatewayRejected, "dead")
				if got := w.add("reviews"); got.State != GatewayApplied {
					w.Errorf("the next service: %+v", got)
				}
				w.serves("reviews", "authors", "books")
				w.status(GatewayRejected, "dead")

				// It is started: no action is needed.
				w.later(10 * time.Minute)
				w.gateway.set(func() { w.gateway.refuses = refusing(say) })
				w.later(37 * time.Second)
				w.serves("reviews", "dead", "authors", "books")
				w.status(GatewayApplied)
			})
		})
	}
}

func TestQuarantinedServiceIsTriedWithBackoff(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = refusing(saysURL, "dead")
		w.lead()
		w.add("dead")
		w.later(10 * time.Minute)
		times := w.gateway.times
		if gap := times[2].Sub(times[1]); gap != time.Second {
			w.Errorf("the first retry came after %s, want 1 s", gap)
		}
		n := len(times)
		if gap := times[n-1].Sub(times[n-2]); gap != 30*time.Second {
			w.Errorf("the last retry came after %s, want 30 s", gap)
		}
	})
}

func TestChangedDefinitionOfAQuarantinedServiceIsTriedAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = refusing(saysNothing, "dead")
		w.lead()
		w.add("dead")
		w.later(10 * time.Minute)
		if got := w.add("dead"); got.State != GatewayRejected {
			w.Errorf("the same again: %+v", got)
		}
		w.gateway.set(func() { w.gateway.refuses = refusing(saysNothing) })
		before := time.Now()
		if got := w.data(w.apply("update", channel("dead", "http://alive/graphql"))); got.State != GatewayApplied {
			w.Errorf("the new definition: %+v", got)
		}
		if took := time.Since(before); took > time.Second {
			w.Errorf("it took %s", took)
		}
	})
}

func TestRemovedOffenderIsForgotten(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = refusing(saysNothing, "dead")
		w.lead()
		w.add("books")
		w.add("dead")
		if got := w.remove("dead"); got.State != GatewayApplied {
			w.Errorf("answer: %+v", got)
		}
		w.status(GatewayApplied)
		before := w.gateway.count()
		w.later(time.Hour)
		if n := w.gateway.count() - before; n != 0 {
			w.Errorf("%d pushes for nothing", n)
		}
	})
}

// Three offenders among a thousand, that the gateway does not name.
func TestThreeOffendersAmongAThousandAreFoundInFewPushes(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		names := numbered(1000)
		var bad []string
		for _, i := range r.Perm(1000)[:3] {
			bad = append(bad, names[i])
		}
		slices.Sort(bad)
		most := 0
		t.Run(fmt.Sprint("at the start of a term ", seed), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.gateway.refuses = refusing(saysNothing, bad...)
				w.commit(names...)
				w.lead()
				w.later(500 * time.Millisecond)
				if n := w.gateway.count(); n > 45 {
					w.Errorf("it took %d pushes", n)
				} else {
					most = max(most, n)
				}
				w.status(GatewayRejected, slices.Clone(bad)...)
				if n := len(w.gateway.names()); n != 997 {
					w.Errorf("the gateway serves %d, want 997", n)
				}
			})
		})
		t.Run(fmt.Sprint("as newcomers ", seed), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.commit(names[:500]...)
				w.commit("old")
				w.lead()
				w.gateway.guard(bad...)
				w.gateway.set(func() {
					w.gateway.refuses = refusing(saysNothing, slices.DeleteFunc(slices.Clone(bad), func(s string) bool { return s < names[500] })...)
				})
				w.later(time.Minute)
				before := w.gateway.count()
				w.commit(names[500:]...)
				w.later(500 * time.Millisecond)
				if n := w.gateway.count() - before; n > 45 {
					w.Errorf("it took %d pushes", n)
				}
			})
		})
		if seed == 0 {
			t.Logf("%d pushes at the start of a term", most)
		}
	}
}

// Each costs a push that is refused, and one more with its elders alone if a
// younger one could be to blame; the last push is accepted.
func TestOffendersThatAreNamedCostTwoPushesAtMost(t *testing.T) {
	inBubble(t, func(w *world) {
		names := numbered(1000)
		w.gateway.refuses = refusing(saysURL, names[3], names[500], names[999])
		w.commit(names...)
		w.lead()
		w.later(500 * time.Millisecond)
		if n := w.gateway.count(); n != 6 {
			w.Errorf("it took %d pushes, want 6", n)
		}
		w.status(GatewayRejected, names[3], names[500], names[999])
	})
}

// A service on the list dies. Nothing happens until the list changes; then the
// dead one is found, not the newcomer blamed.
func TestNewcomerIsNotBlamedForAnIncumbentThatDied(t *testing.T) {
	for how, say := range map[string]func(string) string{"named": saysURL, "not named": saysNothing} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.lead()
				names := numbered(100)
				w.commit(names...)
				w.later(time.Minute)
				w.gateway.set(func() { w.gateway.refuses = refusing(say, names[42]) })
				if got := w.add("newcomer"); got.State != GatewayApplied {
					w.Errorf("the newcomer: %+v", got)
				}
				w.status(GatewayRejected, names[42])
				if n := len(w.gateway.names()); n != 100 {
					w.Errorf("the gateway serves %d, want 100", n)
				}
			})
		})
	}
}

// An offender whose error text names someone else gets nobody else dropped.
func TestMisleadingWordsDropNobody(t *testing.T) {
	for _, scapegoat := range []string{"books", "innocent"} {
		t.Run(scapegoat, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.lead()
				w.add("books")
				w.add("authors")
				w.later(time.Minute)
				w.gateway.guard()
				w.gateway.set(func() {
					w.gateway.refuses = refusing(func(string) string { return "cannot reach " + endpoint(scapegoat) }, "evil")
				})
				w.commit("evil", "innocent")
				w.later(time.Second)
				w.serves("innocent", "authors", "books")
				w.status(GatewayRejected, "evil")
				w.later(10 * time.Minute)
				w.serves("innocent", "authors", "books")
				w.status(GatewayRejected, "evil")
			})
		})
	}
}

// Both are fine alone. The older one keeps its place.
func TestOfTwoServicesThatClashTheNewerIsQuarantined(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = func(list []GatewayService) string {
			found := 0
			for _, s := range list {
				if s.Name == "left" || s.Name == "right" {
					found++
				}
			}
			if found == 2 {
				return "type Book of left and right cannot be merged"
			}
			return ""
		}
		w.commit(numbered(20)...)
		w.commit("left", "right")
		w.lead()
		w.later(time.Second)
		w.status(GatewayRejected, "right")
		w.remove("left")
		w.later(40 * time.Second)
		w.status(GatewayApplied)
	})
}

// A service that never answers makes the gateway never answer.
func TestServiceThatHangsTheGatewayIsQuarantinedToo(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.commit("books", "authors")
		w.later(time.Minute)
		w.gateway.guard()
		w.gateway.set(func() {
			w.gateway.hangs = func(list []GatewayService) bool {
				return slices.ContainsFunc(list, func(s GatewayService) bool { return s.Name == "tarpit" })
			}
		})
		w.commit("tarpit", "reviews")
		w.later(time.Minute)
		w.serves("reviews", "authors", "books")
		w.status(GatewayRejected, "tarpit")
		w.gateway.set(func() { w.gateway.hangs = nil })
		w.later(2 * time.Minute)
		w.serves("reviews", "tarpit", "authors", "books")
	})
}

func TestGatewayThatRefusesEverythingKeepsWhatItHas(t *testing.T) {
	inBubble(t, func(w *world) {
		names := numbered(1000)
		w.commit(names...)
		w.lead()
		w.later(time.Minute)
		w.gateway.guard()
		w.gateway.set(func() { w.gateway.refuses = func([]GatewayService) string { return "out of memory" } })
		before := w.gateway.count()
		if got := w.add("books"); got.State == GatewayApplied {
			w.Errorf("answer: %+v", got)
		}
		w.later(10 * time.Minute)
		n := w.gateway.count() - before
		if n > 1000 {
			w.Errorf("%d pushes in ten minutes", n)
		}
		if n := len(w.gateway.names()); n != 1000 {
			w.Errorf("the gateway serves %d, want what it had", n)
		}
		w.gateway.set(func() { w.gateway.refuses = refusing(saysNothing); w.gateway.guarded = nil })
		w.later(2 * time.Minute)
		if n := len(w.gateway.names()); n != 1001 {
			w.Errorf("the gateway serves %d, want all", n)
		}
		w.status(GatewayApplied)
	})
}

// A new leader knows nothing of what its predecessor had quarantined. While it
// finds out, the gateway serves most of the list.
func TestNewTermWithADeadServiceKeepsTheGatewayBusy(t *testing.T) {
	for i := range 100 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			inBubble(t, func(w *world) {
				names := numbered(100)
				w.commit(names...)
				w.gateway.refuses = refusing(saysNothing, names[i])
				w.lead()
				w.later(time.Second)
				w.end()
				before := len(w.gateway.accepted)
				w.lead()
				w.later(time.Second)
				if least := slices.Min(w.gateway.accepted[before:]); least < 50 {
					w.Errorf("meanwhile it served %d of 99", least)
				}
				w.status(GatewayRejected, names[i])
			})
		})
	}
}

func TestRestartedGatewayWithADeadServiceServesTheRest(t *testing.T) {
	for how, say := range map[string]func(string) string{"named": saysURL, "not named": saysNothing} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(w *world) {
				names := numbered(100)
				w.commit(names...)
				w.lead()
				w.gateway.set(func() { w.gateway.refuses = refusing(say, names[42]) })
				w.gateway.restart()
				w.later(time.Second)
				if n := len(w.gateway.names()); n != 99 {
					w.Errorf("the gateway serves %d, want 99", n)
				}
				w.status(GatewayRejected, names[42])
			})
		})
	}
}

func TestHealthyNewcomersAreServedWhileDeadOnesAreTried(t *testing.T) {
	inBubble(t, func(w *world) {
		dead := numbered(60)
		w.gateway.refuses = refusing(saysNothing, dead...)
		w.gateway.takes = 20 * time.Millisecond
		w.lead()
		w.add("books")
		w.commit(dead...)
		w.later(2 * time.Minute)
		w.gateway.guard()
		for i := range 50 {
			began := time.Now()
			if got := w.add(fmt.Sprint("healthy", i)); got.State != GatewayApplied {
				w.Errorf("answer %d: %+v", i, got)
			}
			if took := time.Since(began); took > time.Second {
				w.Errorf("answer %d took %s", i, took)
			}
			w.gateway.guard()
			w.later(700 * time.Millisecond)
		}
		w.gateway.set(func() { w.gateway.refuses = refusing(saysNothing) })
		w.later(2 * time.Minute)
		if n := len(w.gateway.names()); n != 111 {
			w.Errorf("the gateway serves %d, want 111", n)
		}
	})
}

// Whatever happens, when it stops happening the gateway has what it accepts.
func TestAnythingGoesAndConverges(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(w *world) { chaos(w, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

func chaos(w *world, r *rand.Rand) {
	w.plugin.jitter = rand.New(rand.NewPCG(r.Uint64(), 3)).Float64
	names := numbered(40)
	bad := map[string]bool{}
	says := []func(string) string{saysURL, saysName, saysNothing}[r.IntN(3)]
	w.gateway.refuses = func(list []GatewayService) string {
		for _, s := range list {
			if bad[strings.Split(s.Name, ":")[0]] {
				return says(s.Name)
			}
		}
		return ""
	}
	w.gateway.takes = time.Duration(r.IntN(300)) * time.Millisecond
	w.lead()
	for range 200 {
		name := names[r.IntN(len(names))]
		switch g := w.gateway; r.IntN(12) {
		case 0, 1, 2, 3:
			protocol := []fsm.Protocol{fsm.HTTPGraphQL, fsm.TCPGraphQL, fsm.HTTP}[r.IntN(3)]
			w.site.Propose(w.Context(), fsm.Command{Op: fsm.Put{Mode: fsm.Upsert, Service: fsm.Service{
				Name: name, Endpoint: fmt.Sprintf("http://%s:8080/graphql", name), Protocol: protocol, Region: fmt.Sprint(r.IntN(3))}}})
		case 4, 5:
			w.site.Propose(w.Context(), fsm.Command{Op: fsm.Delete{ID: name + ":http:graphql"}})
		case 6:
			g.set(func() { bad[name] = true })
		case 7:
			g.set(func() { delete(bad, name) })
		case 8:
			g.set(func() { g.down = !g.down })
		case 9:
			g.restart()
		case 10:
			hang := r.IntN(2) == 0
			g.set(func() { g.hangs = func([]GatewayService) bool { return hang } })
		case 11:
			w.lead()
		}
		w.later(time.Duration(r.ExpFloat64() * float64(500*time.Millisecond)))
	}
	w.gateway.set(func() { w.gateway.down, w.gateway.hangs = false, nil })
	w.later(4 * time.Minute)
	// What died while it was on the list shows when the list is sent again.
	w.commit("last")
	w.later(4 * time.Minute)
	want := map[string]bool{}
	for route := range w.site.Table().All() {
		if route.Service.Protocol.GraphQL() && !bad[route.Service.Name] {
			want[route.ID()] = true
		}
	}
	if got := len(w.gateway.names()); got != len(want) {
		w.Errorf("the gateway serves %d services, want %d; status %+v", got, len(want), w.plugin.Status())
	}
	if s := w.plugin.Status(); s.State == GatewayPending || s.Services != len(want) {
		w.Errorf("status: %+v", s)
	}
}

// Two services clash, and the gateway's words are about the older one. The
// next leader, which has accepted neither, sets the younger aside too.
func TestIncumbentKeepsItsPlaceWhenTheWordsNameIt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = func(list []GatewayService) string {
			var books, clash bool
			for _, s := range list {
				books = books || s.Name == "books"
				clash = clash || s.Name == "clash"
			}
			if books && clash {
				return "service books: cannot merge type Book"
			}
			return ""
		}
		w.commit("books", "pokemon", "clash")
		w.lead()
		w.later(5 * time.Second)
		w.status(GatewayRejected, "clash")
	})
}
