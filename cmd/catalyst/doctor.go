package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// What a client bears without a word.
const (
	longRoundTrip = 500 * time.Millisecond
	smallSkew     = 2 * time.Second // beyond this, times in different places mislead
	largeSkew     = time.Minute     // beyond this, certificates and tokens begin to fail
)

func doctorCommand(c *client, files nodeFiles) *cobra.Command {
	d := &doctor{client: c, files: files}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, and say what to do",
		Long: `Look for what is wrong, and say what to do: at the way from here to the nodes at
--address, and at the first of them that answers, with what it knows of its site.
When none answers and --data-dir names the data of a node on this machine, that
is looked at. Nothing is changed. Exit status: 0 nothing failed, 1 something did.`,
		Example: `  catalyst doctor
  catalyst doctor --data-dir /var/lib/catalyst   # of a node that does not start`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd) },
	}
	cmd.Flags().StringVar(&d.dataDir, "data-dir", "", "data `directory` to look at when no node answers (CATALYST_DATA_DIR)")
	fromEnv(cmd.Flags(), "data-dir", "CATALYST_DATA_DIR")
	return cmd
}

// doctor is one `doctor`.
type doctor struct {
	*client
	files   nodeFiles
	dataDir string

	tries  tries
	answer map[string]any // of the first node that diagnosed itself
	checks []check        // seen from here
}

func (d *doctor) run(cmd *cobra.Command) error {
	d.tries = d.newTries()
	for _, address := range d.addresses {
		if err := d.visit(cmd.Context(), address); err != nil {
			d.tries.note(address, err)
		}
		if cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
	}
	var all []check
	switch {
	case d.answer != nil:
		all = d.site()
	case !d.tries.reached() && d.dataDir != "":
		all = append(d.checks, d.files.Examine(d.dataDir)...)
	default:
		all = d.checks
	}
	if err := d.show(cmd, all); err != nil {
		return err
	}
	if !d.tries.reached() && d.answer == nil && d.dataDir == "" {
		return d.tries.failure()
	}
	return failed(all)
}

// site is what is seen from here and what the node said.
func (d *doctor) site() []check {
	var told struct {
		Checks []check `json:"checks"`
	}
	if err := transport.Decode(d.answer, &told); err != nil {
		return append(d.checks, check{"diagnosis", "fail", "cannot be read: " + oneLine(err.Error()), "the node may be of another version: see catalyst members, or use -o json"})
	}
	return append(d.checks, told.Checks...)
}

func (d *doctor) show(cmd *cobra.Command, all []check) error {
	if d.output == "json" {
		whole := map[string]any{"checks": all}
		for key, value := range d.answer {
			if key != "checks" {
				whole[key] = value
			}
		}
		return printJSON(cmd.OutOrStdout(), whole)
	}
	marks := plainMarks
	if isTerminal(cmd.OutOrStdout()) {
		marks = signs
	}
	printChecks(cmd.OutOrStdout(), all, marks)
	return nil
}

func plainMarks(state string) string {
	if state == "fail" {
		return "FAIL"
	}
	return state
}

func signs(state string) string {
	switch state {
	case "ok":
		return "✓"
	case "warn":
		return "!"
	}
	return "✗"
}

func printChecks(w io.Writer, all []check, mark func(state string) string) {
	margin, width := utf8.RuneCountInString(mark("fail")), 0
	for _, c := range all {
		width = max(width, len(c.Name))
	}
	for _, c := range all {
		fmt.Fprintf(w, "%-*s %-*s  %s\n", margin, mark(c.State), width, oneLine(c.Name), oneLine(c.Detail))
		if c.Remedy != "" {
			fmt.Fprintf(w, "%*s %s\n", margin, "", oneLine(c.Remedy))
		}
	}
}

