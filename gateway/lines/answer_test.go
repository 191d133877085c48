package lines

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestAnswersOfHTTP(t *testing.T) {
	const limit = 40
	long := strings.Repeat("x", limit)
	for _, c := range []struct {
		name, text, body string
		status           int
		last             bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, false},
		{"case and space", "HTTP/1.1 200\ncontent-length:2 \nX:\n\n{}", "{}", 200, false},
		{"nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, false},
		{"as much as may be", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + long, long, 200, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n", "{}", 200, false},
		{"as many chunks as may be", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + long + "\r\n0\r\n\r\n", long, 200, false},
		{"chunks and length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", 200, true},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\n{}", "{}", 200, true},
		{"the last", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, true},
		{"older", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", "{}", 200, true},
		{"later", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", "{}", 500, false},
		{"a long header", "HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, false},

		{"too much", "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n" + long + "x", "too long", 0, true},
		{"too much to come", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "too long", 0, true},
		{"too much in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n29\r\n" + long + "x\r\n0\r\n\r\n", "too long", 0, true},
		{"too much to the end", "HTTP/1.1 200 OK\r\n\r\n" + long + "x", "too long", 0, true},
		{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20<<10), "not of HTTP", 0, true},
		{"a header without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100<<10), "not of HTTP", 0, true},
		{"always later", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), "not of HTTP", 0, true},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "not of HTTP", 0, true},
		{"newer", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"no number", "HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"long number", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"no HTTP", "220 mail.example.com ESMTP\r\n", "not of HTTP", 0, true},
		{"no colon", "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"bad value", "HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"folded", "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "not of HTTP", 0, true},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "not of HTTP", 0, true},
		{"length with sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", "not of HTTP", 0, true},
		{"packed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not of HTTP", 0, true},
		{"older chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "not of HTTP", 0, true},
		{"bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx\r\n\r\n", "not of HTTP", 0, true},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n", "invalid byte", 0, true},
		{"broken off", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "EOF", 0, true},
		{"broken off in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}", "EOF", 0, true},
		{"broken off after it", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "EOF", 0, true},
		{"broken off early", "HTTP/1.1 200 OK\r\nContent-Le", "EOF", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			a, err := readAnswer(bufio.NewReaderSize(strings.NewReader(c.text), 4<<10), limit, &buf)
			if err != nil {
				a.Status = 0
			}
			if err != nil && !strings.Contains(err.Error(), c.body) || err == nil && buf.String() != c.body {
				t.Errorf("got %q, %v, want %q", buf.String(), err, c.body)
			}
			if a.Status != c.status || err == nil && a.last != c.last {
				t.Errorf("got status %d, last %v, %v, want %d, %v", a.Status, a.last, err, c.status, c.last)
			}
		})
	}
}

// FuzzAnswer: what is taken is what net/http takes it for, and ends where that ends.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200\ncontent-length:2 \nX:\n\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nT: x\r\n\r\nmore",
		"HTTP/1.0 204 No\r\nConnection: a, close\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, text []byte) {
		var got bytes.Buffer
		ours := bufio.NewReader(bytes.NewReader(text))
		a, err := readAnswer(ours, limit, &got)
		if err != nil {
			return
		}
		theirs := bufio.NewReader(bytes.NewReader(text))
		response := &http.Response{StatusCode: 100}
		for response.StatusCode < 200 {
			if response, err = http.ReadResponse(theirs, nil); err != nil {
				t.Fatalf("%q was taken: %v", text, err)
			}
		}
		body, err := io.ReadAll(response.Body)
		if err != nil && strings.Contains(err.Error(), "trailer") {
			return // it wants carriage returns in there
		}
		if err != nil || response.StatusCode != a.Status || !bytes.Equal(body, got.Bytes()) {
			t.Fatalf("%q: got %d and %q, want %d and %q, %v", text, a.Status, got.Bytes(), response.StatusCode, body, err)
		}
		if a.last {
			return
		}
		if response.Close {
			t.Fatalf("%q: another answer is awaited", text)
		}
		left, _ := io.ReadAll(ours)
		want, _ := io.ReadAll(theirs)
		if !bytes.Equal(left, want) {
			t.Fatalf("%q: %q is left, want %q", text, left, want)
		}
	})
}

// TestAnswersComeInPieces: where a packet ends says nothing.
func TestAnswersComeInPieces(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
	for at := 1; at < len(text); at++ {
		near, far := net.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, far, 4)
			_, _ = io.WriteString(far, text[:at])
			_, _ = io.WriteString(far, text[at:])
		}()
		c := newLine(near)
		c.out = []byte("POST")
		var buf bytes.Buffer
		a, err := c.ask(t.Context(), 10, &buf)
		if err != nil || a.last || buf.String() != "{}" {
			t.Errorf("in two at %d: got %+v, %q, %v", at, a, buf.String(), err)
		}
		near.Close()
		far.Close()
	}
}
