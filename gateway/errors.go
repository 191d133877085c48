package gateway

import (
	"errors"
	"slices"
)

// reportErrors gathers what services, and asking them, have brought.
func (x *execution) reportErrors() {
	for i := range x.plan.steps {
		o := &x.outcomes[i]
		switch {
		case !o.asked:
		case o.fault != nil:
			x.blame(&x.plan.steps[i], "SERVICE_FAILED", x.plan.steps[i].source.service.plainly(o.fault))
		default:
			x.passErrors(&x.plan.steps[i], o)
		}
	}
}

// plainly is a fault in words for clients. One that is none is the end of the
// request: its client has left, or half of it has.
func (s *service) plainly(err error) string {
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.text
	}
	return s.faultf("was not waited for").Error()
}

// blame reports an error at each entry of a step.
func (x *execution) blame(s *step, code, message string) {
	for _, e := range s.entries {
		if slices.Contains(x.included, e) {
			x.blameEntry(s, e, code, message)
		}
	}
}

func (x *execution) blameEntry(s *step, entry int, code, message string) {
	x.beginError()
	x.errors = append(x.errors, `{"message":`...)
	x.errors = appendQuoted(x.errors, message)
	x.errors = append(x.errors, `,"path":[`...)
	x.errors = appendQuoted(x.errors, x.plan.entries[entry].key)
	x.errors = append(x.errors, `],"extensions":{"code":`...)
	x.errors = appendQuoted(x.errors, code)
	x.errors = append(x.errors, `,"service":`...)
	x.errors = appendQuoted(x.errors, s.source.service.Name)
	x.errors = append(x.errors, '}', '}')
}

func (x *execution) beginError() {
	if len(x.errors) > 0 {
		x.errors = append(x.errors, ',')
	}
}

// passErrors passes on a service's errors, and reports what is missing without
// one, or null where the service itself said that this cannot be.
func (x *execution) passErrors(s *step, o *outcome) {
	before := len(x.errors)
	if o.errors != nil {
		c := cursor{text: o.errors, at: 1}
		for first := true; ; first = false {
			if more, _ := c.element(first); !more {
				break
			}
			element, _ := c.value()
			x.passError(s, o, readError(element))
		}
	}
	if len(x.errors) > before {
		return
	}
	for _, e := range s.entries {
		missing := x.results[e] == nil || x.plan.entries[e].nonNull && x.isNull(e)
		if missing && slices.Contains(x.included, e) {
			x.blameEntry(s, e, "SERVICE_FAILED", s.source.service.faultf("answered without this field").Error())
		}
	}
}

// serviceError is an error as a service told it. Its locations are those of a
// document that the client has not seen.
type serviceError struct{ message, path, extensions []byte }

func readError(object []byte) serviceError {
	var e serviceError
	if object[0] != '{' {
		return e
	}
	c := cursor{text: object, at: 1}
	for first := true; ; first = false {
		key, more, _ := c.key(first)
		if !more {
			return e
		}
		value, _ := c.value()
		switch key = unescape(key); {
		case string(key) == "message" && value[0] == '"':
			e.message = value
		case string(key) == "path" && value[0] == '[':
			e.path = value
		case string(key) == "extensions" && value[0] == '{':
			e.extensions = value
		}
	}
}

// passError passes one on. Its path begins with a key that the client chose. One
// without a path, of an answer without data, is about every entry of the step.
func (x *execution) passError(s *step, o *outcome, e serviceError) {
	if e.message == nil {
		e.message = appendQuoted(nil, s.source.service.faultf("reported an error").Error())
	}
	if e.path != nil || !o.empty {
		x.appendError(s, e)
		return
	}
	for _, i := range s.entries {
		if slices.Contains(x.included, i) {
			e.path = append(appendQuoted([]byte{'['}, x.plan.entries[i].key), ']')
			x.appendError(s, e)
		}
	}
}

func (x *execution) appendError(s *step, e serviceError) {
	x.beginError()
	x.errors = append(x.errors, `{"message":`...)
	x.errors = append(x.errors, e.message...)
	if e.path != nil {
		x.errors = append(x.errors, `,"path":`...)
		x.errors = append(x.errors, e.path...)
	}
	x.errors = append(x.errors, `,"extensions":{`...)
	x.errors = appendExtensions(x.errors, e.extensions)
	x.errors = append(x.errors, `"service":`...)
	x.errors = appendQuoted(x.errors, s.source.service.Name)
	x.errors = append(x.errors, '}', '}')
}

// appendExtensions appends the members of an error's extensions, each with a
// comma, but for those in which servers show their insides.
func appendExtensions(out, object []byte) []byte {
	if object == nil {
		return out
	}
	c := cursor{text: object, at: 1}
	for first := true; ; first = false {
		key, more, _ := c.key(first)
		if !more {
			return out
		}
		value, _ := c.value()
		switch string(unescape(key)) {
		case "stacktrace", "stackTrace", "stack", "trace", "exception", "originalError", "debug", "debugMessage", "service":
			continue
		}
		out = append(append(append(out, '"'), key...), '"', ':')
		out = append(append(out, value...), ',')
	}
}
