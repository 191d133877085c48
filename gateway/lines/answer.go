package lines

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
)

// Answer is what is to be known of an answer beside its body.
type Answer struct {
	Status int
	Media  string // its Content-Type, when Status is not 200

	last bool // no other can come on this line

	old     bool  // of HTTP/1.0
	length  int64 // of the body; -1 when it was not said
	chunked bool
}

const (
	headBytes = 64 << 10 // of status line and headers, and of a trailer
	interims  = 5        // answers that say that there will be one (RFC 9110 §15.2)
)

var (
	// ErrGarbled is that an answer is not of HTTP/1, or not as lines read it.
	ErrGarbled = errors.New("the answer is not of HTTP")
	// ErrTooLong is that a body is longer than the limit.
	ErrTooLong = errors.New("the answer is too long")
)

// readAnswer reads an answer of HTTP/1 (RFC 9112), its body into buf.
func readAnswer(r *bufio.Reader, limit int64, buf *bytes.Buffer) (a Answer, err error) {
	for range interims + 1 {
		if a, err = readAnswerHead(r); err != nil || a.Status >= 200 {
			break
		}
	}
	switch {
	case err != nil:
		return a, err
	case a.Status < 200:
		return a, ErrGarbled
	}
	return a, a.readBody(r, limit, buf)
}

func readAnswerHead(r *bufio.Reader) (Answer, error) {
	a := Answer{length: -1}
	left := headBytes
	line, err := readLine(r, &left)
	if err == nil && !a.begin(line) {
		err = ErrGarbled
	}
	if err == nil {
		err = readFields(r, &left, a.set)
	}
	return a, err
}

// readFields reads headers, or a trailer, to the empty line that ends them.
func readFields(r *bufio.Reader, left *int, set func(name, value []byte) bool) error {
	for {
		line, err := readLine(r, left)
		if err != nil || len(line) == 0 {
			return err
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		if !ok || !isToken(name) || bytes.ContainsFunc(value, isControl) || !set(name, value) {
			return ErrGarbled
		}
	}
}

// isToken says whether name can be that of a header (RFC 9110 §5.6.2).
func isToken(name []byte) bool {
	for _, b := range name {
		if !isDigit(b) && (b|0x20 < 'a' || 'z' < b|0x20) && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return len(name) > 0
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// readLine reads a line that may be longer than r's buffer, but not than left.
// It is valid until the next one.
func readLine(r *bufio.Reader, left *int) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return nil, ErrGarbled
		}
		if long != nil || err != nil {
			long = append(long, part...)
			part = long
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(part[:len(part)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// begin takes the status line, as in "HTTP/1.1 200 OK".
func (a *Answer) begin(line []byte) bool {
	const version = len("HTTP/1.1")
	if len(line) < version+len(" 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[version] != ' ' {
		return false
	}
	switch line[version-1] {
	case '0':
		a.old, a.last = true, true
	case '1':
	default:
		return false
	}
	code, rest := line[version+1:version+4], line[version+4:]
	for _, b := range code {
		if !isDigit(b) {
			return false
		}
		a.Status = a.Status*10 + int(b-'0')
	}
	return a.Status >= 100 && a.Status != http.StatusSwitchingProtocols && (len(rest) == 0 || rest[0] == ' ')
}

// set takes a header.
func (a *Answer) set(name, value []byte) bool {
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || a.length >= 0 {
			return false
		}
		a.length = int64(n)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if a.chunked || a.old || !bytes.EqualFold(value, []byte("chunked")) {
			return false
		}
		a.chunked = true
	case bytes.EqualFold(name, []byte("Connection")):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			a.last = a.last || bytes.EqualFold(bytes.Trim(option, " \t"), []byte("close"))
		}
	case a.Status != http.StatusOK && bytes.EqualFold(name, []byte("Content-Type")):
		a.Media = string(value)
	}
	return true
}

// readBody reads as RFC 9112 §6.3 says.
func (a *Answer) readBody(r *bufio.Reader, limit int64, buf *bytes.Buffer) error {
	switch {
	case a.Status == http.StatusNoContent || a.Status == http.StatusNotModified:
		return nil
	case a.chunked:
		a.last = a.last || a.length >= 0 // somebody on the way may have taken it otherwise
		if err := ReadUpTo(buf, httputil.NewChunkedReader(r), limit); err != nil {
			return err
		}
		left := headBytes
		return readFields(r, &left, func(_, _ []byte) bool { return true })
	case a.length < 0:
		a.last = true
		return ReadUpTo(buf, r, limit)
	case a.length > limit:
		return ErrTooLong
	}
	return readExactly(buf, r, a.length)
}

// readExactly makes no room for what has not come yet, or hardly.
func readExactly(buf *bytes.Buffer, r io.Reader, length int64) error {
	for length > 0 {
		n := int(min(length, 64<<10))
		buf.Grow(n)
		piece := buf.AvailableBuffer()[:n]
		if _, err := io.ReadFull(r, piece); err != nil {
			return err
		}
		buf.Write(piece)
		length -= int64(n)
	}
	return nil
}

// ReadUpTo reads a body of at most limit bytes.
func ReadUpTo(buf *bytes.Buffer, r io.Reader, limit int64) error {
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = ErrTooLong
	}
	return err
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
