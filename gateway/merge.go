package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
)

// part is what a service brings to a schema.
type part struct {
	service *service
	is      *description
	was     *naming // in the schema before; nil for a newcomer
}

// merge makes one schema of parts, the oldest service first. Types of one name
// are one type where their shapes are equal. Otherwise, and where root fields
// have one name, that of the service that came later gets its prefix; a service
// that has changed since the schema before comes after all that have not. What
// has a name keeps it, also when the reason for it is gone: there may be
// clients that use it.
func merge(parts []part, cfg schemaConfig) *Schema {
	m := merging{
		types:  map[string]claim{},
		schema: &Schema{cfg: cfg, services: map[*service]*source{}},
	}
	for _, op := range operations() {
		m.types[rootName(op)] = claim{reserved: true} // the schema's own
	}
	implicit := validator.PreludeDocument()
	for _, d := range implicit.Definitions {
		m.types[d.Name] = claim{published: d}
		m.order = append(m.order, d)
	}
	for _, p := range settledFirst(parts) {
		m.add(p)
	}
	return m.finish(implicit)
}

// settledFirst puts those that are as they were in the schema before first.
func settledFirst(parts []part) []part {
	var settled, others []part
	for _, p := range parts {
		if p.was != nil && p.was.of == p.is {
			settled = append(settled, p)
		} else {
			others = append(others, p)
		}
	}
	return append(settled, others...)
}

func rootName(op ast.Operation) string {
	return strings.ToUpper(string(op[:1])) + string(op[1:])
}

// claim is who has a name.
type claim struct {
	published *ast.Definition
	by        string
	reserved  bool // it is nobody's to share
}

type merging struct {
	schema *Schema
	types  map[string]claim
	order  []*ast.Definition
	roots  [3]*ast.Definition
	extra  []*ast.DirectiveDefinition
}

func (m *merging) add(p part) {
	s := &source{service: p.service, is: p.is, names: &naming{of: p.is, types: map[string]string{}}}
	own := slices.Concat(p.is.types, p.is.nested)
	if p.was != nil {
		for _, d := range own {
			if name, ok := p.was.types[d.Name]; ok {
				s.names.types[d.Name] = name
			}
		}
	}
	for _, d := range p.is.nested {
		// The schema's root has fields of others, which this service does not know.
		if _, ok := s.names.types[d.Name]; !ok {
			s.names.types[d.Name] = s.service.prefix() + d.Name
		}
	}
	m.name(s, own)
	for _, d := range own {
		name := s.names.typ(d.Name)
		if _, shared := m.types[name]; !shared {
			published := s.names.publish(withoutMeta(d))
			m.types[name] = claim{published: published, by: s.service.Name}
			m.order = append(m.order, published)
		}
	}
	for i := range m.roots {
		m.addRoot(s, i, p.was)
	}
	m.addDirectives(s)
	s.reverse()
	m.schema.services[p.service] = s
	m.schema.sources = append(m.schema.sources, s)
}

func withoutMeta(d *ast.Definition) *ast.Definition {
	if !slices.ContainsFunc(d.Fields, func(f *ast.FieldDefinition) bool { return isMeta(f.Name) }) {
		return d
	}
	clean := *d
	clean.Fields = slices.DeleteFunc(slices.Clone(d.Fields), func(f *ast.FieldDefinition) bool { return isMeta(f.Name) })
	return &clean
}

// name gives names to the types of s. All of them share the names that they
// have, to begin with. Those that cannot are renamed, and what refers to them
// is looked at again.
func (m *merging) name(s *source, own []*ast.Definition) {
	attempts := map[string]int{}
	mine := map[string]*ast.Definition{}
	var referrers map[string][]*ast.Definition
	for left := slices.Clone(own); len(left) > 0; left = left[1:] {
		d := left[0]
		name := s.names.typ(d.Name)
		if m.free(s, d, mine[name]) {
			mine[name] = d
			continue
		}
		if mine[name] == d {
			delete(mine, name)
		}
		s.names.types[d.Name] = numbered(s.service.prefix()+d.Name, attempts[d.Name])
		attempts[d.Name]++
		if referrers == nil {
			referrers = referrersOf(own)
		}
		left = append(append(left, d), referrers[d.Name]...)
	}
	for _, d := range own {
		if s.names.typ(d.Name) == d.Name {
			delete(s.names.types, d.Name)
		}
	}
}

// free says whether a type of s can have the name that it has; by is the one of
// s that does, if any.
func (m *merging) free(s *source, d, by *ast.Definition) bool {
	held, taken := m.types[s.names.typ(d.Name)]
	return (by == nil || by == d) && (!taken || !held.reserved && s.names.sameShape(held.published, withoutMeta(d)))
}

// referrersOf says for each name which types refer to it.
func referrersOf(types []*ast.Definition) map[string][]*ast.Definition {
	all := map[string][]*ast.Definition{}
	for _, d := range types {
		note := func(name string) {
			if list := all[name]; len(list) == 0 || list[len(list)-1] != d {
				all[name] = append(list, d)
			}
		}
		for _, name := range slices.Concat(d.Interfaces, d.Types) {
			note(name)
		}
		for _, f := range d.Fields {
			note(f.Type.Name())
			for _, a := range f.Arguments {
				note(a.Type.Name())
			}
		}
	}
	return all
}

