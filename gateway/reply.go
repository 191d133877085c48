package gateway

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

// reply is what is to be known of an answer beside its body.
type reply struct {
	status int
	media  string // its Content-Type, when status is not OK
	last   bool   // no other can come on this line

	old     bool  // of HTTP/1.0
	length  int64 // of the body; -1 when it was not said
	chunked bool
}

const (
	headBytes = 64 << 10 // of status line and headers, and of a trailer
	interims  = 5        // answers that say that there will be one (RFC 9110 §15.2)
)

var errGarbled = errors.New("the answer is not of HTTP")

// readAnswer reads an answer of HTTP/1 (RFC 9112), its body into buf.
func readAnswer(r *bufio.Reader, limit int64, buf *bytes.Buffer) (a reply, err error) {
	for range interims + 1 {
		if a, err = readAnswerHead(r); err != nil || a.status >= 200 {
			break
		}
	}
	switch {
	case err != nil:
		return a, err
	case a.status < 200:
		return a, errGarbled
	}
	return a, a.readBody(r, limit, buf)
}

func readAnswerHead(r *bufio.Reader) (reply, error) {
	a := reply{length: -1}
	left := headBytes
	line, err := readLine(r, &left)
	if err == nil && !a.begin(line) {
		err = errGarbled
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
			return errGarbled
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
			return nil, errGarbled
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
func (a *reply) begin(line []byte) bool {
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
		a.status = a.status*10 + int(b-'0')
	}
	return a.status >= 100 && a.status != http.StatusSwitchingProtocols && (len(rest) == 0 || rest[0] == ' ')
}

// set takes a header.
func (a *reply) set(name, value []byte) bool {
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
	case a.status != http.StatusOK && bytes.EqualFold(name, []byte("Content-Type")):
		a.media = string(value)
	}
	return true
}

// readBody reads as RFC 9112 §6.3 says.
func (a *reply) readBody(r *bufio.Reader, limit int64, buf *bytes.Buffer) error {
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		return nil
	case a.chunked:
		a.last = a.last || a.length >= 0 // somebody on the way may have taken it otherwise
		if err := readUpTo(buf, httputil.NewChunkedReader(r), limit); err != nil {
			return err
		}
		left := headBytes
		return readFields(r, &left, func(_, _ []byte) bool { return true })
	case a.length < 0:
		a.last = true
		return readUpTo(buf, r, limit)
	case a.length > limit:
		return errTooLong
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
