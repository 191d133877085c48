package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// refused is why a document is not run.
type refused struct {
	errors gqlerror.List
	status refusal
}

type refusal int

const (
	notParsed refusal = iota
	notValid
	noOperation // none of that name, or several and no name
	tooMuch
)

func (r *refused) Error() string { return r.errors.Error() }

func refuse(status refusal, format string, args ...any) *refused {
	return &refused{gqlerror.List{{Message: fmt.Sprintf(format, args...)}}, status}
}

func parseError(err error) error {
	var at *gqlerror.Error
	if !errors.As(err, &at) {
		at = gqlerror.Wrap(err)
	}
	if strings.HasPrefix(at.Message, "exceeded token limit") {
		return refuse(tooMuch, "the document %s", strings.Replace(at.Message, "exceeded token limit of", "has more tokens than", 1))
	}
	return &refused{gqlerror.List{at}, notParsed}
}

// reported is how many errors of one document are told.
const reported = 20

// presentable keeps what is hidden from being guessed.
func (s *Schema) presentable(errs gqlerror.List) gqlerror.List {
	errs = errs[:min(len(errs), reported)]
	if s.cfg.hide {
		for _, e := range errs {
			e.Message, _, _ = strings.Cut(e.Message, " Did you mean ")
		}
	}
	return errs
}

// errorList is a refusal as JSON, for the errors of a response.
func errorList(err error) []byte {
	var r *refused
	if !errors.As(err, &r) {
		r = refuse(tooMuch, "the request cannot be answered")
	}
	list := []byte{'['}
	for i, e := range r.errors {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, `{"message":`...)
		list = appendQuoted(list, e.Message)
		if len(e.Locations) > 0 {
			list = append(list, `,"locations":[`...)
			for j, l := range e.Locations {
				if j > 0 {
					list = append(list, ',')
				}
				list = fmt.Appendf(list, `{"line":%d,"column":%d}`, l.Line, l.Column)
			}
			list = append(list, ']')
		}
		list = append(list, `,"extensions":{"code":`...)
		list = appendQuoted(list, r.status.code())
		list = append(list, '}', '}')
	}
	return append(list, ']')
}

func (r refusal) code() string {
	switch r {
	case notParsed:
		return "GRAPHQL_PARSE_FAILED"
	case tooMuch:
		return "OVER_LIMIT"
	}
	return "GRAPHQL_VALIDATION_FAILED"
}
