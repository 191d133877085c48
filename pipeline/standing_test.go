package pipeline

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// waits checks what the status says of services that wait, as "id: why".
func (w *world) waits(want ...string) {
	w.Helper()
	var got []string
	for _, x := range w.plugin.Status().Waiting {
		got = append(got, x.ID+": "+x.Error)
	}
	if !reflect.DeepEqual(got, want) {
		w.Errorf("what waits: %q, want %q", got, want)
	}
}

func TestAnswerSaysWhatTheGatewayServes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.says(map[string]ServiceReport{"books": {
			State: ReportServing, Queries: []string{"books_all"}, Mutations: []string{"add"}, Subscriptions: []string{"added"},
			Warnings: []string{"query field all is books_all: service library has another one of that name"},
		}})
		w.lead()
		got := w.add("books")
		want := GatewayData{
			State: GatewayApplied, Queries: []string{"books_all"}, Mutations: []string{"add"}, Subscriptions: []string{"added"},
			Warnings: []string{"query field all is books_all: service library has another one of that name"},
		}
		if !reflect.DeepEqual(got, want) {
			w.Errorf("answer: %+v, want %+v", got, want)
		}
		w.status(GatewayApplied)
		w.waits()
		if got := w.plugin.Status().Warnings; !reflect.DeepEqual(got, []Warning{{"books:http:graphql", want.Warnings[0]}}) {
			w.Errorf("warnings: %+v", got)
		}
		w.gateway.says(nil)
		if got := w.remove("books"); !reflect.DeepEqual(got, GatewayData{State: GatewayApplied}) {
			w.Errorf("the answer to its removal: %+v", got)
		}
	})
}

func TestServiceThatIsAcceptedButNotServedWaits(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.says(map[string]ServiceReport{"late": {State: ReportDown, Error: "service late cannot be reached"}})
		w.lead()
		began := time.Now()
		got := w.add("late")
		if got.State != GatewayPending || got.Error != "service late cannot be reached" {
			w.Errorf("answer: %+v, want pending with the reason", got)
		}
		if took := time.Since(began); took > pushDebounce {
			w.Errorf("the answer took %s: nobody waits for a service that is down", took)
		}
		w.status(GatewayApplied) // the list is
		w.waits("late:http:graphql: service late cannot be reached")
		if s := w.plugin.Status(); s.Of("late:http:graphql") != GatewayPending || s.Of("other:http:graphql") != GatewayApplied {
			w.Errorf("of each: %+v", s)
		}
		before := w.gateway.count()
		w.gateway.says(nil)
		synctest.Wait() // as soon as the gateway says so
		w.waits()
		w.gateway.says(map[string]ServiceReport{"late": {State: ReportStale, Error: "service late broke off"}})
		synctest.Wait()
		w.waits("late:http:graphql: service late broke off; it is served as it was")
		if n := w.gateway.count() - before; n != 0 {
			w.Errorf("it was sent %d lists meanwhile", n)
		}
	})
}

func TestEachStateOfAServiceHasItsWords(t *testing.T) {
	for _, c := range []struct {
		says ServiceReport
		want GatewayData
	}{
		{ServiceReport{}, GatewayData{State: GatewayApplied}},
		{ServiceReport{State: ReportServing, Error: "nothing"}, GatewayData{State: GatewayApplied}},
		{ServiceReport{State: ReportPending}, GatewayData{State: GatewayPending, Error: "the gateway is asking it what it is"}},
		{ServiceReport{State: ReportStale}, GatewayData{State: GatewayPending, Error: "it has not yet said again what it is; it is served as it was"}},
		{ServiceReport{State: "hibernating"}, GatewayData{State: GatewayPending, Error: "the gateway does not serve it yet"}},
		{notListed, GatewayData{State: GatewayPending, Error: notListed.Error}},
	} {
		if got := c.says.data(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: got %+v, want %+v", c.says, got, c.want)
		}
	}
}

