package fsm

import (
	"bytes"
	"slices"
	"testing"
)

// story is a table under test: every step applies one batch and keeps the
// newest table.
type story struct {
	*testing.T
	table *Table
	now   int64
}

// begin founds the site paris.
func begin(t *testing.T) *story {
	s := &story{T: t, table: new(Table), now: 1_000_000}
	s.does(Found{Site: "paris", AS: 64512, Epoch: "epoch-1"})
	return s
}

// tries applies one operation, a second after the last.
func (s *story) tries(op Op) Outcome {
	s.now += 1000
	return s.sends(Command{At: s.now, Op: op})
}

func (s *story) sends(c Command) Outcome {
	s.Helper()
	table, outcomes := s.table.Apply([]Command{c})
	s.table = table
	return outcomes[0]
}

// does is tries for what must work.
func (s *story) does(op Op) Outcome {
	s.Helper()
	o := s.tries(op)
	if o.Code != "" {
		s.Fatalf("%#v: %s: %s", op, o.Code, o.Message)
	}
	return o
}

// refuses is tries for what must not work, and must change nothing.
func (s *story) refuses(code Code, op Op) Outcome {
	s.Helper()
	before := s.table
	o := s.tries(op)
	if o.Code != code || o.Changed || o.Message == "" {
		s.Errorf("%#v: got %+v, want a %s", op, o, code)
	}
	if s.table.Version() != before.Version() || !bytes.Equal(snapshotOf(s.T, s.table), snapshotOf(s.T, before)) {
		s.Errorf("%#v was refused and changed the table", op)
	}
	return o
}

func (s *story) puts(names ...string) {
	s.Helper()
	for _, name := range names {
		s.does(Put{Service: service(name)})
	}
}

// learns lets a peer announce services of its own site.
func (s *story) learns(peer string, names ...string) Outcome {
	s.Helper()
	l := Learn{Peer: peer}
	for _, name := range names {
		l.Add = append(l.Add, announces(name, peer))
	}
	return s.does(l)
}

func service(name string) Service {
	return Service{Name: name, Endpoint: "http://" + name + ":8080/graphql", Protocol: HTTPGraphQL}
}

// announces is a service that crossed the sites of the path, the origin last.
func announces(name string, path ...string) LearnedRoute {
	return LearnedRoute{Service: service(name), Site: path[len(path)-1], Path: path, Version: 7}
}

func snapshotOf(t testing.TB, table *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSnapshot(&b, table); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func restored(t testing.TB, data []byte) *Table {
	t.Helper()
	table, err := ReadSnapshot(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// told are the changes since a version, as "+id" and "-id".
func (s *story) told(since uint64) []string {
	s.Helper()
	changes, ok := s.table.Changes(since)
	if !ok {
		s.Fatalf("the changes since %d are not known any more", since)
	}
	var told []string
	last := since
	for c := range changes {
		if c.Index <= last {
			s.Errorf("change %d after %d", c.Index, last)
		}
		last = c.Index
		sign := "+"
		if c.Deleted {
			sign = "-"
		}
		told = append(told, sign+c.Route.Service.Name)
	}
	return told
}

func (s *story) wants(what string, got, want []string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func paths(routes []*Route) []string {
	var text []string
	for _, r := range routes {
		where := "here"
		if !r.Local() {
			where = r.Site + " by " + r.Peer
		}
		if r.Stale {
			where += ", stale"
		}
		text = append(text, where)
	}
	return text
}
