package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Pin is the fingerprint of an authority: the SHA-256 of its certificate's
// DER. Who has it by a way that can be trusted needs no other introduction.
type Pin [sha256.Size]byte

const pinPrefix = "sha256:"

// PinOf returns the fingerprint of a certificate in DER.
func PinOf(certificate []byte) Pin { return sha256.Sum256(certificate) }

// IsZero tells whether there is no pin.
func (p Pin) IsZero() bool { return p == Pin{} }

func (p Pin) String() string { return pinPrefix + hex.EncodeToString(p[:]) }

// MarshalText makes a pin in JSON look as it does elsewhere.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// ParsePin reads a fingerprint as String writes it, or as openssl does: in
// capitals, with colons, and without "sha256:".
func ParsePin(text string) (Pin, error) {
	var p Pin
	digits := strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(text), pinPrefix), ":", "")
	if len(digits) != 2*len(p) {
		return Pin{}, fmt.Errorf("fingerprint: has %d hexadecimal digits, not %d; copy it whole: it looks like sha256:7f83b1…", len(digits), 2*len(p))
	}
	if _, err := hex.Decode(p[:], []byte(digits)); err != nil {
		return Pin{}, fmt.Errorf("fingerprint: %s has a character that is not a hexadecimal digit; it looks like sha256:7f83b1…", short(digits))
	}
	return p, nil
}
