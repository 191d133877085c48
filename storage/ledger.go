package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ledger is raft.db: what it returns was verified, and nothing that its file
// may hold ends the process.
type ledger struct {
	path     string
	f        *os.File // bbolt's own
	bolt     *raftboltdb.BoltStore
	found    *layout // as it was opened
	failures atomic.Uint64
	broken   atomic.Pointer[Damage]
}

const lockPause = 50 * time.Millisecond

var errInUse = errors.New("is in use by another process")

// openLedger locks raft.db, has its layout accepted, and only then lets bbolt
// map it.
func openLedger(path string, o bbolt.Options, accept func(*layout) error) (*ledger, error) {
	l := &ledger{path: path}
	var refused error
	o.FreelistType = bbolt.FreelistMapType
	o.OpenFile = func(path string, flag int, mode os.FileMode) (f *os.File, err error) {
		if f, refused = os.OpenFile(path, flag, mode); refused != nil {
			return nil, refused
		}
		l.f, refused = f, l.inspect(f, &o, accept)
		return f, refused
	}
	err := l.guarded("open it", func() (err error) {
		l.bolt, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &o})
		return err
	})
	if err == nil {
		return l, nil
	}
	if l.f != nil {
		_ = release(l.f) // bbolt may have done so, or may be broken
	}
	switch {
	case refused != nil:
		return nil, refused
	case IsDamage(err):
		return nil, err
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// inspect verifies the file while no other process writes to it.
func (l *ledger) inspect(f *os.File, o *bbolt.Options, accept func(*layout) error) error {
	if err := lock(f, o.ReadOnly, o.Timeout); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	l.found = &layout{}
	if info.Size() > 0 {
		l.found, err = readLayout(f, info.Size())
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return damaged(l.path, "is damaged", err)
	}
	return accept(l.found)
}

func lock(f *os.File, shared bool, wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(min(lockPause, wait)) {
		locked, err := tryLock(f, shared)
		if err != nil {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if locked {
			return nil
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("%s %w: is this node already running?", f.Name(), errInUse)
		}
	}
}

// guarded runs what touches the mapped file. A sector that cannot be read is
// a fault there, and bbolt panics when it meets what cannot be. Both leave
// locks of bbolt held, so that nothing more can be asked of it: the ledger
// stays broken.
func (l *ledger) guarded(attempt string, f func() error) (err error) {
	if d := l.broken.Load(); d != nil {
		return d
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = l.breakOff(fmt.Errorf("%s: %v", attempt, r))
		}
	}()
	return f()
}

func (l *ledger) breakOff(err error) error {
	l.broken.CompareAndSwap(nil, damaged(l.path, "cannot be trusted any more", err))
	return l.broken.Load()
}

// write runs a transaction. A failed one leaves the file as it was when the
// disk is full. After any other failure nobody knows what is on the disk (a
// failed fsync may have dropped what it was asked to write), until the file
// is read again from the beginning.
func (l *ledger) write(attempt string, f func() error) error {
	before, err := l.txid()
	if err != nil {
		return err
	}
	err = l.guarded(attempt, f)
	if err == nil || IsDamage(err) {
		return err
	}
	after, again := l.txid()
	if again != nil || after != before || !outOfSpace(err) {
		return l.breakOff(fmt.Errorf("%s: %w", attempt, err))
	}
	return fmt.Errorf("%s: %s: %w", l.path, attempt, err)
}

// txid reads the number of the newest transaction. No write may be under way.
func (l *ledger) txid() (uint64, error) {
	if d := l.broken.Load(); d != nil {
		return 0, d
	}
	m, _, err := newestMeta(l.f)
	if errors.Is(err, os.ErrClosed) {
		return 0, err
	}
	if err != nil {
		return 0, l.breakOff(err)
	}
	return m.txid, nil
}

// get returns a record, verified.
func (l *ledger) get(index uint64) (raft.Log, error) {
	var log raft.Log
	err := l.guarded("read a record", func() error { return l.bolt.GetLog(index, &log) })
	if errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, bbolterrors.ErrDatabaseNotOpen) || l.broken.Load() != nil {
		return raft.Log{}, err
	}
	if err == nil {
		err = openLog(index, &log)
	}
	if err != nil {
		l.failures.Add(1)
		return raft.Log{}, damaged(l.path, fmt.Sprintf("has a bad record %d", index), err)
	}
	return log, nil
}

// value returns a stable value, verified. What was never set is
// raftboltdb.ErrKeyNotFound, which Raft knows by its text.
func (l *ledger) value(key []byte) ([]byte, error) {
	var sealed []byte
	err := l.guarded("read "+string(key), func() (err error) {
		sealed, err = l.bolt.Get(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	value, err := openValue(key, sealed)
	if err != nil {
		l.failures.Add(1)
		return nil, damaged(l.path, "has a bad "+string(key), err)
	}
	return value, nil
}

// scrub reads everything that the layout says is there. Terms never fall
// along a log.
func (l *ledger) scrub(each func(*raft.Log) bool) error {
	for key := range l.found.values {
		if _, err := l.value([]byte(key)); err != nil {
			return err
		}
	}
	term := uint64(0)
	for index := l.found.first; index != 0 && index <= l.found.last; index++ {
		log, err := l.get(index)
		if err != nil {
			return err
		}
		if log.Term < term {
			return damaged(l.path, fmt.Sprintf("has record %d of term %d after one of term %d", index, log.Term, term), nil)
		}
		term = log.Term
		if !each(&log) {
			return nil
		}
	}
	return nil
}

// verifyTerm notices a log that reached the mark with other records.
func (l *ledger) verifyTerm(m mark) error {
	if m.index == 0 || m.index < l.found.first || m.index > l.found.last {
		return nil
	}
	log, err := l.get(m.index)
	if err != nil || log.Term == m.term {
		return err
	}
	return damaged(l.path, fmt.Sprintf("has record %d of term %d, which was of term %d", m.index, log.Term, m.term), nil)
}

// close leaves a broken bbolt alone, apart from its lock.
func (l *ledger) close() error {
	if l.broken.Load() != nil {
		return release(l.f)
	}
	return l.guarded("close it", l.bolt.Close)
}

// outOfSpace also looks at the text: bbolt does not wrap all errors.
func outOfSpace(err error) bool {
	if errors.Is(err, bbolterrors.ErrMaxSizeReached) {
		return true
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// number returns a stable value that is one.
func (l *ledger) number(key []byte) (uint64, error) {
	value, err := l.value(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s: %s has %d bytes, want 8", l.path, key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
