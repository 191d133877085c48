package interop

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// gcPercent is that of relay and testtarget, which have small heaps, too. Node's
// young generation is larger than what comes of it.
const gcPercent = 400

// processVariable makes this test binary one side of a benchmark: a process
// of its own, so that its CPU time is known.
const processVariable = "INTEROP_BENCH_PROCESS"

// processes are the counterparts of bench-server.mjs and bench-client.mjs, and
// one that sends back what it gets.
var processes = map[string]func(args []string) error{
	"server": func([]string) error { return serveEcho() },
	"client": callEcho,
	"bounce": func([]string) error { return bounce() },
}

type service struct {
	Name     string            `json:"name"`
	Endpoint string            `json:"endpoint"`
	Protocol string            `json:"protocol"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

var books = service{
	Name: "books-of-the-month", Endpoint: "http://books.internal.example.com:8080/graphql",
	Protocol: "http:graphql", Region: "eu-central-1", Tags: map[string]string{"tier": "front"},
}

// usage is what a process has used since its start.
type usage struct {
	CPU     float64 `json:"cpu"`     // µs, user and system
	Mallocs float64 `json:"mallocs"` // of Go
	Bytes   float64 `json:"bytes"`   // that those allocated
}

func ownUsage() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read the CPU time: %w", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{float64(cpu.Microseconds()), float64(m.Mallocs), float64(m.TotalAlloc)}, nil
}

// measurement is what a client prints.
type measurement struct {
	Calls   float64  `json:"calls"`
	Seconds float64  `json:"seconds"`
	P50     float64  `json:"p50"` // µs
	P99     float64  `json:"p99"`
	Client  [2]usage `json:"client"` // before and after
	Server  [2]usage `json:"server"`
}

// serveEcho prints its port and serves until its standard input closes.
func serveEcho() error {
	debug.SetGCPercent(gcPercent)
	main := transport.NewTarget(map[string]transport.Method{
		"echo":  func(_ context.Context, c *transport.Call) (any, error) { return c.Arg(0), nil },
		"usage": func(context.Context, *transport.Call) (any, error) { return ownUsage() },
	})
	batch := transport.BatchHandler(func(*http.Request) *transport.Target { return main }, transport.Config{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			batch.ServeHTTP(w, r)
			return
		}
		if c, err := ws.Accept(w, r, ws.Options{}); err == nil {
			_ = transport.NewSession(c, transport.Config{Main: main}).Run(r.Context()) // ends with its client
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-served; err != http.ErrServerClosed {
		return err
	}
	return nil
}

// bounce prints its port and serves one connection.
func bounce() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	c, err := listener.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := c.Read(buffer)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = c.Write(buffer[:n])
		}
		if err != nil {
			return err
		}
	}
}

// callEcho takes the arguments of bench-client.mjs; its medium is always "ws".
func callEcho(args []string) error {
	debug.SetGCPercent(gcPercent)
	var parsed [3]float64
	for i := range parsed {
		var err error
		if parsed[i], err = strconv.ParseFloat(args[2+i], 64); err != nil {
			return err
		}
	}
	inFlight, warmUp, seconds := int(parsed[0]), parsed[1], parsed[2]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := ws.Dial(ctx, "ws://"+args[0], ws.Options{})
	if err != nil {
		return err
	}
	session := transport.NewSession(conn, transport.Config{})
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = session.Run(ctx) })
	m, err := measure(ctx, session.Main(), inFlight, warmUp, seconds)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

func measure(ctx context.Context, main *transport.Stub, inFlight int, warmUp, seconds float64) (m measurement, err error) {
	if _, err = keepCalling(ctx, main, inFlight, warmUp); err != nil {
		return m, err
	}
	usages := func(i int) {
		if err == nil {
			m.Server[i], err = transport.Await[usage](ctx, main.Call("usage"))
		}
		if err == nil {
			m.Client[i], err = ownUsage()
		}
	}
	usages(0)
	began := time.Now()
	took, failed := keepCalling(ctx, main, inFlight, seconds)
	m.Seconds = time.Since(began).Seconds()
	usages(1)
	slices.Sort(took)
	quantile := func(q float64) float64 { return took[int(float64(len(took)-1)*q)].Seconds() * 1e6 }
	m.Calls, m.P50, m.P99 = float64(len(took)), quantile(0.5), quantile(0.99)
	return m, cmp.Or(err, failed)
}

// keepCalling keeps inFlight calls going and returns how long each took.
func keepCalling(ctx context.Context, main *transport.Stub, inFlight int, seconds float64) ([]time.Duration, error) {
	took, failed := make([][]time.Duration, inFlight), make([]error, inFlight)
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var wg sync.WaitGroup
	for i := range inFlight {
		wg.Go(func() {
			for began := time.Now(); began.Before(end); {
				back, err := transport.Await[service](ctx, main.Call("echo", books))
				if err != nil || back.Name != books.Name {
					failed[i] = fmt.Errorf("echo gave %+v, %w", back, err)
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(began))
				began = now
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...), cmp.Or(failed...)
}
