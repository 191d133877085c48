package ws

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// serve runs sessions with main until the test ends, and returns its URL.
func serve(t testing.TB, cfg transport.Config, o Options) string {
	t.Helper()
	var sessions sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			return
		}
		sessions.Go(func() { _ = transport.NewSession(c, cfg).Run(ctx) })
	}))
	t.Cleanup(func() {
		cancel()
		sessions.Wait()
		server.Close()
	})
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// dial runs a session until the test ends.
func dial(t testing.TB, url string, cfg transport.Config) *transport.Session {
	t.Helper()
	c, err := Dial(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSession(c, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-s.Done()
	})
	return s
}

func echo() *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"echo": func(_ context.Context, c *transport.Call) (any, error) { return c.Arg(0), nil },
	})
}

type service struct {
	Name     string            `json:"name"`
	Endpoint string            `json:"endpoint"`
	Protocol string            `json:"protocol"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// cpuTime is what this process has used, which other work on the machine
// does not blur.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkEcho sends an object of 150 bytes and gets it back, over loopback,
// client and server in this process.
func BenchmarkEcho(b *testing.B) {
	books := service{
		Name: "books-of-the-month", Endpoint: "http://books.internal.example.com:8080/graphql",
		Protocol: "http:graphql", Region: "eu-central-1", Tags: map[string]string{"tier": "front"},
	}
	for _, inFlight := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			client := dial(b, serve(b, transport.Config{Main: echo()}, Options{}), transport.Config{})
			main := client.Main()
			b.ReportAllocs()
			b.ResetTimer()
			used := cpuTime(b)
			var wg sync.WaitGroup
			for w := range inFlight {
				wg.Go(func() {
					for i := w; i < b.N; i += inFlight {
						var back service
						v, err := main.Call("echo", books).Await(context.Background())
						if err == nil {
							err = transport.Decode(v, &back)
						}
						if err != nil || back.Name != books.Name {
							b.Errorf("got %+v, %v", back, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64((cpuTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/call")
		})
	}
}
