package peering

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"iter"
	"maps"
	"slices"

	"github.com/catalyst/orchestrator/fsm"
)

// Digest tells what one side has told the other, in few bytes.
type Digest struct {
	Routes int    `json:"routes"`
	Sum    string `json:"sum"` // of the routes' hashes, so that their order does not matter
}

// Comparison is the answer to a Digest.
type Comparison struct {
	Same bool `json:"same"`
}

// digest sums up routes with their paths as the receiver has them.
func digest(routes iter.Seq2[*fsm.Route, []string]) Digest {
	var d Digest
	var sum uint64
	h := hashing{Hash64: fnv.New64a()}
	for r, path := range routes {
		d.Routes++
		sum += h.route(r, path)
	}
	d.Sum = fmt.Sprintf("%016x", sum)
	return d
}

type hashing struct {
	hash.Hash64
	room []byte
}

// route hashes all that an announcement says. FNV-1a alone is too regular to
// be added up; the last step mixes it (the finalizer of MurmurHash3).
func (h *hashing) route(r *fsm.Route, path []string) uint64 {
	h.Reset()
	h.text(r.ID(), r.Site, r.Service.Endpoint, r.Service.Region)
	for _, key := range slices.Sorted(maps.Keys(r.Service.Tags)) {
		h.text(key, r.Service.Tags[key])
	}
	h.text(path...)
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// text adds texts, each with its length, and how many they are.
func (h *hashing) text(texts ...string) {
	h.room = binary.AppendUvarint(h.room[:0], uint64(len(texts)))
	for _, t := range texts {
		h.room = append(binary.AppendUvarint(h.room, uint64(len(t))), t...)
	}
	_, _ = h.Write(h.room)
}

// told is the digest of what a peer is told of a table.
func (x export) told(t *fsm.Table) Digest {
	return digest(func(yield func(*fsm.Route, []string) bool) {
		for r := range x.all(t) {
			if !yield(r, pathFrom(t, r)) {
				return
			}
		}
	})
}

// held is the digest of what a table has from a peer.
func held(t *fsm.Table, peer string) Digest {
	return digest(func(yield func(*fsm.Route, []string) bool) {
		for r := range t.Learned(peer) {
			if !yield(r, r.Path) {
				return
			}
		}
	})
}
