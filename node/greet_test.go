package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
)

// nodeKnown makes a node that runs nothing, of a site that knows some members
// by their incarnation.
func nodeKnown(t *testing.T, me identity, known map[string]string) *Node {
	t.Helper()
	n, err := New(Config{
		ID: me.Node, DataDir: "memory", RPCAddr: "127.0.0.1:0", RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
		Dial: valid().Dial, Upgrade: valid().Upgrade,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.self.now.Store(&me)
	ops := []fsm.Command{{Op: fsm.Found{Site: me.Site, AS: 1, Epoch: "1", ID: "11111111-1111-4111-8111-111111111111", Level: 2}}}
	for _, id := range sortedKeys(known) {
		ops = append(ops, fsm.Command{Op: fsm.Admit{ID: id, Instance: known[id]}})
	}
	if err := applyAll(n.machine, ops); err != nil {
		t.Fatal(err)
	}
	return n
}

// applyAll makes commands the first entry of a log.
func applyAll(m *fsm.Machine, commands []fsm.Command) error {
	for _, out := range m.Apply(&raft.Log{Type: raft.LogCommand, Index: 1, Data: fsm.EncodeBatch(nil, commands)}).([]fsm.Outcome) {
		if out.Code != "" {
			return errors.New(out.Message)
		}
	}
	return nil
}

func TestWhoGreetsHowIsTakenOrRefused(t *testing.T) {
	me := identity{Node: "a", Site: "paris", SiteID: "site-1", Instance: "instance-a"}
	n := nodeKnown(t, me, map[string]string{"a": "instance-a", "b": "instance-b"})
	for name, c := range map[string]struct {
		greeting greeting
		vouched  string
		refusal  []string // words of it; none: it is taken
	}{
		"a member":                        {greeting{Site: "paris", SiteID: "site-1", Node: "b", Instance: "instance-b"}, "b", nil},
		"a member without a certificate":  {greeting{Site: "paris", SiteID: "site-1", Node: "b", Instance: "instance-b"}, "", nil},
		"one that is new":                 {greeting{Site: "paris", SiteID: "site-1", Node: "c", Instance: "instance-c"}, "c", nil},
		"one that holds no state yet":     {greeting{Site: "paris", Node: "c", Instance: "instance-c"}, "c", nil},
		"another site":                    {greeting{Site: "rome", SiteID: "site-2", Node: "b", Instance: "instance-b"}, "", []string{`site "rome"`, `site "paris"`, "peered, not joined"}},
		"two sites of the name":           {greeting{Site: "paris", SiteID: "site-2", Node: "c", Instance: "instance-c"}, "c", []string{"site-2", "site-1", "empty its data directory and join it anew"}},
		"its own name":                    {greeting{Site: "paris", SiteID: "site-1", Node: "a", Instance: "instance-a"}, "a", []string{"both are called a", "--id"}},
		"a member that lost its data":     {greeting{Site: "paris", Node: "b", Instance: "instance-new"}, "b", []string{"b has lost the data", "catalyst member remove b", "join it anew"}},
		"which holds no more than this":   {greeting{Site: "paris", SiteID: "site-1", Node: "b", Instance: "instance-new", Last: 1}, "b", []string{"b has lost the data"}},
		"one in the place of a member":    {greeting{Site: "paris", SiteID: "site-1", Node: "b", Instance: "instance-new", Last: 2}, "b", nil}, // what says so is not here yet
		"a member without an incarnation": {greeting{Site: "paris", SiteID: "site-1", Node: "b"}, "b", []string{"b has lost the data"}},
		"an impostor":                     {greeting{Site: "paris", SiteID: "site-1", Node: "b", Instance: "instance-b"}, "c", []string{"certificate is that of node c, not of b"}},
		"an impostor with a new name":     {greeting{Site: "paris", SiteID: "site-1", Node: "d", Instance: "instance-d"}, "b", []string{"certificate is that of node b, not of d"}},
		"nobody":                          {greeting{}, "", []string{"peered, not joined"}},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := greetAs(t, n, c.greeting, c.vouched)
			if (err == nil) != (c.refusal == nil) {
				t.Fatalf("it ended with %v, want words of %v", err, c.refusal)
			}
			if answer.Node != "a" || answer.SiteID != "site-1" || answer.Instance != "instance-a" {
				t.Errorf("the answer is %+v, want who this node is", answer)
			}
			if err == nil && answer.Refusal != "" || err != nil && answer.Refusal != err.Error() {
				t.Errorf("the other end is told %q, this end %v", answer.Refusal, err)
			}
			wantWords(t, answer.Refusal, c.refusal...)
		})
	}
}

