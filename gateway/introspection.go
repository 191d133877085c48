package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
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

func (t *introspectedType) definition() (*ast.Definition, error) {
	d := &ast.Definition{Kind: t.Kind, Name: t.Name, Description: t.Description, Position: nowhere}
	var err error
	switch t.Kind {
	case ast.Scalar:
		if t.SpecifiedBy != "" {
			d.Directives = ast.DirectiveList{directive("specifiedBy", "url", t.SpecifiedBy)}
		}
	case ast.Object, ast.Interface:
		for _, i := range t.Interfaces {
			d.Interfaces = append(d.Interfaces, i.Name)
		}
		d.Fields, err = outputFields(t.Fields)
	case ast.Union:
		for _, p := range t.Possible {
			d.Types = append(d.Types, p.Name)
		}
	case ast.Enum:
		for _, v := range t.EnumValues {
			if !isName(v.Name) {
				return nil, fmt.Errorf("value %.40q: that is no name", v.Name)
			}
			d.EnumValues = append(d.EnumValues, &ast.EnumValueDefinition{
				Name: v.Name, Description: v.Description, Directives: v.directives(), Position: nowhere,
			})
		}
	case ast.InputObject:
		if t.OneOf {
			d.Directives = ast.DirectiveList{{Name: "oneOf", Position: nowhere}}
		}
		d.Fields, err = inputFields(t.InputFields)
	default:
		err = fmt.Errorf("unknown kind %.40q", t.Kind)
	}
	return d, err
}

// outputFields leaves out a field that is there twice: there are large services
// which have some.
func outputFields(fields []introspectedField) (ast.FieldList, error) {
	var list ast.FieldList
	for _, f := range fields {
		if list.ForName(f.Name) != nil {
			continue
		}
		typ, err := typed(f.Name, f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %.40q: %w", f.Name, err)
		}
		args, err := arguments(f.Args)
		if err != nil {
			return nil, fmt.Errorf("field %.40q: %w", f.Name, err)
		}
		list = append(list, &ast.FieldDefinition{
			Name: f.Name, Description: f.Description, Type: typ, Arguments: args,
			Directives: f.directives(), Position: nowhere,
		})
	}
	return list, nil
}

func inputFields(fields []introspectedInput) (ast.FieldList, error) {
	args, err := arguments(fields)
	if err != nil {
		return nil, err
	}
	var list ast.FieldList
	for _, a := range args {
		list = append(list, &ast.FieldDefinition{
			Name: a.Name, Description: a.Description, Type: a.Type, DefaultValue: a.DefaultValue,
			Directives: a.Directives, Position: a.Position,
		})
	}
	return list, nil
}

func arguments(inputs []introspectedInput) (ast.ArgumentDefinitionList, error) {
	if len(inputs) > widest {
		return nil, fmt.Errorf("it has %d arguments, and %d are taken at most", len(inputs), widest)
	}
	var list ast.ArgumentDefinitionList
	for _, in := range inputs {
		typ, err := typed(in.Name, in.Type)
		if err != nil {
			return nil, fmt.Errorf("argument %.40q: %w", in.Name, err)
		}
		value, err := defaultValue(in.Default)
		if err != nil {
			return nil, fmt.Errorf("argument %.40q: %w", in.Name, err)
		}
		list = append(list, &ast.ArgumentDefinition{
			Name: in.Name, Description: in.Description, Type: typ, DefaultValue: value,
			Directives: in.directives(), Position: nowhere,
		})
	}
	return list, nil
}

// typed is the type of what has this name.
func typed(name string, ref *introspectedRef) (*ast.Type, error) {
	if !isName(name) {
		return nil, errors.New("that is no name")
	}
	return ref.typ()
}

// typ is the type referred to; the query asks for no more than nine levels.
func (r *introspectedRef) typ() (*ast.Type, error) {
	switch {
	case r == nil:
		return nil, errors.New("it has no type")
	case r.Kind == "LIST":
		elem, err := r.Of.typ()
		return ast.ListType(elem, nowhere), err
	case r.Kind == "NON_NULL":
		t, err := r.Of.typ()
		if err == nil && t.NonNull {
			err = errors.New("its type is twice non-null")
		}
		if err == nil {
			t.NonNull = true
		}
		return t, err
	case r.Name == "":
		return nil, errors.New("its type has no name")
	}
	return ast.NamedType(r.Name, nowhere), nil
}

// defaultValue reads a value in the syntax of GraphQL.
func defaultValue(text *string) (*ast.Value, error) {
	if text == nil {
		return nil, nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: "query($v:T=" + *text + "){v}"}, 10_000)
	if err != nil || len(doc.Operations) != 1 || len(doc.Fragments) != 0 {
		return nil, fmt.Errorf("its default value %.40q is malformed", *text)
	}
	defs := doc.Operations[0].VariableDefinitions
	if len(defs) != 1 || len(defs[0].Directives) != 0 || len(doc.Operations[0].SelectionSet) != 1 {
		return nil, fmt.Errorf("its default value %.40q is malformed", *text)
	}
	return defs[0].DefaultValue, nil
}

func (d deprecation) directives() ast.DirectiveList {
	switch {
	case !d.Deprecated:
		return nil
	case d.Reason == nil:
		return ast.DirectiveList{directive("deprecated", "reason", "No longer supported")}
	}
	return ast.DirectiveList{directive("deprecated", "reason", *d.Reason)}
}

func directive(name, arg, value string) *ast.Directive {
	v := &ast.Value{Kind: ast.StringValue, Raw: value, Position: nowhere}
	return &ast.Directive{
		Name: name, Position: nowhere,
		Arguments: ast.ArgumentList{{Name: arg, Value: v, Position: nowhere}},
	}
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
