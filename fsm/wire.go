package fsm

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// scanner walks the fields of one message in protobuf's wire format. Texts
// are cut from the string, which holds the same bytes, so that a whole log
// entry is copied once. The first error ends the walk and stays in err.
//
//	for s.next() {
//		switch s.field {
//		case 1:
//			name = s.text()
//		}
//	}
type scanner struct {
	bytes []byte
	whole string
	field protowire.Number
	err   error

	kind     protowire.Type
	number   uint64
	from, to int // of the text in whole
	at       int
}

var errTorn = errors.New("the data is torn")

func scan(data []byte) scanner { return scanner{bytes: data, whole: string(data)} }

// next moves to the next field; what the caller does not look at is skipped.
func (s *scanner) next() bool {
	if s.err != nil || s.at >= len(s.bytes) {
		return false
	}
	var n int
	s.field, s.kind, n = protowire.ConsumeTag(s.bytes[s.at:])
	if n < 0 {
		s.err = errTorn
		return false
	}
	s.at += n
	rest := s.bytes[s.at:]
	switch s.kind {
	case protowire.VarintType:
		s.number, n = protowire.ConsumeVarint(rest)
	case protowire.BytesType:
		var b []byte
		b, n = protowire.ConsumeBytes(rest)
		s.from, s.to = s.at+n-len(b), s.at+n
	default:
		n = protowire.ConsumeFieldValue(s.field, s.kind, rest)
	}
	if n < 0 {
		s.err = errTorn
		return false
	}
	s.at += n
	return true
}

func (s *scanner) uint() uint64 {
	s.expect(protowire.VarintType)
	return s.number
}

func (s *scanner) text() string {
	if !s.expect(protowire.BytesType) {
		return ""
	}
	return s.whole[s.from:s.to]
}

// message is the field's value as fields of its own.
func (s *scanner) message() scanner {
	if !s.expect(protowire.BytesType) {
		return scanner{err: s.err}
	}
	return scanner{bytes: s.bytes[s.from:s.to], whole: s.whole[s.from:s.to]}
}

// absorb takes over the error of a message within.
func (s *scanner) absorb(inner *scanner) {
	if s.err == nil {
		s.err = inner.err
	}
}

func (s *scanner) expect(kind protowire.Type) bool {
	if s.kind != kind {
		s.fail(fmt.Errorf("field %d has wire type %d, not %d", s.field, s.kind, kind))
		s.number = 0
		return false
	}
	return true
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// The appenders leave out zero values, which read back as zero.

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBool(b []byte, field protowire.Number, v bool) []byte {
	return appendUint(b, field, protowire.EncodeBool(v))
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// appendTexts keeps empty texts: their place counts.
func appendTexts(b []byte, field protowire.Number, texts []string) []byte {
	for _, s := range texts {
		b = protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
	}
	return b
}

// appendMessage writes a message field in place: the body first, then its
// length moved in front of it.
func appendMessage(b []byte, field protowire.Number, body func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	start := len(b)
	b = body(append(b, 0)) // most lengths take one byte, else the body moves
	size := len(b) - start - 1
	if size < 0x80 {
		b[start] = byte(size)
		return b
	}
	var length [10]byte
	n := len(protowire.AppendVarint(length[:0], uint64(size)))
	b = append(b, length[:n-1]...)
	copy(b[start+n:], b[start+1:start+1+size])
	protowire.AppendVarint(b[start:start], uint64(size))
	return b
}
