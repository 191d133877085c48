package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// churn is services that come, change, break, move and go at random, and a
// client that goes on asking what it has prepared for those that are well.
type churn struct {
	*world
	*rand.Rand
	crowd    *crowd
	g        *Gateway
	stop     func()
	services []*churned // newest first
	born     int
	story    []string
	asked    int // answers that were compared
}

type churned struct {
	stub     *stub
	is       Service
	version  atomic.Int64
	broken   bool
	prepared []prepared // since it is as it is
}

// crowd is inMemory that grows while it is used.
type crowd struct {
	mu    sync.Mutex
	reach inMemory
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	host := r.URL.Host
	one := inMemory{host: c.reach[host]}
	c.mu.Unlock()
	return one.RoundTrip(r)
}

func (c *crowd) add(host string, s *stub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reach[host] = s
}

// prepared is a request of a client, and what it was answered at first.
type prepared struct{ query, answer string }

// TestNoServiceHarmsAnother: whatever happens to a service, documents that touch only others stay valid, mean the same and
// are answered at once.
func TestNoServiceHarmsAnother(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.cfg.Limits.Refresh = 2 * time.Second
				w.cfg.StatePath = filepath.Join(w.TempDir(), "gateway.json")
				c := &churn{world: w, Rand: rand.New(rand.NewPCG(seed, 7)), crowd: &crowd{reach: inMemory{}}}
				w.cfg.Transport = c.crowd
				c.g, c.stop = w.start()
				for range 40 {
					c.step()
				}
				if c.asked < 150 {
					w.Errorf("%d answers were compared: too few to say much", c.asked)
				}
			})
		})
	}
}

func (c *churn) note(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf(format, args...))
}

func (c *churn) step() {
	actions := []func(){c.register, c.register, c.change, c.breakOne, c.heal, c.heal, c.move, c.remove, c.restart}
	actions[c.IntN(len(actions))]()
	c.ask()
	time.Sleep(time.Duration(c.IntN(3000)) * time.Millisecond)
	c.ask()
	for _, s := range c.services {
		if !s.broken && s.prepared == nil {
			c.prepare(s)
		}
	}
	if c.Failed() {
		c.Logf("what happened:\n%s", strings.Join(c.story, "\n"))
		c.FailNow()
	}
}

// ask asks all that is prepared.
func (c *churn) ask() {
	for _, s := range c.services {
		for _, p := range s.prepared {
			c.asked++
			start := time.Now()
			got := post(c, c.g, p.query)
			if took := time.Since(start); took > 0 {
				c.note("%s: %s was held up for %v", s.is.Name, p.query, took)
				c.Fail()
			}
			if got != p.answer {
				c.note("%s: %s\ngot  %s\nwant %s", s.is.Name, p.query, got, p.answer)
				c.Fail()
			}
		}
	}
}

func (c *churn) tell() {
	list := []Service{}
	for _, s := range c.services {
		list = append(list, s.is)
	}
	start := time.Now()
	if _, err := c.g.Update(c.Context(), list, nil); err != nil {
		c.Fatal(err)
	}
	if took := time.Since(start); took > c.cfg.Limits.Patience {
		c.note("the update took %v", took)
		c.Fail()
	}
}

func (c *churn) register() {
	if len(c.services) > 7 {
		return
	}
	c.born++
	name := fmt.Sprintf("s%d", c.born)
	s := &churned{stub: &stub{t: c.T, fields: map[string]func(map[string]any) any{}}}
	s.is = Service{Name: name, URL: "http://" + name + "/graphql"}
	s.stub.become(c.sdl(name, 0))
	s.identify()
	c.crowd.add(name, s.stub)
	c.services = slices.Insert(c.services, 0, s)
	if c.IntN(4) == 0 {
		c.spoil(s)
	}
	c.note("register %s: %s", name, s.stub.schema.Load().ast.Query.Fields[0].Name)
	c.tell()
}

// identify makes every text that a service answers tell which one it is.
func (s *churned) identify() {
	text := func(map[string]any) any { return s.identity() }
	for _, t := range []string{"Item", "Other", "Third"} {
		s.stub.on(t+".name", text)
	}
	for _, f := range roots() {
		s.stub.on("Query."+f+"Name", text)
	}
}

func (s *churned) identity() string {
	host, _, _ := strings.Cut(s.stub.schema.Load().ast.Query.Fields[0].Name, "_")
	return fmt.Sprintf("%s version %d", host, s.version.Load())
}

func (c *churn) any() *churned {
	if len(c.services) == 0 {
		return nil
	}
	return c.services[c.IntN(len(c.services))]
}

func (c *churn) change() {
	s := c.any()
	if s == nil {
		return
	}
	s.prepared = nil
	version := s.version.Add(1)
	s.stub.become(c.sdl(s.is.Name, int(version)))
	c.note("%s changes to version %d", s.is.Name, version)
}

func (c *churn) breakOne() {
	if s := c.any(); s != nil {
		c.spoil(s)
	}
}

func (c *churn) spoil(s *churned) {
	s.broken, s.prepared = true, nil
	how := c.IntN(6)
	c.note("%s breaks in way %d", s.is.Name, how)
	s.stub.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		switch how {
		case 0:
			<-r.Context().Done()
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			_, _ = w.Write([]byte("<html>"))
		case 3:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"data":{"__schema":{"queryType":{"name":"Nothing"},"types":[],"directives":[]}}}`))
		case 4:
			time.Sleep(4 * time.Second)
			return false
		case 5:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"errors":[{"message":"no"}]}`))
		}
		return true
	})
}

