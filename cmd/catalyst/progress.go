package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// progress tells on stderr how far something long has come: a person by one
// line that changes, a log by a line each phase and each tenth.
type progress struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	shown bool      // a line that changes is on the screen
	what  string    // is moving
	begun time.Time // when it began to move
	from  int64     // how much there was then
	tenth int64     // told last
}

func newProgress(cmd *cobra.Command) *progress {
	return &progress{out: cmd.ErrOrStderr(), terminal: isTerminal(cmd.ErrOrStderr())}
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// moved says that done of all is there; all is 0 when nobody knows. word words
// an amount.
func (p *progress) moved(what string, done, all int64, word func(int64) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what != what || done < p.from {
		p.what, p.begun, p.from, p.tenth = what, time.Now(), done, -1
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s  %s", what, p.line(done, all, word))
		p.shown = true
		return
	}
	if all <= 0 {
		return // a log has nothing of a number without an end in sight
	}
	if tenth := 10 * done / all; tenth > p.tenth {
		p.tenth = tenth
		fmt.Fprintf(p.out, "%s: %s\n", what, amount(done, all, word))
	}
}

// line is amount with the rate since it began to move.
func (p *progress) line(done, all int64, word func(int64) string) string {
	text := amount(done, all, word)
	if took := time.Since(p.begun).Seconds(); took > 0.5 {
		text += "  " + word(int64(float64(done-p.from)/took)) + "/s"
	}
	return text
}

func amount(done, all int64, word func(int64) string) string {
	if all <= 0 {
		return word(done)
	}
	return fmt.Sprintf("%3d%%  %s of %s", min(100*done/all, 100), word(done), word(all))
}

// clear takes the line that changes off the screen.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
}

func (p *progress) clearLocked() {
	if p.shown {
		fmt.Fprint(p.out, "\r\033[K")
		p.shown = false
	}
}
