package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport/ws"
)

// streams reaches a service whose subscriptions are written by a function, in
// memory. It answers introspection as stubs do.
type streams struct {
	inMemory
	write func(ctx context.Context, to io.Writer)
}

func (s *streams) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Accept") != mediaEvents {
		return s.inMemory.RoundTrip(r)
	}
	from, to := io.Pipe()
	go func() {
		defer to.Close()
		s.write(r.Context(), to)
	}()
	context.AfterFunc(r.Context(), func() { to.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {mediaEvents}}, Body: from}, nil
}

// subscribing is how a client's subscription to events ends.
func (w *world) subscribing(g *Gateway) string {
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/graphql", strings.NewReader(`{"query":"subscription { x: tick(n: 1) { n } }"}`))
	r.Header = http.Header{"Content-Type": {mediaJSON}, "Accept": {mediaEvents}}
	recorder := httptest.NewRecorder()
	g.Handler().ServeHTTP(recorder, r)
	return strings.ReplaceAll(recorder.Body.String(), ":\n\n", "")
}

func TestAServiceThatFallsSilentIsNoticed(t *testing.T) {
	const event = "event: next\ndata: {\"data\":{\"x\":{\"n\":1}}}\n\n"
	beat := func(n int, every time.Duration, then string) func(context.Context, io.Writer) {
		return func(ctx context.Context, to io.Writer) {
			for range n {
				_, _ = io.WriteString(to, ":\n\n")
				time.Sleep(every)
			}
			if then == "" {
				<-ctx.Done()
			}
			_, _ = io.WriteString(to, then)
		}
	}
	for name, c := range map[string]struct {
		write  func(context.Context, io.Writer)
		lasts  time.Duration
		silent bool
	}{
		"its heart has stopped":       {beat(10, 12*time.Second, ""), 9*12*time.Second + 2*time.Minute, true},
		"it never had a heartbeat":    {beat(1, 0, ""), time.Hour, true},
		"it is quiet for a long time": {beat(3*60, time.Minute, event), 3 * time.Hour, false},
		"it has no heartbeat at all":  {beat(1, 59*time.Minute, event), 59 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				_, ticks := w.stub("ticks", ticksSDL)
				w.cfg.Transport = &streams{w.reach, c.write}
				g, _ := w.start()
				tell(w, g, ticks)
				began := time.Now()
				got := w.subscribing(g)
				if took := time.Since(began); took != c.lasts {
					t.Errorf("it lasted %s, want %s", took, c.lasts)
				}
				if c.silent {
					wantHas(t, got, `"message":"service ticks has fallen silent","path":["x"]`)
					return
				}
				wantEqual(t, got, "event: next\ndata: {\"data\":{\"x\":{\"n\":1}}}\n\nevent: complete\ndata: \n\n")
			})
		})
	}
}

func TestAServiceGetsSoManySubscriptions(t *testing.T) {
	inBubble(t, func(w *world) {
		_, ticks := w.stub("ticks", ticksSDL)
		w.cfg.Transport = &streams{w.reach, func(_ context.Context, to io.Writer) { time.Sleep(time.Minute) }}
		w.cfg.Limits.Listeners = 2
		g, _ := w.start()
		tell(w, g, ticks)
		ends := make(chan string, 3)
		for range 3 {
			go func() { ends <- w.subscribing(g) }()
		}
		wantHas(t, <-ends, `"message":"service ticks is busy","path":["x"]`)
		for range 2 {
			wantEqual(t, <-ends, "event: complete\ndata: \n\n")
		}
		wantEqual(t, w.subscribing(g), "event: complete\ndata: \n\n") // there is room again
	})
}

// A service whose process is frozen keeps its connections and answers no pings.
func TestAFrozenServiceIsNoticedOverAWebSocket(t *testing.T) {
	s := newStub(t, ticksSDL)
	s.handleWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Accept") == mediaEvents {
			http.Error(rw, "no", http.StatusNotAcceptable)
			return true
		}
		if !isUpgrade(r) {
			return false
		}
		conn, err := ws.Accept(rw, r, ws.Options{Protocol: socketProtocol, Ping: -1})
		if err != nil {
			t.Error(err)
			return true
		}
		_, _ = conn.Read(r.Context())
		_ = conn.Write(r.Context(), []byte(welcome))
		_, _ = conn.Read(r.Context()) // subscribe
		<-r.Context().Done()          // and nobody reads any more
		return true
	})
	g := gatewayOf(t, Config{Limits: Limits{Silence: 400 * time.Millisecond}}, s.named("ticks"))
	c := dialSocket(t, listening(t, g))
	c.say(hello, `{"id":"1","type":"subscribe","payload":{"query":"subscription{x:tick(n:1){n}}"}}`)
	c.hear(welcome, `{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"service ticks has fallen silent",`+
		`"path":["x"],"extensions":{"code":"SERVICE_FAILED","service":"ticks"}}]}}`, `{"id":"1","type":"complete"}`)
}
