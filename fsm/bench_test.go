package fsm

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

func benchService(i int) Service {
	return Service{
		Name:     fmt.Sprintf("service-%07d", i),
		Endpoint: fmt.Sprintf("http://service-%07d.internal:8080/graphql", i),
		Protocol: HTTPGraphQL,
		Region:   "eu-west-1",
	}
}

// benchTable registers n services in the order of their names mixed up.
func benchTable(n int) *Table {
	t, _ := new(Table).Apply([]Command{{Op: Found{Site: "paris", AS: 64512, Epoch: "1", Level: Level}}})
	const batch = 128
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	for len(order) > 0 {
		size := min(batch, len(order))
		commands := make([]Command, 0, size)
		for _, i := range order[:size] {
			commands = append(commands, Command{At: 1_700_000_000_000, Op: Put{Service: benchService(i)}})
		}
		order = order[size:]
		t, _ = t.Apply(commands)
	}
	return t
}

var benchSizes = []int{1_000, 100_000, 1_000_000}

// moves are log entries that each move some services of the table elsewhere:
// two rounds of them, so that no command finds its change already made.
func moves(size, entries, commands int) [2][][]byte {
	var rounds [2][][]byte
	for round := range rounds {
		random := rand.New(rand.NewPCG(3, 4))
		for i := range entries {
			batch := make([]Command, commands)
			for j := range batch {
				s := benchService(random.IntN(size))
				s.Region = fmt.Sprint("region-", round, i)
				batch[j] = Command{RequestID: fmt.Sprintf("%032x", random.Uint64()), At: 1_700_000_000_000, By: "admin", Op: Put{Mode: Update, Service: s}}
			}
			rounds[round] = append(rounds[round], EncodeBatch(nil, batch))
		}
	}
	return rounds
}

func benchApply(b *testing.B, entries, commands int) {
	for _, size := range benchSizes {
		table, rounds := benchTable(size), moves(size, entries, commands)
		b.Run(fmt.Sprintf("routes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			t := table
			for i := 0; b.Loop(); i++ {
				batch, err := DecodeBatch(rounds[i/entries%2][i%entries])
				if err != nil {
					b.Fatal(err)
				}
				for j := range batch { // every round is past the window of the one before
					batch[j].At += int64(i/entries)*OutcomeWindow.Milliseconds() + int64(i%entries)
				}
				before := t.Version()
				t, _ = t.Apply(batch)
				if int(t.Version()-before) < commands*9/10 {
					b.Fatalf("%d commands changed %d routes", commands, t.Version()-before)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*commands), "ns/command")
		})
	}
}

// BenchmarkApply is one command an entry: the dearest way to apply.
func BenchmarkApply(b *testing.B) { benchApply(b, 20_000, 1) }

// BenchmarkApplyBatch is group commit, 100 commands an entry.
func BenchmarkApplyBatch(b *testing.B) { benchApply(b, 500, 100) }

// BenchmarkMemory reports what a route costs in a table of a million, keys and
// indexes and the history included.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		const size = 1_000_000
		before := heap()
		t := benchTable(size)
		b.ReportMetric(float64(heap()-before)/size, "B/route")
		runtime.KeepAlive(t)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkSnapshotWrite(b *testing.B) {
	t := benchTable(1_000_000)
	var size counter
	for b.Loop() {
		size = 0
		if err := WriteSnapshot(&size, t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func BenchmarkSnapshotRead(b *testing.B) {
	var data bytes.Buffer
	if err := WriteSnapshot(&data, benchTable(1_000_000)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ReadSnapshot(bytes.NewReader(data.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyBesideSnapshot reports the longest that one command took while
// a million routes were being written, and the longest of as many with nothing
// beside: what the machine itself adds.
func BenchmarkApplyBesideSnapshot(b *testing.B) {
	t := benchTable(1_000_000)
	var n int
	longestOf := func(more func() bool) (longest time.Duration) {
		for ; more(); n++ {
			s := benchService(n % 1_000_000)
			s.Region = fmt.Sprint(n)
			start := time.Now()
			t, _ = t.Apply([]Command{{Op: Put{Mode: Upsert, Service: s}}})
			longest = max(longest, time.Since(start))
		}
		return longest
	}
	var beside, alone time.Duration
	for b.Loop() {
		done := make(chan error, 1)
		go func(t *Table) { done <- WriteSnapshot(io.Discard, t) }(t)
		first := n
		beside = max(beside, longestOf(func() bool { return len(done) == 0 }))
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		end := 2*n - first
		alone = max(alone, longestOf(func() bool { return n < end }))
	}
	b.ReportMetric(float64(beside.Microseconds())/1000, "longest-ms")
	b.ReportMetric(float64(alone.Microseconds())/1000, "longest-alone-ms")
}

func BenchmarkBatchEncode(b *testing.B) {
	commands := benchCommands(100)
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data = EncodeBatch(data[:0], commands)
	}
	b.ReportMetric(float64(len(data)), "B")
}

func BenchmarkBatchDecode(b *testing.B) {
	data := EncodeBatch(nil, benchCommands(100))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBatch(data); err != nil {
			b.Fatal(err)
		}
	}
}

func benchCommands(n int) []Command {
	commands := make([]Command, n)
	for i := range commands {
		commands[i] = Command{RequestID: fmt.Sprintf("%032x", i), At: 1_700_000_000_000, By: "admin", Op: Put{Service: benchService(i)}}
	}
	return commands
}

func BenchmarkAll(b *testing.B) {
	t := benchTable(1_000_000)
	for b.Loop() {
		n := 0
		for range t.All() {
			n++
		}
		if n != 1_000_000 {
			b.Fatal(n)
		}
	}
}
