package transport

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// scanner reads JSON (RFC 8259) from one message, which is valid UTF-8. Its
// errors are violations: they abort the session.
type scanner struct {
	data   []byte
	pos    int
	keys   *keyCache
	shared string // data as a string, once there is one
}

func (s *scanner) malformed(want string) error {
	if s.pos >= len(s.data) {
		return violation("bad RPC message: ends at byte %d: want %s", s.pos, want)
	}
	return violation("bad RPC message: %q at byte %d: want %s", s.data[s.pos], s.pos, want)
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.malformed(strconv.QuoteRune(rune(c)))
	}
	s.pos++
	return nil
}

// accept takes c if it comes next.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.peek() != 0 || s.pos < len(s.data) {
		return s.malformed("nothing more")
	}
	return nil
}

func (s *scanner) word(w string) error {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.malformed(w)
	}
	s.pos += len(w)
	return nil
}

// number reads a number; one too large for a float64 is an infinity, as in
// JavaScript.
func (s *scanner) number() (float64, error) {
	start := s.pos
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if !s.digits() {
		return 0, s.malformed("a digit")
	}
	integer := true
	if s.at('.') {
		s.pos++
		integer = false
		if !s.digits() {
			return 0, s.malformed("a digit")
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		integer = false
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if !s.digits() {
			return 0, s.malformed("a digit")
		}
	}
	text := s.data[start:s.pos]
	if integer && len(text) < 16 {
		return smallInteger(text), nil
	}
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	return f, nil
}

func smallInteger(text []byte) float64 {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	var n int64
	for _, c := range text {
		n = n*10 + int64(c-'0')
	}
	if negative {
		return -float64(n) // keeps -0
	}
	return float64(n)
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' < 10 {
		s.pos++
	}
	return s.pos > start
}

// integer reads an id or a count: a whole number that JavaScript can hold.
func (s *scanner) integer() (int64, error) {
	if c := s.peek(); c != '-' && c-'0' >= 10 {
		return 0, s.malformed("a whole number")
	}
	start := s.pos
	f, err := s.number()
	if err != nil {
		return 0, err
	}
	if f != float64(int64(f)) || f > 1<<53 || f < -1<<53 {
		s.pos = start
		return 0, s.malformed("a whole number")
	}
	return int64(f), nil
}

// text reads a string.
func (s *scanner) text() (string, error) {
	raw, plain, err := s.raw()
	if err != nil {
		return "", err
	}
	if plain {
		return s.string(raw), nil
	}
	return unescape(raw), nil
}

// string copies raw, which was just read. The strings of a short message share one copy of it: one
// of them keeps the others, but not much more.
func (s *scanner) string(raw []byte) string {
	if len(s.data) > shortMessage {
		return string(raw)
	}
	if s.shared == "" {
		s.shared = string(s.data)
	}
	end := s.pos - len(`"`)
	return s.shared[end-len(raw) : end]
}

const shortMessage = 512 // bytes

// key reads an object's key or a method's name; those that come often are
// kept rather than allocated again.
func (s *scanner) key() (string, error) {
	raw, plain, err := s.raw()
	if err != nil {
		return "", err
	}
	if plain {
		return s.keys.get(raw).text, nil
	}
	return unescape(raw), nil
}

// raw reads a string and returns what stands between its quotes; plain means
// that it has no escapes. Escapes are checked here.
func (s *scanner) raw() (raw []byte, plain bool, err error) {
	if err := s.expect('"'); err != nil {
		return nil, false, err
	}
	start, plain := s.pos, true
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], plain, nil
		case c == '\\':
			plain = false
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, s.malformed("no control character in a string")
		default:
			s.pos++
		}
	}
	return nil, false, s.malformed(`'"'`)
}

func (s *scanner) escape() error {
	s.pos++
	if s.pos >= len(s.data) {
		return s.malformed("an escape")
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if s.pos >= len(s.data) || hexValue(s.data[s.pos]) < 0 {
				return s.malformed("a hexadecimal digit")
			}
			s.pos++
		}
		return nil
	}
	return s.malformed("an escape")
}

// unescape undoes the escapes of a string that raw has checked. Half a
// surrogate pair, which JavaScript can send, becomes U+FFFD.
func unescape(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hexRune(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) && i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
				if pair := utf16.DecodeRune(r, hexRune(raw[i+3:])); pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func hexRune(digits []byte) rune {
	var r rune
	for _, c := range digits[:4] {
		r = r<<4 | rune(hexValue(c))
	}
	return r
}

func hexValue(c byte) int {
	switch {
	case c-'0' < 10:
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
