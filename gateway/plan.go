package gateway

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// plan is an operation ready to run, any number of times at once: it does not
// change. It belongs to a Schema.
type plan struct {
	schema    *Schema
	op        ast.Operation
	entries   []entry // the keys of data, in order
	all       []int   // of entries
	steps     []step
	variables []variable
	varies    bool // which entries there are depends on variables
	reorders  bool // and so does their order
}

// entry is one key of data.
type entry struct {
	key     string
	prefix  []byte // the key as it stands in JSON, to its colon
	nonNull bool
	step    int // which has it; -1 for what is answered here
	occurs  []occurrence
}

// occurrence is a place in the operation where a root field is selected.
type occurrence struct {
	place int
	field *ast.Field
	when  []condition
}

// condition is @include or @skip with a variable.
type condition struct {
	variable string
	want     bool
}

// step is one request to one service.
type step struct {
	source   *source
	entries  []int
	body     []byte          // the request to the end of its query
	bare     []byte          // the request without variables
	uses     map[string]bool // variables
	typename *outline        // where __typename has to be translated; nil for nowhere
}

// plan plans an operation of a document. The error is a *refused.
func (s *Schema) plan(document, name string) (p *plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			// A document that a library trips over harms itself.
			s.cfg.log.Error("planning a document panicked", "panic", fmt.Sprint(r))
			p, err = nil, refuse(tooMuch, "the document cannot be planned")
		}
	}()
	doc, err := s.parse(document)
	if err != nil {
		return nil, err
	}
	op, err := chosen(doc, name)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.limits.admit(op); err != nil {
		return nil, err
	}
	return s.planOperation(op, doc)
}

func (s *Schema) parse(document string) (*ast.QueryDocument, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, s.cfg.limits.Tokens)
	if err != nil {
		return nil, parseError(err)
	}
	if len(doc.Operations) == 0 {
		return nil, refuse(notParsed, "the document has no operation")
	}
	for _, op := range doc.Operations {
		op.SelectionSet = withoutRepeats(op.SelectionSet)
	}
	for _, f := range doc.Fragments {
		f.SelectionSet = withoutRepeats(f.SelectionSet)
	}
	if errs := s.validate(document, doc); len(errs) > 0 {
		return nil, &refused{s.presentable(errs), notValid}
	}
	return doc, nil
}

func chosen(doc *ast.QueryDocument, name string) (*ast.OperationDefinition, error) {
	if name == "" {
		if len(doc.Operations) > 1 {
			return nil, refuse(noOperation, "the document has several operations: operationName must say which")
		}
		return doc.Operations[0], nil
	}
	if op := doc.Operations.ForName(name); op != nil {
		return op, nil
	}
	return nil, refuse(noOperation, "the document has no operation %q", name)
}

func (s *Schema) planOperation(op *ast.OperationDefinition, doc *ast.QueryDocument) (*plan, error) {
	p := &plan{schema: s, op: op.Operation, variables: variablesOf(op)}
	c := collecting{plan: p, byKey: map[string]int{}}
	c.collect(op.SelectionSet, nil)
	p.reorders = slices.ContainsFunc(p.entries, func(e entry) bool { return len(e.occurs) > 1 && len(e.occurs[0].when) > 0 })
	for i := range p.entries {
		p.assign(i)
		p.all = append(p.all, i)
		if f := p.entries[i].occurs[0].field.Name; s.cfg.hide && isMeta(f) && f != "__typename" {
			return nil, refuse(notValid, "introspection is turned off")
		}
	}
	for i := range p.steps {
		p.write(&p.steps[i], op, doc)
	}
	return p, nil
}

// collecting is CollectFields of GraphQL §6.3.2 at the root, with the variables
// left open.
type collecting struct {
	plan  *plan
	byKey map[string]int
	place int
}

func (c *collecting) collect(set ast.SelectionSet, when []condition) {
	for _, selection := range set {
		switch x := selection.(type) {
		case *ast.Field:
			if all, ever := conditions(when, x.Directives); ever {
				c.add(x, all)
			}
		case *ast.InlineFragment:
			if all, ever := conditions(when, x.Directives); ever {
				c.collect(x.SelectionSet, all)
			}
		case *ast.FragmentSpread:
			if all, ever := conditions(when, x.Directives); ever {
				c.collect(x.Definition.SelectionSet, all)
			}
		}
	}
}

func (c *collecting) add(f *ast.Field, when []condition) {
	i, known := c.byKey[f.Alias]
	if !known {
		i = len(c.plan.entries)
		c.byKey[f.Alias] = i
		c.plan.entries = append(c.plan.entries, entry{
			key: f.Alias, prefix: append(appendQuoted(nil, f.Alias), ':'), nonNull: f.Definition.Type.NonNull,
		})
	}
	e := &c.plan.entries[i]
	e.occurs = append(e.occurs, occurrence{c.place, f, when})
	c.place++
	c.plan.varies = c.plan.varies || len(when) > 0
}

// conditions adds those of a selection to those of what it is in. ever is false
// when one of them cannot hold.
func conditions(outer []condition, directives ast.DirectiveList) (all []condition, ever bool) {
	all = outer[:len(outer):len(outer)]
	for _, d := range directives {
		if d.Name != "skip" && d.Name != "include" {
			continue
		}
		want := d.Name == "include"
		switch v := d.Arguments.ForName("if").Value; {
		case v.Kind == ast.Variable:
			all = append(all, condition{v.Raw, want})
		case (v.Raw == "true") != want:
			return nil, false
		}
	}
	return all, true
}

// assign gives an entry to a step, or leaves it to be answered here.
func (p *plan) assign(i int) {
	e := &p.entries[i]
	own, ok := p.schema.owners[rootIndex(p.op)][e.occurs[0].field.Name]
	if !ok {
		e.step = -1
		return
	}
	e.step = p.stepFor(own.source)
	s := &p.steps[e.step]
	s.entries = append(s.entries, i)
}

// stepFor is the step that a field of a source goes to. Mutations run in order:
// only what follows at once, whatever the variables are, can share one.
func (p *plan) stepFor(s *source) int {
	from := 0
	switch {
	case p.op == ast.Mutation && p.reorders:
		from = len(p.steps)
	case p.op == ast.Mutation:
		from = max(0, len(p.steps)-1)
	}
	for i := from; i < len(p.steps); i++ {
		if p.steps[i].source == s {
			return i
		}
	}
	p.steps = append(p.steps, step{source: s})
	return len(p.steps) - 1
}

func rootIndex(op ast.Operation) int {
	for i, o := range operations() {
		if o == op {
			return i
		}
	}
	return 0
}
