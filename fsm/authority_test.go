package fsm

import (
	"bytes"
	"strings"
	"testing"
)

func TestASiteHasOneAuthorityForLife(t *testing.T) {
	s := beginAtLevel2(t)
	if c, k := s.table.Authority(); c != nil || k != nil {
		t.Errorf("before it is set: %q, %q", c, k)
	}
	set := SetAuthority{Certificate: []byte("certificate"), Key: []byte("the key")}
	s.says(Invalid, SetAuthority{Key: set.Key}, "certificate: has 0 bytes; give 1 to 8192")
	s.says(Invalid, SetAuthority{Certificate: set.Certificate, Key: make([]byte, MaxDER+1)}, "key: has 8193 bytes")
	s.does(set)
	if o := s.does(set); o.Changed {
		t.Errorf("the same again: %+v", o)
	}
	s.says(Conflict, SetAuthority{Certificate: []byte("another"), Key: set.Key}, "keeps it for life")
	s.says(Conflict, SetAuthority{Certificate: set.Certificate, Key: []byte("another")}, "keeps it for life")

	set.Key[0] = 'X' // what the command held is not the table's
	c, k := s.table.Authority()
	if string(c) != "certificate" || string(k) != "the key" {
		t.Errorf("got %q, %q", c, k)
	}
	k[0] = 'X'
	if _, again := s.table.Authority(); bytes.Equal(again, k) {
		t.Error("a reader altered the table")
	}
}

func TestARotationThatWasOvertakenIsAConflict(t *testing.T) {
	s := beginAtLevel2(t)
	one, two, short := hash("1"), hash("2"), []byte("0123456789abcdef")
	for _, c := range []struct {
		keys [][]byte
		want string
	}{
		{nil, "keys: has 0 entries; give 1 to 4"},
		{[][]byte{one, two, hash("3"), hash("4"), hash("5")}, "keys: has 5 entries"},
		{[][]byte{one, one[:20]}, "keys: entry 2 has 20 bytes; use 16, 24 or 32"},
		{[][]byte{one, two, one}, "keys: entry 3 stands there twice"},
	} {
		s.says(Invalid, SetGossipKeys{Keys: c.keys}, c.want)
	}
	if s.table.GossipKeys() != nil || s.table.GossipKeysVersion() != 0 {
		t.Error("there are keys before any were set")
	}
	s.says(Conflict, SetGossipKeys{Was: 1, Keys: [][]byte{one}}, "of version 0, not 1")
	s.does(SetGossipKeys{Keys: [][]byte{one}})
	first := s.table.GossipKeysVersion()
	if first != s.table.Version() {
		t.Errorf("keys of version %d at %d", first, s.table.Version())
	}
	if o := s.does(SetGossipKeys{Was: first, Keys: [][]byte{one}}); o.Changed {
		t.Errorf("the same again: %+v", o)
	}
	s.puts("books")
	s.does(SetGossipKeys{Was: first, Keys: [][]byte{short, one}})
	s.says(Conflict, SetGossipKeys{Was: first, Keys: [][]byte{two, one}}, "another rotation came first")
	if keys := s.table.GossipKeys(); len(keys) != 2 || !bytes.Equal(keys[0], short) || !bytes.Equal(keys[1], one) {
		t.Errorf("keys %q", keys)
	}
	s.wants("audit", s.audit()[:1], []string{"keys/set paris 2 in use"})
}

// Neither a refusal nor the audit shows what nobody may see.
func TestSecretsStandInNoMessage(t *testing.T) {
	s := beginAtLevel2(t)
	secret := "a-secret-of-32-bytes-0123456789a"
	var said []string
	for _, op := range []Op{
		SetAuthority{Certificate: []byte("c"), Key: []byte(secret)}, SetAuthority{Certificate: []byte("d"), Key: []byte(secret)},
		SetGossipKeys{Keys: [][]byte{[]byte(secret)}}, SetGossipKeys{Keys: [][]byte{[]byte(secret), []byte(secret)}}, SetGossipKeys{Keys: [][]byte{[]byte(secret[1:])}},
		PutToken{Token{ID: "t", Role: RoleAdmin, Hash: []byte(secret)}}, PutToken{Token{ID: "t", Role: RoleAdmin, Hash: []byte(secret + "x")}},
		PutPeer{Peer: PeerConfig{ID: "oslo", Endpoints: []string{"ws://me:" + secret + "@oslo/rpc"}, Secret: secret}},
		Put{Service: Service{Name: "db", Endpoint: "tcp://me:" + secret + "@db:1", Protocol: TCP, Tags: map[string]string{"k": secret}}},
	} {
		said = append(said, s.tries(op).Message)
	}
	for _, text := range append(said, s.audit()...) {
		if strings.Contains(text, secret[1:]) {
			t.Errorf("%q shows a secret", text)
		}
	}
}
