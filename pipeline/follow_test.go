package pipeline

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestRegistrationAnswersWhenTheGatewayServesIt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.takes = 300 * time.Millisecond
		w.lead()
		w.later(time.Second)
		began := time.Now()
		if got := w.add("books"); !reflect.DeepEqual(got, GatewayData{State: GatewayApplied}) {
			w.Errorf("answer: %+v, want applied", got)
		}
		if took := time.Since(began); took != pushDebounce+300*time.Millisecond {
			w.Errorf("the answer took %s, want the debounce and the push", took)
		}
		w.serves("books")
		w.status(GatewayApplied)
		if s := w.plugin.Status(); s.Services != 1 || s.LastPush != time.Now().UnixMilli() || s.Endpoint != "ws://gateway/api" {
			w.Errorf("status: %+v", s)
		}
	})
}

func TestIncumbentsComeLastAndKeepTheirName(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.add("authors")
		w.apply("create", map[string]any{"name": "books", "endpoint": "tcp://books:1", "protocol": "tcp:gql"})
		w.serves("books:tcp:graphql", "authors", "books")

		// An update does not cost a service its place.
		w.apply("update", channel("books", "http://elsewhere/graphql"))
		w.serves("books:tcp:graphql", "authors", "books")

		// When the older one goes, its name is free.
		w.remove("books")
		w.serves("books", "authors")
	})
}

func TestOtherProtocolsDoNotInvolveTheGateway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		before := w.gateway.count()
		r := w.apply("create", map[string]any{"name": "db", "endpoint": "tcp://db:5432", "protocol": "tcp"})
		if d := r.Data.(RouteData); !r.Success || d.Gateway != nil {
			w.Errorf("answer: %+v", r)
		}
		w.later(time.Minute)
		if n := w.gateway.count() - before; n != 0 {
			w.Errorf("the gateway was sent %d lists", n)
		}
		w.status(GatewayApplied)
	})
}

func TestTagsAloneAreNoNewsToTheGateway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		before := w.gateway.count()
		data := channel("books", endpoint("books"))
		data["tags"] = map[string]any{"team": "a"}
		if got := w.data(w.apply("update", data)); got.State != GatewayApplied {
			w.Errorf("answer: %+v", got)
		}
		if n := w.gateway.count() - before; n != 0 {
			w.Errorf("the gateway was sent %d lists", n)
		}
	})
}

func TestBulkRegistrationIsAHandfulOfPushes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.takes = 50 * time.Millisecond
		w.lead()
		var wg sync.WaitGroup
		for i, name := range numbered(3000) {
			wg.Go(func() {
				time.Sleep(time.Duration(i%100) * time.Millisecond)
				if got := w.add(name); got.State != GatewayApplied {
					w.Errorf("%s: %+v", name, got)
				}
			})
		}
		wg.Wait()
		if n := w.gateway.count(); n > 5 {
			w.Errorf("it took %d pushes, want at most 5", n)
		}
		if n := len(w.gateway.names()); n != 3000 {
			w.Errorf("the gateway serves %d services, want 3000", n)
		}
	})
}

func TestWithoutAGatewayThereIsNoGatewayInTheAnswer(t *testing.T) {
	var none *GatewayIntegrationPlugin
	for name, plugin := range map[string]*GatewayIntegrationPlugin{"nil": none, "no endpoint": NewGatewayIntegrationPlugin(GatewayConfig{})} {
		s := newSite(t)
		a, _ := DecodeAction(map[string]any{"resource": "dataChannel", "action": "create", "data": channel("books", endpoint("books"))})
		r, err := Pipeline{LocalRoutingPlugin{}, DirectProxyRouteTablePlugin{}, plugin}.Apply(t.Context(), &Context{Action: a, Proposer: s})
		if d, ok := r.Data.(RouteData); err != nil || !ok || d.Gateway != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestNodeThatDoesNotLeadAnswersPending(t *testing.T) {
	inBubble(t, func(w *world) {
		began := time.Now()
		if got := w.add("books"); got.State != GatewayPending {
			w.Errorf("answer: %+v", got)
		}
		if took := time.Since(began); took != 0 {
			w.Errorf("it took %s", took)
		}
		w.status(GatewayPending)
	})
}

func TestDeadGatewayIsPendingAtOnceAndCaughtUpLater(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.down = true
		w.lead()
		began := time.Now()
		for _, name := range []string{"books", "authors"} {
			if got := w.add(name); got.State != GatewayPending || got.Error == "" {
				w.Errorf("answer: %+v, want pending with the reason", got)
			}
		}
		if took := time.Since(began); took > 0 {
			w.Errorf("the answers took %s, want them at once", took)
		}
		w.status(GatewayPending)
		w.later(time.Hour)
		if n := w.gateway.count(); n > 3600/4+10 {
			w.Errorf("%d attempts in an hour, want about one in 5 s", n)
		}
		w.gateway.set(func() { w.gateway.down = false })
		w.later(6 * time.Second)
		w.serves("authors", "books")
		w.status(GatewayApplied)
	})
}

