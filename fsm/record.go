package fsm

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// record is a route as a table keeps it: packed into one string. A table of a
// million routes is then a million objects without a pointer inside, which the
// garbage collector passes by; as structs they made it eight times as slow and
// the table twice as large. A *Route is made when one is read, and its texts
// are parts of the record.
//
// The layout is this build's own; what is on disk has its own, in snapshot.
//
//	id, or pathKey                         the key, by which trees search
//	stale, times, indices, peer version    what a change stamps
//	endpoint, region, tags by key, path    the definition
type record string

// pathKey orders the paths of one id by site and peer. The zero byte sorts
// before all that names are made of.
func pathKey(id, site, peer string) string { return id + "\x00" + site + "\x00" + peer }

// announcement names a learned route in the order that keeps together what one
// peer announced, and in that what one site originated.
type announcement string

func announced(peer, site, id string) announcement {
	return announcement(peer + "\x00" + site + "\x00" + id)
}

func (a announcement) key() string { return string(a) }

// path is the key of the announced route.
func (a announcement) path() string {
	peer, rest, _ := strings.Cut(string(a), "\x00")
	site, id, _ := strings.Cut(rest, "\x00")
	return pathKey(id, site, peer)
}

// pack builds the record of a route. An own route says neither site nor path:
// its table does.
func (r *Route) pack(b []byte) []byte {
	size := len(r.Service.Name) + 1 + len(r.Service.Protocol)
	if !r.Local() {
		size += 1 + len(r.Site) + 1 + len(r.Peer)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, r.Service.Name...)
	b = append(b, ':')
	b = append(b, r.Service.Protocol...)
	if !r.Local() {
		b = append(append(b, 0), r.Site...)
		b = append(append(b, 0), r.Peer...)
	}
	b = append(b, packBool(r.Stale))
	for _, n := range [...]uint64{uint64(r.CreatedAt), uint64(r.ModifiedAt), r.CreatedIndex, r.ModifiedIndex, r.PeerVersion} {
		b = binary.AppendUvarint(b, n)
	}
	return r.packDefinition(b)
}

// packDefinition is what makes two routes of one key look alike: equal
// definitions have equal bytes.
func (r *Route) packDefinition(b []byte) []byte {
	b = packText(packText(b, r.Service.Endpoint), r.Service.Region)
	b = binary.AppendUvarint(b, uint64(len(r.Service.Tags)))
	if len(r.Service.Tags) > 0 {
		for _, key := range slices.Sorted(maps.Keys(r.Service.Tags)) {
			b = packText(packText(b, key), r.Service.Tags[key])
		}
	}
	if r.Local() {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(r.Path)))
	for _, site := range r.Path {
		b = packText(b, site)
	}
	return b
}

func packText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func packBool(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// unpacking reads a record from its beginning. A record was packed in this
// process, so it is sound.
type unpacking string

func (u *unpacking) uint() uint64 {
	if n := (*u)[0]; n < 0x80 { // most are
		*u = (*u)[1:]
		return uint64(n)
	}
	return u.long()
}

func (u *unpacking) long() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := (*u)[0]
		*u = (*u)[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (u *unpacking) text() string {
	n := u.uint()
	s := (*u)[:n]
	*u = (*u)[n:]
	return string(s)
}

func (r record) key() string {
	u := unpacking(r)
	return u.text()
}

// local tells whether it is of an own route.
func (r record) local() bool { return strings.IndexByte(r.key(), 0) < 0 }

func (r record) id() string {
	id, _, _ := strings.Cut(r.key(), "\x00")
	return id
}

// head is a record but for its definition, which is left packed.
type head struct {
	id, site, peer              string
	stale                       bool
	createdAt, modifiedAt       int64
	createdIndex, modifiedIndex uint64
	peerVersion                 uint64
	definition                  string
}

func (r record) head() (h head) {
	u := unpacking(r)
	id, origin, _ := strings.Cut(u.text(), "\x00")
	h.id = id
	h.site, h.peer, _ = strings.Cut(origin, "\x00")
	h.stale = u.uint() != 0
	h.createdAt, h.modifiedAt = int64(u.uint()), int64(u.uint())
	h.createdIndex, h.modifiedIndex = u.uint(), u.uint()
	h.peerVersion = u.uint()
	h.definition = string(u)
	return h
}

// route makes the Route of a record; nil of none.
func (t *Table) route(r record) *Route {
	if r == "" {
		return nil
	}
	route := new(Route)
	t.unpack(r, route)
	return route
}

// unpack makes it in place.
func (t *Table) unpack(r record, into *Route) {
	h := r.head()
	name, protocol, _ := strings.Cut(h.id, ":")
	u := unpacking(h.definition)
	*into = Route{
		Service: Service{Name: name, Protocol: Protocol(protocol), Endpoint: u.text(), Region: u.text(), Tags: u.tags()},
		Site:    h.site, Peer: h.peer, Stale: h.stale,
		CreatedAt: h.createdAt, ModifiedAt: h.modifiedAt,
		CreatedIndex: h.createdIndex, ModifiedIndex: h.modifiedIndex,
		PeerVersion: h.peerVersion, id: h.id,
	}
	if h.peer == "" {
		into.Site, into.Path = t.site, t.path
		return
	}
	into.Path = make([]string, u.uint())
	for i := range into.Path {
		into.Path[i] = u.text()
	}
}

func (u *unpacking) tags() map[string]string {
	n := u.uint()
	if n == 0 {
		return nil
	}
	tags := make(map[string]string, n)
	for range n {
		key := u.text()
		tags[key] = u.text()
	}
	return tags
}
