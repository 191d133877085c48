package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

func applyCommand(c *client) *cobra.Command {
	var (
		file     string
		inFlight int
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Send the actions of a file, many in flight",
		Long: `Send the actions of a file, or of stdin with -f -, one JSON action a line.
Actions on one service take effect in the order of the file. A line that is
malformed or refused does not keep the rest from going on. When a node or the
leader is lost, what was not answered is sent again, to the next address; every
action carries a requestId, so none takes effect twice. --timeout is how long
nothing may be answered before apply gives up.`,
		Example: `  catalyst apply -f actions.jsonl --address a:3000,b:3000,c:3000
  echo '{"resource":"dataChannel","action":"upsert","data":{"name":"books","endpoint":"http://books:8080","protocol":"http:graphql"}}' | catalyst apply -f -`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return misused(cmd, "catalyst apply: -f FILE is missing (- reads stdin)")
			}
			if inFlight < 1 || inFlight > 10_000 {
				return misused(cmd, "--in-flight is %d: want 1 to 10000", inFlight)
			}
			in, size, err := open(cmd, file)
			if err != nil {
				return err
			}
			defer in.Close()
			return newApplication(c, cmd, in, size, inFlight).run(cmd.Context())
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` of actions, or - for stdin")
	cmd.Flags().IntVar(&inFlight, "in-flight", 1000, "how many actions may wait for their answers at once")
	return cmd
}

// open opens the file of actions; size is 0 when it is not known.
func open(cmd *cobra.Command, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, unusable("name a file with one JSON action a line, or - for stdin", "%v", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = unusable("name a file with one JSON action a line, or - for stdin", "%s is a directory", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// application is one `apply`: lines in, a stream of actions out, and the tally.
type application struct {
	cmd    *cobra.Command
	lines  *lines
	stream *stream
	size   int64 // of the file in bytes, 0 if unknown
	tally  tally
}

func newApplication(c *client, cmd *cobra.Command, in io.Reader, size int64, inFlight int) *application {
	a := &application{cmd: cmd, size: size, tally: tally{out: cmd.ErrOrStderr(), begun: time.Now()}}
	a.lines = &lines{in: in, prefix: "apply-" + rand.Text(), bad: func(line int, err error) {
		a.tally.refuse(line, "malformed", err.Error())
	}}
	a.stream = &stream{client: c, inFlight: inFlight, answered: a.answered}
	return a
}

func (a *application) run(ctx context.Context) error {
	reading, cancel := context.WithCancel(ctx)
	items := make(chan *item, 256)
	var (
		wg      sync.WaitGroup
		readErr error
	)
	wg.Go(func() { readErr = a.lines.read(reading, items) })
	showing, shown := context.WithCancel(ctx)
	wg.Go(func() { a.showProgress(showing) })
	err := a.stream.run(ctx, items)
	cancel()
	shown()
	wg.Wait()
	if err == nil {
		err = readErr
	}
	return a.conclude(err)
}

// answered counts one action's outcome.
func (a *application) answered(i *item, answer any, err error) {
	if err != nil {
		a.tally.refuse(i.line, codeOf(err), oneLine(err.Error()))
		return
	}
	r, _ := answer.(map[string]any)
	if ok, _ := r["success"].(bool); ok {
		index, _ := r["index"].(float64)
		a.tally.accept(uint64(index))
		return
	}
	code, _ := r["code"].(string)
	reason, _ := r["error"].(string)
	a.tally.refuse(i.line, code, oneLine(reason))
}

// conclude prints the summary and says how the command ends.
func (a *application) conclude(err error) error {
	s := a.tally.summary()
	if a.stream.output == "json" {
		if err := printJSON(a.cmd.OutOrStdout(), s); err != nil {
			return err
		}
	} else {
		s.print(a.cmd.OutOrStdout())
	}
	var u *unanswered
	switch {
	case errors.As(err, &u):
		u.hint = fmt.Sprintf("%s answered; run it again when the site answers: an upsert or an equal create changes nothing twice", count(s.Done+s.Refused, "action"))
		return u
	case errors.Is(err, context.Canceled):
		return &failure{status: statusInterrupted, message: "interrupted; actions that were on their way may have been done"}
	case err != nil:
		return err
	case s.Refused > 0:
		return refused("correct those lines and apply them again; the others are done", "%s of %s refused", thousands(s.Refused), count(s.Done+s.Refused, "action"))
	}
	return nil
}

// showProgress keeps a person, or a log, up to date until ctx ends.
func (a *application) showProgress(ctx context.Context) {
	terminal := isTerminal(a.cmd.ErrOrStderr())
	every := 10 * time.Second
	if terminal {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.tally.progress(terminal, a.lines.bytes.Load(), a.size)
		case <-ctx.Done():
			a.tally.clear()
			return
		}
	}
}
