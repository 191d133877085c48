package gateway

import (
	"log/slog"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// Schema is what the gateway serves at one moment. It does not change; only the
// plans that it keeps come and go.
type Schema struct {
	cfg      schemaConfig
	ast      *ast.Schema
	owners   [3]map[string]owner // of root fields, by operation
	sources  []*source           // in the order in which they were merged
	services map[*service]*source
	plans    *planCache
}

// schemaConfig is what holds for every operation.
type schemaConfig struct {
	limits Limits
	hide   bool // introspection is turned off
	log    *slog.Logger
}

// AST is the merged schema. It must not be changed.
func (s *Schema) AST() *ast.Schema { return s.ast }

// owner is whose a root field is.
type owner struct {
	source *source
	field  string // what the service calls it
}

// source is a service in a schema, with what it is called there.
type source struct {
	service  *service
	is       *description
	names    *naming
	own      map[string]string // the service's name of a type that was renamed
	fields   [3][]string       // published root fields, by operation
	warnings []string
}

// reverse fills own.
func (s *source) reverse() {
	s.own = make(map[string]string, len(s.names.types))
	for own, published := range s.names.types {
		s.own[published] = own
	}
}

// ownType is what the service calls a published type, if it has it.
func (s *source) ownType(published string) (string, bool) {
	if own, ok := s.own[published]; ok {
		return own, true
	}
	if _, renamed := s.names.types[published]; renamed {
		return "", false // what the service calls so is published as something else
	}
	_, known := s.is.schema.Types[published]
	return published, known
}

// spreads says whether the service takes a fragment on a published type within
// another. Types of other services may be why that is valid in the schema: it
// selects nothing here then (GraphQL §5.5.2.3).
func (s *source) spreads(condition string, within *ast.Definition) bool {
	own, known := s.ownType(condition)
	parent, _ := s.ownType(within.Name)
	if !known || own == parent {
		return known
	}
	possible := s.is.schema.PossibleTypes
	return slices.ContainsFunc(possible[own], func(d *ast.Definition) bool { return slices.Contains(possible[parent], d) })
}

// renamesObjects says whether values of __typename have to be translated.
func (s *source) renamesObjects() bool {
	for own := range s.names.types {
		if s.is.schema.Types[own].Kind == ast.Object {
			return true
		}
	}
	return false
}

// typeCount is how many types the services bring, roots included.
func (s *source) typeCount() int {
	n := len(s.is.types)
	for i, root := range s.is.roots {
		if root != nil && !slices.Contains(s.is.roots[:i], root) {
			n++
		}
	}
	return n
}
