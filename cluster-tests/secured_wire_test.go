package clustertests

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startOwn starts a site of three nodes whose certificates are of an operator's own authority.
func startOwn(t testing.TB, a *authority) *site {
	t.Helper()
	s := &site{owner: t, token: []any{"admin-of-ours" + unprintable}}
	for _, id := range []string{"a", "b", "c"} {
		n := newNode(t, id, append(a.flags(t, "ours", id), "--site", "ours", "--bootstrap-expect", "3", "--gateway-endpoint=")...)
		n.env = []string{fmt.Sprint("CATALYST_ADMIN_TOKEN=", s.token[0]), "CATALYST_GOSSIP_KEY=" + gossipKey}
		n.trust = trusting(t, a.file)
		s.nodes = append(s.nodes, n)
		if id == "a" {
			n.start(t, anyPort)
		} else {
			n.start(t, anyPort, "--join", s.nodes[0].at.Gossip)
		}
	}
	s.driver = startDriver(t, "NODE_EXTRA_CA_CERTS="+a.file)
	s.complete(t, 3)
	return s
}

// stranger is somebody at an address of loopback that nobody else uses, so that a node's log tells what it says of him.
type stranger struct{ address string }

// newStrangers gives an address to each.
func newStrangers() func() stranger {
	next := 1
	return func() stranger {
		next++
		return stranger{fmt.Sprint("127.0.0.", next)}
	}
}

func (x stranger) dial(t testing.TB, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(x.address)}, Timeout: patience}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// isRefused asserts that the other end hangs up, and returns what came before.
func isRefused(t testing.TB, what string, c net.Conn) string {
	t.Helper()
	text, err := io.ReadAll(io.LimitReader(c, 1<<16))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection stays open", what)
	}
	return string(text)
}

// saidOf waits until a node's log complains of somebody, and returns how.
func (n *node) saidOf(t testing.TB, x stranger) string {
	t.Helper()
	var said string
	eventually(t, n.id+" complains of "+x.address, func() error {
		file, err := os.Open(n.log.Name())
		if err != nil {
			return err
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var l struct{ Level, Msg, From, Err string }
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.From == x.address {
				said = l.Level + " " + l.Msg + ": " + l.Err
				return nil
			}
		}
		return errors.New("not yet")
	})
	return said
}

// greeting is what a node says first at a Raft port.
func greeting(t testing.TB, fields map[string]string) []byte {
	t.Helper()
	body := asJSON(fields)
	return append(binary.BigEndian.AppendUint16([]byte("catalyst1"), uint16(len(body))), body...)
}

// identity is the node.json of a node, which a thief may have read.
func (n *node) identity(t testing.TB) (id struct{ Site, SiteID, Node, Instance string }) {
	t.Helper()
	eventually(t, n.id+" has written down of which site it is", func() error {
		text, err := os.ReadFile(filepath.Join(n.dir, "node.json"))
		if err != nil {
			return err
		}
		id = decode[struct {
			Data struct{ Site, SiteID, Node, Instance string }
		}](t, text).Data
		if id.SiteID == "" || id.Instance == "" {
			return fmt.Errorf("%+v", id)
		}
		return nil
	})
	return id
}

// undisturbed runs f, and asserts that the site has the leader, the term and the members of before.
func (s *site) undisturbed(t *testing.T, f func()) {
	t.Helper()
	before := s.leaderStatus(t)
	f()
	after := s.leaderStatus(t)
	if after.Leader != before.Leader || after.Term != before.Term || after.Voters != before.Voters || after.Tolerates != before.Tolerates {
		t.Errorf("the site went from %s to %s", asJSON(before), asJSON(after))
	}
	everyoneShows(t, s, s.driver.name("undisturbed"))
}

