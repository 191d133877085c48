package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// NewGossipKey returns a key for gossip: 32 bytes, which is AES-256.
func NewGossipKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails: it ends the program instead
	return key
}

// KeyID is a short name of a gossip key, to show and to compare. It tells
// nothing about the key.
func KeyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("catalyst gossip key\x00"), key...))
	return hex.EncodeToString(sum[:6])
}
