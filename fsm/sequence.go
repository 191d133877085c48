package fsm

import (
	"iter"
	"sync/atomic"
)

const chunkSize = 512

// sequence is a persistent queue of numbered items [first, next): a value to
// which an edit appends at the end and from which it drops at the front, both
// in constant time. Sequences derived from one base share their chunks. Only
// the first to append after a base gets the slots behind it; any other copies
// the last chunk, so a slot that a reader can see is never written again.
type sequence[T any] struct {
	chunks      []*chunk[T] // the first holds item number first
	first, next uint64
}

type chunk[T any] struct {
	claimed atomic.Int64 // slots given away, by whichever derived sequence
	items   [chunkSize]T
}

// startingAt is an empty sequence whose first item will have this number.
func startingAt[T any](number uint64) sequence[T] {
	return sequence[T]{first: number, next: number}
}

func (s sequence[T]) len() int { return int(s.next - s.first) }

// at returns item number i, which must be in [first, next).
func (s sequence[T]) at(i uint64) T { return *s.slot(i) }

func (s sequence[T]) slot(i uint64) *T {
	return &s.chunks[i/chunkSize-s.first/chunkSize].items[i%chunkSize]
}

func (s *sequence[T]) append(item T) {
	at := int64(s.next % chunkSize)
	if at == 0 || len(s.chunks) == 0 {
		s.chunks = append(s.chunks[:len(s.chunks):len(s.chunks)], newChunk[T](at))
	}
	last := s.chunks[len(s.chunks)-1]
	if !last.claimed.CompareAndSwap(at, at+1) {
		mine := newChunk[T](at + 1)
		copy(mine.items[:at], last.items[:at])
		s.chunks = append(s.chunks[:len(s.chunks)-1:len(s.chunks)-1], mine)
		last = mine
	}
	last.items[at] = item
	s.next++
}

func newChunk[T any](claimed int64) *chunk[T] {
	c := new(chunk[T])
	c.claimed.Store(claimed)
	return c
}

// drop forgets the first item. What it held stays reachable until its whole
// chunk has been dropped.
func (s *sequence[T]) drop() {
	s.first++
	if s.first%chunkSize == 0 || s.first == s.next {
		s.release()
	}
}

func (s *sequence[T]) release() {
	if s.first == s.next {
		s.chunks = nil
		return
	}
	s.chunks = s.chunks[1:]
}

// from walks the items from number i on, which must not be before the first.
func (s sequence[T]) from(i uint64) iter.Seq2[uint64, T] {
	return func(yield func(uint64, T) bool) {
		for ; i < s.next; i++ {
			if !yield(i, s.at(i)) {
				return
			}
		}
	}
}