// Names on the list are not ids: two protocols may share one.
func TestReportsFindTheirRoutes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.says(nil)
		w.lead()
		w.add("books")
		w.apply("create", map[string]any{"name": "books", "endpoint": "tcp://books:1", "protocol": "tcp:gql"})
		w.gateway.says(map[string]ServiceReport{
			"books":             {State: ReportServing, Warnings: []string{"one", "two"}},
			"books:tcp:graphql": {State: ReportDown, Error: "its url is none"},
		})
		synctest.Wait()
		w.waits("books:tcp:graphql: its url is none")
		if got := fmt.Sprint(w.plugin.Status().Warnings); got != "[{books:http:graphql one} {books:http:graphql two}]" {
			w.Errorf("warnings: %s", got)
		}
		// When the older one goes, its name is the other's, and so is what is said of it.
		w.gateway.says(map[string]ServiceReport{"books": {State: ReportPending}})
		w.remove("books")
		w.waits("books:tcp:graphql: the gateway is asking it what it is")
	})
}

func TestReportsDoNotOutliveTheConnection(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.says(nil)
		w.lead()
		w.add("books")
		w.gateway.says(map[string]ServiceReport{"books": {State: ReportDown, Error: "no"}})
		synctest.Wait()
		w.waits("books:http:graphql: no")
		w.gateway.stop()
		synctest.Wait()
		w.waits()
		w.status(GatewayPending)
		if s := w.plugin.Status(); !strings.Contains(s.Error, "cannot be reached") {
			w.Errorf("the status does not say why: %+v", s)
		}
		w.end()
		if s := w.plugin.Status(); s.Error != "" || s.Waiting == nil || s.Warnings == nil {
			w.Errorf("after the term: %+v", s)
		}
	})
}

func TestGatewayThatAnotherSiteHasTakenSaysSo(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.says(nil)
		w.lead()
		w.add("books")
		w.gateway.set(func() { w.gateway.holds = nil })
		w.gateway.says(nil) // it has none of ours
		synctest.Wait()
		w.waits("books:http:graphql: " + notListed.Error)
	})
}

// A gateway that heeds a newer leader says nothing about any service.
func TestFencedLeaderBlamesNoService(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.gateway.guard()
		w.gateway.set(func() { w.gateway.fence = "a newer list was accepted, of term 8" })
		got := w.add("authors")
		if got.State != GatewayPending || !strings.Contains(got.Error, "heeds another leader: a newer list") {
			w.Errorf("answer: %+v", got)
		}
		w.later(10 * time.Minute)
		w.status(GatewayPending)
		w.serves("books")
		if s := w.plugin.Status(); !strings.Contains(s.Error, "of term 8") {
			w.Errorf("the status does not say why: %+v", s)
		}
		if n := w.gateway.count(); n > 600/4+10 {
			w.Errorf("%d attempts in ten minutes, want about one in 5 s", n)
		}
		w.gateway.set(func() { w.gateway.fence = "" })
		w.later(6 * time.Second)
		w.serves("authors", "books")
		w.status(GatewayApplied)
	})
}

func TestListsSayWhichTableTheyShow(t *testing.T) {
	inBubble(t, func(w *world) {
		w.lead()
		w.add("books")
		w.commit("authors")
		w.later(time.Second)
		versions := w.gateway.versions
		if last := versions[len(versions)-1]; last != w.site.Table().Version() {
			w.Errorf("the versions sent are %v, the table's is %d", versions, w.site.Table().Version())
		}
		for i := range versions[1:] {
			if versions[i+1] < versions[i] {
				w.Errorf("versions go back: %v", versions)
			}
		}
	})
}