func numbered(name string, attempt int) string {
	if attempt == 0 {
		return name
	}
	return fmt.Sprintf("%s_%d", name, attempt+1)
}

// addRoot gives the root fields of s to the schema's root.
func (m *merging) addRoot(s *source, i int, was *naming) {
	own := s.is.roots[i]
	if own == nil {
		return
	}
	if m.roots[i] == nil {
		m.roots[i] = &ast.Definition{Kind: ast.Object, Name: rootName(operations()[i]), Position: nowhere}
		m.schema.owners[i] = map[string]owner{}
	}
	if m.roots[i].Description == "" {
		m.roots[i].Description = own.Description
	}
	renamed := map[string]string{}
	for _, f := range own.Fields {
		if isMeta(f.Name) {
			continue
		}
		name := f.Name
		if was != nil && was.fields[i][f.Name] != "" {
			name = was.fields[i][f.Name]
		}
		name = m.freeField(s, i, f.Name, name)
		if name != f.Name {
			renamed[f.Name] = name
		}
		m.schema.owners[i][name] = owner{s, f.Name}
		m.roots[i].Fields = append(m.roots[i].Fields, s.names.field(f, name))
		s.fields[i] = append(s.fields[i], name)
	}
	s.names.fields[i] = renamed
}

func (m *merging) freeField(s *source, i int, own, name string) string {
	for attempt := 0; ; attempt++ {
		if _, taken := m.schema.owners[i][name]; !taken {
			return name
		}
		name = numbered(s.service.prefix()+own, attempt)
	}
}

// addDirectives adds those that documents may use. The first definition stands:
// a directive goes only to services that know one of that name.
func (m *merging) addDirectives(s *source) {
	for _, name := range slices.Sorted(maps.Keys(s.is.schema.Directives)) {
		d := s.is.schema.Directives[name]
		if slices.ContainsFunc(m.extra, func(e *ast.DirectiveDefinition) bool { return e.Name == name }) {
			continue
		}
		published := *d
		published.Arguments = s.names.arguments(d.Arguments)
		published.Directives = nil
		m.extra = append(m.extra, &published)
	}
}

// finish builds what lookups need. Every part was valid by itself, and names
// were mapped one to one: that the whole is valid need not be found out again.
func (m *merging) finish(implicit *ast.SchemaDocument) *Schema {
	s := &ast.Schema{
		Types: map[string]*ast.Definition{}, Directives: map[string]*ast.DirectiveDefinition{},
		PossibleTypes: map[string][]*ast.Definition{}, Implements: map[string][]*ast.Definition{},
	}
	if m.roots[0] == nil || len(m.roots[0].Fields) == 0 {
		m.roots[0] = emptyQuery()
		m.schema.owners[0] = nil
	}
	visible := m.roots[0].Fields
	m.roots[0].Fields = slices.Concat(visible, validator.QueryIntrospectionFields())
	s.Query, s.Mutation, s.Subscription = m.roots[0], m.roots[1], m.roots[2]
	for _, root := range m.roots {
		if root != nil {
			m.order = append(m.order, root)
		}
	}
	for _, d := range m.order {
		s.Types[d.Name] = d
	}
	for _, d := range m.order {
		relate(s, d)
	}
	for _, d := range slices.Concat(m.extra, implicit.Directives) { // the implicit ones stand
		if d.Name != "defer" { // no answer comes in parts here
			s.Directives[d.Name] = d
		}
	}
	for _, source := range m.schema.sources {
		source.warnings = m.warnings(source)
	}
	m.schema.ast = s
	m.schema.plans = newPlanCache(m.schema.cfg.limits.Plans)
	return m.schema
}

func relate(s *ast.Schema, d *ast.Definition) {
	switch d.Kind {
	case ast.Union:
		for _, t := range d.Types {
			s.AddPossibleType(d.Name, s.Types[t])
			s.AddImplements(t, d)
		}
	case ast.Object, ast.Interface, ast.InputObject:
		for _, i := range d.Interfaces {
			s.AddPossibleType(i, d)
			s.AddImplements(d.Name, s.Types[i])
		}
		if d.Kind != ast.Interface {
			s.AddPossibleType(d.Name, d)
		}
	}
}

// noServices is the field that a schema has when no service has any: GraphQL
// wants one. It is the one that other gateways of this design have then.
const noServices = "services"

func emptyQuery() *ast.Definition {
	f := &ast.FieldDefinition{
		Name: noServices, Description: "Nothing: no service is registered.", Position: nowhere,
		Type: ast.ListType(ast.NonNullNamedType("String", nowhere), nowhere),
	}
	return &ast.Definition{Kind: ast.Object, Name: "Query", Fields: ast.FieldList{f}, Position: nowhere}
}
