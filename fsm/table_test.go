package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCreateTheSameAgainChangesNothing(t *testing.T) {
	s := begin(t)
	first := s.does(Put{Mode: Create, Service: service("books")})
	if want := (Outcome{ID: "books:http:graphql", Index: 2, Changed: true}); first != want {
		t.Errorf("create: got %+v, want %+v", first, want)
	}
	again := s.does(Put{Mode: Create, Service: service("books")})
	if want := (Outcome{ID: "books:http:graphql", Index: 2}); again != want {
		t.Errorf("create again: got %+v, want %+v", again, want)
	}
	if s.table.NumLocal() != 1 || s.table.Version() != 2 {
		t.Errorf("got %d routes at version %d, want 1 at 2", s.table.NumLocal(), s.table.Version())
	}
}

func TestCreateAnotherDefinitionIsAConflict(t *testing.T) {
	s := begin(t)
	s.puts("books")
	other := service("books")
	other.Endpoint = "http://elsewhere/"
	s.refuses(Conflict, Put{Mode: Create, Service: other})
	other = service("books")
	other.Tags = map[string]string{"team": "b"}
	s.refuses(Conflict, Put{Mode: Create, Service: other})
}

func TestUpdateKeepsWhenItWasCreated(t *testing.T) {
	s := begin(t)
	s.refuses(NotFound, Put{Mode: Update, Service: service("books")})
	s.puts("books")
	created := *s.table.Local("books:http:graphql")
	moved := service("books")
	moved.Region = "eu"
	s.does(Put{Mode: Update, Service: moved})
	r := s.table.Local("books:http:graphql")
	if r.CreatedAt != created.CreatedAt || r.CreatedIndex != created.CreatedIndex {
		t.Errorf("created moved from %d at %d to %d at %d", created.CreatedIndex, created.CreatedAt, r.CreatedIndex, r.CreatedAt)
	}
	if r.ModifiedAt != s.now || r.ModifiedIndex != s.table.Version() || r.Service.Region != "eu" {
		t.Errorf("after the update: %+v", r)
	}
	if created.Service.Region != "" {
		t.Error("the update changed the route of the older table")
	}
}

func TestUpsertCreatesAndUpdates(t *testing.T) {
	s := begin(t)
	for _, region := range []string{"eu", "us", "us"} {
		v := service("books")
		v.Region = region
		s.does(Put{Mode: Upsert, Service: v})
	}
	s.wants("changes", s.told(0), []string{"+books", "+books"})
}

func TestDeleteKnowsTheAlias(t *testing.T) {
	s := begin(t)
	s.puts("books")
	s.refuses(NotFound, Delete{ID: "films:http:gql"})
	o := s.does(Delete{ID: "books:http:gql"})
	if o.ID != "books:http:graphql" || !o.Changed {
		t.Errorf("got %+v", o)
	}
	s.refuses(NotFound, Delete{ID: "books:http:graphql"})
	s.wants("changes", s.told(1), []string{"+books", "-books"})
}

func TestASiteIsFoundedOnceAndFirst(t *testing.T) {
	s := &story{T: t, table: new(Table)}
	s.refuses(Conflict, Put{Service: service("books")})
	s.refuses(Invalid, Found{Site: "not a name"})
	s.does(Found{Site: "paris", AS: 64512, Epoch: "e"})
	s.refuses(Conflict, Found{Site: "london", AS: 1, Epoch: "f"})
	if s.table.Site() != "paris" || s.table.AS() != 64512 || s.table.Epoch() != "e" || s.table.Version() != 1 {
		t.Errorf("founded %s, %d, %s at %d", s.table.Site(), s.table.AS(), s.table.Epoch(), s.table.Version())
	}
}

