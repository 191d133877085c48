package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	rounds  = 5   // of all pairs in turn; figures are medians, as no machine is quite idle
	warmUp  = 0.7 // s
	seconds = 2.0
)

// BenchmarkRPC prints how this package and npm's capnweb on Node compare on
// this machine. Each side is a process: a server serves the whole benchmark, a
// client one run.
func BenchmarkRPC(b *testing.B) {
	servers := map[string]string{"npm": startServer(b, program("npm", "server")), "Go": startServer(b, program("Go", "server"))}
	for range b.N {
		runs := map[pair][]measurement{}
		for range rounds {
			for _, p := range pairs {
				runs[p] = append(runs[p], p.run(b, servers[p.server]))
			}
		}
		printTables(runs, bareEcho(b))
	}
	b.ReportMetric(0, "ns/op") // of no interest
}

// pair is a client, a server, and how they talk.
type pair struct {
	client, server string
	medium         string // of bench-client.mjs
	inFlight       int
}

var pairs = []pair{
	{"npm", "npm", "ws", 1}, {"Go", "Go", "ws", 1},
	{"npm", "npm", "ws", 64}, {"Go", "Go", "ws", 64}, {"npm", "Go", "ws", 64}, {"Go", "npm", "ws", 64},
	{"npm", "npm", "ws", 1000}, {"Go", "Go", "ws", 1000},
	{"npm", "npm", "batch", 4}, {"npm", "Go", "batch", 4},
}

func program(side, role string, args ...string) *exec.Cmd {
	var c *exec.Cmd
	if side == "npm" {
		c = exec.Command("node", append([]string{"bench-" + role + ".mjs"}, args...)...)
	} else {
		c = exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), processVariable+"="+role)
	}
	c.Stderr = os.Stderr
	return c
}

// startServer runs a server until the benchmark ends, and returns its address.
func startServer(b *testing.B, server *exec.Cmd) string {
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := server.Wait(); err != nil {
			b.Error(err)
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

func (p pair) run(b *testing.B, address string) (m measurement) {
	client := program(p.client, "client", address, p.medium, strconv.Itoa(p.inFlight), fmt.Sprint(warmUp), fmt.Sprint(seconds))
	out, err := client.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		b.Fatalf("%+v: %v", p, err)
	}
	return m
}

// bareEcho is the median time, in µs, that 200 bytes take to a process and
// back: what no protocol can better.
func bareEcho(b *testing.B) float64 {
	c, err := net.Dial("tcp", startServer(b, program("Go", "bounce")))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var took []float64
	buffer := make([]byte, 200)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		began := time.Now()
		if _, err := c.Write(buffer); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buffer); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began).Seconds()*1e6)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// median is that of a figure of p's runs.
func median(runs map[pair][]measurement, p pair, figure func(measurement) float64) float64 {
	var all []float64
	for _, m := range runs[p] {
		all = append(all, figure(m))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func rate(m measurement) float64      { return m.Calls / m.Seconds }
func p50(m measurement) float64       { return m.P50 }
func p99(m measurement) float64       { return m.P99 }
func serverCPU(m measurement) float64 { return (m.Server[1].CPU - m.Server[0].CPU) / m.Calls }

func printTables(runs map[pair][]measurement, floor float64) {
	printTable("Echo of an object of 150 bytes over one WebSocket, both sides npm or both Go; latency in µs", func(row func(...any)) {
		row("in flight", "npm calls/s", "Go calls/s", "Go/npm", "wanted", "npm p50", "Go p50", "npm p99", "Go p99", "wanted")
		for _, inFlight := range []int{1, 64, 1000} {
			npm, ours := pair{"npm", "npm", "ws", inFlight}, pair{"Go", "Go", "ws", inFlight}
			of := func(p pair, figure func(measurement) float64) float64 { return median(runs, p, figure) }
			calls, latency := "≥ 2.5, aim 4", "-"
			if inFlight == 1 {
				calls, latency = "-", "p50 ≤ npm's, aim half"
			}
			row(inFlight, of(npm, rate), of(ours, rate), ratio(of(ours, rate)/of(npm, rate)), calls,
				of(npm, p50), of(ours, p50), of(npm, p99), of(ours, p99), latency)
		}
	})
	fmt.Printf("\nOf the latency at 1 in flight, a bare TCP echo between two processes is %.0f µs (p50).\n", floor)
	printTable("CPU of the server, µs a call", func(row func(...any)) {
		row("", "npm", "Go", "Go/npm", "wanted")
		compare := func(name, client, medium string, inFlight int, wanted string) {
			npm := median(runs, pair{client, "npm", medium, inFlight}, serverCPU)
			ours := median(runs, pair{client, "Go", medium, inFlight}, serverCPU)
			row(name, ratio(npm), ratio(ours), ratio(ours/npm), wanted)
		}
		compare("npm's client, WebSocket, 64 calls in flight", "npm", "ws", 64, "≤ 0.50, aim 0.33")
		compare("npm's client, 4 HTTP batches of 100 in flight", "npm", "batch", 4, "≤ 0.67, aim 0.33")
		compare("Go client, WebSocket, 64 calls in flight: a busy server", "Go", "ws", 64, "-")
	})
	printTable("Allocations of Go, a call over WebSocket", func(row func(...any)) {
		row("in flight", "client", "bytes", "server", "bytes")
		for _, inFlight := range []int{1, 64, 1000} {
			of := func(figure func(measurement) float64) float64 {
				return median(runs, pair{"Go", "Go", "ws", inFlight}, figure)
			}
			row(inFlight,
				of(func(m measurement) float64 { return (m.Client[1].Mallocs - m.Client[0].Mallocs) / m.Calls }),
				of(func(m measurement) float64 { return (m.Client[1].Bytes - m.Client[0].Bytes) / m.Calls }),
				of(func(m measurement) float64 { return (m.Server[1].Mallocs - m.Server[0].Mallocs) / m.Calls }),
				of(func(m measurement) float64 { return (m.Server[1].Bytes - m.Server[0].Bytes) / m.Calls }))
		}
	})
}

// ratio is a figure whose fractions matter.
type ratio float64

// printTable prints the cells of each row in columns.
func printTable(title string, fill func(row func(cells ...any))) {
	fmt.Printf("\n%s\n\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fill(func(cells ...any) {
		for _, cell := range cells {
			switch cell.(type) {
			case ratio:
				fmt.Fprintf(w, "  %.2f\t", cell)
			case float64:
				fmt.Fprintf(w, "  %.0f\t", cell)
			default:
				fmt.Fprintf(w, "  %v\t", cell)
			}
		}
		fmt.Fprintln(w)
	})
}
