package fsm

import (
	"fmt"
	"slices"
)

// MaxGossipKeys is how many keys the gossip may know at a time: what one
// rotation needs and a few more.
const MaxGossipKeys = 4

// SetGossipKeys replaces the keys that the gossip of the site is encrypted
// with. The first encrypts, the others still decrypt.
type SetGossipKeys struct {
	Was  uint64   // the GossipKeysVersion that the change was made from
	Keys [][]byte // AES keys, so of 16, 24 or 32 bytes; secrets
}

// GossipKeys returns the keys of the site's gossip, the one that encrypts
// first; nil when it is in clear. The bytes are the caller's own.
func (t *Table) GossipKeys() [][]byte {
	var keys [][]byte
	for _, key := range t.gossipKeys {
		keys = append(keys, []byte(key))
	}
	return keys
}

// GossipKeysVersion is the version that last changed the keys; 0 while there
// never were any.
func (t *Table) GossipKeysVersion() uint64 { return t.gossipKeysVersion }

func (g SetGossipKeys) apply(e *edit) Outcome {
	if fault := g.fault(); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	if g.Was != e.gossipKeysVersion {
		return e.refuse(Conflict, e.site, fmt.Sprintf("was: the gossip keys are those of version %d, not %d: another rotation came first; look at them again, then repeat yours", e.gossipKeysVersion, g.Was))
	}
	keys := make([]string, len(g.Keys))
	for i, key := range g.Keys {
		keys[i] = string(key)
	}
	if slices.Equal(keys, e.gossipKeys) {
		return e.done(e.site, false)
	}
	e.gossipKeys = keys
	e.amend("keys/set", e.site, fmt.Sprintf("%d in use", len(keys)))
	e.gossipKeysVersion = e.version
	return e.done(e.site, true)
}

// fault never shows a key.
func (g SetGossipKeys) fault() string {
	if n := len(g.Keys); n == 0 || n > MaxGossipKeys {
		return fmt.Sprintf("keys: has %d entries; give 1 to %d", n, MaxGossipKeys)
	}
	for i, key := range g.Keys {
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return fmt.Sprintf("keys: entry %d has %d bytes; use 16, 24 or 32", i+1, n)
		}
		if slices.ContainsFunc(g.Keys[:i], func(other []byte) bool { return string(other) == string(key) }) {
			return fmt.Sprintf("keys: entry %d stands there twice; give each once", i+1)
		}
	}
	return ""
}

func (g SetGossipKeys) encode(b []byte) []byte {
	b = appendUint(b, 1, g.Was)
	for _, key := range g.Keys {
		b = appendTexts(b, 2, []string{string(key)})
	}
	return b
}

func decodeSetGossipKeys(s *scanner) (g SetGossipKeys) {
	for s.next() {
		switch s.field {
		case 1:
			g.Was = s.uint()
		case 2:
			g.Keys = append(g.Keys, []byte(s.text()))
		}
	}
	return g
}
