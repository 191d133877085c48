package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

const snapshotSuffix = ".snapshot"

// keepSnapshots leaves a snapshot in the directory of the operator's choice
// from time to time, as long as something has changed, and keeps the newest.
func (n *Node) keepSnapshots(ctx context.Context) {
	tick := time.NewTicker(n.cfg.SnapshotEvery)
	defer tick.Stop()
	var last uint64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		t := n.machine.Table()
		if t.Version() == last || t.Epoch() == "" {
			continue
		}
		file, err := n.keepSnapshot(t, time.Now())
		if err != nil {
			n.log.Error("the scheduled snapshot was not taken", "site", n.site(), "node", n.cfg.ID, "dir", n.cfg.SnapshotDir, "err", err)
			continue
		}
		last = t.Version()
		n.log.Info("snapshot", "site", n.site(), "node", n.cfg.ID, "file", file, "index", last)
	}
}

// keepSnapshot writes one whole, reads it again, and only then lets older ones go.
func (n *Node) keepSnapshot(t *fsm.Table, now time.Time) (string, error) {
	dir := n.cfg.SnapshotDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	prefix := t.Site() + "-" + n.cfg.ID + "-"
	path := filepath.Join(dir, prefix+now.UTC().Format("20060102T150405Z")+fmt.Sprintf("-%d", t.Version())+snapshotSuffix)
	if err := writeSnapshotFile(path, t); err != nil {
		return "", err
	}
	return path, discardOldest(dir, prefix, n.cfg.SnapshotKeep)
}

func writeSnapshotFile(path string, t *fsm.Table) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".snapshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	b := bufio.NewWriter(f)
	err = errors.Join(fsm.WriteSnapshot(b, t), b.Flush(), f.Sync())
	if err == nil {
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			_, err = fsm.ReadSnapshot(f)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// stamped is what follows the names of site and node in a snapshot's. Another
// node's id may begin as this one's does.
var stamped = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9]+\` + snapshotSuffix + `$`)

// discardOldest keeps the newest files of a name; their names order by time.
func discardOldest(dir, prefix string, keep int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if rest, own := strings.CutPrefix(e.Name(), prefix); own && stamped.MatchString(rest) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names[:max(0, len(names)-keep)] {
		errs = append(errs, os.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
