package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// format is what stdout gets: table for people, json for programs.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }
func (f *format) Set(s string) error {
	if s != "table" && s != "json" {
		return errors.New("unknown format")
	}
	*f = format(s)
	return nil
}

// show prints what a node answered: as it came with -o json, else as render
// words it.
func show[T any](cmd *cobra.Command, c *client, answer any, render func(T)) error {
	if c.output == "json" {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	var view T
	if err := transport.Decode(answer, &view); err != nil {
		return refused("the node may be of another version: see catalyst members, or use -o json", "read the answer: %v", err)
	}
	render(view)
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(plain(v))
}

// plain turns what only Cap'n Web knows into JSON: undefined is left out.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if _, undefined := value.(transport.Undefined); undefined {
				delete(v, key)
			} else {
				v[key] = plain(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case transport.Undefined:
		return nil
	}
	return v
}

// table prints rows in columns; an empty cell shows as a dash.
func table(w io.Writer, header string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(strings.Fields(header), "\t"))
	for _, row := range rows {
		for i := range row {
			if row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// hint goes to stderr, so that stdout stays what was asked for.
func hint(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), "hint: "+format+"\n", args...)
}

// isTerminal tells whether a person looks at, or types into, a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// since words the time passed since an instant in milliseconds since the epoch.
func since(instant int64) string {
	if instant == 0 {
		return ""
	}
	return span(time.Since(time.UnixMilli(instant)))
}

func ago(instant int64) string { return since(instant) + " ago" }

// instant is a point in time that several people can agree on.
func instant(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC")
}

// until words when something ends; 0 is never.
func until(ms int64) string {
	if ms == 0 {
		return "never"
	}
	if left := time.Until(time.UnixMilli(ms)); left > 0 {
		return "in " + span(left.Round(time.Minute/2)) // a day from now is 24h, also a moment later
	}
	return ago(ms)
}

// deadline is until with the instant, for sentences: 2026-01-01 12:00:00 UTC (in 24h).
func deadline(ms int64) string { return instant(ms) + " (" + until(ms) + ")" }

// size words a number of bytes.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
}

// seconds words a setting exactly, which span does not.
func seconds(n float64) string {
	if n == 0 {
		return ""
	}
	return time.Duration(n * float64(time.Second)).String()
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s" // the leader's clock is ahead of ours
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// some is a number that is not known, or not set, when it is 0.
func some(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// count is a number with its noun: 1 failure, 2 failures, 1,000 failures.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}

// thousands groups the digits of a number that is not negative.
func thousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
