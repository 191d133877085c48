package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Handler serves GraphQL at /graphql (GraphQL over HTTP, subscriptions as server-sent
// events or over WebSockets), Cap'n Web at /api, and /health. It waits for all
// that a request started.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", g.serveGraphQL)
	mux.HandleFunc("/api", g.serveAPI)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	mux.Handle("/", timely(g.cfg.Home))
	return g.guard(mux)
}

// Media types of responses.
const (
	mediaJSON     = "application/json"                  // the older one: what is wrong with a document is not in the status
	mediaResponse = "application/graphql-response+json" // the status says it
	mediaEvents   = "text/event-stream"
)

func (g *Gateway) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	if isUpgrade(r) {
		g.serveSocket(w, r)
		return
	}
	media := preferred(r.Header.Values("Accept"))
	if media == "" {
		refuseHTTP(w, mediaJSON, http.StatusNotAcceptable, "accept "+mediaResponse+", "+mediaJSON+" or "+mediaEvents)
		return
	}
	x := g.executions.Get().(*execution)
	defer g.release(x)
	request, status, err := g.requestOf(w, r)
	if err != nil {
		refuseHTTP(w, media, status, err.Error())
		return
	}
	x.forwarded = g.forwarded(r.Header)
	x.traced = r.Header.Get(traceHeader) != ""
	if err := g.prepare(x, request); err != nil {
		refuseDocument(w, media, err)
		return
	}
	switch {
	case media == mediaEvents:
		g.serveEvents(w, r, x)
	case x.plan.op == ast.Subscription:
		refuseHTTP(w, media, http.StatusBadRequest, "a subscription needs a WebSocket (graphql-transport-ws), or Accept: "+mediaEvents)
	case x.plan.op == ast.Mutation && r.Method == http.MethodGet:
		w.Header().Set("Allow", http.MethodPost)
		refuseHTTP(w, media, http.StatusMethodNotAllowed, "a mutation needs POST")
	default:
		writeJSON(w, media, http.StatusOK, x.run(r.Context()))
	}
}

// traceHeader asks for extensions.services in the response: who was asked, and
// how long it took.
const traceHeader = "Catalyst-Trace"

// prepare readies x for a request on the schema of this moment. The error is
// for the client.
func (g *Gateway) prepare(x *execution, r request) error {
	x.key = r.appendKey(x.key[:0])
	p, err := g.schema.Load().planFor(r, x.key)
	if err != nil {
		return err
	}
	values, err := p.coerce(r.variables, x.values[:0])
	if err != nil {
		return refuse(notValid, "%s", err)
	}
	x.reset(p)
	x.values = values
	return nil
}

func (g *Gateway) release(x *execution) {
	x.forget()
	g.executions.Put(x)
}

// requestOf reads a request, or says with which status to refuse it.
func (g *Gateway) requestOf(w http.ResponseWriter, r *http.Request) (request, int, error) {
	switch r.Method {
	case http.MethodGet:
		return requestOfURL(r)
	case http.MethodPost:
		return g.requestOfBody(w, r)
	}
	w.Header().Set("Allow", "GET, POST")
	return request{}, http.StatusMethodNotAllowed, errors.New("ask with GET or POST")
}

// requestOfURL reads the parameters of GET as if they were members of a body.
func requestOfURL(r *http.Request) (request, int, error) {
	values := r.URL.Query()
	body := []byte{'{'}
	for _, key := range []string{"query", "operationName", "variables", "extensions"} {
		if !values.Has(key) || values.Get(key) == "" && key != "query" {
			continue
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(appendQuoted(body, key), ':')
		if key == "query" || key == "operationName" {
			body = appendQuoted(body, values.Get(key))
		} else {
			body = append(body, values.Get(key)...)
		}
	}
	request, err := readRequest(append(body, '}'))
	return request, http.StatusBadRequest, err
}

// requestOfBody takes JSON only: a page of another origin cannot make a browser
// send that without asking.
func (g *Gateway) requestOfBody(w http.ResponseWriter, r *http.Request) (request, int, error) {
	kind := r.Header.Get("Content-Type")
	if kind != mediaJSON {
		name, parameters, err := mime.ParseMediaType(kind)
		if charset := parameters["charset"]; err != nil || name != mediaJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return request{}, http.StatusUnsupportedMediaType, errors.New("the content type must be " + mediaJSON + ", in UTF-8")
		}
	}
	limit := g.cfg.Limits.BodyBytes
	if r.ContentLength > limit {
		return request{}, http.StatusRequestEntityTooLarge, tooLong(limit)
	}
	body, err := readBody(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return request{}, http.StatusRequestEntityTooLarge, tooLong(limit)
	}
	if err != nil {
		return request{}, http.StatusBadRequest, errors.New("the body broke off")
	}
	request, err := readRequest(body)
	return request, http.StatusBadRequest, err
}

func tooLong(limit int64) error {
	return errors.New("the body is longer than " + strconv.FormatInt(limit, 10) + " bytes")
}

// readBody reads a body whose length is known, as a rule, in one piece.
func readBody(r io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}

// forwarded are the headers that go on to services.
func (g *Gateway) forwarded(h http.Header) http.Header {
	var out http.Header
	for _, name := range g.cfg.ForwardHeaders {
		if values := h[name]; len(values) > 0 {
			if out == nil {
				out = http.Header{}
			}
			out[name] = values
		}
	}
	return out
}

// preferred is the media type that a client likes best of those that there are,
// empty if it likes none (RFC 9110 §12.5.1).
func preferred(accept []string) string {
	if len(accept) == 0 || len(accept) == 1 && (accept[0] == mediaJSON || accept[0] == "*/*" || accept[0] == "") {
		return mediaJSON
	}
	best, quality := "", 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			q, _ = strconv.ParseFloat(text, 64)
		}
		switch kind {
		case "*/*", "application/*":
			kind = mediaJSON
		case "text/*":
			kind = mediaEvents
		case mediaJSON, mediaResponse, mediaEvents:
		default:
			continue
		}
		if charset := parameters["charset"]; q > quality && (charset == "" || strings.EqualFold(charset, "utf-8")) {
			best, quality = kind, q
		}
	}
	return best
}

func writeJSON(w http.ResponseWriter, media string, status int, body []byte) {
	values := [...]string{mediaJSON + "; charset=utf-8", strconv.Itoa(len(body)), "nosniff"}
	if media == mediaResponse { // who wanted events reads this as an error
		values[0] = mediaResponse + "; charset=utf-8"
	}
	h := w.Header()
	h["Content-Type"], h["Content-Length"], h["X-Content-Type-Options"] = values[0:1:1], values[1:2:2], values[2:3:3]
	w.WriteHeader(status)
	writeInPieces(w, body)
}

func refuseHTTP(w http.ResponseWriter, media string, status int, message string) {
	body := appendQuoted([]byte(`{"errors":[{"message":`), message)
	writeJSON(w, media, status, append(body, `}]}`...))
}

// refuseDocument answers a document that is not run: in the older media type
// that is no matter of HTTP.
func refuseDocument(w http.ResponseWriter, media string, err error) {
	status := http.StatusBadRequest
	if media == mediaJSON {
		status = http.StatusOK
	}
	writeJSON(w, media, status, append(append([]byte(`{"errors":`), errorList(err)...), '}'))
}