// greetAs greets a node over a pipe and returns its answer, and what it made
// of the greeting.
func greetAs(t *testing.T, n *Node, g greeting, vouched string) (greeting, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	ended := make(chan error, 1)
	go func() { ended <- n.answer(far, vouched); far.Close() }()
	if err := writeGreeting(near, g); err != nil {
		t.Fatal(err)
	}
	answer, err := readGreeting(near)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return answer, <-ended
}

// The dialler judges, too: it may have dialled an address that has passed to
// another node.
func TestTheDiallerJudgesWhoAnswers(t *testing.T) {
	a := nodeKnown(t, identity{Node: "a", Site: "paris", SiteID: "site-1", Instance: "instance-a"}, map[string]string{"b": "instance-b"})
	for name, c := range map[string]struct {
		other identity
		knows map[string]string
		words []string
	}{
		"a member":                 {identity{Node: "b", Site: "paris", SiteID: "site-1", Instance: "instance-b"}, nil, nil},
		"which lost its data":      {identity{Node: "b", Site: "paris", Instance: "instance-new"}, nil, []string{"b has lost the data"}},
		"of another site":          {identity{Node: "b", Site: "paris", SiteID: "site-2", Instance: "instance-b"}, nil, []string{"b refuses this node", "two sites of the name"}},
		"which knows this one not": {identity{Node: "b", Site: "paris", SiteID: "site-1", Instance: "instance-b"}, map[string]string{"a": "instance-old"}, []string{"b refuses this node", "a has lost the data"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := nodeKnown(t, c.other, c.knows)
			near, far := net.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- b.answer(far, ""); far.Close() }()
			err := a.greet(near)
			near.Close()
			<-ended
			if (err == nil) != (c.words == nil) {
				t.Fatalf("greet: %v, want words of %v", err, c.words)
			}
			if err != nil {
				wantWords(t, err.Error(), c.words...)
			}
			var refused *refusedNode
			if is := errors.As(err, &refused); is != (err != nil && strings.Contains(err.Error(), "refuses this node")) {
				t.Errorf("%v is the other's refusal: %v", err, is)
			}
		})
	}
}

func TestWhatIsNoGreetingIsSaidSo(t *testing.T) {
	whole := greetingOf(t, greeting{Site: "paris", Node: "b", Instance: "i"})
	for name, c := range map[string]struct {
		sent  []byte
		words string
	}{
		"nothing":         {nil, "EOF"},
		"cut off":         {whole[:len(whole)-1], "unexpected EOF"},
		"a web browser":   {[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), `it begins with "GET / HTT"`},
		"a newer version": {append([]byte("catalyst2"), whole[len("catalyst2"):]...), `it begins with "catalyst2`},
		"too long":        {binary.BigEndian.AppendUint16([]byte(greetingMagic), greetingMost+1), "4097 bytes, the most is 4096"},
		"no JSON":         {append(binary.BigEndian.AppendUint16([]byte(greetingMagic), 3), "abc"...), "invalid character"},
	} {
		_, err := readGreeting(bytes.NewReader(c.sent))
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want words %q", name, err, c.words)
		}
	}
}

