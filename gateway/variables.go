package gateway

import (
	"fmt"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// variable is one that an operation declares.
type variable struct {
	name     string
	typ      *ast.Type
	fallback *ast.Value // its default; nil when it has none
}

func variablesOf(op *ast.OperationDefinition) []variable {
	var list []variable
	for _, d := range op.VariableDefinitions {
		list = append(list, variable{d.Variable, d.Type, d.DefaultValue})
	}
	return list
}

// given are the variables of a request, as JSON: one value for each that the
// plan declares, nil for one that is absent.
type given [][]byte

// coerce finds the plan's variables in a JSON object and checks their types
// (GraphQL §6.1.2). The values go to services as they are.
func (p *plan) coerce(object []byte, values given) (given, error) {
	for range p.variables {
		values = append(values, nil)
	}
	if len(p.variables) == 0 {
		return values, nil
	}
	if len(object) > 0 && !isNull(object) {
		c := cursor{text: object, at: 1}
		for first := true; ; first = false {
			key, more, _ := c.key(first)
			if !more {
				break
			}
			value, _ := c.value()
			if i := p.variableNamed(unescape(key)); i >= 0 {
				values[i] = value
			}
		}
	}
	for i, v := range p.variables {
		if err := p.schema.checkVariable(v, values[i]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (p *plan) variableNamed(name []byte) int {
	for i := range p.variables {
		if p.variables[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (s *Schema) checkVariable(v variable, value []byte) error {
	if value == nil {
		if v.typ.NonNull && v.fallback == nil {
			return fmt.Errorf("variable $%s of type %s is missing", v.name, v.typ)
		}
		return nil
	}
	if why := s.mismatch(v.typ, value); why != "" {
		return fmt.Errorf("variable $%s: %s", v.name, why)
	}
	return nil
}

// mismatch says why a JSON value is not of a type; empty when it is.
func (s *Schema) mismatch(t *ast.Type, value []byte) string {
	if isNull(value) {
		if t.NonNull {
			return fmt.Sprintf("null is no %s", t)
		}
		return ""
	}
	if t.Elem != nil {
		return s.listMismatch(t, value)
	}
	switch d := s.ast.Types[t.NamedType]; d.Kind {
	case ast.InputObject:
		return s.objectMismatch(d, value)
	case ast.Enum:
		if value[0] == '"' && d.EnumValues.ForName(text(value)) != nil {
			return ""
		}
	default:
		if scalarFits(d.Name, value) {
			return ""
		}
	}
	return fmt.Sprintf("%s is no %s", excerpt(value), t.NamedType)
}

// listMismatch also takes one value for a list of one (GraphQL §3.11).
func (s *Schema) listMismatch(t *ast.Type, value []byte) string {
	if value[0] != '[' {
		return s.mismatch(t.Elem, value)
	}
	c := cursor{text: value, at: 1}
	for i := 0; ; i++ {
		if more, _ := c.element(i == 0); !more {
			return ""
		}
		element, _ := c.value()
		if why := s.mismatch(t.Elem, element); why != "" {
			return fmt.Sprintf("element %d: %s", i, why)
		}
	}
}

func (s *Schema) objectMismatch(d *ast.Definition, value []byte) string {
	if value[0] != '{' {
		return fmt.Sprintf("%s is no %s", excerpt(value), d.Name)
	}
	c := cursor{text: value, at: 1}
	seen := map[string]bool{}
	for first := true; ; first = false {
		key, more, _ := c.key(first)
		if !more {
			return missingField(d, seen)
		}
		field, _ := c.value()
		name := string(unescape(key))
		f := d.Fields.ForName(name)
		if f == nil {
			return fmt.Sprintf("%s has no field %s", d.Name, excerpt(key))
		}
		seen[name] = true
		if isNull(field) && d.Directives.ForName("oneOf") != nil {
			return fmt.Sprintf("the one field of %s must not be null", d.Name)
		}
		if why := s.mismatch(f.Type, field); why != "" {
			return fmt.Sprintf("field %s: %s", name, why)
		}
	}
}

func missingField(d *ast.Definition, seen map[string]bool) string {
	if d.Directives.ForName("oneOf") != nil && len(seen) != 1 {
		return fmt.Sprintf("exactly one field of %s must be there", d.Name)
	}
	for _, f := range d.Fields {
		if f.Type.NonNull && f.DefaultValue == nil && !seen[f.Name] {
			return fmt.Sprintf("field %s of %s is missing", f.Name, d.Name)
		}
	}
	return ""
}

// scalarFits says whether a value can be one of a scalar. What a service's own
// scalars take, only the service knows.
func scalarFits(name string, value []byte) bool {
	isString := value[0] == '"'
	isNumber := value[0] == '-' || isDigit(value[0])
	switch name {
	case "String":
		return isString
	case "Boolean":
		return value[0] == 't' || value[0] == 'f'
	case "Float":
		return isNumber
	case "ID":
		return isString || isNumber && isWhole(value, math.MinInt64, math.MaxInt64)
	case "Int":
		return isNumber && isWhole(value, math.MinInt32, math.MaxInt32)
	}
	return true
}

func isWhole(value []byte, least, most float64) bool {
	if _, err := strconv.ParseInt(string(value), 10, 64); err == nil && len(value) < 10 {
		return true
	}
	f, err := strconv.ParseFloat(string(value), 64)
	return err == nil && f == math.Trunc(f) && least <= f && f <= most
}

// text is what a JSON string says.
func text(value []byte) string { return string(unescape(value[1 : len(value)-1])) }

// excerpt is as much of a value as a message should hold.
func excerpt(value []byte) string {
	if len(value) > 40 {
		return string(value[:40]) + "…"
	}
	return string(value)
}

// holds says whether a condition does. The plan is valid: its variable is a
// Boolean.
func (p *plan) holds(c condition, values given) bool {
	i := p.variableNamed([]byte(c.variable))
	if i < 0 {
		return false
	}
	value := values[i]
	if value == nil {
		fallback := p.variables[i].fallback
		return fallback != nil && (fallback.Raw == "true") == c.want
	}
	return (value[0] == 't') == c.want
}

// value is a value of a document as JSON would say it, for what is answered
// here: strings, booleans and null.
func (p *plan) value(v *ast.Value, values given) (string, bool) {
	if v == nil {
		return "", false
	}
	if v.Kind != ast.Variable {
		return v.Raw, v.Kind != ast.NullValue
	}
	i := p.variableNamed([]byte(v.Raw))
	switch {
	case i < 0 || values[i] != nil && isNull(values[i]):
		return "", false
	case values[i] == nil:
		return p.value(p.variables[i].fallback, values)
	case values[i][0] == '"':
		return text(values[i]), true
	}
	return string(values[i]), true
}
