package gateway

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// description is what a service says that it is. It does not change once made.
type description struct {
	text   []byte      // the data of its introspection
	schema *ast.Schema // valid by itself
	types  []*ast.Definition
	roots  [3]*ast.Definition // of operations
	nested []*ast.Definition  // roots that fields of its own types lead to
}

// describe makes a description of the data of an introspection.
func describe(text []byte, types int) (*description, error) {
	s, err := readSchema(text, types)
	if err != nil {
		return nil, err
	}
	d := &description{text: text, schema: s, types: ownTypes(s)}
	for i, op := range operations() {
		d.roots[i] = rootOf(s, op)
	}
	for _, root := range d.roots {
		if root != nil && !slices.Contains(d.nested, root) && d.refersTo(root.Name) {
			d.nested = append(d.nested, root)
		}
	}
	return d, nil
}

// refersTo says whether a field returns the type, alone or as one of several.
func (d *description) refersTo(name string) bool {
	for _, t := range d.types {
		if slices.Contains(t.Types, name) || hasFieldOf(t, name) {
			return true
		}
	}
	for _, root := range d.roots {
		if root == nil {
			continue
		}
		if hasFieldOf(root, name) || root.Name == name && len(root.Interfaces) > 0 {
			return true
		}
	}
	return false
}

func hasFieldOf(d *ast.Definition, name string) bool {
	return slices.ContainsFunc(d.Fields, func(f *ast.FieldDefinition) bool { return f.Type.Name() == name })
}

// rootOf is the type at which operations of a kind begin, nil if there are none.
func rootOf(s *ast.Schema, op ast.Operation) *ast.Definition {
	switch op {
	case ast.Mutation:
		return s.Mutation
	case ast.Subscription:
		return s.Subscription
	}
	return s.Query
}

// operations are the kinds of operations, in the order in which all is done.
func operations() [3]ast.Operation {
	return [...]ast.Operation{ast.Query, ast.Mutation, ast.Subscription}
}

// isMeta says that a field or type belongs to introspection.
func isMeta(name string) bool { return strings.HasPrefix(name, "__") }

// isName is Name of GraphQL §2.1.9.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return s != ""
}

// ownTypes are the types that a service brings, apart from its roots, by name.
func ownTypes(s *ast.Schema) []*ast.Definition {
	var own []*ast.Definition
	for _, d := range s.Types {
		if !d.BuiltIn && d != s.Query && d != s.Mutation && d != s.Subscription {
			own = append(own, d)
		}
	}
	slices.SortFunc(own, byName)
	return own
}

func byName(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) }