// TestRaftPort: who has no certificate of a node of this site gets no word in, and the log says what was wrong with him.
func TestRaftPort(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := startOwn(t, ours)
	next := newStrangers()
	target := s.leader(t)
	b, c := s.node(t, "b").identity(t), s.node(t, "c").identity(t)
	if target.id == "b" || target.id == "c" {
		target = s.nodes[0] // one of whom is greeted as b and c
	}
	asNode := func(id struct{ Site, SiteID, Node, Instance string }) map[string]string {
		return map[string]string{"site": id.Site, "siteId": id.SiteID, "node": id.Node, "instance": id.Instance}
	}
	var told strings.Builder
	s.undisturbed(t, func() {
		for _, plain := range []struct {
			what  string
			bytes []byte
		}{
			{"plain HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
			{"a Raft request of old", []byte{0, 0x84, 0xa4, 'T', 'e', 'r', 'm', 0xcf, 0, 0, 0, 0, 0, 0, 1, 0}},
			{"a greeting in clear", greeting(t, asNode(b))},
			{"noise", []byte(strings.Repeat("\x00\xff\x13\x37", 4096))},
			{"noise that looks like TLS", append([]byte{0x16, 3, 1, 0xff, 0xff}, strings.Repeat("\x99", 1<<15)...)},
		} {
			x := next()
			conn := x.dial(t, target.at.Raft)
			_, _ = conn.Write(plain.bytes) // it may have hung up already
			isRefused(t, plain.what, conn)
			fmt.Fprintf(&told, "%s\n  %s\n", plain.what, target.saidOf(t, x))
		}
		shows := func(a *authority, site, role, name string) *tls.Certificate {
			c := a.issue(t, site, role, name)
			return &c
		}
		for _, shown := range []struct {
			what  string
			cert  *tls.Certificate
			greet map[string]string
		}{
			{"TLS without a certificate", nil, nil},
			{"a client's certificate, stolen", shows(ours, "ours", "client", "ops"), asNode(b)},
			{"a node of another authority", shows(theirs, "ours", "node", "b"), asNode(b)},
			{"a node of another site of the same authority", shows(ours, "rome", "node", "b"), asNode(b)},
			{"the certificate of b, the greeting of c", shows(ours, "ours", "node", "b"), asNode(c)},
			{"the certificate of b, another directory", shows(ours, "ours", "node", "b"),
				map[string]string{"site": b.Site, "siteId": b.SiteID, "node": "b", "instance": "ANOTHER"}},
			{"the certificate of b, the state of another site", shows(ours, "ours", "node", "b"),
				map[string]string{"site": b.Site, "siteId": "7ab1c000-0000-4000-8000-000000000000", "node": "b", "instance": b.Instance}},
			{"the certificate of b, no greeting", shows(ours, "ours", "node", "b"), nil},
		} {
			x := next()
			conn := tls.Client(x.dial(t, target.at.Raft), &tls.Config{
				InsecureSkipVerify: true,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return cmp.Or(shown.cert, &tls.Certificate{}), nil // also one that was not asked for
				},
			})
			hello := []byte("GET / HTTP/1.1\r\n\r\n")
			if shown.greet != nil {
				hello = greeting(t, shown.greet)
			}
			_, _ = conn.Write(hello)
			answer := isRefused(t, shown.what, conn)
			said := target.saidOf(t, x)
			if strings.Contains(answer, "catalyst1") && !strings.Contains(answer, `"refusal"`) {
				t.Errorf("%s: it was greeted: %q", shown.what, answer)
			}
			fmt.Fprintf(&told, "%s\n  %s\n", shown.what, said)
		}
	})
	// The certificate of a removed member is good until it ends, and opens nothing any more.
	client := s.dial(t, target)
	insist(t, client, action{Resource: "member", Action: "remove", Data: args{"id": "c"}})
	client.close(t)
	s.node(t, "c").await(t)
	s.complete(t, 2)
	x := next()
	conn := tls.Client(x.dial(t, target.at.Raft), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{ours.issue(t, "ours", "node", "c")}})
	_, _ = conn.Write(greeting(t, asNode(c)))
	if answer := isRefused(t, "a removed member", conn); !strings.Contains(answer, `"refusal"`) {
		t.Errorf("a removed member is greeted: %q", answer)
	}
	fmt.Fprintf(&told, "a member that was removed\n  %s\n", target.saidOf(t, x))
	says(t, "raft-port", regexp.MustCompile(`127\.0\.0\.\d+:\d+`).ReplaceAllString(told.String(), "ADDRESS"))
	s.logsEvents(t)
}

