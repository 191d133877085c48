package trust

import (
	"fmt"
	"log/slog"
)

const hidden = "(secret)"

// Secret is 32 bytes that nothing prints: whatever formats, encodes or logs it
// gets the word (secret). Token.Text alone reveals it.
type Secret struct {
	// A pointer: fmt asks no method of a field that is not exported, and would
	// print an array that stands there.
	bytes *[32]byte
}

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { f.Write([]byte(hidden)) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
