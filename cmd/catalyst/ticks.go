package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// ticks are the steps of a command on stdout, a line each when it has happened.
// They read in a pipe as on a terminal: what a guide shows is what one gets.
// Programs, which ask for -o json, get none.
type ticks struct{ out io.Writer }

func (c *client) ticks(cmd *cobra.Command) ticks {
	if c.output == "json" {
		return ticks{io.Discard}
	}
	return ticks{cmd.OutOrStdout()}
}

func (t ticks) done(format string, args ...any) { t.line("✓", format, args) }
func (t ticks) open(format string, args ...any) { t.line("–", format, args) } // it may still come
func (t ticks) warn(format string, args ...any) { t.line("!", format, args) }
func (t ticks) fail(format string, args ...any) { t.line("✗", format, args) }

func (t ticks) line(mark, format string, args []any) {
	fmt.Fprintf(t.out, mark+" "+format+"\n", args...)
}

// registration tells how a service gets into the site.
type registration struct {
	ticks
	word string // for what was done to it

	mu sync.Mutex
	at time.Time // when the site was told to have it; zero until then
}

// replicated tells once that the site has it, however often that is heard.
func (r *registration) replicated(c committed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.at = time.Now()
		r.tell(c)
	}
}

func (r *registration) tell(c committed) {
	if c.Unchanged {
		r.done("unchanged (index %d): %s is registered like this already", c.Index, oneLine(c.ID))
		return
	}
	r.done("replicated (index %d): %s %s", c.Index, oneLine(c.ID), r.word)
}

// settled tells the rest. A node that is older than progress has told nothing
// before, and then nobody knows how long the gateway took.
func (r *registration) settled(result result) {
	took := ""
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.tell(committed{Index: result.Index, ID: result.Data.ID, Unchanged: result.Data.Unchanged})
	} else {
		took = " (" + millis(time.Since(r.at)) + ")"
	}
	if g := result.Data.Gateway; g != nil {
		r.served(g, took, result.Data.Unchanged)
	}
}

// mostWarnings is how many fit on a screen beside the rest.
const mostWarnings = 5

// served tells what the gateway makes of it.
func (r *registration) served(g *gatewayData, took string, unchanged bool) {
	switch g.State {
	case "applied":
		line := "gateway reloaded" + took
		if unchanged {
			line = "gateway serves it"
		}
		if fields := rootFields(g.Queries, g.Mutations, g.Subscriptions); fields != "" {
			line += ": " + fields
		}
		r.done("%s", line)
	case "rejected":
		r.fail("gateway refuses it: %s; it is tried again, see catalyst status", clause(g.Error))
	default:
		r.open("%s; see catalyst status", pending(clause(g.Error)))
	}
	for i, w := range g.Warnings {
		if left := len(g.Warnings) - i; i == mostWarnings && left > 1 {
			r.warn("and %s more warnings, see catalyst status", thousands(left))
			return
		}
		r.warn("%s", oneLine(w))
	}
}

// clause is others' words as a part of a sentence of ours.
func clause(text string) string { return strings.TrimRight(oneLine(text), ".") }

// pending says what the gateway is waited for, in whosever words.
func pending(why string) string {
	switch {
	case why == "":
		return "the gateway has not answered yet"
	case strings.HasPrefix(why, "the gateway "):
		return why
	}
	return "gateway: " + why
}

// rootFields lists what a service brings: "queries a, b; mutation c".
func rootFields(queries, mutations, subscriptions []string) string {
	var kinds []string
	for _, kind := range []struct {
		one, more string
		names     []string
	}{{"query", "queries", queries}, {"mutation", "mutations", mutations}, {"subscription", "subscriptions", subscriptions}} {
		switch len(kind.names) {
		case 0:
		case 1:
			kinds = append(kinds, kind.one+" "+few(kind.names))
		default:
			kinds = append(kinds, kind.more+" "+few(kind.names))
		}
	}
	return strings.Join(kinds, "; ")
}

// few names the first of many. They are others' words.
func few(names []string) string {
	const shown, longest = 3, 60
	more := ""
	if n := len(names) - shown; n > 1 {
		names, more = names[:shown], " and "+thousands(n)+" more"
	}
	said := make([]string, len(names))
	for i, name := range names {
		said[i] = fmt.Sprintf("%.*s", longest, oneLine(name))
	}
	return strings.Join(said, ", ") + more
}

// millis words how long something took, in whole milliseconds begun.
func millis(d time.Duration) string {
	return thousands(int((d+time.Millisecond-1)/time.Millisecond)) + " ms"
}
