package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

func snapshotCommand(c *client, files nodeFiles) *cobra.Command {
	return group("snapshot", "Back the site up, and bring it back", snapshotSave(c, files), snapshotInspect(c, files), snapshotRestore(c, files))
}

func snapshotSave(c *client, files nodeFiles) *cobra.Command {
	return &cobra.Command{
		Use:   "save FILE",
		Short: "Write all that the site knows to a file",
		Long: `Write all that the site knows to a file: services, peer sites, tokens' digests and
keys, as of this moment. FILE appears when it is whole and verified; until then
one of that name stays as it was. It holds the site's secrets in clear, and only
its owner may read it. --timeout is how long nothing may come.`,
		Example: `  catalyst snapshot save paris.snapshot`,
		Args:    want("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &saving{file: args[0], files: files, progress: newProgress(cmd)}
			answer, err := c.converse(cmd.Context(), s.from)
			s.progress.clear()
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(m savedSnapshot) {
				fmt.Fprintf(cmd.OutOrStdout(), "saved %s, %s\n", m.File, size(m.Bytes))
				m.Snapshot.print(cmd.OutOrStdout())
				hint(cmd, "it holds the site's secrets in clear: guard it as you guard a node's data directory")
			})
		},
	}
}

// savedSnapshot is what -o json gives.
type savedSnapshot struct {
	File     string       `json:"file"`
	Bytes    int64        `json:"bytes"`
	Snapshot snapshotInfo `json:"snapshot"`
}

// saving is one `snapshot save`, over however many attempts it takes.
type saving struct {
	file     string
	files    nodeFiles
	progress *progress
}

// from asks a node, and has the file when it returns. What is wrong on this
// machine is a *failure: no other node would make it better.
func (s *saving) from(ctx context.Context, scope *transport.Promise, heard func()) (any, error) {
	answer, err := scope.Call("snapshot").Await(ctx)
	if err != nil {
		return nil, err
	}
	stream, ok := answer.(*transport.Readable)
	if !ok {
		return nil, refused("the node may be of another version: see catalyst members", "the node answered no snapshot")
	}
	defer stream.Close()
	temporary := s.file + ".tmp"
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, s.failed(err)
	}
	defer os.Remove(temporary) // gone already when all went well
	defer f.Close()
	n, err := s.receive(ctx, f, stream, heard)
	if err != nil {
		return nil, err
	}
	info, err := s.verify(f)
	if err != nil {
		return nil, refused("save it again; if that fails too, try another node with --address",
			"what came is no whole snapshot: %s; %s is as it was", oneLine(err.Error()), s.file)
	}
	if err := s.publish(f); err != nil {
		return nil, s.failed(err)
	}
	return savedSnapshot{File: s.file, Bytes: n, Snapshot: info}, nil
}

func (s *saving) failed(err error) error {
	return refused("name a FILE in a directory that exists, may be written and has room", "save the snapshot: %v", err)
}

// receive writes what comes, and tells of each part.
func (s *saving) receive(ctx context.Context, f *os.File, stream *transport.Readable, heard func()) (n int64, err error) {
	if err := f.Chmod(0o600); err != nil { // one that was left behind may have been open to others
		return 0, s.failed(err)
	}
	for {
		chunk, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		data, ok := chunk.([]byte)
		if !ok {
			transport.ReleaseAll(chunk)
			return n, refused("the node may be of another version: see catalyst members", "the node sent something other than bytes")
		}
		if _, err := f.Write(data); err != nil {
			return n, s.failed(err)
		}
		n += int64(len(data))
		heard()
		s.progress.moved("receiving", n, 0, size)
	}
}

// verify reads what was written, from its beginning to its end.
func (s *saving) verify(f *os.File) (snapshotInfo, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return snapshotInfo{}, err
	}
	return s.files.Inspect(f)
}

// publish makes the file durable, and then visible.
func (s *saving) publish(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.file))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (i snapshotInfo) print(w io.Writer) {
	fields(w, [][2]string{
		{"site", i.Site}, {"site id", i.ID}, {"epoch", i.Epoch}, {"level", some(uint64(i.Level))}, {"index", fmt.Sprint(i.Version)},
		{"routes", routeWords(i.Routes.Local, i.Routes.Learned)}, {"peers", fmt.Sprint(i.Peers)}, {"tokens", fmt.Sprint(i.Tokens)},
	})
}

func routeWords(local, learned int) string {
	return thousands(local) + " local, " + thousands(learned) + " learned"
}

func snapshotInspect(c *client, files nodeFiles) *cobra.Command {
	return offline(&cobra.Command{
		Use:   "inspect FILE",
		Short: "Verify a snapshot, and show what it holds",
		Long: `Verify a snapshot, and show what it holds. No node is asked; secrets are not
shown.`,
		Example: `  catalyst snapshot inspect paris.snapshot`,
		Args:    want("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, info, err := openSnapshot(files, args[0])
			if err != nil {
				return err
			}
			f.Close()
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), info)
			}
			info.print(cmd.OutOrStdout())
			return nil
		},
	}, "output")
}

// openSnapshot opens a file that holds a whole snapshot.
func openSnapshot(files nodeFiles, name string) (*os.File, snapshotInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, snapshotInfo{}, unusable("name a file that catalyst snapshot save wrote", "%v", err)
	}
	info, err := files.Inspect(f)
	if err != nil {
		f.Close()
		return nil, info, refused("use another snapshot, or another copy of this one", "%s is no whole snapshot: %s", name, oneLine(err.Error()))
	}
	return f, info, nil
}