func TestEveryChangeOfABatchHasItsOwnNumber(t *testing.T) {
	s := begin(t)
	batch := []Command{
		{Op: Put{Service: service("a")}},
		{Op: Put{Service: service("b")}},
		{Op: Put{Service: service("a")}}, // nothing new
		{Op: Delete{ID: "nobody"}},       // refused
		{Op: Delete{ID: "a:http:graphql"}},
	}
	next, outcomes := s.table.Apply(batch)
	var got []uint64
	for _, o := range outcomes {
		got = append(got, o.Index)
	}
	if want := []uint64{2, 3, 3, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("indices %v, want %v", got, want)
	}
	if next.Version() != 4 || s.table.Version() != 1 {
		t.Errorf("versions %d and, of the base, %d", next.Version(), s.table.Version())
	}
}

func TestChangesTellEachOnceAndOnlyWhatIsKnown(t *testing.T) {
	s := begin(t)
	s.table.limits = &bounds{routes: 100, peers: 10, changes: 4, outcomes: 100}
	s.puts("a", "b", "c")
	s.wants("since the founding", s.told(1), []string{"+a", "+b", "+c"})
	s.wants("since now", s.told(4), nil)
	s.does(Delete{ID: "a:http:graphql"})
	s.wants("since 1", s.told(1), []string{"+a", "+b", "+c", "-a"})
	s.puts("d")
	if _, ok := s.table.Changes(1); ok {
		t.Error("changes since 1 are told although change 2 is forgotten")
	}
	s.wants("since 2", s.told(2), []string{"+b", "+c", "-a", "+d"})
	if _, ok := s.table.Changes(s.table.Version() + 1); ok {
		t.Error("changes since a version that is still to come are told")
	}
}

func TestAnOldTableStaysAsItWas(t *testing.T) {
	s := begin(t)
	for i := range 2000 {
		s.puts(fmt.Sprintf("s%04d", i))
	}
	before, want := s.table, snapshotOf(t, s.table)
	for i := range 2000 {
		s.does(Delete{ID: fmt.Sprintf("s%04d:http:graphql", i)})
	}
	s.puts("later")
	if !bytes.Equal(snapshotOf(t, before), want) {
		t.Error("later commands changed an older table")
	}
	if s.table.NumLocal() != 1 {
		t.Errorf("%d routes left", s.table.NumLocal())
	}
}

func TestARequestIDIsAnsweredOnce(t *testing.T) {
	s := begin(t)
	put := Command{RequestID: "r1", At: s.now, Op: Put{Service: service("books")}}
	first := s.sends(put)
	s.does(Delete{ID: "books:http:graphql"})
	put.At += OutcomeWindow.Milliseconds() - 1
	if again := s.sends(put); again != first || s.table.NumLocal() != 0 {
		t.Errorf("within the window: got %+v, want %+v", again, first)
	}
	if o, ok := s.table.Outcome("r1"); !ok || o != first {
		t.Errorf("Outcome: %+v, %t", o, ok)
	}
	put.At++
	if late := s.sends(put); late == first || s.table.NumLocal() != 1 {
		t.Errorf("after the window: got %+v", late)
	}
}

func TestARefusalIsRememberedToo(t *testing.T) {
	s := begin(t)
	gone := Command{RequestID: "r1", At: s.now, Op: Delete{ID: "books:http:graphql"}}
	first := s.sends(gone)
	s.puts("books")
	if again := s.sends(gone); again != first || again.Code != NotFound {
		t.Errorf("got %+v, want %+v", again, first)
	}
	long := s.sends(Command{RequestID: strings.Repeat("x", MaxRequestID+1), Op: Delete{ID: "books:http:graphql"}})
	if long.Code != Invalid || s.table.NumLocal() != 1 {
		t.Errorf("a request id that is too long: %+v", long)
	}
}

