package gateway

import "github.com/vektah/gqlparser/v2/ast"

// admit refuses an operation that would be too much. Fragments are measured
// once each, so that a document cannot make measuring it expensive.
func (l Limits) admit(op *ast.OperationDefinition) error {
	m := measuring{known: map[*ast.FragmentDefinition]size{}}
	switch s := m.set(op.SelectionSet); {
	case s.depth > l.Depth:
		return refuse(tooMuch, "the operation nests %d deep: %d is the limit", s.depth, l.Depth)
	case s.aliases > l.Aliases:
		return refuse(tooMuch, "the operation has more than %d aliases", l.Aliases)
	case s.fields > l.Fields:
		return refuse(tooMuch, "the operation has more than %d fields", l.Fields)
	}
	return nil
}

type size struct{ depth, aliases, fields int }

// enough is where counting stops to matter.
const enough = 1 << 30

func (s *size) add(o size) {
	s.depth = max(s.depth, o.depth)
	s.aliases = min(s.aliases+o.aliases, enough)
	s.fields = min(s.fields+o.fields, enough)
}

type measuring struct {
	known map[*ast.FragmentDefinition]size
}

func (m *measuring) set(set ast.SelectionSet) size {
	var all size
	for _, selection := range set {
		switch x := selection.(type) {
		case *ast.Field:
			one := m.set(x.SelectionSet)
			one.depth++
			one.fields++
			if x.Alias != x.Name {
				one.aliases++
			}
			all.add(one)
		case *ast.InlineFragment:
			all.add(m.set(x.SelectionSet))
		case *ast.FragmentSpread:
			s, ok := m.known[x.Definition]
			if !ok {
				s = m.set(x.Definition.SelectionSet)
				m.known[x.Definition] = s
			}
			all.add(s)
		}
	}
	return all
}
