package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its file: on a damaged page it panics, also in goroutines of
// its own, recurses for ever, or skips what it cannot see. So the file's
// structure is verified here, with plain reads, before bbolt maps it. bbolt
// packs its pages without a gap and accounts for every one of them, so that
// almost no damaged header, offset, count or page number fits in.
//
// The format is that of bbolt's internal/common: page.go, meta.go, bucket.go.
const (
	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	elementSize = 16 // of branch and leaf pages alike
	metaLength  = 64
	bucketSize  = 16 // root page 8, sequence 8

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketFlag = 1

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	minPageSize = 1 << 10
	maxPageSize = 1 << 24
	// maxDepth bounds the recursion. A tree of 4 levels holds millions.
	maxDepth = 32
)

// bbolt writes integers as the machine has them.
var native = binary.NativeEndian

// layout is what the structure of a raft.db says, contents aside.
type layout struct {
	txid   uint64 // of the newest transaction
	torn   bool   // the other transaction's meta page is invalid
	first  uint64 // index of the first log record, 0: there is none
	last   uint64
	values map[string][]byte // stable values as they lie there, sealed
}

// fresh says that Raft never wrote anything.
func (l *layout) fresh() bool { return l.last == 0 && len(l.values) == 0 }

// meta is one of the two pages that say where everything is.
type meta struct {
	pageSize, root, freelist, pages, txid uint64
}

var (
	errMeta   = errors.New("no valid meta page")
	errHeader = errors.New("the header of a meta page is wrong")
)

// readMeta reads the meta page of a number at an offset. bbolt takes one for
// valid whatever its header says, so that a wrong one is an error of its own:
// it must not make the other page the newest here.
func readMeta(f io.ReaderAt, number uint64, offset int64) (meta, error) {
	var b [pageHeader + metaLength]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		return meta{}, err
	}
	m := b[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaLength-8])
	if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[56:]) != sum.Sum64() {
		return meta{}, errMeta
	}
	if native.Uint64(b[:]) != number || flagsOf(b[:]) != metaPage {
		return meta{}, errHeader
	}
	return meta{
		pageSize: uint64(native.Uint32(m[8:])),
		root:     native.Uint64(m[16:]),
		freelist: native.Uint64(m[32:]),
		pages:    native.Uint64(m[40:]),
		txid:     native.Uint64(m[48:]),
	}, nil
}

// newestMeta returns the meta page that bbolt will go by. torn says that the
// other one is invalid, which a power cut may cause.
func newestMeta(f io.ReaderAt) (newest meta, torn bool, err error) {
	first, err0 := readMeta(f, 0, 0)
	second, err1 := meta{}, errMeta
	if err0 == nil {
		second, err1 = readMeta(f, 1, int64(first.pageSize))
	} else {
		// The size of the pages stands in the page that is sought.
		for size := int64(minPageSize); size <= maxPageSize && err1 != nil; size *= 2 {
			second, err1 = readMeta(f, 1, size)
			if err1 == nil && int64(second.pageSize) != size {
				err1 = errMeta
			}
		}
	}
	switch {
	case err0 == errHeader || err1 == errHeader:
		return meta{}, false, errHeader
	case err0 != nil && err1 != nil:
		return meta{}, true, err0
	case err1 != nil:
		return first, true, nil
	case err0 != nil:
		return second, true, nil
	case first.txid%2 != 0 || second.txid%2 != 1 || (first.txid+1 != second.txid && second.txid+1 != first.txid):
		return meta{}, false, fmt.Errorf("the meta pages are of transactions %d and %d", first.txid, second.txid)
	case first.txid > second.txid:
		return first, false, nil
	}
	return second, false, nil
}

// survey is one walk over a file's pages.
type survey struct {
	f     io.ReaderAt
	meta  meta
	known []bool // by page: it has been met, in the tree or among the free
	layout
}

