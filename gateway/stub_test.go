package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// stub is a small GraphQL service. It refuses documents that are not valid for
// its schema, so that it shows what the gateway sends.
type stub struct {
	t      testing.TB
	server *httptest.Server
	schema atomic.Pointer[Schema]

	// Answers by "Type.field"; a field without one has a value after its type.
	fields map[string]func(args map[string]any) any
	// handle goes before everything else when it is set; true means that it has
	// answered.
	handle atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]

	introspections atomic.Int64
	requests       atomic.Int64
	last           atomic.Pointer[received]
	gone           atomic.Bool // nobody listens
}

type received struct {
	header http.Header
	body   string
	query  string
}

// answer is a value of a stub that is an error.
type answer struct {
	message    string
	extensions map[string]any
}

func newStub(t testing.TB, sdl string) *stub {
	t.Helper()
	s := &stub{t: t, fields: map[string]func(map[string]any) any{}}
	s.become(sdl)
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// become gives the stub another schema.
func (s *stub) become(sdl string) {
	s.t.Helper()
	loaded, err := gqlparser.LoadSchema(&ast.Source{Input: sdl})
	if err != nil {
		s.t.Fatal(err)
	}
	s.schema.Store(&Schema{
		ast: loaded, plans: newPlanCache(10),
		cfg: schemaConfig{limits: Limits{Depth: 100}.withDefaults(), log: slog.New(slog.DiscardHandler)},
	})
}

func (s *stub) on(field string, f func(args map[string]any) any) *stub {
	s.fields[field] = f
	return s
}

func (s *stub) value(field string, v any) *stub {
	return s.on(field, func(map[string]any) any { return v })
}

func (s *stub) handleWith(f func(w http.ResponseWriter, r *http.Request) bool) { s.handle.Store(&f) }

func (s *stub) named(name string) Service { return Service{Name: name, URL: s.server.URL + "/graphql"} }

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.handle.Load(); h != nil && (*h)(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.answer(r.Header, body, in.Query, in.Variables))
}

func (s *stub) answer(header http.Header, body []byte, query string, variables map[string]any) []byte {
	schema := s.schema.Load()
	if strings.Contains(query, "__schema") {
		s.introspections.Add(1)
		r, err := readRequest(body)
		if err != nil {
			return refusalOf(err)
		}
		return introspectionOf(schema, r)
	}
	s.requests.Add(1)
	s.last.Store(&received{header.Clone(), string(body), query})
	doc, errs := gqlparser.LoadQueryWithRules(schema.ast, query, nil)
	if len(errs) > 0 {
		s.t.Errorf("the gateway sent a document that is not valid: %v\n%s", errs, query)
		return refusalOf(errs)
	}
	run := stubRun{stub: s, schema: schema.ast, variables: variables}
	op := doc.Operations[0]
	for _, d := range op.VariableDefinitions {
		if _, given := variables[d.Variable]; !given && d.DefaultValue != nil {
			if run.variables == nil {
				run.variables = map[string]any{}
			}
			run.variables[d.Variable], _ = d.DefaultValue.Value(nil)
		}
	}
	root := rootOf(schema.ast, op.Operation)
	out := append([]byte(`{"data":`), run.object(root, op.SelectionSet, nil, nil)...)
	if len(run.errors) > 0 {
		list, _ := json.Marshal(run.errors)
		out = append(append(out, `,"errors":`...), list...)
	}
	return append(out, '}')
}

func refusalOf(err error) []byte {
	list, _ := json.Marshal([]map[string]any{{"message": err.Error()}})
	return append(append([]byte(`{"errors":`), list...), '}')
}

// introspectionOf answers as the gateway itself does.
func introspectionOf(s *Schema, r request) []byte {
	p, err := s.planFor(r, r.appendKey(nil))
	if err != nil {
		return refusalOf(err)
	}
	x := new(execution)
	x.reset(p)
	x.include()
	x.answerLocally()
	return x.respond()
}

type stubRun struct {
	stub      *stub
	schema    *ast.Schema
	variables map[string]any
	errors    []map[string]any
}

// object writes the selected fields of an object.
func (r *stubRun) object(d *ast.Definition, set ast.SelectionSet, value map[string]any, path []any) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	seen := map[string]bool{}
	r.fields(d, set, func(f *ast.Field) {
		if seen[f.Alias] {
			return
		}
		seen[f.Alias] = true
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%q:", f.Alias)
		out.Write(r.field(d, f, value, append(path[:len(path):len(path)], f.Alias)))
	})
	out.WriteByte('}')
	return out.Bytes()
}

