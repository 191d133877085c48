package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
)

// introspected is the answer to an introspection query (GraphQL §4.2).
type introspected struct {
	Schema *struct {
		Description  string                  `json:"description"`
		Query        *typeName               `json:"queryType"`
		Mutation     *typeName               `json:"mutationType"`
		Subscription *typeName               `json:"subscriptionType"`
		Types        []introspectedType      `json:"types"`
		Directives   []introspectedDirective `json:"directives"`
	} `json:"__schema"`
}

type typeName struct {
	Name string `json:"name"`
}

type introspectedType struct {
	Kind        ast.DefinitionKind  `json:"kind"`
	Name        string              `json:"name"`
	Description string              `json:"description"`
	SpecifiedBy string              `json:"specifiedByURL"`
	OneOf       bool                `json:"isOneOf"`
	Fields      []introspectedField `json:"fields"`
	InputFields []introspectedInput `json:"inputFields"`
	Interfaces  []typeName          `json:"interfaces"`
	EnumValues  []introspectedValue `json:"enumValues"`
	Possible    []typeName          `json:"possibleTypes"`
}

type deprecation struct {
	Deprecated bool    `json:"isDeprecated"`
	Reason     *string `json:"deprecationReason"`
}

type introspectedField struct {
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Args        []introspectedInput `json:"args"`
	Type        *introspectedRef    `json:"type"`
	deprecation
}

type introspectedInput struct {
	Name        string           `json:"name"`
	Description string           `json:"description"`
	Type        *introspectedRef `json:"type"`
	Default     *string          `json:"defaultValue"`
	deprecation
}

type introspectedValue struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	deprecation
}

type introspectedRef struct {
	Kind string           `json:"kind"`
	Name string           `json:"name"`
	Of   *introspectedRef `json:"ofType"`
}

type introspectedDirective struct {
	Name        string                  `json:"name"`
	Description string                  `json:"description"`
	Repeatable  bool                    `json:"isRepeatable"`
	Locations   []ast.DirectiveLocation `json:"locations"`
	Args        []introspectedInput     `json:"args"`
}

// nowhere stands for the positions that what was introspected has not. Nothing
// changes it.
var nowhere = &ast.Position{Src: &ast.Source{}}

// readSchema makes a schema of the data of an introspection, and validates it
// as one of its own. The error says what is wrong in words for an operator.
func readSchema(data []byte, types int) (*ast.Schema, error) {
	var in introspected
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("its introspection is malformed: %w", plainly(err))
	}
	if in.Schema == nil || in.Schema.Query == nil {
		return nil, errors.New("its introspection has no query type")
	}
	if n := len(in.Schema.Types); n > types {
		return nil, fmt.Errorf("it has %d types, and %d are taken at most", n, types)
	}
	doc, err := in.document()
	if err != nil {
		return nil, err
	}
	schema, err := validate(doc)
	if err != nil {
		return nil, fmt.Errorf("its schema is not valid: %w", plainly(err))
	}
	return schema, nil
}

// validate keeps a library that was not written for schemas of strangers from
// taking the process with it.
func validate(doc *ast.SchemaDocument) (schema *ast.Schema, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("it cannot be understood")
		}
	}()
	return validator.ValidateSchemaDocument(doc)
}

// plainly is an error without the position that a library puts before it.
func plainly(err error) error {
	text := strings.TrimPrefix(err.Error(), "input:0:0: ")
	return errors.New(strings.TrimPrefix(text, "json: "))
}

// widest is how many parts a definition may have: validation takes time that
// grows with the square of it.
const widest = 2_000

// document adds to the implicit definitions (GraphQL §3.3) what the service says.
func (in *introspected) document() (*ast.SchemaDocument, error) {
	doc := validator.PreludeDocument()
	implicit := map[string]bool{}
	for _, d := range doc.Definitions {
		implicit[d.Name] = true
	}
	for i := range in.Schema.Types {
		t := &in.Schema.Types[i]
		if implicit[t.Name] || isMeta(t.Name) {
			continue
		}
		if !isName(t.Name) {
			return nil, fmt.Errorf("type %.40q: that is no name", t.Name)
		}
		if n := max(len(t.Fields), len(t.InputFields), len(t.EnumValues), len(t.Possible)); n > widest {
			return nil, fmt.Errorf("type %s: it has %d parts, and %d are taken at most", t.Name, n, widest)
		}
		d, err := t.definition()
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", t.Name, err)
		}
		doc.Definitions = append(doc.Definitions, d)
	}
	if n := len(in.Schema.Directives); n > widest {
		return nil, fmt.Errorf("it has %d directives, and %d are taken at most", n, widest)
	}
	for _, d := range in.Schema.Directives {
		if doc.Directives.ForName(d.Name) != nil {
			continue
		}
		own, err := d.definition(doc.Definitions.ForName("__DirectiveLocation").EnumValues)
		if err != nil {
			return nil, fmt.Errorf("directive %.40q: %w", d.Name, err)
		}
		doc.Directives = append(doc.Directives, own)
	}
	doc.Schema = ast.SchemaDefinitionList{in.roots()}
	return doc, nil
}

// definition leaves out locations that are not known here.
func (d *introspectedDirective) definition(known ast.EnumValueList) (*ast.DirectiveDefinition, error) {
	if !isName(d.Name) {
		return nil, errors.New("that is no name")
	}
	args, err := arguments(d.Args)
	locations := slices.DeleteFunc(d.Locations, func(l ast.DirectiveLocation) bool { return known.ForName(string(l)) == nil })
	return &ast.DirectiveDefinition{
		Name: d.Name, Description: d.Description, IsRepeatable: d.Repeatable,
		Locations: locations, Arguments: args, Position: nowhere,
	}, err
}

func (in *introspected) roots() *ast.SchemaDefinition {
	d := &ast.SchemaDefinition{Description: in.Schema.Description, Position: nowhere}
	for op, root := range map[ast.Operation]*typeName{
		ast.Query: in.Schema.Query, ast.Mutation: in.Schema.Mutation, ast.Subscription: in.Schema.Subscription,
	} {
		if root != nil {
			d.OperationTypes = append(d.OperationTypes, &ast.OperationTypeDefinition{Operation: op, Type: root.Name, Position: nowhere})
		}
	}
	return d
}
