package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what a token is for.
type Kind string

const (
	ClientToken Kind = "client" // calls of a client or a peer site
	JoinToken   Kind = "join"   // a node's entry into a site
)

// prefixes are also what keeps a token of one kind from being read as another:
// the checksum covers them.
var prefixes = map[Kind]string{ClientToken: "cat_", JoinToken: "catjoin_"}

// Token is a secret with what its holder should know. The site believes only
// what it keeps itself under the ID; Expires and Uses are for messages.
type Token struct {
	Kind    Kind
	ID      string // 8 of [a-z2-7]
	Secret  Secret
	Pin     Pin       // of the site's authority; zero where the site has no TLS
	Expires time.Time // in whole seconds, UTC; zero is never
	Uses    int       // of a join token when it was made
}

// NewToken makes a token with a random ID and secret. Expires is cut to seconds,
// and uses to what is between 0 and 2,147,483,647.
func NewToken(kind Kind, pin Pin, expires time.Time, uses int) Token {
	var id [5]byte
	var secret [32]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	t := Token{Kind: kind, ID: alphabet.EncodeToString(id[:]), Secret: newSecret(secret), Pin: pin, Uses: min(max(uses, 0), maxUses)}
	if !expires.IsZero() {
		t.Expires = time.Unix(max(expires.Unix(), 1), 0).UTC()
	}
	return t
}

// Hash is what a site keeps of a token. It depends on kind and ID too, so that
// the secret of a join token is nothing in a client token's place.
func (t Token) Hash() [32]byte {
	if t.Secret.reveal == nil {
		return [32]byte{}
	}
	h := sha256.New()
	fmt.Fprintf(h, "catalyst token secret\x00%s\x00%s\x00", t.Kind, t.ID)
	secret := t.Secret.reveal()
	h.Write(secret[:])
	return [32]byte(h.Sum(nil))
}

// Matches tells in constant time whether the hash is this token's.
func (t Token) Matches(hash []byte) bool {
	own := t.Hash()
	return t.Secret.reveal != nil && subtle.ConstantTimeCompare(own[:], hash) == 1
}

// IsToken tells whether a text means to be a token. Only ParseToken knows
// whether it is one.
func IsToken(text string) bool {
	kind, _ := split(text)
	return kind != ""
}

func split(text string) (kind Kind, body string) {
	for kind, prefix := range prefixes {
		if body, ok := strings.CutPrefix(strings.TrimSpace(text), prefix); ok {
			return kind, body
		}
	}
	return "", ""
}

// The text of a token is its prefix and, in an alphabet that a double click
// takes whole and a shell leaves alone, these bytes:
//
//	version (1), length of all bytes (1), ID (5), secret (32), pinned (1: 0 or 1),
//	pin (32, if pinned), expires (uvarint, seconds since 1970, 0 never), uses (uvarint),
//	checksum (4: the first of the SHA-256 of the prefix and all bytes before)
//
// Later versions keep the first two fields and the last.
var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const (
	tokenVersion  = 1
	tokenHead     = 4 // characters that hold version and length
	checksumBytes = 4
	maxUses       = 1<<31 - 1
)

// Text is the token as its holder gets it, secret included. It is empty for a
// token that neither NewToken nor ParseToken made.
func (t Token) Text() string {
	prefix, known := prefixes[t.Kind]
	id, err := alphabet.DecodeString(t.ID)
	if !known || err != nil || len(id) != 5 || t.Secret.reveal == nil {
		return ""
	}
	b := append([]byte{tokenVersion, 0}, id...)
	secret := t.Secret.reveal()
	b = append(b, secret[:]...)
	if t.Pin.IsZero() {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), t.Pin[:]...)
	}
	var expires uint64
	if !t.Expires.IsZero() {
		expires = uint64(t.Expires.Unix())
	}
	b = binary.AppendUvarint(b, expires)
	b = binary.AppendUvarint(b, uint64(t.Uses))
	b[1] = byte(len(b) + checksumBytes)
	return prefix + alphabet.EncodeToString(append(b, checksum(prefix, b)...))
}

func checksum(prefix string, b []byte) []byte {
	sum := sha256.Sum256(append([]byte(prefix), b...))
	return sum[:checksumBytes]
}

var errMistyped = errors.New("token: a character of it is wrong; copy it again rather than type it")

// ParseToken reads a token's text. Its errors never repeat the text: what was
// pasted in a token's place may be another secret.
func ParseToken(text string) (Token, error) {
	kind, body := split(text)
	if kind == "" {
		return Token{}, fmt.Errorf("token: this is none; a token begins with %s or %s", prefixes[ClientToken], prefixes[JoinToken])
	}
	payload, err := unwrap(prefixes[kind], body)
	if err != nil {
		return Token{}, err
	}
	t, ok := decodeToken(payload)
	t.Kind = kind
	// One token has one text.
	if !ok || t.Text() != prefixes[kind]+body {
		return Token{}, errMistyped
	}
	return t, nil
}

// unwrap checks what all versions share and returns what is between length and
// checksum.
func unwrap(prefix, body string) ([]byte, error) {
	for i, c := range body {
		if !('a' <= c && c <= 'z' || '2' <= c && c <= '7') {
			return nil, fmt.Errorf("token: character %d is %q, which no token has; copy it again", len(prefix)+i+1, c)
		}
	}
	if len(body) < tokenHead {
		return nil, errors.New("token: it is cut off after its beginning; copy it whole")
	}
	head, _ := alphabet.DecodeString(body[:tokenHead])
	want := alphabet.EncodedLen(int(head[1]))
	switch {
	case len(body) < want:
		return nil, fmt.Errorf("token: it is incomplete, %d characters of %d; copy it whole", len(prefix)+len(body), len(prefix)+want)
	case len(body) > want:
		return nil, fmt.Errorf("token: it has %d characters, and %d would be whole; copy it again", len(prefix)+len(body), len(prefix)+want)
	}
	b, err := alphabet.DecodeString(body)
	if err != nil || len(b) < 2+checksumBytes {
		return nil, errMistyped
	}
	end := len(b) - checksumBytes
	if string(checksum(prefix, b[:end])) != string(b[end:]) {
		return nil, errMistyped
	}
	if b[0] != tokenVersion {
		return nil, fmt.Errorf("token: it is of a newer Catalyst (format %d, and this program knows %d); update catalyst here", b[0], tokenVersion)
	}
	return b[2:end], nil
}

func decodeToken(b []byte) (t Token, ok bool) {
	if len(b) < 5+32+1 {
		return t, false
	}
	t.ID, t.Secret = alphabet.EncodeToString(b[:5]), newSecret([32]byte(b[5:37]))
	pinned, b := b[37] == 1, b[38:]
	if pinned {
		if len(b) < len(t.Pin) {
			return t, false
		}
		t.Pin, b = Pin(b[:32]), b[32:]
	}
	expires, n := binary.Uvarint(b)
	if n <= 0 || expires > 1<<40 {
		return t, false
	}
	uses, m := binary.Uvarint(b[n:])
	if m <= 0 || uses > maxUses || n+m != len(b) {
		return t, false
	}
	if expires > 0 {
		t.Expires = time.Unix(int64(expires), 0).UTC()
	}
	t.Uses = int(uses)
	return t, true
}