func (r *stubRun) fields(d *ast.Definition, set ast.SelectionSet, to func(*ast.Field)) {
	for _, selection := range set {
		switch x := selection.(type) {
		case *ast.Field:
			if r.selected(x.Directives) {
				to(x)
			}
		case *ast.InlineFragment:
			if r.selected(x.Directives) && (x.TypeCondition == "" || r.is(d, x.TypeCondition)) {
				r.fields(d, x.SelectionSet, to)
			}
		case *ast.FragmentSpread:
			if r.selected(x.Directives) && r.is(d, x.Definition.TypeCondition) {
				r.fields(d, x.Definition.SelectionSet, to)
			}
		}
	}
}

func (r *stubRun) is(d *ast.Definition, condition string) bool {
	for _, p := range r.schema.GetPossibleTypes(r.schema.Types[condition]) {
		if p == d {
			return true
		}
	}
	return d.Name == condition
}

func (r *stubRun) selected(directives ast.DirectiveList) bool {
	for _, d := range directives {
		if d.Name != "skip" && d.Name != "include" {
			continue
		}
		v, _ := d.Arguments.ForName("if").Value.Value(r.variables)
		if v == (d.Name == "skip") {
			return false
		}
	}
	return true
}

func (r *stubRun) field(d *ast.Definition, f *ast.Field, object map[string]any, path []any) []byte {
	if f.Name == "__typename" {
		return fmt.Appendf(nil, "%q", d.Name)
	}
	value, known := object[f.Name]
	if resolve := r.stub.fields[d.Name+"."+f.Name]; resolve != nil {
		value, known = resolve(f.ArgumentMap(r.variables)), true
	}
	if !known {
		value = sample(r.schema, f.Definition.Type)
	}
	return r.value(f.Definition.Type, f, value, path)
}

// sample is a value of a type.
func sample(s *ast.Schema, t *ast.Type) any {
	if t.Elem != nil {
		return []any{sample(s, t.Elem)}
	}
	switch d := s.Types[t.NamedType]; d.Kind {
	case ast.Enum:
		return d.EnumValues[0].Name
	case ast.Scalar:
		switch d.Name {
		case "Int", "Float":
			return 1
		case "Boolean":
			return true
		}
		return "a " + d.Name
	}
	return map[string]any{}
}

func (r *stubRun) value(t *ast.Type, f *ast.Field, value any, path []any) []byte {
	switch v := value.(type) {
	case nil:
		return null
	case answer:
		e := map[string]any{"message": v.message, "path": path, "locations": []any{map[string]any{"line": 1, "column": 1}}}
		if v.extensions != nil {
			e["extensions"] = v.extensions
		}
		r.errors = append(r.errors, e)
		return null
	case json.RawMessage:
		return v
	case []any:
		out := []byte{'['}
		for i, element := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, r.value(t.Elem, f, element, append(path[:len(path):len(path)], i))...)
		}
		return append(out, ']')
	case map[string]any:
		if t.Elem != nil {
			t = t.Elem
		}
		d := r.schema.Types[t.Name()]
		if name, ok := v["__typename"].(string); ok {
			d = r.schema.Types[name]
		} else if d.IsAbstractType() {
			d = r.schema.GetPossibleTypes(d)[0]
		}
		if d.Kind == ast.Scalar {
			break
		}
		return r.object(d, f.SelectionSet, v, path)
	}
	out, err := json.Marshal(value)
	if err != nil {
		r.stub.t.Error(err)
	}
	return out
}

// gatewayOf is a gateway that runs until the test ends and has these services,
// the oldest first.
func gatewayOf(t testing.TB, cfg Config, services ...Service) *Gateway {
	t.Helper()
	g := started(t, cfg)
	tell(t, g, services...)
	return g
}

func started(t testing.TB, cfg Config) *Gateway {
	t.Helper()
	if cfg.Limits.Patience == 0 {
		cfg.Limits.Patience = 20 * time.Second // tests share their machine
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	return g
}

// run runs a gateway until the test ends, or stop is called.
func run(t testing.TB, g *Gateway) (stop func()) {
	ctx, cancel := contextOf(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// tell tells it a list, the oldest service first.
func tell(t testing.TB, g *Gateway, services ...Service) Status {
	t.Helper()
	var list []Service
	for _, s := range services {
		list = append([]Service{s}, list...)
	}
	status, err := g.Update(t.Context(), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// post asks the gateway's handler and returns the response's body.
func post(t testing.TB, g *Gateway, query string, variables ...string) string {
	t.Helper()
	body := string(appendQuoted([]byte(`{"query":`), query))
	if len(variables) > 0 {
		body += `,"variables":` + variables[0]
	}
	return postBody(t, g, body+"}").Body.String()
}

func postBody(t testing.TB, g *Gateway, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	return w
}

func wantEqual(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func wantHas(t testing.TB, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("got\n%s\nwant it to have\n%s", got, part)
		}
	}
}

func serve(g *Gateway, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	return w
}

func copyTo(w io.Writer, r *http.Request) (int64, error) { return io.Copy(w, r.Body) }
