package gateway

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// naming is what a service's types and root fields are called in the schema.
// What is not in a map keeps its name. It does not change once published.
type naming struct {
	of     *description
	types  map[string]string
	fields [3]map[string]string // of operations
}

func (n *naming) typ(own string) string {
	if name, ok := n.types[own]; ok {
		return name
	}
	return own
}

// sameShape says whether a published definition can stand for one of a
// service: nothing that a document may say of one is wrong of the other.
// Descriptions, deprecations and order do not count.
func (n *naming) sameShape(published, own *ast.Definition) bool {
	return published.Kind == own.Kind &&
		n.sameNames(published.Interfaces, own.Interfaces) &&
		n.sameNames(published.Types, own.Types) &&
		n.sameFields(published.Fields, own.Fields) &&
		sameValues(published.EnumValues, own.EnumValues) &&
		(published.Directives.ForName("oneOf") == nil) == (own.Directives.ForName("oneOf") == nil)
}

func (n *naming) sameNames(published, own []string) bool {
	return len(published) == len(own) &&
		!slices.ContainsFunc(own, func(name string) bool { return !slices.Contains(published, n.typ(name)) })
}

func (n *naming) sameFields(published, own ast.FieldList) bool {
	if len(published) != len(own) {
		return false
	}
	for i, f := range own {
		p := published[i] // as a rule the order is the same
		if p.Name != f.Name {
			p = published.ForName(f.Name)
		}
		if p == nil || !n.sameType(p.Type, f.Type) || !sameDefault(p.DefaultValue, f.DefaultValue) || !n.sameArguments(p.Arguments, f.Arguments) {
			return false
		}
	}
	return true
}

func (n *naming) sameArguments(published, own ast.ArgumentDefinitionList) bool {
	if len(published) != len(own) {
		return false
	}
	for _, a := range own {
		p := published.ForName(a.Name)
		if p == nil || !n.sameType(p.Type, a.Type) || !sameDefault(p.DefaultValue, a.DefaultValue) {
			return false
		}
	}
	return true
}

func (n *naming) sameType(published, own *ast.Type) bool {
	switch {
	case published.NonNull != own.NonNull || (published.Elem == nil) != (own.Elem == nil):
		return false
	case own.Elem != nil:
		return n.sameType(published.Elem, own.Elem)
	}
	return published.NamedType == n.typ(own.NamedType)
}

func sameDefault(a, b *ast.Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.String() == b.String()
}

func sameValues(a, b ast.EnumValueList) bool {
	return len(a) == len(b) &&
		!slices.ContainsFunc(b, func(v *ast.EnumValueDefinition) bool { return a.ForName(v.Name) == nil })
}

// publish is a definition under its published names. It is the service's own
// where that says the same.
func (n *naming) publish(own *ast.Definition) *ast.Definition {
	if len(n.types) == 0 {
		return own
	}
	d := *own
	d.Name = n.typ(own.Name)
	d.Interfaces = n.names(own.Interfaces)
	d.Types = n.names(own.Types)
	d.Fields = nil
	for _, f := range own.Fields {
		d.Fields = append(d.Fields, n.field(f, f.Name))
	}
	return &d
}

func (n *naming) names(own []string) []string {
	var list []string
	for _, name := range own {
		list = append(list, n.typ(name))
	}
	return list
}

// field is a field of the service's under another name, with published types.
func (n *naming) field(own *ast.FieldDefinition, name string) *ast.FieldDefinition {
	if len(n.types) == 0 && name == own.Name {
		return own
	}
	f := *own
	f.Name, f.Type = name, n.ref(own.Type)
	f.Arguments = n.arguments(own.Arguments)
	return &f
}

func (n *naming) arguments(own ast.ArgumentDefinitionList) ast.ArgumentDefinitionList {
	var list ast.ArgumentDefinitionList
	for _, a := range own {
		published := *a
		published.Type = n.ref(a.Type)
		list = append(list, &published)
	}
	return list
}

func (n *naming) ref(own *ast.Type) *ast.Type {
	t := *own
	if own.Elem != nil {
		t.Elem = n.ref(own.Elem)
		return &t
	}
	t.NamedType = n.typ(own.NamedType)
	return &t
}