func TestRequestsAreForgottenInTimeAndInNumber(t *testing.T) {
	s := begin(t)
	s.table.limits = &bounds{routes: 100, peers: 10, changes: 100, outcomes: 20}
	request := func(i int, at int64) {
		s.sends(Command{RequestID: fmt.Sprint("r", i), At: at, Op: Delete{ID: "nobody"}})
	}
	known := func(i int) bool { _, ok := s.table.Outcome(fmt.Sprint("r", i)); return ok }
	for i := range 100 {
		request(i, s.now)
		if n := s.table.memory.len(); n > 20 {
			t.Fatalf("%d requests remembered, the bound is 20", n)
		}
	}
	if known(79) || !known(90) || !known(99) {
		t.Errorf("of the last known: 79 %t, 90 %t, 99 %t", known(79), known(90), known(99))
	}
	window := OutcomeWindow.Milliseconds()
	request(200, s.now+window)
	request(201, s.now+2*window)
	if n := s.table.memory.len(); n != 2 {
		t.Errorf("%d requests after two windows, want 2", n)
	}
	// A leader with a clock far ahead does not fill the memory for good.
	request(300, s.now+1000*window)
	request(301, s.now+2*window)
	request(302, s.now+3*window)
	if known(300) {
		t.Error("a request of the far future is still known")
	}
}

func TestAFullTableRefusesNewRoutesOnly(t *testing.T) {
	s := begin(t)
	s.table.limits = &bounds{routes: 3, peers: 2, changes: 100, outcomes: 100}
	s.puts("a", "b")
	s.learns("london", "c")
	s.refuses(TooLarge, Put{Service: service("d")})
	v := service("a")
	v.Region = "eu"
	s.does(Put{Mode: Update, Service: v})
	o := s.learns("london", "d")
	if o.Refused != 1 || o.Changed || o.Message == "" {
		t.Errorf("a learned route over the bound: %+v", o)
	}
	s.does(Delete{ID: "b:http:graphql"})
	s.learns("london", "d")
	s.learns("rome")
	s.refuses(TooLarge, Put{Service: service("e")})
}

// panics is an operation with a defect: it dies with its work half done.
type panics struct{ do Op }

func (p panics) apply(e *edit) Outcome {
	p.do.apply(e)
	panic("a defect")
}

func (p panics) encode(b []byte) []byte { return b }

func TestAPanicUndoesItsCommandAlone(t *testing.T) {
	s := begin(t)
	s.puts("kept")
	want, _ := s.table.Apply([]Command{{Op: Put{Service: service("a")}}, {Op: Put{Service: service("b")}}})
	got, outcomes := s.table.Apply([]Command{
		{RequestID: "r1", Op: panics{Delete{ID: "kept:http:graphql"}}},
		{Op: Put{Service: service("a")}},
		{Op: panics{Put{Service: service("c")}}},
		{Op: Put{Service: service("b")}},
		{Op: panics{Delete{ID: "a:http:graphql"}}},
	})
	if !bytes.Equal(snapshotOf(t, got), snapshotOf(t, want)) {
		t.Error("the table shows something of a command that panicked")
	}
	for i, code := range []Code{Internal, "", Internal, "", Internal} {
		if outcomes[i].Code != code {
			t.Errorf("command %d: %+v, want code %q", i, outcomes[i], code)
		}
	}
}

func TestAnUnknownOperationIsRefused(t *testing.T) {
	s := begin(t)
	if o := s.sends(Command{Op: nil}); o.Code != Invalid || !strings.Contains(o.Message, "upgrade") {
		t.Errorf("got %+v", o)
	}
}

func TestTwoTablesFromOneBaseDoNotDisturbEachOther(t *testing.T) {
	s := begin(t)
	for i := range 1000 {
		s.puts(fmt.Sprintf("s%04d", i))
	}
	base := s.table
	apply := func(name string) []byte {
		t := base
		for i := range 700 { // beyond one chunk of the history
			t, _ = t.Apply([]Command{{Op: Put{Service: service(fmt.Sprint(name, i))}}, {Op: Delete{ID: fmt.Sprintf("s%04d:http:graphql", i)}}})
		}
		return snapshotOf(s, t)
	}
	wantA, wantB := apply("a"), apply("b")
	a := make(chan []byte)
	go func() { a <- apply("a") }()
	gotB := apply("b")
	if gotA := <-a; !bytes.Equal(gotA, wantA) || !bytes.Equal(gotB, wantB) {
		t.Error("tables derived at the same time differ from those derived one by one")
	}
}
