package gateway

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// write makes the document of a step: its root fields and what they need, in
// the service's own names.
func (p *plan) write(s *step, op *ast.OperationDefinition, doc *ast.QueryDocument) {
	w := writer{source: s.source, doc: doc, uses: map[string]bool{}}
	if s.source.renamesObjects() {
		s.typename = &outline{}
	}
	w.text = append(w.text, '{')
	for _, o := range p.occurrencesOf(s) {
		w.rootField(p, o, s.typename)
	}
	w.text = append(w.text, '}')
	w.fragments()
	s.typename = s.typename.orNil()
	s.uses = w.uses

	query := w.head(op)
	query = append(query, w.text...)
	s.body = appendQuoted([]byte(`{"query":`), string(query))
	s.bare = append(s.body[:len(s.body):len(s.body)], '}')
}

// occurrencesOf is what a step selects, in the order of the operation.
func (p *plan) occurrencesOf(s *step) []occurrence {
	var all []occurrence
	for _, i := range s.entries {
		all = append(all, p.entries[i].occurs...)
	}
	slices.SortFunc(all, func(a, b occurrence) int { return a.place - b.place })
	return all
}

// writer writes a document without a needless space.
type writer struct {
	source *source
	doc    *ast.QueryDocument
	text   []byte
	uses   map[string]bool
	spread []*ast.FragmentDefinition // fragments to be written
}

func (w *writer) put(s ...string) {
	for _, s := range s {
		w.text = append(w.text, s...)
	}
}

// head is the operation up to its selections.
func (w *writer) head(op *ast.OperationDefinition) []byte {
	body := w.text
	w.text = append([]byte(nil), op.Operation...)
	if op.Name != "" {
		w.put(" ", op.Name)
	}
	start := len(w.text)
	w.directives(op.Directives)
	directives := string(w.text[start:])
	w.text = w.text[:start]
	separator := "("
	for _, v := range op.VariableDefinitions {
		if !w.uses[v.Variable] {
			continue
		}
		w.put(separator, "$", v.Variable, ":", w.typ(v.Type))
		if v.DefaultValue != nil {
			w.put("=", v.DefaultValue.String())
		}
		separator = ","
	}
	if separator == "," {
		w.put(")")
	}
	w.put(directives)
	head := w.text
	w.text = body
	return head
}

func (w *writer) typ(t *ast.Type) string {
	text := ""
	if t.Elem != nil {
		text = "[" + w.typ(t.Elem) + "]"
	} else {
		text, _ = w.source.ownType(t.NamedType)
	}
	if t.NonNull {
		text += "!"
	}
	return text
}

// rootField writes a root field under the service's name for it. Its conditions
// stand around it: @skip may be there once only, and may come from several
// fragments.
func (w *writer) rootField(p *plan, o occurrence, at *outline) {
	for _, c := range o.when {
		w.uses[c.variable] = true
		name := "skip"
		if c.want {
			name = "include"
		}
		w.put("...@", name, "(if:$", c.variable, "){")
	}
	own := p.schema.owners[rootIndex(p.op)][o.field.Name].field
	w.put(o.field.Alias)
	if o.field.Alias != own {
		w.put(":", own)
	}
	w.field(o.field, false, at)
	for range o.when {
		w.put("}")
	}
	w.put(" ")
}

// field writes what follows the name of a field.
func (w *writer) field(f *ast.Field, conditions bool, at *outline) {
	w.arguments(f.Arguments)
	w.someDirectives(f.Directives, conditions)
	if len(f.SelectionSet) > 0 {
		w.selections(f.SelectionSet, at.below(f.Alias))
	}
}

func (w *writer) selections(set ast.SelectionSet, at *outline) {
	w.put("{")
	before := len(w.text)
	for _, selection := range set {
		w.selection(selection, at)
	}
	if len(w.text) == before {
		w.put("__typename@skip(if:true)") // what was selected, the service cannot have
	}
	w.put("}")
}

func (w *writer) selection(selection ast.Selection, at *outline) {
	switch x := selection.(type) {
	case *ast.Field:
		if x.Name == "__typename" {
			at.mark(x.Alias)
		}
		w.put(x.Alias)
		if x.Alias != x.Name {
			w.put(":", x.Name)
		}
		w.field(x, true, at)
		w.put(" ")
	case *ast.InlineFragment:
		if x.TypeCondition != "" && !w.source.spreads(x.TypeCondition, x.ObjectDefinition) {
			return
		}
		w.put("...")
		if own, _ := w.source.ownType(x.TypeCondition); own != "" {
			w.put("on ", own)
		}
		w.directives(x.Directives)
		w.selections(x.SelectionSet, at)
	case *ast.FragmentSpread:
		if !w.source.spreads(x.Definition.TypeCondition, x.ObjectDefinition) {
			return
		}
		w.put("...", x.Name)
		w.directives(x.Directives)
		w.put(" ")
		w.outlineOf(x.Definition, at)
	}
}

// outlineOf notes that a fragment is to be written, and what it selects here.
func (w *writer) outlineOf(f *ast.FragmentDefinition, at *outline) {
	if !slices.Contains(w.spread, f) {
		w.spread = append(w.spread, f)
	}
	at.include(f.SelectionSet, w.source)
}

// fragments writes those that were spread, and those that they spread.
func (w *writer) fragments() {
	for i := 0; i < len(w.spread); i++ {
		f := w.spread[i]
		own, _ := w.source.ownType(f.TypeCondition)
		w.put("fragment ", f.Name, " on ", own)
		w.directives(f.Directives)
		w.selections(f.SelectionSet, nil)
	}
}

func (w *writer) arguments(args ast.ArgumentList) {
	separator := "("
	for _, a := range args {
		w.put(separator, a.Name, ":", a.Value.String())
		w.variables(a.Value)
		separator = ","
	}
	if separator == "," {
		w.put(")")
	}
}

// variables notes those in a value.
func (w *writer) variables(v *ast.Value) {
	if v.Kind == ast.Variable {
		w.uses[v.Raw] = true
	}
	for _, child := range v.Children {
		w.variables(child.Value)
	}
}

func (w *writer) directives(list ast.DirectiveList) { w.someDirectives(list, true) }

// someDirectives writes those that the service knows, @skip and @include if
// they are asked for.
func (w *writer) someDirectives(list ast.DirectiveList, conditions bool) {
	for _, d := range list {
		condition := d.Name == "skip" || d.Name == "include"
		if condition && !conditions || w.source.is.schema.Directives[d.Name] == nil {
			continue
		}
		w.put("@", d.Name)
		w.arguments(d.Arguments)
	}
}