func greetingOf(t testing.TB, g greeting) []byte {
	var b bytes.Buffer
	if err := writeGreeting(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzReadGreeting: a greeting is read whole or refused, nothing beyond it is
// touched, and it is written as it was read.
func FuzzReadGreeting(f *testing.F) {
	f.Add(greetingOf(f, greeting{Site: "paris", SiteID: "s", Node: "a", Instance: "i"}))
	f.Add(greetingOf(f, greeting{Site: "paris", Node: "a", Refusal: "no \x00 \u2028"}))
	f.Add([]byte(greetingMagic + "\x00\x02{}and more"))
	f.Add([]byte(greetingMagic + "\x10\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		g, err := readGreeting(r)
		if read := len(data) - r.Len(); read > len(greetingMagic)+2+greetingMost {
			t.Fatalf("%d bytes were read, more than a greeting has", read)
		}
		if err != nil {
			return
		}
		body, _ := json.Marshal(g)
		if len(body) > greetingMost {
			return // escapes made it longer than it came
		}
		again, err := readGreeting(bytes.NewReader(greetingOf(t, g)))
		if err != nil || again != g {
			t.Fatalf("written and read again: %+v, %v; want %+v", again, err, g)
		}
	})
}

// A greeting says how far the log is, be that in records or in a snapshot; it
// may be asked for before either is open.
func TestAGreetingSaysHowFarTheLogIs(t *testing.T) {
	n := nodeKnown(t, identity{Node: "a", Site: "paris", Instance: "i"}, nil)
	if got := n.greeting().Last; got != 0 {
		t.Errorf("before the log is open: %d, want 0", got)
	}
	logs, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	n.opened.Store(&raftGround{logs: logs, snapshots: snapshots})
	if err := logs.StoreLog(&raft.Log{Index: 7}); err != nil {
		t.Fatal(err)
	}
	if got := n.greeting().Last; got != 7 {
		t.Errorf("with a log: %d, want 7", got)
	}
	_, trans := raft.NewInmemTransport("a")
	if _, err := snapshots.Create(1, 9, 1, raft.Configuration{}, 1, trans); err != nil {
		t.Fatal(err)
	}
	if got := n.greeting().Last; got != 9 {
		t.Errorf("with a snapshot beyond it: %d, want 9", got)
	}
}

// A connection whose other end says nothing is let go without a complaint;
// one that greets is handed on with all that follows the greeting.
func TestAnAcceptedConnectionGreetsFirst(t *testing.T) {
	me := identity{Node: "a", Site: "paris", SiteID: "site-1", Instance: "instance-a"}
	shake := func(t *testing.T, say func(net.Conn)) (string, error) {
		n := nodeKnown(t, me, nil)
		near, far := net.Pipe()
		go func() { say(near); near.Close() }()
		g := &greeted{Conn: far, raw: far, n: n}
		data, err := io.ReadAll(g)
		return string(data), err
	}
	data, err := shake(t, func(c net.Conn) {
		_ = writeGreeting(c, greeting{Site: "paris", Node: "b", Instance: "i"})
		_, _ = readGreeting(c)
		_, _ = c.Write([]byte("raft"))
	})
	if err != nil || data != "raft" {
		t.Errorf("after a greeting: %q, %v; want what follows it", data, err)
	}
	if data, err := shake(t, func(c net.Conn) { _, _ = c.Write([]byte("raft")) }); err == nil || data != "" {
		t.Errorf("without a greeting: %q, %v; want an error", data, err)
	}
	if data, err := shake(t, func(c net.Conn) {
		_ = writeGreeting(c, greeting{Site: "rome", Node: "b", Instance: "i"})
		_, _ = readGreeting(c)
		_, _ = c.Write([]byte("raft"))
	}); err == nil || data != "" {
		t.Errorf("after a greeting that was refused: %q, %v; want an error", data, err)
	}
}
