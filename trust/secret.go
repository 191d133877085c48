package trust

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const hidden = "(secret)"

// Secret is 32 bytes that nothing prints: whatever formats, encodes or logs it
// gets the word (secret). Token.Text alone reveals it.
type Secret struct {
	// A function: of a field that is not exported fmt asks no method, and it
	// would print an array there, and with some verbs follow a pointer to one.
	reveal func() [32]byte
}

func newSecret(bytes [32]byte) Secret {
	return Secret{func() [32]byte { return bytes }}
}

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool {
	if s.reveal == nil || other.reveal == nil {
		return s.reveal == nil && other.reveal == nil
	}
	a, b := s.reveal(), other.reveal()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { f.Write([]byte(hidden)) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
