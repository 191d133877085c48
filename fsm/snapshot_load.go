package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// loader gathers the records of a snapshot in their order and builds the
// trees from them at once, which costs no search.
type loader struct {
	header   header
	peers    []*peer
	local    []record
	learned  []record
	changes  map[uint64]change
	requests []remembered // the old generation, then the young one
	tokens   []*Token
	members  []incarnation
	audit    []AuditEntry
	records  uint64
	ended    bool

	path   []string // rooms that decodeRoute uses again
	packed []byte
	texts  map[string]string // of the audit, to be shared
}

func (l *loader) load(frame []byte) error {
	s := scan(frame)
	for s.next() {
		if l.ended {
			return errors.New("corrupted: records after the end")
		}
		if (l.records == 0) != (s.field == recordHeader) {
			return errors.New("corrupted: the header is not the first record")
		}
		l.record(&s)
		l.records++
	}
	return s.err
}

func (l *loader) record(s *scanner) {
	switch s.field {
	case recordHeader:
		l.begin(s)
	case recordPeer:
		l.peers = append(l.peers, decodePeer(s))
	case recordLocal:
		l.local = append(l.local, l.decodeRoute(s))
	case recordLearned:
		l.learned = append(l.learned, l.decodeRoute(s))
	case recordChange:
		l.change(s)
	case recordRequest:
		r := decodeRequest(s)
		l.requests = append(l.requests, r.pack())
	case recordToken:
		token := decodeToken(s)
		l.tokens = append(l.tokens, token.clone())
	case recordMember:
		l.members = append(l.members, readMember(s))
	case recordAudit:
		l.audit = append(l.audit, l.readEntry(s))
	case recordEnd:
		l.end(s)
	}
}

// mostVersion is out of reach of any site: beyond it numbers could wrap.
const mostVersion = 1 << 62

func (l *loader) begin(s *scanner) {
	l.header = decodeHeader(s)
	h := &l.header
	if h.oldest == 0 || h.oldest > h.version+1 || h.version > mostVersion {
		s.fail(fmt.Errorf("corrupted: version %d with a history from %d", h.version, h.oldest))
	}
	if h.level < 0 || h.level > MaxLevel {
		s.fail(fmt.Errorf("corrupted: level %d", h.level))
	}
	l.changes, l.texts = make(map[uint64]change), make(map[string]string)
}

func (l *loader) change(s *scanner) {
	var index uint64
	var c change
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			index = inner.uint()
		case 2:
			c.deleted = inner.uint() != 0
		case 3:
			c.record = l.decodeRoute(&inner)
		}
	}
	s.absorb(&inner)
	l.changes[index] = c
}

func (l *loader) end(s *scanner) {
	if said := decodeEnd(s); said != l.records {
		s.fail(fmt.Errorf("corrupted: %d records where %d were written", l.records, said))
	}
	l.ended = true
}

func decodeEnd(s *scanner) (records uint64) {
	inner := s.message()
	for inner.next() {
		if inner.field == 1 {
			records = inner.uint()
		}
	}
	s.absorb(&inner)
	return records
}

// table puts everything together.
func (l *loader) table() (*Table, error) {
	h := l.header
	if err := l.check(); err != nil {
		return nil, err
	}
	t := &Table{
		version: h.version, site: strings.Clone(h.site), as: h.as, epoch: strings.Clone(h.epoch), id: h.id, heldBack: h.heldBack, expelled: h.expelled, former: h.former,
		local: plant(l.local), learned: plant(l.learned), byPeer: plant(l.announced()),
		peersVersion: h.peersVersion, peers: plant(l.peers), members: plant(l.members),
		authority: h.authority, gossipKeys: h.gossipKeys, gossipKeysVersion: h.gossipKeysVersion,
		tokens: plant(l.tokens), tokensVersion: h.tokensVersion,
	}
	if t.site != "" {
		t.path, t.level = []string{t.site}, cmp.Or(h.level, 1)
	}
	for _, entry := range l.audit {
		t.trail.keep(entry)
	}
	t.history = l.history(t)
	t.memory = l.memory()
	return t, nil
}

