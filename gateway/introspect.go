package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql/introspection"

	"github.com/catalyst/orchestrator/gateway/lines"
)

// plainIntrospection is what servers of older editions of GraphQL understand.
const plainIntrospection = `query IntrospectionQuery{__schema{queryType{name}mutationType{name}subscriptionType{name}` +
	`types{kind name description fields(includeDeprecated:true){name description args{...I}type{...T}isDeprecated deprecationReason}` +
	`inputFields{...I}interfaces{...T}enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}possibleTypes{...T}}` +
	`directives{name description locations args{...I}}}}` +
	`fragment I on __InputValue{name description type{...T}defaultValue}` +
	`fragment T on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}`

// introspections are the questions to a service, the one that asks for most
// first: a server refuses what it does not know.
func introspections() [3]string {
	return [...]string{introspection.NewQuery(introspection.QueryOptions{OneOf: true}), introspection.Query, plainIntrospection}
}

// introspect asks a service what it is. The error is for operators.
func (s *service) introspect(ctx context.Context) ([]byte, error) {
	if s.url == nil {
		return nil, s.why
	}
	var why error
	for _, query := range introspections() {
		body, err := s.introspectWith(ctx, query)
		if err != nil {
			return nil, err
		}
		data, refusal := schemaIn(body)
		if data != nil {
			return data, nil
		}
		if why == nil || refusal != "" {
			why = misfit{s.faultf("did not answer as a GraphQL service does"), NotGraphQL}
		}
		if refusal != "" {
			why = misfit{s.faultf("refuses to say what it is: %.200s", refusal), Reticent}
		}
	}
	return nil, why
}

func (s *service) introspectWith(ctx context.Context, query string) ([]byte, error) {
	body := append(appendQuoted([]byte(`{"query":`), query), '}')
	response, err := s.post(ctx, body, s.headers[repeatable], nil)
	s.away.Store(isDial(err))
	if err != nil {
		return nil, s.explainProbe(ctx, err)
	}
	defer response.Body.Close()
	var buf bytes.Buffer
	switch err := readAll(&buf, response, s.limits.SchemaBytes); {
	case errors.Is(err, lines.ErrTooLong):
		return nil, misfit{s.faultf("has an introspection of more than %d bytes", s.limits.SchemaBytes), Unservable}
	case err != nil:
		return nil, s.explainProbe(ctx, err)
	}
	if response.StatusCode != http.StatusOK && !isGraphQL(response.Header.Get("Content-Type")) {
		return nil, s.faultf("answered with status %d", response.StatusCode)
	}
	return buf.Bytes(), nil
}

// explainProbe also says why a service cannot be reached.
func (s *service) explainProbe(ctx context.Context, err error) error {
	if op := (*net.OpError)(nil); ctx.Err() == nil && errors.As(err, &op) && op.Op == "dial" {
		return s.faultf("cannot be reached: %v", op.Err)
	}
	return s.explain(ctx, err)
}

// schemaIn is the data of an answer to introspection, or what the service said
// instead.
func schemaIn(body []byte) (data []byte, refusal string) {
	if !utf8.Valid(body) {
		return nil, ""
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil, ""
	}
	if len(answer.Errors) > 0 {
		return nil, answer.Errors[0].Message
	}
	if len(answer.Data) == 0 || answer.Data[0] != '{' {
		return nil, ""
	}
	var compact bytes.Buffer // equal answers should be equal after a restart, too
	if json.Compact(&compact, answer.Data) != nil {
		return nil, ""
	}
	return compact.Bytes(), ""
}
