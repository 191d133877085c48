package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// mostReasons bounds the refusals that are shown one by one.
const mostReasons = 10

// tally counts outcomes and reports the first refusals as they come.
type tally struct {
	out   io.Writer
	begun time.Time

	mu      sync.Mutex
	done    int
	refused int
	index   uint64
	reasons []refusal
	shown   bool // the progress line is on the screen
}

type refusal struct {
	Line  int    `json:"line"`
	Code  string `json:"code"`
	Error string `json:"error"`
}

func (t *tally) accept(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done++
	t.index = max(t.index, index)
}

func (t *tally) refuse(line int, code, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	if t.refused <= mostReasons {
		t.reasons = append(t.reasons, refusal{line, code, reason})
		t.clearLocked()
		fmt.Fprintf(t.out, "line %d: %s (%s)\n", line, reason, code)
	}
	if t.refused == mostReasons+1 {
		t.clearLocked()
		fmt.Fprintln(t.out, "further refusals are only counted")
	}
}

func (t *tally) progress(terminal bool, read, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf("%s done, %s refused, %s/s", thousands(t.done), thousands(t.refused), thousands(t.rate()))
	if size > 0 {
		text = fmt.Sprintf("%3d%%  %s", 100*read/size, text)
	}
	if !terminal {
		fmt.Fprintln(t.out, text)
		return
	}
	fmt.Fprintf(t.out, "\r\033[K%s", text)
	t.shown = true
}

func (t *tally) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clearLocked()
}

func (t *tally) clearLocked() {
	if t.shown {
		fmt.Fprint(t.out, "\r\033[K")
		t.shown = false
	}
}

func (t *tally) rate() int {
	return int(float64(t.done+t.refused) / max(time.Since(t.begun).Seconds(), 0.001))
}

// summary is what `apply -o json` prints.
type summary struct {
	Actions   int       `json:"actions"`
	Done      int       `json:"done"`
	Refused   int       `json:"refused"`
	Index     uint64    `json:"index"` // shows all that was done
	Seconds   float64   `json:"seconds"`
	PerSecond int       `json:"perSecond"`
	Reasons   []refusal `json:"reasons"` // of the first refusals
}

func (t *tally) summary() summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.reasons, func(a, b refusal) int { return a.Line - b.Line })
	return summary{
		Actions: t.done + t.refused, Done: t.done, Refused: t.refused, Index: t.index,
		Seconds: time.Since(t.begun).Round(time.Millisecond).Seconds(), PerSecond: t.rate(),
		Reasons: append([]refusal{}, t.reasons...),
	}
}

func (s summary) print(w io.Writer) {
	fields(w, [][2]string{
		{"done", thousands(s.Done)},
		{"refused", thousands(s.Refused)},
		{"took", fmt.Sprintf("%.1f s, %s actions/s", s.Seconds, thousands(s.PerSecond))},
		{"index", fmt.Sprint(s.Index)},
	})
}