// readLayout verifies the structure of a raft.db of size bytes. It reads each
// page at most once and never more than there are.
func readLayout(f io.ReaderAt, size int64) (*layout, error) {
	m, torn, err := newestMeta(f)
	if err != nil {
		return nil, err
	}
	if s := m.pageSize; s < minPageSize || s > maxPageSize || s&(s-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes", s)
	}
	if m.pages < 4 || m.pages > uint64(size)/m.pageSize {
		return nil, fmt.Errorf("it has %d bytes, too few for %d pages of %d", size, m.pages, m.pageSize)
	}
	s := &survey{f: f, meta: m, known: make([]bool, m.pages)}
	s.txid, s.torn, s.values = m.txid, torn, map[string][]byte{}
	s.known[0], s.known[1] = true, true
	if err := s.freelist(); err != nil {
		return nil, fmt.Errorf("list of free pages: %w", err)
	}
	if err := s.buckets(); err != nil {
		return nil, err
	}
	for id, known := range s.known {
		if !known {
			return nil, fmt.Errorf("page %d is neither in use nor free", id)
		}
	}
	return &s.layout, nil
}

// claim notes that pages have their place. Each may have only one.
func (s *survey) claim(id, count uint64) error {
	if id < 2 || id >= s.meta.pages || count > s.meta.pages-id {
		return fmt.Errorf("page %d and %d after it: there are %d", id, count-1, s.meta.pages)
	}
	for i := id; i < id+count; i++ {
		if s.known[i] {
			return fmt.Errorf("page %d has two places", i)
		}
		s.known[i] = true
	}
	return nil
}

// page reads a page with what overflows it.
func (s *survey) page(id uint64) ([]byte, error) {
	if id >= s.meta.pages { // before the product below can overflow
		return nil, fmt.Errorf("page %d: there are %d", id, s.meta.pages)
	}
	var header [pageHeader]byte
	at := int64(id * s.meta.pageSize)
	if _, err := s.f.ReadAt(header[:], at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if held := native.Uint64(header[:]); held != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, held)
	}
	count := uint64(overflowOf(header[:])) + 1
	if err := s.claim(id, count); err != nil {
		return nil, err
	}
	p := make([]byte, count*s.meta.pageSize)
	if _, err := s.f.ReadAt(p, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return p, nil
}

func flagsOf(p []byte) uint16    { return native.Uint16(p[8:]) }
func countOf(p []byte) int       { return int(native.Uint16(p[10:])) }
func overflowOf(p []byte) uint32 { return native.Uint32(p[12:]) }

// freelist claims the free pages.
func (s *survey) freelist() error {
	p, err := s.page(s.meta.freelist)
	if err != nil {
		return err
	}
	if flagsOf(p) != freelistPage {
		return fmt.Errorf("page %d is of kind %#x", s.meta.freelist, flagsOf(p))
	}
	ids, count := p[pageHeader:], uint64(countOf(p))
	if count == 0xFFFF { // a count that needs more bits stands before the list
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d has no room for %d numbers", s.meta.freelist, count)
	}
	previous := uint64(0)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= previous {
			return fmt.Errorf("page %d after page %d", id, previous)
		}
		if err := s.claim(id, 1); err != nil {
			return err
		}
		previous = id
	}
	return nil
}

// element is a key of a leaf or branch page.
type element struct {
	flags      uint32 // leaf
	child      uint64 // branch
	key, value []byte
}

// elements takes a page apart. size is where its contents end: nothing lies
// between or over them.
func elements(p []byte) (list []element, size int, err error) {
	count := countOf(p)
	next := pageHeader + count*elementSize
	if next > len(p) {
		return nil, 0, fmt.Errorf("%d keys have no room", count)
	}
	list = make([]element, count)
	for i := range list {
		at := pageHeader + i*elementSize
		e, h := &list[i], p[at:]
		var pos, keySize, valueSize int
		if flagsOf(p) == branchPage {
			pos, keySize, e.child = int(native.Uint32(h)), int(native.Uint32(h[4:])), native.Uint64(h[8:])
		} else {
			e.flags, pos = native.Uint32(h), int(native.Uint32(h[4:]))
			keySize, valueSize = int(native.Uint32(h[8:])), int(native.Uint32(h[12:]))
		}
		if at+pos != next || keySize == 0 || keySize > len(p)-next || valueSize > len(p)-next-keySize {
			return nil, 0, fmt.Errorf("key %d of %d does not lie where it should", i, count)
		}
		e.key, e.value = p[next:next+keySize], p[next+keySize:next+keySize+valueSize]
		next += keySize + valueSize
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return nil, 0, fmt.Errorf("key %d of %d is out of order", i, count)
		}
	}
	return list, next, nil
}