func failed(all []check) error {
	n := 0
	for _, c := range all {
		if c.State == "fail" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return refused("each tells below it what to do", "%d of %s failed", n, count(len(all), "check"))
}

// visit looks at one address, from here. It returns why the node there did not
// diagnose itself.
func (d *doctor) visit(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	begun := time.Now()
	dialing, stop := context.WithTimeout(ctx, d.dialPatience())
	defer stop()
	l, err := d.dial(dialing, address)
	if err != nil {
		d.note("address", "fail", address+": "+reason(err), wayOut(err))
		return err
	}
	defer l.close()
	d.note("address", "ok", fmt.Sprintf("%s answers, after %s", address, time.Since(begun).Round(100*time.Microsecond)), "")
	d.lookAtTLS(address)
	return d.consult(ctx, l)
}

func (d *doctor) note(name, state, detail, remedy string) {
	d.checks = append(d.checks, check{name, state, detail, remedy})
}

// lookAtTLS says by what the node is believed.
func (d *doctor) lookAtTLS(address string) {
	u, _ := url.Parse(address)
	switch {
	case u.Scheme == "wss" && d.pinned:
		d.note("tls", "ok", "the node is known by the fingerprint that the token carries", "")
	case u.Scheme == "wss" && d.caFile != "":
		d.note("tls", "ok", "the node is known by an authority of "+d.caFile+" or of the system", "")
	case u.Scheme == "wss":
		d.note("tls", "ok", "the node is known by an authority of the system", "")
	case isLoopback(u.Hostname()):
		d.note("tls", "ok", "none, and none is needed on this machine", "")
	default:
		d.note("tls", "warn", "none: who is on the way can read and alter everything, tokens included", "found a secured site with catalyst init and move to it")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// consult asks a node for its own diagnosis. Its second answer is what the
// clocks are compared by: the first also waits for the token to be verified.
func (d *doctor) consult(ctx context.Context, l *link) error {
	if _, err := l.session.Main().Call("version").Await(ctx); err != nil {
		d.note("node", "fail", oneLine(d.tries.reason(err)), "see its log")
		return err
	}
	begun := time.Now()
	if _, err := l.session.Main().Call("version").Await(ctx); err != nil {
		return err
	}
	roundTrip := time.Since(begun)
	if roundTrip > longRoundTrip {
		d.note("latency", "warn", "a round trip takes "+roundTrip.Round(time.Millisecond).String(), "ask a node that is nearer, or see what the network or that machine is busy with")
	} else {
		d.note("latency", "ok", "a round trip takes "+roundTrip.Round(10*time.Microsecond).String(), "")
	}
	before := time.Now()
	answer, err := transport.Await[map[string]any](ctx, l.scope.Call("diagnose"))
	if err != nil {
		d.note("diagnosis", "fail", oneLine(d.tries.reason(err)), diagnosisWay(err))
		return err
	}
	if d.answer == nil {
		d.answer = answer
	}
	d.compareClocks(answer, before, time.Now())
	return nil
}

func diagnosisWay(err error) string {
	switch codeOf(err) {
	case "":
		return "the node may be of another version: see catalyst members"
	case "unauthenticated":
		return "give a token that is valid with --token (CATALYST_TOKEN)"
	}
	return ""
}

// compareClocks takes the node's time for that of the middle between question
// and answer.
func (d *doctor) compareClocks(answer map[string]any, before, after time.Time) {
	now, _ := answer["now"].(float64)
	if now == 0 {
		return
	}
	skew := time.UnixMilli(int64(now)).Sub(before.Add(after.Sub(before) / 2))
	side := "ahead of"
	if skew < 0 {
		skew, side = -skew, "behind"
	}
	detail := fmt.Sprintf("the node's is %s %s this machine's", skew.Round(time.Millisecond), side)
	if skew < after.Sub(before) {
		detail = "the node's agrees with this machine's"
	}
	way := "let both machines set their clocks by NTP (chrony, systemd-timesyncd)"
	switch {
	case skew <= smallSkew+after.Sub(before):
		d.note("clock", "ok", detail, "")
	case skew <= largeSkew:
		d.note("clock", "warn", detail, way)
	default:
		d.note("clock", "fail", detail+": certificates and tokens may seem expired, or not yet valid", way)
	}
}
