package trust

import (
	"crypto/sha256"
	"encoding/hex"
)

// Pin is the fingerprint of an authority: the SHA-256 of its certificate's
// DER. Who has it by a way that can be trusted needs no other introduction.
type Pin [sha256.Size]byte

// PinOf returns the fingerprint of a certificate in DER.
func PinOf(certificate []byte) Pin { return sha256.Sum256(certificate) }

// IsZero tells whether there is no pin.
func (p Pin) IsZero() bool { return p == Pin{} }

func (p Pin) String() string { return "sha256:" + hex.EncodeToString(p[:]) }

// MarshalText makes a pin in JSON look as it does elsewhere.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
