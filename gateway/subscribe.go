package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

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
	body := x.requestBody(s)
	if !service.sockets.Load() {
		err := service.listenToEvents(ctx, body, x.forwarded, to)
		if !errors.Is(err, errNoEvents) {
			return err
		}
	}
	err := service.listenToSocket(ctx, body, x.forwarded, to)
	if err == nil {
		service.sockets.Store(true)
	}
	return err
}

var errNoEvents = errors.New("the service does not send events over HTTP")

// listenToEvents is a subscription over server-sent events, in "distinct
// connections" mode.
func (s *service) listenToEvents(ctx context.Context, body []byte, forwarded http.Header, to deliver) error {
	header := s.headers[once].Clone()
	header.Set("Accept", mediaEvents)
	response, err := s.post(ctx, body, header, forwarded)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer response.Body.Close()
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != mediaEvents || response.StatusCode != http.StatusOK {
		return errNoEvents
	}
	events := eventReader{r: bufio.NewReader(response.Body), limit: int(s.limits.ResponseBytes)}
	for {
		name, data, err := events.next()
		switch {
		case errors.Is(err, errTooLong):
			return s.faultf("sent an event of more than %d bytes", s.limits.ResponseBytes)
		case errors.Is(err, io.EOF) && ctx.Err() == nil, name == "complete":
			return nil
		case err != nil:
			return s.explain(ctx, err)
		}
		if name != "next" {
			continue
		}
		if err := to(data); err != nil {
			return err
		}
	}
}

// eventReader reads a stream of events (HTML §9.2).
type eventReader struct {
	r     *bufio.Reader
	limit int
	data  bytes.Buffer
}

// next returns the next event. Its data is valid until the next call.
func (e *eventReader) next() (name string, data []byte, err error) {
	e.data.Reset()
	for {
		line, err := e.line()
		if err != nil {
			return "", nil, err
		}
		if len(line) == 0 {
			if name == "" && e.data.Len() == 0 {
				continue // comments keep the connection alive
			}
			return name, e.data.Bytes(), nil
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			if e.data.Len() > 0 {
				e.data.WriteByte('\n')
			}
			e.data.WriteString(value)
		}
		if e.data.Len() > e.limit {
			return "", nil, errTooLong
		}
	}
}

// line reads to the end of a line, which may be long.
func (e *eventReader) line() ([]byte, error) {
	var long []byte
	for {
		part, err := e.r.ReadSlice('\n')
		if err == nil && long == nil {
			return bytes.TrimRight(part, "\r\n"), nil
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(long, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(long) > e.limit+len("data: "):
			return nil, errTooLong
		}
	}
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