// check holds what was read against the header and the order of the trees: a
// tree out of order would lose routes without a word.
func (l *loader) check() error {
	h := l.header
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"peers", uint64(len(l.peers)), h.peers},
		{"own routes", uint64(len(l.local)), h.local},
		{"learned routes", uint64(len(l.learned)), h.learned},
		{"requests", uint64(len(l.requests)), h.old + h.young},
		{"tokens", uint64(len(l.tokens)), h.tokens},
		{"members", uint64(len(l.members)), h.members},
		{"audit entries", uint64(len(l.audit)), h.audit},
		{"older requests", min(h.old, uint64(len(l.requests))), h.old},
	} {
		if c.got != c.want {
			return fmt.Errorf("corrupted: %d %s where the header says %d", c.got, c.what, c.want)
		}
	}
	if !ascending(l.local) || !ascending(l.learned) || !ascending(l.peers) ||
		!ascending(l.requests[:h.old]) || !ascending(l.requests[h.old:]) ||
		!ascending(l.tokens) || !ascending(l.members) || !l.auditOK() {
		return errors.New("corrupted: records are out of order")
	}
	return l.count()
}

// auditOK wants the entries in order, and none from the future.
func (l *loader) auditOK() bool {
	last := uint64(0)
	for _, entry := range l.audit {
		if entry.Index <= last || entry.Index > l.header.version {
			return false
		}
		last = entry.Index
	}
	return true
}

func ascending[T keyed](items []T) bool {
	for i := 1; i < len(items); i++ {
		if items[i-1].key() >= items[i].key() {
			return false
		}
	}
	return true
}

// count gives every peer the number of its routes.
func (l *loader) count() error {
	peers := make(map[string]*peer, len(l.peers))
	for _, p := range l.peers {
		peers[p.id] = p
	}
	for _, r := range l.learned {
		h := r.head()
		p := peers[h.peer]
		if p == nil {
			return fmt.Errorf("corrupted: %s was learned from a peer that is not there", quote(h.id))
		}
		p.held.Routes++
		if h.stale {
			p.held.Stale++
		}
	}
	return nil
}

// announced names the learned routes in the order of byPeer. They come by id,
// so dealing them out by peer and site leaves only those to sort.
func (l *loader) announced() []announcement {
	dealt := make(map[announcement][]announcement)
	for _, r := range l.learned {
		h := r.head()
		origin := announced(h.peer, h.site, "")
		dealt[origin] = append(dealt[origin], announced(h.peer, h.site, h.id))
	}
	all := make([]announcement, 0, len(l.learned))
	for _, origin := range slices.Sorted(maps.Keys(dealt)) {
		all = append(all, dealt[origin]...)
	}
	return all
}

// history is rebuilt from the changes that were written and, for the others,
// from the routes themselves.
func (l *loader) history(t *Table) sequence[change] {
	if t.version == 0 {
		return sequence[change]{}
	}
	oldest := l.header.oldest
	if most := uint64(t.bounds().changes); t.version-oldest+1 > most {
		oldest = t.version + 1 - most
	}
	h := startingAt[change](oldest)
	for h.next <= t.version {
		h.append(l.changes[h.next])
	}
	for _, routes := range [][]record{l.local, l.learned} {
		for _, r := range routes {
			if i := r.head().modifiedIndex; oldest <= i && i <= t.version {
				*h.slot(i) = change{record: r}
			}
		}
	}
	return h
}

func (l *loader) memory() memory {
	h := l.header
	old, young := l.requests[:h.old], l.requests[h.old:]
	return memory{
		old:   generation{requests: plant(old), since: h.oldSince},
		young: generation{requests: plant(young), since: h.youngSince},
	}
}
