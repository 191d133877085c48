package gateway

import (
	"strconv"
	"unicode/utf8"
)

// read finds the values of a step's entries in a service's answer. They stay
// where they are. The error is a *fault.
func (x *execution) read(step int, body []byte) error {
	s, o := &x.plan.steps[step], &x.outcomes[step]
	nonsense := func() error { return s.source.service.faultf("did not answer as a GraphQL service does") }
	c := cursor{text: body}
	if !utf8.Valid(body) || !c.take('{') {
		return nonsense()
	}
	o.empty = true
	for first := true; ; first = false {
		key, more, ok := c.key(first)
		if !ok {
			return nonsense()
		}
		if !more {
			break
		}
		switch key = unescape(key); {
		case string(key) == "data" && c.peek() == '{':
			o.empty = false
			ok = x.readData(s, &c)
		case string(key) == "errors" && c.peek() == '[':
			o.errors, ok = c.value()
		default:
			_, ok = c.value()
		}
		if !ok {
			return nonsense()
		}
	}
	if !c.ended() || o.empty && o.errors == nil {
		return nonsense()
	}
	return nil
}

// readData reads the fields of data. As a rule they come in the order in which
// they were asked for.
func (x *execution) readData(s *step, c *cursor) bool {
	c.at++
	for i := 0; ; i++ {
		key, more, ok := c.key(i == 0)
		if !ok || !more {
			return ok
		}
		value, ok := c.value()
		if !ok {
			return false
		}
		if e := x.plan.entryOf(s, unescape(key), i); e >= 0 {
			x.results[e] = value
		}
	}
}

// entryOf is the entry of a step with a key, sought first where it should be.
func (p *plan) entryOf(s *step, key []byte, guess int) int {
	if guess < len(s.entries) && p.entries[s.entries[guess]].key == string(key) {
		return s.entries[guess]
	}
	for _, e := range s.entries {
		if p.entries[e].key == string(key) {
			return e
		}
	}
	return -1
}

// respond puts the response together.
func (x *execution) respond() []byte {
	out := x.appendData(append(x.out[:0], `{"data":`...))
	x.reportErrors()
	if len(x.errors) > 0 {
		out = append(out, `,"errors":[`...)
		out = append(out, x.errors...)
		out = append(out, ']')
	}
	if x.traced {
		out = x.appendTrace(out)
	}
	x.out = append(out, '}')
	return x.out
}

// appendData makes data null if there is a null where the schema allows none
// (GraphQL §6.4.4). Below the root the services have seen to that.
func (x *execution) appendData(out []byte) []byte {
	start := len(out)
	out = append(out, '{')
	for at, i := range x.included {
		e := &x.plan.entries[i]
		if e.nonNull && x.isNull(i) {
			return append(out[:start], null...)
		}
		if at > 0 {
			out = append(out, ',')
		}
		out = append(out, e.prefix...)
		out = x.appendResult(out, i)
	}
	return append(out, '}')
}

// appendTrace says which services were asked, and how long they took.
func (x *execution) appendTrace(out []byte) []byte {
	out = append(out, `,"extensions":{"services":[`...)
	separator := ""
	for i := range x.plan.steps {
		o := &x.outcomes[i]
		if !o.asked {
			continue
		}
		out = append(out, separator...)
		out = append(out, `{"name":`...)
		out = appendQuoted(out, x.plan.steps[i].source.service.Name)
		out = append(out, `,"ok":`...)
		out = strconv.AppendBool(out, o.fault == nil)
		out = append(out, `,"ms":`...)
		out = strconv.AppendFloat(out, float64(o.took.Microseconds())/1000, 'f', -1, 64)
		out = append(out, '}')
		separator = ","
	}
	return append(out, ']', '}')
}

func (x *execution) appendResult(out []byte, entry int) []byte {
	value := x.results[entry]
	if value == nil {
		return append(out, null...)
	}
	s := x.stepOf(entry)
	if s == nil || s.typename == nil || s.typename.children[x.plan.entries[entry].key] == nil {
		return append(out, value...)
	}
	o := s.typename.children[x.plan.entries[entry].key]
	return o.appendTranslated(out, &cursor{text: value}, s.source.names)
}

func (x *execution) stepOf(entry int) *step {
	if i := x.plan.entries[entry].step; i >= 0 {
		return &x.plan.steps[i]
	}
	return nil
}
