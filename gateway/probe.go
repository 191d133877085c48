package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Probed is what a service says that it is.
type Probed struct {
	Types                             int      // roots included
	Queries, Mutations, Subscriptions []string // root fields, as clients would see them if there were no other service
	Took                              time.Duration
}

// Trouble is the kind of a ProbeError.
type Trouble int

const (
	Unreachable Trouble = iota + 1 // nobody answers, at least from here
	Unwell                         // a server answers that it cannot now
	Missing                        // a web server answers that there is nothing of the kind under this path
	NotGraphQL                     // something else answers
	Reticent                       // it does not say what it is to whoever asks
	Unservable                     // a gateway cannot have it, well as it may be
)

// ProbeError is why a probe did not find out what a service is, or why that
// cannot be served.
type ProbeError struct {
	Trouble  Trouble
	Location string // where a redirect leads, in the service's words
	text     string
	cause    error
}

// Error says what the service did, without its name: "answered 404 Not Found".
func (e *ProbeError) Error() string { return e.text }

// Unwrap is what the network said, if it was that.
func (e *ProbeError) Unwrap() error { return e.cause }

// Probe asks a service what it is as a Gateway does, and tells whether one could
// serve it. The error is a *ProbeError, or ctx's own when that was cancelled.
func Probe(ctx context.Context, s Service) (Probed, error) {
	limits := Limits{}.withDefaults()
	pool := newTransport(limits)
	dial := pool.DialContext
	pool.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return spokenTo(dial(ctx, network, address))
	}
	defer pool.CloseIdleConnections()
	w := &witness{RoundTripper: pool}
	asked := newService(s, w, limits)
	if asked.url == nil {
		return Probed{}, &ProbeError{Trouble: Unservable, text: "cannot be asked: " + asked.why.Error()}
	}
	begun := time.Now()
	text, err := asked.introspect(ctx)
	took := time.Since(begun)
	if err != nil {
		return Probed{}, w.judge(ctx, asked, err)
	}
	is, err := describe(text, limits.Types)
	if err != nil {
		return Probed{}, &ProbeError{Trouble: Unservable, text: "cannot be served: " + err.Error()}
	}
	alone := merge([]part{{service: asked, is: is}}, schemaConfig{limits: limits}).services[asked]
	return Probed{alone.typeCount(), alone.fields[0], alone.fields[1], alone.fields[2], took}, nil
}

// misfit is the fault of a service that was reached.
type misfit struct {
	error
	trouble Trouble
}

// witness remembers how the last exchange with a service went: operators are
// told more of it than clients, who see a service's faults as well.
type witness struct {
	http.RoundTripper
	response *http.Response
	err      error
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	w.response, w.err = w.RoundTripper.RoundTrip(r)
	return w.response, w.err
}

// spoken is a connection on which we speak first. Of what a stranger says before
// that, as SSH and mail servers do, net/http would make a line in a log, and
// sometimes an answer.
type spoken struct {
	net.Conn
	begun func()
	begin <-chan struct{}
}

func spokenTo(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	begin := make(chan struct{})
	return &spoken{c, sync.OnceFunc(func() { close(begin) }), begin}, nil
}

func (s *spoken) Read(b []byte) (int, error) {
	<-s.begin
	return s.Conn.Read(b)
}

func (s *spoken) Write(b []byte) (int, error) {
	s.begun()
	return s.Conn.Write(b)
}

func (s *spoken) Close() error {
	s.begun()
	return s.Conn.Close()
}

// judge says of which kind the error of an introspection is.
func (w *witness) judge(ctx context.Context, s *service, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &ProbeError{Trouble: Unreachable, text: "did not answer in time", cause: errors.Join(w.err, ctx.Err())}
	case ctx.Err() != nil:
		return ctx.Err()
	case w.response == nil:
		return w.judgeSilence(s, err)
	}
	if e := w.judgeStatus(); e != nil {
		return e
	}
	var m misfit
	switch errors.As(err, &m); {
	case m.trouble == Reticent, m.trouble == Unservable:
		return &ProbeError{Trouble: m.trouble, text: s.unnamed(err)}
	case m.trouble == 0 && w.response.StatusCode == http.StatusOK:
		return &ProbeError{Trouble: Unwell, text: s.unnamed(err)} // the answer broke off
	}
	return &ProbeError{Trouble: NotGraphQL, text: fmt.Sprintf("answered %s: that is no GraphQL", w.seen())}
}

// judgeSilence is about what gave no answer, or none that is HTTP.
func (w *witness) judgeSilence(s *service, err error) error {
	var (
		alien    tls.RecordHeaderError
		stranger *tls.CertificateVerificationError
	)
	switch {
	case errors.As(w.err, &alien) && string(alien.RecordHeader[:]) == "HTTP/":
		return &ProbeError{Trouble: NotGraphQL, text: "speaks plain HTTP, and no TLS"}
	case errors.As(w.err, &alien), strings.Contains(w.err.Error(), "malformed HTTP"): // which has no other name
		return &ProbeError{Trouble: NotGraphQL, text: "does not speak " + strings.ToUpper(s.url.Scheme)}
	case errors.As(w.err, &stranger):
		return &ProbeError{Trouble: Unreachable, text: "has a certificate that is not trusted here: " + stranger.Err.Error()}
	}
	return &ProbeError{Trouble: Unreachable, text: s.unnamed(err), cause: w.err}
}

// judgeStatus is nil for a status that tells nothing of its own.
func (w *witness) judgeStatus() error {
	e := &ProbeError{text: "answered " + status(w.response)}
	switch code := w.response.StatusCode; {
	case code >= 300 && code < 400:
		e.Trouble, e.Location = Missing, w.response.Header.Get("Location")
		if e.Location != "" {
			e.text += fmt.Sprintf(", to %.200s", e.Location)
		}
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusGone:
		e.Trouble = Missing
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		e.Trouble = Reticent
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		e.Trouble = Unwell
	default:
		return nil
	}
	return e
}

// seen is what came, in so far as it can be said in a word.
func (w *witness) seen() string {
	if kind, _, _ := strings.Cut(w.response.Header.Get("Content-Type"), ";"); kind != "" {
		return fmt.Sprintf("%s with %.100s", status(w.response), kind)
	}
	return status(w.response)
}

// status is in our words: a server may send any for its own.
func status(r *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode)))
}

// unnamed is a fault without the service's name before it.
func (s *service) unnamed(err error) string {
	return strings.TrimPrefix(err.Error(), "service "+s.Name+" ")
}
