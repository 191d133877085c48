package gateway

import (
	"errors"
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

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
