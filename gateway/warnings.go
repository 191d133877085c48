package gateway

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// warnings says which names a service does not have as it wanted, and why.
func (m *merging) warnings(s *source) []string {
	var all []string
	for _, own := range slices.Sorted(maps.Keys(s.names.types)) {
		if slices.ContainsFunc(s.is.nested, func(d *ast.Definition) bool { return d.Name == own }) {
			continue // nothing was taken from it
		}
		all = append(all, fmt.Sprintf("type %s is %s: %s", own, s.names.types[own], taken(m.types[own].by, m.types[own].reserved)))
	}
	for i, op := range operations() {
		for _, own := range slices.Sorted(maps.Keys(s.names.fields[i])) {
			by := ""
			if o, ok := m.schema.owners[i][own]; ok {
				by = o.source.service.Name
			}
			all = append(all, fmt.Sprintf("%s field %s is %s: %s", op, own, s.names.fields[i][own], taken(by, false)))
		}
	}
	return all
}

// taken says why a name was not to be had.
func taken(by string, reserved bool) string {
	switch {
	case reserved:
		return "that name is the schema's own"
	case by != "":
		return "service " + by + " has another one of that name"
	}
	return "that name was taken when it came, and clients may know it by this one"
}
