package clustertests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The load of `make bench-gateway`. It is the same for every candidate, and as lean as Go can be: it shares two cores with
// what it measures, so each microsecond of its own would be in every figure.

// queryLoad is some questioners that ask one question over and over, each over a connection of its own.
type queryLoad struct {
	url   string
	query string // with variables, a whole request body
	want  string // the body that must come, each time
}

// measured is what a round of load found.
type measured struct {
	count     int
	took      time.Duration
	latencies []time.Duration // sorted
	cpu       time.Duration   // a query, of who was asked
	load      time.Duration   // and of who asked
	others    float64         // cores that other processes had
}

func (m measured) perSecond() float64 { return float64(m.count) / m.took.Seconds() }

func (m measured) at(q float64) time.Duration {
	return m.latencies[min(int(q*float64(len(m.latencies))), len(m.latencies)-1)]
}

// run asks with so many connections for a while. It fails on any other answer than the one wanted.
func (l queryLoad) run(b *testing.B, connections int, d time.Duration) measured {
	b.Helper()
	var m measured
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	until := began.Add(d)
	for range connections {
		q, err := l.dial()
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer q.conn.Close()
			took, err := q.askUntil(until)
			mu.Lock()
			defer mu.Unlock()
			m.latencies = append(m.latencies, took...)
			if err != nil {
				b.Errorf("%s: %v", l.url, err)
			}
		})
	}
	wg.Wait()
	m.took = time.Since(began)
	if m.count = len(m.latencies); b.Failed() || m.count == 0 {
		b.Fatalf("%s gave %d answers", l.url, m.count)
	}
	slices.Sort(m.latencies)
	return m
}

// questioner is one connection.
type questioner struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
	want    string
	body    []byte
}

func (l queryLoad) dial() (*questioner, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n%s",
		u.Path, u.Host, len(l.query), l.query)
	return &questioner{conn: conn, r: bufio.NewReaderSize(conn, 4<<10), request: []byte(request), want: l.want}, nil
}

func (q *questioner) askUntil(until time.Time) (took []time.Duration, err error) {
	if err := q.conn.SetDeadline(until.Add(patience)); err != nil {
		return nil, err
	}
	for began := time.Now(); began.Before(until); {
		if err := q.ask(); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(began))
		began = now
	}
	return took, nil
}

var errOtherAnswer = errors.New("another answer than is right")

// ask asks once and checks the answer.
func (q *questioner) ask() error {
	if _, err := q.conn.Write(q.request); err != nil {
		return err
	}
	status, err := q.readAnswer()
	if err != nil {
		return err
	}
	if status != "200" || string(q.body) != q.want {
		return fmt.Errorf("%w: status %s, %.300q, want %q", errOtherAnswer, status, q.body, q.want)
	}
	return nil
}

func (q *questioner) readAnswer() (status string, err error) {
	length, chunked, first := 0, false, true
	for {
		line, err := q.r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < len("HTTP/1.1 200") {
				return "", fmt.Errorf("it answers %q", line)
			}
			if first = false; string(line[9:12]) != "200" {
				status = string(line[9:12])
			} else {
				status = "200" // a constant: no allocation
			}
		case len(line) == 0:
			q.body = q.body[:0]
			if chunked {
				return status, q.readChunks()
			}
			return status, q.readMore(length)
		case hasPrefixFold(line, "content-length:"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil || length > 1<<20 {
				return "", fmt.Errorf("it answers %q", line)
			}
		case hasPrefixFold(line, "transfer-encoding:"):
			chunked = true
		}
	}
}

func hasPrefixFold(line []byte, prefix string) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], []byte(prefix))
}

func (q *questioner) readMore(n int) error {
	at := len(q.body)
	q.body = slices.Grow(q.body, n)[:at+n]
	_, err := io.ReadFull(q.r, q.body[at:])
	return err
}

func (q *questioner) readChunks() error {
	for {
		line, err := q.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(line)), 16, 20)
		if err != nil {
			return fmt.Errorf("a chunk begins with %q", line)
		}
		if err := q.readMore(int(n)); err != nil {
			return err
		}
		end, err := q.r.ReadSlice('\n')
		if err != nil || len(bytes.TrimSpace(end)) > 0 {
			return fmt.Errorf("a chunk ends with %q: %w", end, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// usage is what a process has used and holds.
type usage struct {
	cpu      time.Duration
	resident float64 // MB
}

// use is the usage of a process, to a tick of 10 ms.
func (p *process) use(b *testing.B) (u usage) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	for _, field := range fields[11:13] { // utime and stime
		ticks, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	pages, err := strconv.Atoi(fields[21])
	if err != nil {
		b.Fatal(err)
	}
	u.resident = float64(pages) * float64(os.Getpagesize()) / 1e6
	return u
}

// machineCPU is what all processes have used of all cores, that of a host's other machines included.
func machineCPU(b *testing.B) (used time.Duration) {
	b.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line)[1:9] { // user nice system idle iowait irq softirq steal
		ticks, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		if i != 3 && i != 4 {
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}
