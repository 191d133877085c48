package gateway

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst/orchestrator/gateway/lines"
)

// execution is one run of a plan. It is used again for another when it is over.
type execution struct {
	plan      *plan
	until     time.Time // when it must be over
	values    given
	forwarded http.Header // of the client's, for services
	traced    bool        // the response says which services were asked
	included  []int       // entries that there are, in order
	order     []int       // backs included where it varies
	results   [][]byte    // of entries: their values as JSON; nil where there is none
	outcomes  []outcome   // of steps
	local     bytes.Buffer
	key       []byte // of the plan
	out       []byte
	errors    []byte // JSON objects with commas between
}

// outcome is what a service made of a step.
type outcome struct {
	asked  bool
	body   bytes.Buffer
	fault  error
	errors []byte // the errors of its answer, a JSON array
	empty  bool   // data was null or not there
	took   time.Duration
}

// keptBytes is the largest buffer that is used again.
const keptBytes = 256 << 10

// reset makes x ready for a plan.
func (x *execution) reset(p *plan) {
	x.plan = p
	x.included, x.order = nil, x.order[:0]
	x.out, x.errors = x.out[:0], x.errors[:0]
	x.local.Reset()
	x.results = slices.Grow(x.results[:0], len(p.entries))[:len(p.entries)]
	clear(x.results)
	if len(x.outcomes) < len(p.steps) {
		x.outcomes = append(x.outcomes, make([]outcome, len(p.steps)-len(x.outcomes))...)
	}
	for i := range x.outcomes {
		x.outcomes[i].reset()
	}
}

func (o *outcome) reset() {
	o.body.Reset()
	if o.body.Cap() > keptBytes {
		o.body = bytes.Buffer{}
	}
	o.asked, o.fault, o.errors, o.empty = false, nil, nil, false
}

// forget lets go of what belongs to the client and of what is large.
func (x *execution) forget() {
	x.plan, x.forwarded = nil, nil
	x.dropAnswers()
	clear(x.values)
	x.values = x.values[:0]
	if cap(x.out) > keptBytes {
		x.out = nil
	}
	if x.local.Cap() > keptBytes {
		x.local = bytes.Buffer{}
	}
}

// run executes the plan, which is no subscription, and returns the response
// (GraphQL §7.1). It is valid until x is reset.
func (x *execution) run(ctx context.Context) []byte {
	x.until = time.Now().Add(x.plan.schema.cfg.limits.Time)
	x.include()
	if x.plan.op == ast.Mutation {
		x.inSeries(ctx)
	} else {
		x.inParallel(ctx)
	}
	x.answerLocally()
	x.respond()
	x.dropAnswers()
	return x.out
}

// dropAnswers lets go of what the response was made of: the client may take its
// time to read that.
func (x *execution) dropAnswers() {
	clear(x.results)
	for i := range x.outcomes {
		x.outcomes[i].reset()
	}
}

// include finds the entries that there are with these variables.
func (x *execution) include() {
	if !x.plan.varies {
		x.included = x.plan.all
		return
	}
	first := make(map[int]int, len(x.plan.entries))
	for i, e := range x.plan.entries {
		for _, o := range e.occurs {
			if x.hold(o.when) {
				first[i] = o.place
				x.order = append(x.order, i)
				break
			}
		}
	}
	slices.SortFunc(x.order, func(a, b int) int { return first[a] - first[b] })
	x.included = x.order
}

func (x *execution) hold(when []condition) bool {
	for _, c := range when {
		if !x.plan.holds(c, x.values) {
			return false
		}
	}
	return true
}

// inParallel runs all steps at once, the last one in this goroutine.
func (x *execution) inParallel(ctx context.Context) {
	last := -1
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range x.plan.steps {
		if !x.wants(i) {
			continue
		}
		if last >= 0 {
			wg.Go(func() { x.ask(ctx, i) })
		} else {
			last = i
		}
	}
	if last >= 0 {
		x.ask(ctx, last)
	}
}

// inSeries runs the steps of a mutation in the order of what there is. What
// makes data null as a whole ends it (GraphQL §6.4.4).
func (x *execution) inSeries(ctx context.Context) {
	for _, i := range x.included {
		e := &x.plan.entries[i]
		if e.step < 0 {
			continue
		}
		if !x.outcomes[e.step].asked {
			x.ask(ctx, e.step)
		}
		if e.nonNull && x.isNull(i) {
			return
		}
	}
}

func (x *execution) wants(step int) bool {
	if !x.plan.varies {
		return true
	}
	return slices.ContainsFunc(x.plan.steps[step].entries, func(e int) bool { return slices.Contains(x.included, e) })
}

func (x *execution) isNull(entry int) bool {
	return x.results[entry] == nil || isNull(x.results[entry])
}

// ask runs one step. Steps that run at the same time touch different entries.
func (x *execution) ask(ctx context.Context, i int) {
	s, o := &x.plan.steps[i], &x.outcomes[i]
	q := question{Question: lines.Question{Body: x.requestBody(s), Header: x.forwarded, Until: x.until}}
	if x.plan.op == ast.Mutation {
		q.kind = once
	}
	start := time.Now()
	o.asked = true
	o.fault = s.source.service.ask(ctx, q, &o.body)
	if o.fault == nil {
		x.take(i, o.body.Bytes())
	}
	o.took = time.Since(start)
}

// take reads an answer. Of one that is broken nothing is believed.
func (x *execution) take(i int, answer []byte) {
	x.outcomes[i].fault = x.read(i, answer)
	if x.outcomes[i].fault == nil {
		return
	}
	for _, e := range x.plan.steps[i].entries {
		x.results[e] = nil
	}
}

// requestBody is the plan's with the variables that the service needs. It is
// not used again: a transport may read it after the answer has come.
func (x *execution) requestBody(s *step) []byte {
	if len(s.uses) == 0 {
		return s.bare
	}
	size := len(s.body) + len(`,"variables":{}}`)
	for i, v := range x.plan.variables {
		size += len(v.name) + len(x.values[i]) + len(`"":,`)
	}
	body := append(make([]byte, 0, size), s.body...)
	body = append(body, `,"variables":{`...)
	separator := ""
	for i, v := range x.plan.variables {
		if x.values[i] == nil || !s.uses[v.name] {
			continue
		}
		body = append(body, separator...)
		body = append(body, '"')
		body = append(body, v.name...)
		body = append(body, '"', ':')
		body = append(body, x.values[i]...)
		separator = ","
	}
	return append(body, '}', '}')
}