func TestWhatAGatewayMaySayIsBounded(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var many []string
	for range 5000 {
		many = append(many, long)
	}
	r := ServiceReport{State: long, Error: long, Queries: many, Mutations: many, Subscriptions: many, Warnings: many}.bounded()
	for what, n := range map[string]int{"state": len(r.State), "error": len(r.Error), "name": len(r.Queries[0]), "warning": len(r.Warnings[0])} {
		if n > maxWord+len("…") {
			t.Errorf("%s has %d bytes", what, n)
		}
	}
	if len(r.Queries) != maxReported || len(r.Warnings) != maxWarnings || len(many[0]) != len(long) {
		t.Errorf("%d queries and %d warnings stay", len(r.Queries), len(r.Warnings))
	}
	inBubble(t, func(w *world) {
		w.commit(numbered(2000)...)
		w.gateway.says(nil)
		w.lead()
		down := map[string]ServiceReport{}
		for _, name := range numbered(2000) {
			down[name] = ServiceReport{State: ReportDown, Warnings: []string{"w"}}
		}
		w.gateway.says(down)
		synctest.Wait()
		s := w.plugin.Status()
		if len(s.Waiting) != maxReported || len(s.Warnings) != maxReported || !s.Truncated || s.Waiting[0].ID != "s0000:http:graphql" {
			w.Errorf("%d wait and %d are warned of, truncated: %t", len(s.Waiting), len(s.Warnings), s.Truncated)
		}
		if shown, beyond := s.Of("s0000:http:graphql"), s.Of("s1999:http:graphql"); shown != GatewayPending || beyond != "" {
			w.Errorf("of one that is shown: %q, of one that is not: %q", shown, beyond)
		}
	})
}

func TestGatewayInTheProcessHasAStatusToo(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"books", "late"} {
		s.Propose(t.Context(), fsm.Command{Op: fsm.Put{Service: fsm.Service{Name: name, Endpoint: endpoint(name), Protocol: fsm.HTTPGraphQL}}})
	}
	l := ListingOf(s.Table())
	got := l.Status("http://here/graphql", &Told{Services: map[string]ServiceReport{
		"books": {State: ReportServing, Warnings: []string{"w"}}, "late": {State: ReportDown, Error: "no"},
	}})
	want := GatewayStatus{
		Endpoint: "http://here/graphql", State: GatewayApplied, Services: 2, Quarantined: []Quarantined{},
		Waiting: []Waiting{{"late:http:graphql", "no"}}, Warnings: []Warning{{"books:http:graphql", "w"}},
	}
	if !reflect.DeepEqual(got, want) || l.Services[0].Name != "late" {
		t.Errorf("got %+v of %v, want %+v", got, l.Services, want)
	}
}

func TestNewsOfACommitComesBeforeAnythingWaits(t *testing.T) {
	inBubble(t, func(w *world) {
		w.gateway.takes = time.Second
		w.lead()
		w.later(2 * time.Second)
		began := time.Now()
		send := func(data map[string]any) (news []string) {
			a, _ := DecodeAction(map[string]any{"resource": "dataChannel", "action": "create", "data": data, "requestId": "r"})
			r, err := w.pipe.Apply(w.Context(), &Context{Action: a, Identity: Identity{Role: Operator}, Proposer: w.site, Committed: func(r Result) {
				news = append(news, fmt.Sprintf("%s at %d after %s", r.Data.(RouteData).ID, r.Index, time.Since(began)))
			}})
			if err != nil || len(news) > 0 != r.Success {
				w.Errorf("%+v, %v, told %v", r, err, news)
			}
			return news
		}
		want := fmt.Sprintf("[books:http:graphql at %d after 0s]", w.site.Table().Version()+1)
		if got := fmt.Sprint(send(channel("books", endpoint("books")))); got != want {
			w.Errorf("told %s, want %s", got, want)
		}
		if took := time.Since(began); took < time.Second {
			w.Errorf("the answer took %s, and the gateway a second", took)
		}
		if got := send(map[string]any{"name": "books", "endpoint": "nonsense", "protocol": "http:graphql"}); got != nil {
			w.Errorf("told of a refusal: %v", got)
		}
	})
}