func (c *churn) heal() {
	for _, s := range c.services {
		if s.broken && c.IntN(2) == 0 {
			s.broken = false
			well(s.stub)
			c.note("%s is well again", s.is.Name)
		}
	}
}

// move gives a service another URL or token. It is what it was.
func (c *churn) move() {
	s := c.any()
	if s == nil {
		return
	}
	host := fmt.Sprintf("%s-%d", s.is.Name, c.IntN(1000))
	c.crowd.add(host, s.stub)
	s.is.URL = "http://" + host + "/graphql"
	s.is.Token = fmt.Sprint(c.IntN(3))
	c.note("%s moves", s.is.Name)
	c.tell()
}

func (c *churn) remove() {
	s := c.any()
	if s == nil || len(c.services) < 3 {
		return
	}
	c.services = slices.DeleteFunc(c.services, func(o *churned) bool { return o == s })
	c.note("remove %s", s.is.Name)
	c.tell()
}

func (c *churn) restart() {
	c.stop()
	c.note("the gateway starts again")
	g, err := New(c.cfg)
	if err != nil {
		c.Fatal(err)
	}
	c.g = g
	if c.IntN(2) == 0 {
		c.ask() // it serves before it runs
	}
	c.stop = run(c, g)
	if c.IntN(2) == 0 {
		c.tell()
	}
}

func roots() []string { return []string{"item", "find", "thing", "all"} }

// sdl is a random schema. Names are few, so that they clash, and so are shapes, so that some are shared.
func (c *churn) sdl(name string, version int) string {
	some := func(options ...string) string { return options[c.IntN(len(options))] }
	types := []string{"Item", "Other", "Third"}
	var b strings.Builder
	fmt.Fprintf(&b, "type Query { %s_%d: String ", name, version)
	for _, f := range roots() {
		if c.IntN(2) == 0 {
			fmt.Fprintf(&b, "%s(kind: Kind, like: Like): %s ", f, some("Item", "[Other!]", "Thing", "Any", "Third!", "Kind"))
			fmt.Fprintf(&b, "%sName: String ", f)
		}
	}
	b.WriteString("}\n")
	if c.IntN(3) == 0 {
		fmt.Fprintf(&b, "type Mutation { %s(like: Like): Item }\n", some("make", "take"))
	}
	for _, t := range types {
		fmt.Fprintf(&b, "type %s implements Thing { id: ID! name: String %s }\n", t, some("", "kind: Kind", "other: Other", "any: Any", "size: Int", "third: [Third]"))
	}
	fmt.Fprintf(&b, "interface Thing { id: ID! %s }\n", some("", "name: String"))
	fmt.Fprintf(&b, "union Any = %s\n", some("Item", "Item | Other", "Other | Third"))
	fmt.Fprintf(&b, "enum Kind { A %s }\n", some("", "B", "C"))
	fmt.Fprintf(&b, "input Like { name: String %s }\n", some("", "kind: Kind", "not: Like"))
	return b.String()
}

// prepare prepares documents for a service that has settled, one for each of its root fields.
func (c *churn) prepare(s *churned) {
	schema := c.g.Schema()
	marker := fmt.Sprintf("%s_%d", s.is.Name, s.version.Load())
	i := slices.IndexFunc(schema.sources, func(o *source) bool { return o.service.Name == s.is.Name })
	if i < 0 || schema.sources[i].is.roots[0].Fields.ForName(marker) == nil || schema.sources[i].service.URL != s.is.URL {
		return
	}
	source := schema.sources[i]
	for _, name := range source.fields[0] {
		f := schema.ast.Query.Fields.ForName(name)
		var declared, given []string
		for _, a := range f.Arguments {
			declared = append(declared, "$"+a.Name+": "+a.Type.String())
			given = append(given, a.Name+": $"+a.Name)
		}
		q := "query"
		if declared != nil {
			q += "(" + strings.Join(declared, ", ") + ")"
		}
		q += " { " + name
		if given != nil {
			q += "(" + strings.Join(given, ", ") + ")"
		}
		q += c.selection(schema, source, f.Type.Name(), 2) + " }"
		answer := post(c, c.g, q)
		if strings.Contains(answer, `"errors"`) {
			c.note("prepare %s: %s", q, answer)
			c.Fail()
		}
		own := schema.owners[0][name].field
		if want := s.identity(); strings.HasSuffix(own, "Name") && !strings.Contains(answer, want) {
			c.note("%s means %s, want what is %s of %s", q, answer, own, want)
			c.Fail()
		}
		s.prepared = append(s.prepared, prepared{q, answer})
	}
	c.note("prepared for %s: %v", s.is.Name, source.fields[0])
}

// selection selects all of a type, in words that only its own service must know.
func (c *churn) selection(schema *Schema, of *source, name string, depth int) string {
	d := schema.ast.Types[name]
	own, _ := of.ownType(name)
	switch {
	case d.Kind == ast.Enum || d.Kind == ast.Scalar:
		return ""
	case depth == 0:
		return " { __typename }"
	case d.Kind == ast.Union || d.Kind == ast.Interface:
		text := " { __typename"
		for _, possible := range of.is.schema.PossibleTypes[own] {
			published := of.names.typ(possible.Name)
			text += " ... on " + published + c.selection(schema, of, published, depth-1)
		}
		return text + " }"
	}
	text := " { __typename"
	for _, f := range d.Fields {
		text += fmt.Sprintf(" %s_%s: %s%s", name, f.Name, f.Name, c.selection(schema, of, f.Type.Name(), depth-1))
	}
	return text + " }"
}
