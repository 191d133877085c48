package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/vektah/gqlparser/v2/ast"
)

// deliver takes a response of an operation, valid until it returns. An error
// ends the operation.
type deliver func(response []byte) error

// perform runs an operation to its end. A query has one response, a
// subscription one for each event.
func (x *execution) perform(ctx context.Context, to deliver) error {
	if x.plan.op != ast.Subscription {
		return to(x.run(ctx))
	}
	x.include()
	if len(x.plan.steps) == 0 || !x.wants(0) {
		x.answerLocally()
		return to(x.respond())
	}
	err := x.listen(ctx, func(event []byte) error { return to(x.pass(event)) })
	var f *fault
	if errors.As(err, &f) {
		return to(x.failed(f))
	}
	return err
}

// pass makes a response of a service's.
func (x *execution) pass(event []byte) []byte {
	x.reset(x.plan)
	x.include()
	x.outcomes[0].asked = true
	x.take(0, event)
	return x.respond()
}

func (x *execution) failed(f *fault) []byte {
	x.reset(x.plan)
	x.include()
	x.outcomes[0].asked, x.outcomes[0].fault = true, f
	return x.respond()
}

// listen passes the events of a subscription on until it ends. The service is
// asked for server-sent events first, and for a WebSocket if it has none. The
// error is a *fault, to's, or ctx's.
func (x *execution) listen(ctx context.Context, to deliver) error {
	s := &x.plan.steps[0]
	service := s.source.service
	if service.url == nil {
		return service.faultf("cannot be asked")
	}
	if !service.listen() {
		return service.faultf("is busy")
	}
	defer service.unlisten()
	body := x.requestBody(s)
	var instead *noEvents
	if !service.sockets.Load() {
		err := service.listenToEvents(ctx, body, x.forwarded, to)
		if !errors.As(err, &instead) {
			return err
		}
	}
	err := service.listenToSocket(ctx, body, x.forwarded, to)
	switch {
	case err == nil:
		service.sockets.Store(true)
	case errors.Is(err, errNoSocket) && instead != nil && instead.answer != nil:
		return to(instead.answer) // it has refused this subscription, not all of them
	case errors.Is(err, errNoSocket):
		return service.faultf("offers no subscriptions over server-sent events or WebSockets")
	}
	return err
}

// serveEvents answers with server-sent events.
func (g *Gateway) serveEvents(w http.ResponseWriter, r *http.Request, x *execution) {
	if x.plan.op == ast.Mutation && r.Method == http.MethodGet {
		w.Header().Set("Allow", http.MethodPost)
		refuseHTTP(w, mediaEvents, http.StatusMethodNotAllowed, "a mutation needs POST")
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaEvents+"; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	stream := &eventWriter{w: w, controller: http.NewResponseController(w)}
	if stream.flush() != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	done := stream.keepAlive(ctx)
	defer func() {
		cancel()
		<-done
	}()
	if x.perform(ctx, func(response []byte) error { return stream.send("next", response) }) == nil {
		_ = stream.send("complete", nil)
	}
}
