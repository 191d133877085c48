package gossip

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/hashicorp/memberlist"
)

func view(t *testing.T, keys ...[]byte) *Members {
	t.Helper()
	m, err := New(Config{
		ID: "a", About: About{Site: "paris"}, Keys: keys, Log: slog.New(slog.DiscardHandler), Lines: io.Discard,
		Stranger: func(me About, id string, other About) error {
			if me.Site != other.Site {
				return errors.New(id + " is a stranger")
			}
			return nil
		},
		Doubled: func(string, []string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func heard(t *testing.T, id string, about any) *memberlist.Node {
	t.Helper()
	meta, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	return &memberlist.Node{Name: id, Addr: net.IPv4(10, 0, 0, id[0]-'a'+1), Port: 3002, Meta: meta}
}

func TestWhatIsHeardIsSeen(t *testing.T) {
	m := view(t)
	d := delegate{m}
	d.NotifyJoin(heard(t, "b", About{Site: "paris", Raft: "10.0.0.2:3001", RPC: "10.0.0.2:3000"}))
	select {
	case <-m.Changed():
	default:
		t.Error("nobody was told of a change")
	}
	if got := m.Of("b"); got.State != Alive || got.Gossip != "10.0.0.2:3002" || got.RPC != "10.0.0.2:3000" || m.Misses() {
		t.Errorf("b is seen as %+v, missing: %v", got, m.Misses())
	}
	gone := heard(t, "b", "")
	gone.Meta = nil // a node that failed says nothing any more
	d.NotifyLeave(gone)
	if got := m.Of("b"); got.State != Failed || got.Raft != "10.0.0.2:3001" || !m.Misses() {
		t.Errorf("b that failed is seen as %+v, missing: %v", got, m.Misses())
	}
	gone.State = memberlist.StateLeft
	d.NotifyLeave(gone)
	if got := m.Of("b").State; got != Left {
		t.Errorf("b that left is seen as %s", got)
	}
	d.NotifyJoin(heard(t, "a", About{Site: "paris"}))
	if gossip, rpc := m.Addresses(); !slices.Equal(gossip, []string{"10.0.0.2:3002"}) || !slices.Equal(rpc, []string{"10.0.0.2:3000"}) {
		t.Errorf("addresses of others: %v, %v", gossip, rpc)
	}
}

func TestStrangersAreKeptOut(t *testing.T) {
	d := delegate{view(t)}
	friend, stranger := heard(t, "b", About{Site: "paris"}), heard(t, "c", About{Site: "rome"})
	if err := d.NotifyAlive(friend); err != nil {
		t.Errorf("a node of the site: %v", err)
	}
	if err := d.NotifyMerge([]*memberlist.Node{friend, stranger}); err == nil {
		t.Error("a node of another site came in")
	}
}

func TestKeysAreReplacedWhole(t *testing.T) {
	key := func(b byte) []byte { return slices.Repeat([]byte{b}, 32) }
	m := view(t, key(1))
	for _, k := range []Keys{{1, [][]byte{key(1), key(2)}}, {2, [][]byte{key(2), key(1)}}, {3, [][]byte{key(2)}}} {
		if err := m.Use(k); err != nil {
			t.Fatal(err)
		}
		if got := m.Holds(); m.KeysVersion() != k.Version || !slices.EqualFunc(got, k.Keys, slices.Equal) {
			t.Errorf("version %d holds %v, want %d and %v", m.KeysVersion(), got, k.Version, k.Keys)
		}
	}
	if _, err := New(Config{Keys: [][]byte{[]byte("short")}}); err == nil {
		t.Error("a key of five bytes was taken")
	}
}

// What a node tells of itself must fit what memberlist carries.
func TestTheLongestOfAboutFits(t *testing.T) {
	m := view(t)
	long := string(slices.Repeat([]byte("x"), 64))
	m.Announce(func(a *About) {
		*a = About{long, "0b0e4f0a-7d0f-4d8e-9a7f-000000000000", long[:26], long[:45], long[:45], long[:40], 1 << 30, true, 9, true}
	})
	if got := (delegate{m}).NodeMeta(memberlist.MetaMaxSize); got == nil {
		t.Error("it does not")
	}
}
