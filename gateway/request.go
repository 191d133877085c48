package gateway

import (
	"errors"
	"unicode/utf8"
)

// request is a GraphQL request (GraphQL over HTTP §4). Its parts point into what
// it was read from.
type request struct {
	query     []byte // as it stands in JSON, between its quotes
	name      []byte // likewise; of the operation
	variables []byte // a JSON object or null, or nothing
}

// readRequest reads the body of a request. The error is for the client.
func readRequest(body []byte) (request, error) {
	var r request
	if !utf8.Valid(body) {
		return r, errors.New("the body is not UTF-8")
	}
	c := cursor{text: body}
	if c.peek() == '[' {
		return r, errors.New("the body is a list: send one request at a time")
	}
	if !c.take('{') {
		return r, errors.New("the body is no JSON object")
	}
	for first := true; ; first = false {
		key, more, ok := c.key(first)
		if !ok {
			return r, errors.New("the body is malformed JSON")
		}
		if !more {
			break
		}
		value, ok := c.value()
		if !ok {
			return r, errors.New("the body is malformed JSON")
		}
		if err := r.set(string(unescape(key)), value); err != nil {
			return r, err
		}
	}
	if !c.ended() {
		return r, errors.New("the body goes on after its JSON object")
	}
	if r.query == nil {
		return r, errors.New("query is missing")
	}
	return r, nil
}

// set takes a member; those that are not known are for others.
func (r *request) set(key string, value []byte) error {
	switch key {
	case "query":
		if value[0] != '"' {
			return errors.New("query: want a string")
		}
		r.query = value[1 : len(value)-1]
	case "operationName":
		switch {
		case value[0] == '"':
			r.name = value[1 : len(value)-1]
		case !isNull(value):
			return errors.New("operationName: want a string")
		}
	case "variables":
		if value[0] != '{' && !isNull(value) {
			return errors.New("variables: want an object")
		}
		r.variables = value
	case "extensions":
		if value[0] != '{' && !isNull(value) {
			return errors.New("extensions: want an object")
		}
	}
	return nil
}
