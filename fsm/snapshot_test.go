package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// busy is a table with something of everything.
func busy(t testing.TB) *Table {
	table, _ := new(Table).Apply([]Command{{Op: Found{Site: "paris", AS: 64512, Epoch: "e", ID: "id", Level: Level}}})
	for c := randomChoices(5, 2000); c.more(); {
		table, _ = table.Apply(c.batch())
	}
	table, _ = table.Apply([]Command{
		{Op: PutPeer{Mode: Upsert, Peer: PeerConfig{ID: "oslo", Endpoints: []string{"ws://oslo"}, Secret: "s", RestartTime: 9, MaxRoutes: 50}}},
		{Op: Learn{Peer: "oslo", Epoch: "e3", Term: 1, Version: 3, Add: []LearnedRoute{announces("x", "oslo")}, EndOfRIB: true}},
		{Op: MarkStale{Peer: "oslo"}},
		{Op: HoldBack{ID: "n7", Held: true}},
		{Op: Put{Mode: Upsert, Service: service("own")}, RequestID: "last", At: 5_000_000},
	})
	return table
}

func TestARestoredTableIsTheSame(t *testing.T) {
	for what, table := range map[string]*Table{
		"never founded": new(Table), "just founded": begin(t).table, "busy": busy(t), "of level 2": everything(),
	} {
		data := snapshotOf(t, table)
		back := restored(t, data)
		if !bytes.Equal(snapshotOf(t, back), data) {
			t.Errorf("%s: the bytes differ", what)
		}
		if !slices.EqualFunc(slices.Collect(back.All()), slices.Collect(table.All()), alike) {
			t.Errorf("%s: the routes differ", what)
		}
		for id, held := range table.Holding() {
			if back.Held(id) != held {
				t.Errorf("%s: from %s: %+v, want %+v", what, id, back.Held(id), held)
			}
		}
	}
	back := restored(t, snapshotOf(t, busy(t)))
	if !back.HeldBack("n7") || back.HeldBack("n8") {
		t.Error("who is held back is forgotten")
	}
	if _, ok := back.Outcome("last"); !ok {
		t.Error("the request is forgotten")
	}
}

// A restored node tells its followers the changes that the old one knew, and
// no more of them.
func TestARestoredTableStillKnowsWhatChanged(t *testing.T) {
	s := begin(t)
	s.puts("a", "b")
	v := service("a")
	v.Region = "eu"
	s.does(Put{Mode: Update, Service: v})
	s.does(Delete{ID: "b:http:graphql"})
	s.does(PutPeer{Peer: PeerConfig{ID: "oslo", Endpoints: []string{"ws://oslo"}}})
	want := s.told(1)
	s.table = restored(t, snapshotOf(t, s.table))
	s.wants("after the restart", s.told(1), want)
	s.wants("in full", want, []string{"+a", "+b", "+a", "-b"})
	s.puts("c")
	s.wants("and on", s.told(5), []string{"+c"})
}

