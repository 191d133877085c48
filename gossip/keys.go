package gossip

import (
	"slices"

	"github.com/hashicorp/memberlist"
)

// Keys are the keys of a site: the first encrypts, all decrypt. A newer version
// replaces an older one.
type Keys struct {
	Version uint64   `json:"version"`
	Keys    [][]byte `json:"keys"`
}

func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	if len(keys) == 0 {
		return memberlist.NewKeyring(nil, nil)
	}
	return memberlist.NewKeyring(keys, keys[0])
}

// Use makes the keys those of k, of which there must be one: what is new is
// added before it is used, and what is old goes last.
func (m *Members) Use(k Keys) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range k.Keys {
		if err := m.keys.AddKey(key); err != nil {
			return err
		}
	}
	if err := m.keys.UseKey(k.Keys[0]); err != nil {
		return err
	}
	for _, old := range m.keys.GetKeys() {
		if !slices.ContainsFunc(k.Keys, func(key []byte) bool { return string(key) == string(old) }) {
			if err := m.keys.RemoveKey(old); err != nil {
				return err
			}
		}
	}
	m.version = k.Version
	return nil
}

// KeysVersion is that of the keys that Use was last given; 0 before that.
func (m *Members) KeysVersion() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// Holds are the keys in use, the one that encrypts first.
func (m *Members) Holds() [][]byte { return m.keys.GetKeys() }
