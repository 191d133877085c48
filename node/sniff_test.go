package node

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// sniff sends bytes to a sniffed end and returns what that read, and what it
// answered.
func sniff(t *testing.T, s *sniffed, sent string) (read, answered string, err error) {
	t.Helper()
	near, far := net.Pipe()
	s.Conn = far
	got := make(chan string, 1)
	go func() {
		_ = near.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = near.Write([]byte(sent))
		if s.tls == (sent[0] == tlsHandshake) {
			_ = near.Close() // it is heard: nothing comes back
		}
		answer, _ := io.ReadAll(near)
		got <- string(answer)
	}()
	data, err := io.ReadAll(s)
	_ = far.Close()
	return string(data), <-got, err
}

func TestWhoSpeaksOtherwiseIsToldSo(t *testing.T) {
	hello := "\x16\x03\x01rest of a hello"
	for name, c := range map[string]struct {
		end      *sniffed
		sent     string
		want     error
		answered string
	}{
		"plain to plain":         {&sniffed{}, "GET / HTTP/1.1", nil, ""},
		"TLS to TLS":             {&sniffed{tls: true, answer: "no"}, hello, nil, ""},
		"plain to TLS":           {&sniffed{tls: true, answer: plainAnswer("10.0.0.1:3000")}, "G", errPlainToTLS, "wss://10.0.0.1:3000/rpc"},
		"plain to TLS, for raft": {&sniffed{tls: true}, "c", errPlainToTLS, ""},
		"TLS to plain":           {&sniffed{}, hello[:1], errTLSToPlain, "HTTP/1.1 400"},
	} {
		read, answered, err := sniff(t, c.end, c.sent)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == nil && read != c.sent {
			t.Errorf("%s: read %q, want all of %q", name, read, c.sent)
		}
		if c.want != nil && read != "" {
			t.Errorf("%s: read %q, want nothing", name, read)
		}
		if !strings.Contains(answered, c.answered) || c.answered == "" && answered != "" {
			t.Errorf("%s: answered %q, want %q in it", name, answered, c.answered)
		}
	}
}

// A read of nothing must not swallow the byte that was looked at.
func TestTheFirstByteIsNotLost(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = near.Write([]byte("ab")); near.Close() }()
	s := &sniffed{Conn: far}
	if k, err := s.Read(nil); k != 0 || err != nil {
		t.Errorf("a read of nothing: %d, %v", k, err)
	}
	if data, err := io.ReadAll(s); string(data) != "ab" || err != nil {
		t.Errorf("read %q, %v; want ab", data, err)
	}
}

// A TLS client of a plain node gets an error of its TLS, not silence, and a
// plain node's own TLS is not asked for.
func TestATLSClientOfAPlainNodeFailsAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a kernel takes in the rest of the hello, a pipe would not
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		far, err := l.Accept()
		if err == nil {
			_, err = (&sniffed{Conn: far}).Read(make([]byte, 1))
		}
		done <- err
	}()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if err := tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Fatal("a plain node shook hands")
	}
	if err := <-done; !errors.Is(err, errTLSToPlain) {
		t.Errorf("the node says %v, want %v", err, errTLSToPlain)
	}
}
