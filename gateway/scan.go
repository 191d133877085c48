package gateway

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep JSON may nest, of clients and of services.
const maxNesting = 512

// cursor reads JSON text (RFC 8259) in place. It checks what it passes: a value
// that it has skipped can be copied into other JSON as it is. Text must be
// checked for UTF-8 beforehand. Methods that return false leave at where the
// fault is.
type cursor struct {
	text []byte
	at   int
}

// peek passes white space and returns the next byte, 0 at the end.
func (c *cursor) peek() byte {
	for ; c.at < len(c.text); c.at++ {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

// take passes b if that is next.
func (c *cursor) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

// ended says that nothing but white space is left.
func (c *cursor) ended() bool {
	c.peek()
	return c.at == len(c.text)
}

// value passes the next value and returns its text.
func (c *cursor) value() ([]byte, bool) {
	c.peek()
	start := c.at
	if !c.skip(0) {
		return nil, false
	}
	return c.text[start:c.at], true
}

func (c *cursor) skip(depth int) bool {
	switch b := c.peek(); b {
	case '{':
		return depth < maxNesting && c.skipObject(depth)
	case '[':
		return depth < maxNesting && c.skipArray(depth)
	case '"':
		_, ok := c.string()
		return ok
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *cursor) skipObject(depth int) bool {
	c.at++
	for first := true; ; first = false {
		_, more, ok := c.key(first)
		if !ok || !more {
			return ok
		}
		if !c.skip(depth + 1) {
			return false
		}
	}
}

func (c *cursor) skipArray(depth int) bool {
	c.at++
	for first := true; ; first = false {
		more, ok := c.element(first)
		if !ok || !more {
			return ok
		}
		if !c.skip(depth + 1) {
			return false
		}
	}
}

// key passes the next key of an object, up to its value, or the object's end.
// The key is as it stands there, without its quotes.
func (c *cursor) key(first bool) (key []byte, more, ok bool) {
	if c.take('}') {
		return nil, false, true
	}
	if !first && !c.take(',') || c.peek() != '"' {
		return nil, false, false
	}
	key, ok = c.string()
	return key, true, ok && c.take(':')
}

// element passes what stands before the next element of an array, or its end.
func (c *cursor) element(first bool) (more, ok bool) {
	if c.take(']') {
		return false, true
	}
	return true, first || c.take(',')
}

func (c *cursor) literal(word string) bool {
	if !bytes.HasPrefix(c.text[c.at:], []byte(word)) {
		return false
	}
	c.at += len(word)
	return true
}

// string passes a string and returns what is between its quotes, with its
// escapes.
func (c *cursor) string() ([]byte, bool) {
	start := c.at + 1
	for i := start; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '"':
			c.at = i + 1
			return c.text[start:i], true
		case b < ' ':
			c.at = i
			return nil, false
		case b == '\\':
			n := escapeLength(c.text[i:])
			if n == 0 {
				c.at = i
				return nil, false
			}
			i += n - 1
		}
	}
	c.at = len(c.text)
	return nil, false
}

// escapeLength is how long the escape is with which text begins, 0 if it is
// none.
func escapeLength(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) < 6 {
			return 0
		}
		for _, b := range text[2:6] {
			if !isHex(b) {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isHex(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func (c *cursor) number() bool {
	c.passByte('-')
	if !c.passByte('0') && !c.digits() {
		return false
	}
	if c.passByte('.') && !c.digits() {
		return false
	}
	if c.passByte('e') || c.passByte('E') {
		if !c.passByte('+') {
			c.passByte('-')
		}
		return c.digits()
	}
	return true
}

func (c *cursor) passByte(b byte) bool {
	if c.at == len(c.text) || c.text[c.at] != b {
		return false
	}
	c.at++
	return true
}

func (c *cursor) digits() bool {
	start := c.at
	for c.at < len(c.text) && isDigit(c.text[c.at]) {
		c.at++
	}
	return c.at > start
}

// unescape returns the characters of a string that a cursor has passed. Halves
// of surrogate pairs that stand alone become U+FFFD.
func unescape(raw []byte) []byte {
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return raw
	}
	out := append(make([]byte, 0, len(raw)), raw[:i]...)
	for i < len(raw) {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if raw[i+1] != 'u' {
			out = append(out, shortEscape(raw[i+1]))
			i += 2
			continue
		}
		r, n := unicodeEscape(raw[i:])
		out = utf8.AppendRune(out, r)
		i += n
	}
	return out
}

func shortEscape(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return b
}

// unicodeEscape reads \uXXXX, or a pair of them.
func unicodeEscape(raw []byte) (rune, int) {
	r := hexRune(raw[2:6])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(raw[8:12])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits), 16, 32) // they are hex: escapeLength has seen them
	return rune(n)
}

// appendQuoted appends text as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r < ' ' || r == 0x7f:
			out = append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

var null = []byte("null")

func isNull(value []byte) bool { return len(value) == 4 && value[0] == 'n' }