// logsEvents asserts that the log of each node that runs is JSON, line by line.
func (s *site) logsEvents(t testing.TB) {
	t.Helper()
	for _, n := range s.running() {
		for _, l := range strings.Split(string(tail(n.log.Name(), 1<<20)), "\n") {
			if l != "" && !json.Valid([]byte(l)) {
				t.Errorf("the log of %s has a line that is no event: %s", n.id, l)
			}
		}
	}
}

// TestRPCPort: plain text where TLS is spoken, TLS where plain text is, and who trusts another authority.
func TestRPCPort(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := startOwn(t, ours)
	plain := newNode(t, "plain", "--gateway-endpoint=")
	plain.start(t, anyPort)
	elsewhere := startSecured(t, 1)
	token := s.ownToken(t, ours, "operator")
	at := s.nodes[1].at.RPC

	s.undisturbed(t, func() {
		for _, c := range []struct {
			name string
			env  string
			args []string
		}{
			{"wire-plain-to-tls", "", []string{"status", "--address", "ws://" + at}},
			{"wire-token-kept-from-plain", "CATALYST_TOKEN=" + token.Token, []string{"status", "--address", "ws://" + at}},
			{"wire-tls-to-plain", "CATALYST_TOKEN=" + token.Token, []string{"status", "--address", plain.at.RPC}},
			{"wire-tls-to-plain-by-url", "", []string{"status", "--address", "wss://" + plain.at.RPC}},
			{"wire-unknown-authority", "CATALYST_TOKEN=" + fmt.Sprint(s.token[0]), []string{"status", "--address", "wss://" + at}},
			{"wire-wrong-ca-file", "CATALYST_TOKEN=" + fmt.Sprint(s.token[0]), []string{"status", "--address", at, "--ca-file", theirs.file}},
			{"wire-wrong-pin", "CATALYST_TOKEN=" + elsewhere.given.AdminToken, []string{"status", "--address", at}},
			{"wire-raft-port", "CATALYST_TOKEN=" + token.Token, []string{"status", "--address", s.nodes[1].at.Raft}},
			{"wire-gossip-port", "CATALYST_TOKEN=" + token.Token, []string{"status", "--address", s.nodes[1].at.Gossip}},
		} {
			got := run(t, []string{c.env}, s.nodes[0].catalyst(c.args...)...)
			refusal(t, c.name, got, token.ID, "TOKEN_ID", s.ownPin(t, ours), "THIS_SITE", elsewhere.given.Fingerprint, "OTHER_SITE")
			if strings.Contains(got.stdout+got.stderr, token.Token[20:60]) || strings.Contains(got.stdout+got.stderr, unprintable) {
				t.Errorf("%s: it prints a secret", c.name)
			}
		}
		curl := run(t, nil, "curl", "--silent", "--show-error", "http://"+at+"/rpc")
		says(t, "wire-curl", curl.stdout+curl.stderr)

		d := startDriver(t)
		for name, url := range map[string]string{
			"plain to TLS": "ws://" + at + "/rpc", "TLS to plain": "wss://" + plain.at.RPC + "/rpc", "an authority that is not known": "wss://" + at + "/rpc",
		} {
			d.must(t, "open", args{"session": name, "url": url}, nil)
			if err := d.ask("call", args{"session": name, "steps": []step{call("version")}}, nil); err == nil {
				t.Errorf("npm's client, %s: it was answered", name)
			}
		}
		if version, err := once[struct{ Version string }](d, plain.http(), call("version")); err != nil || version.Version == "" {
			t.Errorf("the plain node after that: %+v %v", version, err)
		}
	})
	if got := run(t, []string{"CATALYST_TOKEN=" + token.Token}, s.nodes[0].catalyst("status", "--address", at)...); got.status != 0 {
		t.Errorf("with the token that carries the fingerprint: %+v", got)
	}
	s.logsEvents(t)
}

