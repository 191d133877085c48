package gateway

import "github.com/vektah/gqlparser/v2/ast"

// outline says under which keys an answer has a __typename: the service's types
// have other names than the schema's. A nil one is not interested.
type outline struct {
	typenames map[string]bool
	children  map[string]*outline
}

func (o *outline) below(key string) *outline {
	if o == nil {
		return nil
	}
	child := o.children[key]
	if child == nil {
		child = &outline{}
		if o.children == nil {
			o.children = map[string]*outline{}
		}
		o.children[key] = child
	}
	return child
}

func (o *outline) mark(key string) {
	if o == nil {
		return
	}
	if o.typenames == nil {
		o.typenames = map[string]bool{}
	}
	o.typenames[key] = true
}

// include adds the selections of a fragment. Limits.Fields bounds how much that
// can be.
func (o *outline) include(set ast.SelectionSet, s *source) {
	if o == nil {
		return
	}
	for _, selection := range set {
		switch x := selection.(type) {
		case *ast.Field:
			if x.Name == "__typename" {
				o.mark(x.Alias)
			}
			if len(x.SelectionSet) > 0 {
				o.below(x.Alias).include(x.SelectionSet, s)
			}
		case *ast.InlineFragment:
			o.include(x.SelectionSet, s)
		case *ast.FragmentSpread:
			o.include(x.Definition.SelectionSet, s)
		}
	}
}

// orNil forgets the parts without a __typename, and is nil if nothing is left.
func (o *outline) orNil() *outline {
	if o == nil {
		return nil
	}
	for key, child := range o.children {
		if child.orNil() == nil {
			delete(o.children, key)
		}
	}
	if len(o.typenames) == 0 && len(o.children) == 0 {
		return nil
	}
	return o
}

// appendTranslated appends a value, which a cursor has passed before, with the
// published names of types.
func (o *outline) appendTranslated(out []byte, c *cursor, names *naming) []byte {
	switch c.peek() {
	case '{':
		return o.appendObject(out, c, names)
	case '[':
		c.at++
		out = append(out, '[')
		for first := true; ; first = false {
			if more, _ := c.element(first); !more {
				return append(out, ']')
			}
			if !first {
				out = append(out, ',')
			}
			out = o.appendTranslated(out, c, names)
		}
	}
	value, _ := c.value()
	return append(out, value...)
}

func (o *outline) appendObject(out []byte, c *cursor, names *naming) []byte {
	c.at++
	out = append(out, '{')
	for first := true; ; first = false {
		key, more, _ := c.key(first)
		if !more {
			return append(out, '}')
		}
		if !first {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, key...)
		out = append(out, '"', ':')
		key = unescape(key)
		if child := o.children[string(key)]; child != nil {
			out = child.appendTranslated(out, c, names)
			continue
		}
		value, _ := c.value()
		if name, ok := renamedType(value, names); ok && o.typenames[string(key)] {
			value = name
		}
		out = append(out, value...)
	}
}

func renamedType(value []byte, names *naming) ([]byte, bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	name, ok := names.types[string(value[1:len(value)-1])]
	return appendQuoted(nil, name), ok
}