// span bounds the keys of a subtree: from <= key < to, nil for no bound.
type span struct{ from, to []byte }

func (r span) holds(list []element) bool {
	return len(list) == 0 ||
		(r.from == nil || bytes.Compare(r.from, list[0].key) <= 0) &&
			(r.to == nil || bytes.Compare(list[len(list)-1].key, r.to) < 0)
}

// tree walks a bucket's pages, and its keys in order.
func (s *survey) tree(id uint64, keys span, depth int, each func(element) error) error {
	p, err := s.page(id)
	if err != nil {
		return err
	}
	list, _, err := elements(p)
	switch {
	case err != nil:
		return fmt.Errorf("page %d: %w", id, err)
	case !keys.holds(list):
		return fmt.Errorf("page %d holds keys that belong elsewhere", id)
	case depth > maxDepth:
		return fmt.Errorf("page %d is %d levels deep", id, depth)
	case len(list) == 0 && (depth > 0 || flagsOf(p) != leafPage):
		return fmt.Errorf("page %d is empty", id)
	case flagsOf(p) == leafPage:
		return visit(list, each)
	case flagsOf(p) != branchPage:
		return fmt.Errorf("page %d is of kind %#x", id, flagsOf(p))
	}
	for i, e := range list {
		below := span{from: e.key, to: keys.to}
		if i+1 < len(list) {
			below.to = list[i+1].key
		}
		if err := s.tree(e.child, below, depth+1, each); err != nil {
			return err
		}
	}
	return nil
}

func visit(list []element, each func(element) error) error {
	for _, e := range list {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// buckets walks raft-boltdb's two buckets. Neither is there when a node died
// while it created the file; nothing else ever is.
func (s *survey) buckets() error {
	found := map[string][]byte{}
	err := s.tree(s.meta.root, span{}, 0, func(e element) error {
		if e.flags != bucketFlag {
			return fmt.Errorf("%q is not a bucket", e.key)
		}
		found[string(e.key)] = e.value
		return nil
	})
	if err != nil || len(found) == 0 {
		return err
	}
	if len(found) != 2 || found["logs"] == nil || found["conf"] == nil {
		return errors.New("its buckets are not those of a Raft log")
	}
	if err := s.bucket(found["logs"], s.record); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := s.bucket(found["conf"], s.value); err != nil {
		return fmt.Errorf("stable values: %w", err)
	}
	return nil
}

// bucket walks a bucket, which has a tree of its own, or when it is small a
// page right behind its header.
func (s *survey) bucket(header []byte, each func(element) error) error {
	if len(header) < bucketSize || native.Uint64(header[8:]) != 0 {
		return errors.New("the bucket's header is wrong")
	}
	if root := native.Uint64(header); root != 0 {
		if len(header) != bucketSize {
			return errors.New("the bucket's header is too long")
		}
		return s.tree(root, span{}, 0, each)
	}
	p := header[bucketSize:]
	if len(p) < pageHeader || native.Uint64(p) != 0 || flagsOf(p) != leafPage || overflowOf(p) != 0 {
		return errors.New("the bucket's page is wrong")
	}
	list, size, err := elements(p)
	if err != nil {
		return err
	}
	if size != len(p) {
		return errors.New("the bucket's page ends too early")
	}
	return visit(list, each)
}

// record takes in the key of a log record. There is none missing in between.
func (s *survey) record(e element) error {
	if len(e.key) != 8 || e.flags != 0 {
		return fmt.Errorf("%x is not a record's index", e.key)
	}
	index := binary.BigEndian.Uint64(e.key)
	if index == 0 || s.last != 0 && index != s.last+1 {
		return fmt.Errorf("record %d follows record %d", index, s.last)
	}
	if s.first == 0 {
		s.first = index
	}
	s.last = index
	return nil
}

func (s *survey) value(e element) error {
	if e.flags != 0 {
		return fmt.Errorf("%q is not a value", e.key)
	}
	s.values[string(e.key)] = bytes.Clone(e.value)
	return nil
}
