package gateway

import (
	"bytes"

	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/vektah/gqlparser/v2/ast"
)

// answerLocally answers introspection, and what no service has.
func (x *execution) answerLocally() {
	type span struct{ entry, start, end int }
	var spans []span // the buffer moves while it grows
	for _, i := range x.included {
		e := &x.plan.entries[i]
		if e.step >= 0 {
			continue
		}
		start := x.local.Len()
		x.answerRoot(e)
		spans = append(spans, span{i, start, x.local.Len()})
	}
	for _, s := range spans {
		x.results[s.entry] = x.local.Bytes()[s.start:s.end]
	}
}

func (x *execution) answerRoot(e *entry) {
	w := answering{x: x, out: &x.local}
	var fields []*ast.Field
	for _, o := range e.occurs {
		if x.hold(o.when) {
			fields = append(fields, o.field)
		}
	}
	f := fields[0]
	schema := introspection.WrapSchema(x.plan.schema.ast)
	switch f.Name {
	case "__typename":
		w.string(rootName(x.plan.op))
	case "__schema":
		w.object("__Schema", fields, func(f *ast.Field, all []*ast.Field) { w.schema(schema, f, all) })
	case "__type":
		name, _ := x.plan.value(f.Arguments.ForName("name").Value, x.values)
		d := x.plan.schema.ast.Types[name]
		w.typ(introspection.WrapTypeFromDef(x.plan.schema.ast, d), fields)
	case noServices:
		w.out.WriteString("[]")
	default:
		w.out.Write(null)
	}
}

// answering writes the answer to an introspection as JSON (GraphQL §4.2).
// Where a field is selected several times, all are its fields.
type answering struct {
	x   *execution
	out *bytes.Buffer
}

// object writes the fields that are selected of an object of introspection.
func (w *answering) object(typename string, of []*ast.Field, field func(f *ast.Field, all []*ast.Field)) {
	separator := byte('{')
	var groups grouping
	for _, f := range of {
		groups.collect(w.x, f.SelectionSet, typename)
	}
	if len(groups.keys) == 0 {
		w.out.WriteByte('{')
	}
	for i, key := range groups.keys {
		w.out.WriteByte(separator)
		separator = ','
		w.string(key)
		w.out.WriteByte(':')
		all := groups.fields[i]
		if all[0].Name == "__typename" {
			w.string(typename)
			continue
		}
		field(all[0], all)
	}
	w.out.WriteByte('}')
}

// grouping is CollectFields of GraphQL §6.3.2.
type grouping struct {
	keys   []string
	fields [][]*ast.Field
}

func (g *grouping) collect(x *execution, set ast.SelectionSet, typename string) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if x.selected(s.Directives) {
				g.add(s)
			}
		case *ast.InlineFragment:
			if (s.TypeCondition == "" || s.TypeCondition == typename) && x.selected(s.Directives) {
				g.collect(x, s.SelectionSet, typename)
			}
		case *ast.FragmentSpread:
			if s.Definition.TypeCondition == typename && x.selected(s.Directives) {
				g.collect(x, s.Definition.SelectionSet, typename)
			}
		}
	}
}

func (x *execution) selected(directives ast.DirectiveList) bool {
	when, ever := conditions(nil, directives)
	return ever && x.hold(when)
}

func (g *grouping) add(f *ast.Field) {
	for i, key := range g.keys {
		if key == f.Alias {
			g.fields[i] = append(g.fields[i], f)
			return
		}
	}
	g.keys = append(g.keys, f.Alias)
	g.fields = append(g.fields, []*ast.Field{f})
}

func (w *answering) schema(s *introspection.Schema, f *ast.Field, all []*ast.Field) {
	switch f.Name {
	case "description":
		w.optional(s.Description())
	case "types":
		types := s.Types()
		w.list(len(types), func(i int) { w.typ(&types[i], all) })
	case "queryType":
		w.typ(s.QueryType(), all)
	case "mutationType":
		w.typ(s.MutationType(), all)
	case "subscriptionType":
		w.typ(s.SubscriptionType(), all)
	case "directives":
		directives := s.Directives()
		w.list(len(directives), func(i int) { w.directive(&directives[i], all) })
	default:
		w.out.Write(null)
	}
}

// typ writes a type. Lists that do not apply to its kind are null.
func (w *answering) typ(t *introspection.Type, of []*ast.Field) {
	if t == nil {
		w.out.Write(null)
		return
	}
	w.object("__Type", of, func(f *ast.Field, all []*ast.Field) { w.typeField(t, f, all) })
}

