package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// restorePatience is how long a site may work on a snapshot without a word.
const restorePatience = time.Minute

func snapshotRestore(c *client, files nodeFiles) *cobra.Command {
	r := &restoring{client: c, files: files}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the services and peer sites of a running site by a snapshot's",
		Long: `Replace the services and peer sites of a running site by a snapshot's. What was
registered since the snapshot is gone afterwards; the site keeps its members,
its tokens and its authority. Gateway, watches and peer sites follow by
themselves. All nodes stay up.

A site of which no node is left is founded anew first (catalyst init).`,
		Example: `  catalyst snapshot inspect paris.snapshot
  catalyst snapshot restore paris.snapshot`,
		Args: want("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	yesFlag(cmd, &r.yes)
	return cmd
}

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do it without asking; needed where nobody can be asked")
}

// restoring is one `snapshot restore`.
type restoring struct {
	*client
	files nodeFiles
	yes   bool
}

func (r *restoring) run(cmd *cobra.Command, name string) error {
	f, info, err := openSnapshot(r.files, name)
	if err != nil {
		return err
	}
	defer f.Close()
	answer, err := r.ask(cmd.Context(), method("status"))
	if err != nil {
		return err
	}
	var now status
	if err := transport.Decode(answer, &now); err != nil {
		return refused("the node may be of another version: see catalyst members", "read the site's status: %v", err)
	}
	if now.Site != info.Site {
		return refused("name a node of that site with --address, or found one of that name with catalyst init --site "+info.Site,
			"%s is a snapshot of site %s, and this is site %s", name, info.Site, now.Site)
	}
	preview(cmd.ErrOrStderr(), now, info, name)
	if err := confirm(cmd, r.yes, "replace them?"); err != nil {
		return err
	}
	return r.send(cmd, f)
}

// preview shows what replaces what.
func preview(w io.Writer, now status, then snapshotInfo, name string) {
	fields(w, [][2]string{
		{"now", fmt.Sprintf("site %s, index %d: %s, %s", now.Site, now.Index, count(now.Routes.Local, "local route"), count(now.Peers.Configured, "peer site"))},
		{"then", fmt.Sprintf("site %s, index %d: %s, %s (%s)", then.Site, then.Version, count(then.Routes.Local, "local route"), count(then.Peers, "peer site"), name)},
	})
}

// confirm asks a person; what is no person has to say --yes.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	in := cmd.InOrStdin()
	switch {
	case yes:
		return nil
	case !isTerminal(in):
		return unusable("look at what would be replaced, above, and add --yes", "%s wants to be confirmed, and nobody can be asked here", cmd.CommandPath())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s Type yes: ", question)
	typed := make(chan string, 1)
	go func() { // ends with the program: nothing interrupts who reads a terminal
		line, _ := bufio.NewReader(in).ReadString('\n')
		typed <- strings.TrimSpace(line)
	}()
	select {
	case answer := <-typed:
		if answer != "yes" {
			return refused("", "not confirmed: nothing was changed")
		}
		return nil
	case <-cmd.Context().Done():
		return cmd.Context().Err()
	}
}

// restored is the answer to a restore.
type restored struct {
	verdict
	Data struct {
		ID      string `json:"id"`
		Version uint64 `json:"version"`
		Routes  *int   `json:"routes"`
		Peers   int    `json:"peers"`
		Epoch   string `json:"epoch"`
	} `json:"data"`
}

// send sends the file, once: a second time it would undo what was registered
// in between.
func (r *restoring) send(cmd *cobra.Command, f *os.File) error {
	p := newProgress(cmd)
	answer, err := r.patient(restorePatience).converse(cmd.Context(), func(ctx context.Context, scope *transport.Promise, heard func()) (any, error) {
		stream, err := upload(f, func(n, all int64) {
			heard()
			p.moved("sending", n, all, size)
		})
		if err != nil {
			return nil, refused("", "read the snapshot: %v", err)
		}
		return final(scope.Call("restore", stream).Await(ctx))
	})
	p.clear()
	return settleAs(r.client, cmd, answer, err, func(d restored) error {
		held := ""
		if d.Data.Routes != nil {
			held = ": " + count(*d.Data.Routes, "route") + ", " + count(d.Data.Peers, "peer site")
		}
		fmt.Fprintf(cmd.OutOrStdout(), "restored%s (index %d)\n", held, max(d.Index, d.Data.Version))
		hint(cmd, "catalyst status and catalyst service list show the site as it is now")
		return nil
	})
}

// upload is a file as a stream from its beginning, which tells of each part
// that is taken.
func upload(f *os.File, moved func(n, all int64)) (*transport.Readable, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var n int64
	return transport.NewReadable(func(context.Context) (any, error) {
		data := make([]byte, 64<<10)
		got, err := f.Read(data)
		if got == 0 {
			return nil, err
		}
		n += int64(got)
		moved(n, info.Size())
		return data[:got], nil
	}, nil), nil
}