func TestADamagedSnapshotIsAnErrorThatNamesTheDamage(t *testing.T) {
	data := snapshotOf(t, busy(t))
	for end := range data {
		_, err := ReadSnapshot(bytes.NewReader(data[:end]))
		if err == nil || !strings.Contains(err.Error(), "truncated: it ends at byte") {
			t.Fatalf("cut at %d: %v", end, err)
		}
	}
	for i := range data {
		broken := slices.Clone(data)
		broken[i] ^= 1 << (i % 8)
		if _, err := ReadSnapshot(bytes.NewReader(broken)); err == nil {
			t.Fatalf("a bit of byte %d flipped and nobody noticed", i)
		}
	}
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"another file":   {[]byte("SQLite format 3"), `no Catalyst snapshot: it begins with "SQLite f"`},
		"another format": {append([]byte(snapshotMagic), 9), "format 9, this build reads 1"},
		"a long frame":   {append([]byte(snapshotMagic), 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), "corrupted: a length of 4294967295"},
	} {
		if _, err := ReadSnapshot(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// framed makes a snapshot with sound checksums of any records.
func framed(payload []byte) []byte {
	b := append([]byte(snapshotMagic), snapshotFormat)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

func TestASnapshotThatContradictsItselfIsRefused(t *testing.T) {
	record := func(records ...func([]byte) []byte) (b []byte) {
		for _, r := range records {
			b = r(b)
		}
		return b
	}
	head := func(h header) func([]byte) []byte {
		return func(b []byte) []byte { return appendMessage(b, recordHeader, h.encode) }
	}
	local := func(name string) func([]byte) []byte {
		r := &Route{Service: service(name)}
		return func(b []byte) []byte { return appendMessage(b, recordLocal, r.encode) }
	}
	learned := func(b []byte) []byte {
		r := &Route{Service: service("x"), Site: "oslo", Peer: "oslo", Path: []string{"oslo"}}
		return appendMessage(b, recordLearned, r.encode)
	}
	end := func(n uint64) func([]byte) []byte {
		return func(b []byte) []byte {
			return appendMessage(b, recordEnd, func(b []byte) []byte { return appendUint(b, 1, n) })
		}
	}
	token := func(id string) func([]byte) []byte {
		return func(b []byte) []byte { return appendMessage(b, recordToken, (&Token{ID: id}).encode) }
	}
	entry := func(index uint64) func([]byte) []byte {
		return func(b []byte) []byte { return appendMessage(b, recordAudit, AuditEntry{Index: index}.encode) }
	}
	ok := header{oldest: 1}
	for _, c := range []struct {
		payload []byte
		want    string
	}{
		{record(local("a")), "the header is not the first"},
		{record(head(ok), head(ok)), "the header is not the first"},
		{record(head(header{})), "version 0 with a history from 0"},
		{record(head(header{version: 3, oldest: 9})), "version 3 with a history from 9"},
		{record(head(header{version: 1<<64 - 1, oldest: 1})), "version 18446744073709551615"},
		{record(head(header{oldest: 1, local: 2}), local("a"), end(2)), "1 own routes where the header says 2"},
		{record(head(header{oldest: 1, local: 2}), local("b"), local("a"), end(3)), "out of order"},
		{record(head(header{oldest: 1, local: 2}), local("a"), local("a"), end(3)), "out of order"},
		{record(head(header{oldest: 1, local: 1}), local("a\x00b"), end(2)), "corrupted: the name"},
		{record(head(header{oldest: 1, learned: 1}), learned, end(2)), "from a peer that is not there"},
		{record(head(header{oldest: 1, old: 1<<64 - 1, young: 1}), end(1)), "older requests"},
		{record(head(header{oldest: 1, tokens: 1}), end(1)), "0 tokens where the header says 1"},
		{record(head(header{oldest: 1, members: 1}), end(1)), "0 members where the header says 1"},
		{record(head(header{oldest: 1, audit: 1}), end(1)), "0 audit entries where the header says 1"},
		{record(head(header{oldest: 1, level: -1}), end(1)), "level -1"},
		{record(head(header{oldest: 1, tokens: 2}), token("b"), token("a"), end(3)), "out of order"},
		{record(head(header{oldest: 1, version: 9, audit: 2}), entry(4), entry(4), end(3)), "out of order"},
		{record(head(header{oldest: 1, version: 9, audit: 1}), entry(10), end(2)), "out of order"},
		{record(head(ok), end(7)), "1 records where 7 were written"},
		{record(head(ok), end(1), local("a")), "records after the end"},
		{append(record(head(ok)), 0xff), "torn"},
	} {
		if _, err := ReadSnapshot(bytes.NewReader(framed(c.payload))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	long := header{version: 1 << 61, oldest: 1}
	table := restored(t, framed(record(head(long), end(1))))
	if kept := table.history.len(); kept != MaxChanges {
		t.Errorf("a history from the beginning keeps %d changes, want %d", kept, MaxChanges)
	}
	fresh := record(head(ok), func(b []byte) []byte { return appendText(b, 50, "a record of a newer build") }, end(2))
	if _, err := ReadSnapshot(bytes.NewReader(framed(fresh))); err != nil {
		t.Error(err)
	}
}

// pieces notes how large the writes are, and breaks after some.
type pieces struct {
	largest, left int
}

var errDiskFull = errors.New("the disk is full")

func (p *pieces) Write(b []byte) (int, error) {
	if p.left--; p.left < 0 {
		return 0, errDiskFull
	}
	p.largest = max(p.largest, len(b))
	return len(b), nil
}

func TestASnapshotIsStreamed(t *testing.T) {
	table := begin(t).table
	for i := range 50 {
		var batch []Command
		for j := range 200 {
			batch = append(batch, Command{Op: Put{Service: service(fmt.Sprint("s", i*200+j))}})
		}
		table, _ = table.Apply(batch)
	}
	w := &pieces{left: 1000}
	if err := WriteSnapshot(w, table); err != nil {
		t.Fatal(err)
	}
	if w.largest > 2*frameFull || 1000-w.left < 10 {
		t.Errorf("%d writes of at most %d bytes", 1000-w.left, w.largest)
	}
	for left := range 3 {
		if err := WriteSnapshot(&pieces{left: left}, table); !errors.Is(err, errDiskFull) {
			t.Errorf("after %d writes: %v", left, err)
		}
	}
}

func FuzzReadSnapshot(f *testing.F) {
	whole := snapshotOf(f, busy(f))
	f.Add(whole)
	f.Add(whole[len(snapshotMagic)+1+frameHead:])
	small, _ := new(Table).Apply(everyOp()[:5])
	f.Add(snapshotOf(f, small)[len(snapshotMagic)+1+frameHead:])
	f.Add(snapshotOf(f, everything())[len(snapshotMagic)+1+frameHead:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		// As it is, and past the checksum, where the records are.
		for _, input := range [][]byte{data, framed(data)} {
			table, err := ReadSnapshot(bytes.NewReader(input))
			if err != nil {
				continue
			}
			table, _ = table.Apply(everyOp())
			for r := range table.All() {
				table.Paths(r.ID())
			}
			for a := range table.Audit(table.Version()) {
				table.Token(a.ID)
			}
			restored(t, snapshotOf(t, table))
		}
	})
}