func (w *answering) typeField(t *introspection.Type, f *ast.Field, all []*ast.Field) {
	kind := ast.DefinitionKind(t.Kind())
	switch {
	case f.Name == "kind":
		w.string(string(kind))
	case f.Name == "name":
		w.optional(t.Name())
	case f.Name == "description":
		w.optional(t.Description())
	case f.Name == "specifiedByURL":
		w.optional(t.SpecifiedByURL())
	case f.Name == "ofType":
		w.typ(t.OfType(), all)
	case f.Name == "isOneOf" && kind == ast.InputObject:
		w.bool(t.IsOneOf())
	case f.Name == "fields" && (kind == ast.Object || kind == ast.Interface):
		fields := t.Fields(w.deprecated(f))
		w.list(len(fields), func(i int) { w.field(&fields[i], all) })
	case f.Name == "interfaces" && (kind == ast.Object || kind == ast.Interface):
		w.types(t.Interfaces(), all)
	case f.Name == "possibleTypes" && (kind == ast.Interface || kind == ast.Union):
		w.types(t.PossibleTypes(), all)
	case f.Name == "enumValues" && kind == ast.Enum:
		values := t.EnumValues(w.deprecated(f))
		w.list(len(values), func(i int) { w.enumValue(&values[i], all) })
	case f.Name == "inputFields" && kind == ast.InputObject:
		w.inputs(t.VisibleInputFields(w.deprecated(f)), all)
	default:
		w.out.Write(null)
	}
}

func (w *answering) types(types []introspection.Type, all []*ast.Field) {
	w.list(len(types), func(i int) { w.typ(&types[i], all) })
}

func (w *answering) field(v *introspection.Field, of []*ast.Field) {
	w.object("__Field", of, func(f *ast.Field, all []*ast.Field) {
		switch f.Name {
		case "name":
			w.string(v.Name)
		case "description":
			w.optional(v.Description())
		case "args":
			w.inputs(v.VisibleArgs(w.deprecated(f)), all)
		case "type":
			w.typ(v.Type, all)
		case "isDeprecated":
			w.bool(v.IsDeprecated())
		case "deprecationReason":
			w.optional(v.DeprecationReason())
		default:
			w.out.Write(null)
		}
	})
}

func (w *answering) inputs(values []introspection.InputValue, of []*ast.Field) {
	w.list(len(values), func(i int) {
		v := &values[i]
		w.object("__InputValue", of, func(f *ast.Field, all []*ast.Field) {
			switch f.Name {
			case "name":
				w.string(v.Name)
			case "description":
				w.optional(v.Description())
			case "type":
				w.typ(v.Type, all)
			case "defaultValue":
				w.optional(v.DefaultValue)
			case "isDeprecated":
				w.bool(v.IsDeprecated())
			case "deprecationReason":
				w.optional(v.DeprecationReason())
			default:
				w.out.Write(null)
			}
		})
	})
}

func (w *answering) enumValue(v *introspection.EnumValue, of []*ast.Field) {
	w.object("__EnumValue", of, func(f *ast.Field, _ []*ast.Field) {
		switch f.Name {
		case "name":
			w.string(v.Name)
		case "description":
			w.optional(v.Description())
		case "isDeprecated":
			w.bool(v.IsDeprecated())
		case "deprecationReason":
			w.optional(v.DeprecationReason())
		default:
			w.out.Write(null)
		}
	})
}

func (w *answering) directive(d *introspection.Directive, of []*ast.Field) {
	w.object("__Directive", of, func(f *ast.Field, all []*ast.Field) {
		switch f.Name {
		case "name":
			w.string(d.Name)
		case "description":
			w.optional(d.Description())
		case "locations":
			w.list(len(d.Locations), func(i int) { w.string(d.Locations[i]) })
		case "args":
			w.inputs(d.VisibleArgs(w.deprecated(f)), all)
		case "isRepeatable":
			w.bool(d.IsRepeatable)
		default:
			w.out.Write(null)
		}
	})
}

// deprecated says whether what is deprecated was asked for, too.
func (w *answering) deprecated(f *ast.Field) bool {
	arg := f.Arguments.ForName("includeDeprecated")
	if arg == nil {
		return false
	}
	value, _ := w.x.plan.value(arg.Value, w.x.values)
	return value == "true"
}

func (w *answering) list(n int, element func(int)) {
	w.out.WriteByte('[')
	for i := range n {
		if i > 0 {
			w.out.WriteByte(',')
		}
		element(i)
	}
	w.out.WriteByte(']')
}

func (w *answering) string(s string) { w.out.Write(appendQuoted(w.out.AvailableBuffer(), s)) }

func (w *answering) optional(s *string) {
	if s == nil {
		w.out.Write(null)
		return
	}
	w.string(*s)
}

func (w *answering) bool(b bool) {
	if b {
		w.out.WriteString("true")
		return
	}
	w.out.WriteString("false")
}