// ownToken makes a token at a site of an own authority.
func (s *site) ownToken(t testing.TB, a *authority, role string) tokenMade {
	t.Helper()
	got := run(t, []string{fmt.Sprint("CATALYST_TOKEN=", s.token[0])}, s.nodes[0].catalyst("token", "create", "--role", role, "-o", "json",
		"--address", s.nodes[0].at.RPC, "--ca-file", a.file)...)
	if got.status != 0 {
		t.Fatalf("catalyst token create: %+v", got)
	}
	return decode[struct{ Data tokenMade }](t, []byte(got.stdout)).Data
}

// ownPin is the fingerprint that a site of an own authority tells.
func (s *site) ownPin(t testing.TB, a *authority) string {
	t.Helper()
	keys, err := once[struct{ Fingerprint string }](s.driver, s.nodes[0].http(), s.scope(), call("listKeys"))
	if err != nil {
		t.Fatal(err)
	}
	return keys.Fingerprint
}

// ghost is an address at which nobody is, and whoever believes in a node there sends pings to.
type ghost struct {
	conn net.PacketConn
	port int
}

func newGhost(t testing.TB) ghost {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return ghost{conn, conn.LocalAddr().(*net.UDPAddr).Port}
}

// pinged waits for a packet, or with a deadline of now only looks.
func (g ghost) pinged(deadline time.Time) bool {
	_ = g.conn.SetReadDeadline(deadline)
	_, _, err := g.conn.ReadFrom(make([]byte, 1<<16))
	return err == nil
}

// believe sends, in clear, memberlist's message that a node is alive where the ghost is.
func (g ghost) believe(t testing.TB, n *node, site, name string) {
	t.Helper()
	meta := asJSON(map[string]any{"s": site, "i": "GHOST", "r": "127.0.0.1:9", "c": "127.0.0.1:9", "v": "x", "l": 2})
	message := []byte{4, 0x86} // alive, a map of six
	text := func(s string) {
		message = append(message, 0xda, byte(len(s)>>8), byte(len(s)))
		message = append(message, s...)
	}
	number := func(v int) {
		message = append(message, 0xce)
		message = binary.BigEndian.AppendUint32(message, uint32(v))
	}
	text("Incarnation")
	number(1 << 20)
	text("Node")
	text(name)
	text("Addr")
	text("\x7f\x00\x00\x01")
	text("Port")
	number(g.port)
	text("Meta")
	text(meta)
	text("Vsn")
	text("\x01\x05\x02\x00\x00\x00")
	if _, err := g.conn.WriteTo(message, udp(t, n.at.Gossip)); err != nil {
		t.Fatal(err)
	}
}

func udp(t testing.TB, address string) *net.UDPAddr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestGossipWithoutKey: a packet that makes a plain node believe in another does nothing at a site whose gossip is encrypted.
func TestGossipWithoutKey(t *testing.T) {
	believer := newNode(t, "plain", "--gateway-endpoint=", "--bootstrap")
	believer.start(t, anyPort)
	g := newGhost(t)
	g.believe(t, believer, "default", "ghost")
	if !g.pinged(time.Now().Add(patience)) {
		t.Fatal("the packet takes no effect where gossip is plain: the test shows nothing")
	}
	s := startSecured(t, 3)
	quiet := newGhost(t)
	s.undisturbed(t, func() {
		for _, n := range s.nodes {
			quiet.believe(t, n, "default", "ghost") // a new node
			quiet.believe(t, n, "default", "n2")    // a member, elsewhere
			eventually(t, n.id+" has dropped the packets", func() error {
				if !strings.Contains(string(tail(n.log.Name(), 1<<20)), "Decrypt packet failed") {
					return errors.New("it says nothing of them")
				}
				return nil
			})
		}
		for _, n := range s.nodes {
			s.knowsAddresses(t, n)
		}
		if quiet.pinged(time.Now()) {
			t.Error("a node believes in the ghost")
		}
	})
}
