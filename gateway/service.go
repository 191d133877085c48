package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/gateway/lines"
)

// Service is an entry of the list that the gateway is told.
type Service struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Token string `json:"token,omitempty"` // sent as a bearer token
}

// service is one to which requests go. It lives as long as a schema or a
// request that has it.
type service struct {
	Service
	url       *url.URL // nil when it cannot be asked; why says why
	why       error
	transport http.RoundTripper
	lines     *lines.Pool // for queries; nil when they go by transport
	odd       atomic.Bool // it answered in a way that lines do not know; net/http may
	limits    Limits
	headers   [2]http.Header // of what may be repeated, and of what may not; shared by requests
	slots     chan struct{}  // filled by requests under way
	asking    atomic.Int64   // and those that wait for that
	sockets   atomic.Bool    // subscriptions go over WebSockets, as was found out
	listeners atomic.Int64   // subscriptions under way
	away      atomic.Bool    // no connection came about when it was asked what it is
	changed   func(*service) // hears that this seems to be otherwise now; may be nil
}

func newService(s Service, transport http.RoundTripper, limits Limits) *service {
	n := &service{Service: s, transport: transport, limits: limits, slots: make(chan struct{}, limits.InFlight)}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "":
		n.why = errors.New("its url is none")
	case u.Scheme != "http" && u.Scheme != "https":
		n.why = fmt.Errorf("its url begins with %.20q: want http or https", u.Scheme)
	default:
		n.url = u
	}
	for i := range n.headers {
		n.headers[i] = n.header()
	}
	// Under this key, and without a value to send, the transport repeats a
	// request whose connection turned out to be closed.
	n.headers[repeatable]["Idempotency-Key"] = nil
	if pool, ok := transport.(*network); ok && n.url != nil {
		n.lines = lines.NewPool(n.url, n.headers[repeatable], pool.DialContext)
	}
	return n
}

const (
	repeatable = iota
	once
)

func (s *service) header() http.Header {
	h := http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/graphql-response+json, application/json;q=0.9"},
		"User-Agent":   {"catalyst-gateway"},
	}
	if s.Token != "" {
		h.Set("Authorization", "Bearer "+s.Token)
	}
	return h
}

// prefix begins the names of what clashes with what was there before.
func (s *service) prefix() string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && isName("_"+string(r)) {
			return r
		}
		return '_'
	}, s.Name)
	name = strings.TrimLeft(name, "_") // two of them begin a name of GraphQL's own
	switch {
	case name == "":
		return "service_"
	case isDigit(name[0]):
		return "_" + name + "_"
	}
	return name + "_"
}

// fault is why a service gave no usable answer, in words that clients may read.
type fault struct{ text string }

func (f *fault) Error() string { return f.text }

func (s *service) faultf(format string, args ...any) error {
	return &fault{"service " + s.Name + " " + fmt.Sprintf(format, args...)}
}

// question is what a service is asked.
type question struct {
	lines.Question     // its headers are of the client's
	kind           int // repeatable or once
}

// ask posts a question and reads the answer into buf. The error is a *fault, or
// ctx's own.
func (s *service) ask(ctx context.Context, q question, buf *bytes.Buffer) error {
	if s.url == nil {
		return s.faultf("cannot be asked")
	}
	if err := s.admit(ctx, q.Until); err != nil {
		return err
	}
	defer s.leave()
	q.Header = without(q.Header, s.headers[q.kind])
	a, err := s.exchange(ctx, q, buf)
	s.compare(err)
	switch {
	case err != nil:
		return s.explain(ctx, err)
	case a.Status != http.StatusOK && !isGraphQL(a.Media):
		return s.faultf("answered with status %d", a.Status)
	}
	return nil
}

// compare tells when a question finds the service gone, or back, and the gateway
// does not know that yet.
func (s *service) compare(err error) {
	if gone := isDial(err); (gone || err == nil) && gone != s.away.Load() && s.changed != nil {
		s.changed(s)
	}
}

// exchange asks over a line if that is possible.
func (s *service) exchange(ctx context.Context, q question, buf *bytes.Buffer) (lines.Answer, error) {
	if s.lines != nil && q.kind == repeatable && q.Short() && !s.odd.Load() {
		a, err := s.lines.Ask(ctx, q.Question, s.limits.ResponseBytes, buf)
		if !errors.Is(err, lines.ErrGarbled) {
			return a, err
		}
		s.odd.Store(true)
		buf.Reset()
	}
	ctx, cancel := context.WithDeadlineCause(ctx, q.Until, lines.ErrLate)
	defer cancel()
	response, err := s.post(ctx, q.Body, s.headers[q.kind], q.Header)
	if err != nil {
		return lines.Answer{}, lines.Late(ctx, err)
	}
	defer response.Body.Close()
	a := lines.Answer{Status: response.StatusCode, Media: response.Header.Get("Content-Type")}
	return a, lines.Late(ctx, readAll(buf, response, s.limits.ResponseBytes))
}

// admit waits for a turn. As many may wait as may be under way.
func (s *service) admit(ctx context.Context, until time.Time) error {
	if s.asking.Add(1) > 2*int64(cap(s.slots)) {
		s.asking.Add(-1)
		return s.faultf("is busy")
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		s.asking.Add(-1)
		return s.faultf("is busy")
	}
}

func (s *service) leave() {
	<-s.slots
	s.asking.Add(-1)
}

// post sends a request without following where an answer might point.
func (s *service) post(ctx context.Context, body []byte, header, forwarded http.Header) (*http.Response, error) {
	if forwarded = without(forwarded, header); len(forwarded) > 0 {
		header = header.Clone()
		maps.Copy(header, forwarded)
	}
	r := &http.Request{
		Method: http.MethodPost, URL: s.url, Host: s.url.Host, Header: header, ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body:    io.NopCloser(bytes.NewReader(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	return s.transport.RoundTrip(r.WithContext(ctx))
}

// without is what of the client's headers may go beside a service's own.
func without(forwarded, own http.Header) http.Header {
	for name := range forwarded {
		if _, clash := own[name]; clash {
			forwarded = maps.Clone(forwarded)
			maps.DeleteFunc(forwarded, func(name string, _ []string) bool { _, clash := own[name]; return clash })
			return forwarded
		}
	}
	return forwarded
}

// readAll reads at most limit bytes, at once if it is known how many there are.
func readAll(buf *bytes.Buffer, r *http.Response, limit int64) error {
	if r.ContentLength > limit {
		return lines.ErrTooLong
	}
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	return lines.ReadUpTo(buf, r.Body, limit)
}

// isGraphQL says whether a Content-Type is of GraphQL over HTTP.
func isGraphQL(media string) bool {
	kind, _, _ := mime.ParseMediaType(media)
	return kind == mediaJSON || kind == mediaResponse
}

// explain says what happened without saying where or how.
func (s *service) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, lines.ErrLate), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.faultf("did not answer in time")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, lines.ErrTooLong):
		return s.faultf("answered with more than %d bytes", s.limits.ResponseBytes)
	case isDial(err):
		return s.faultf("cannot be reached")
	}
	return s.faultf("broke off")
}

// isDial says whether no connection came about.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// network is how services are asked unless Config.Transport says otherwise:
// queries over lines where that is possible, and all else by net/http.
type network struct{ *http.Transport }

// newTransport is the pool of connections of all services.
func newTransport(l Limits) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		MaxIdleConnsPerHost:    l.InFlight,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // services are near, and what is not packed need not be unpacked
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
	}
}