func TestHangingGatewayDelaysAnAnswerByTheWaitAtMost(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.gateway.set(func() { w.gateway.hangs = func([]GatewayService) bool { return true } })
		began := time.Now()
		if got := w.add("authors"); got.State != GatewayPending {
			w.Errorf("answer: %+v", got)
		}
		if took := time.Since(began); took != DefaultGatewayWait {
			w.Errorf("it took %s, want %s", took, DefaultGatewayWait)
		}
		// Once it is known to hang, nobody waits for it.
		w.later(6 * time.Second)
		began = time.Now()
		w.add("reviews")
		if took := time.Since(began); took != 0 {
			w.Errorf("the second answer took %s", took)
		}
		w.later(5 * time.Minute)
		w.gateway.set(func() { w.gateway.hangs = nil })
		w.later(16 * time.Second)
		w.serves("reviews", "authors", "books")
		w.status(GatewayApplied)
	})
}

func TestRestartedGatewayGetsTheUnchangedListAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.gateway.restart()
		synctest.Wait()
		w.serves("books") // at once

		w.gateway.stop()
		w.later(time.Minute)
		w.status(GatewayPending)
		w.gateway.set(func() { w.gateway.down = false })
		w.later(6 * time.Second)
		w.serves("books")
		w.status(GatewayApplied)
	})
}

func TestRepeatedActionDoesNotClaimWhatADeadGatewayForgot(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.gateway.stop()
		w.later(time.Second)
		if got := w.add("books"); got.State != GatewayPending {
			w.Errorf("answer: %+v, want pending", got)
		}
	})
}

func TestEmptiedListIsSent(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		if got := w.remove("books"); got.State != GatewayApplied {
			w.Errorf("answer: %+v", got)
		}
		w.serves()
		if last := w.gateway.pushes[len(w.gateway.pushes)-1]; last == nil || len(last) != 0 {
			w.Errorf("the last list is %#v, want an empty one", last)
		}
	})
}

func TestGatewayThatWantsNoEmptyListIsAskedSeldom(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.refuses = func(list []GatewayService) string {
			if len(list) == 0 {
				return "no services"
			}
			return ""
		}
		w.lead()
		w.later(time.Minute)
		if n := w.gateway.count(); n > 25 {
			w.Errorf("%d attempts in a minute", n)
		}
		w.commit("books")
		w.later(6 * time.Second)
		w.serves("books")
	})
}

func TestNewTermSendsTheList(t *testing.T) {
	inBubble(t, func(w *world) {
		w.commit("books", "authors")
		w.lead()
		w.serves("authors", "books")
		before := w.gateway.count()
		w.lead()
		if n := w.gateway.count() - before; n != 1 {
			w.Errorf("the new term sent %d lists, want 1", n)
		}
	})
}

func TestEndOfTermAnswersWhoWaits(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.gateway.set(func() { w.gateway.takes = 9 * time.Second })
		done := make(chan GatewayData, 1)
		go func() { done <- w.add("books") }()
		w.later(time.Second)
		w.end()
		synctest.Wait()
		select {
		case got := <-done:
			if got.State != GatewayPending {
				w.Errorf("answer: %+v", got)
			}
		default:
			w.Error("the action still waits")
			<-done
		}
	})
}

func TestCallerWhoGivesUpAfterTheCommitChangesNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.gateway.set(func() { w.gateway.takes = time.Second })
		ctx, cancel := context.WithCancel(w.Context())
		go func() { time.Sleep(100 * time.Millisecond); cancel() }()
		a, _ := DecodeAction(map[string]any{"resource": "dataChannel", "action": "create", "data": channel("books", endpoint("books"))})
		r, err := w.pipe.Apply(ctx, &Context{Action: a, Identity: Identity{Role: Admin}, Proposer: w.site})
		if err != nil || w.data(r).State != GatewayApplied {
			w.Errorf("%+v, %v", r, err)
		}
	})
}

func TestBrokenSourceEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGatewayIntegrationPlugin(GatewayConfig{Endpoint: "ws://gateway"})
		err := g.Run(t.Context(), brokenSource{}, newSimGateway())
		if !errors.Is(err, errRefused) {
			t.Errorf("Run: %v, want the source's error", err)
		}
	})
}

type brokenSource struct{}

func (brokenSource) Table() *fsm.Table { return new(fsm.Table) }
func (brokenSource) Await(context.Context, uint64) (*fsm.Table, error) {
	return nil, errRefused
}

func TestBestPathIsWhatTheGatewayGets(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		learn := func(peer, url string) {
			w.site.Propose(w.Context(), fsm.Command{Op: fsm.Learn{Peer: peer, Version: 1, EndOfRIB: true, Add: []fsm.LearnedRoute{{
				Service: fsm.Service{Name: "books", Endpoint: url, Protocol: fsm.HTTPGraphQL}, Site: peer, Path: []string{peer}, Version: 1,
			}}}})
			w.later(time.Second)
		}
		serves := func(url string) {
			w.Helper()
			if !slices.Equal(w.gateway.holds, []GatewayService{{Name: "books", URL: url}}) {
				w.Errorf("the gateway serves %v, want books at %s", w.gateway.holds, url)
			}
		}
		learn("rome", "http://rome/graphql")
		serves("http://rome/graphql")
		learn("oslo", "http://oslo/graphql")
		serves("http://oslo/graphql")
		w.add("books")
		serves(endpoint("books"))
		w.remove("books")
		serves("http://oslo/graphql")
		w.site.Propose(w.Context(), fsm.Command{Op: fsm.MarkStale{Peer: "oslo"}})
		w.later(time.Second)
		serves("http://rome/graphql")
	})
}
