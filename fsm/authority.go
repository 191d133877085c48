package fsm

import "fmt"

// MaxDER is the most bytes of an authority's certificate, and of its key.
const MaxDER = 8 << 10

// SetAuthority gives the site its certificate authority, once. What is in the
// DER is the caller's to judge: parsers differ between builds, and tables must
// not.
type SetAuthority struct {
	Certificate, Key []byte // DER; the key is a secret
}

// authority is kept as texts, which compare and cannot be altered.
type authority struct{ certificate, key string }

// Authority returns the certificate authority of the site in DER, the key with
// it; nil when it has none. The bytes are the caller's own.
func (t *Table) Authority() (certificate, key []byte) {
	if t.authority == (authority{}) {
		return nil, nil
	}
	return []byte(t.authority.certificate), []byte(t.authority.key)
}

func (s SetAuthority) apply(e *edit) Outcome {
	for _, part := range []struct {
		field string
		der   []byte
	}{{"certificate", s.Certificate}, {"key", s.Key}} {
		if n := len(part.der); n == 0 || n > MaxDER {
			return e.refuse(Invalid, "", fmt.Sprintf("%s: has %d bytes; give 1 to %d, in DER", part.field, n, MaxDER))
		}
	}
	next := authority{string(s.Certificate), string(s.Key)}
	switch e.authority {
	case next:
		return e.done(e.site, false)
	case authority{}:
		e.authority = next
		e.amend("authority/set", e.site, "")
		return e.done(e.site, true)
	}
	return e.refuse(Conflict, e.site, "the site has another authority already, and keeps it for life; use that one")
}

func (s SetAuthority) encode(b []byte) []byte {
	return authority{string(s.Certificate), string(s.Key)}.encode(b)
}

func decodeSetAuthority(s *scanner) SetAuthority {
	a := decodeAuthority(s)
	return SetAuthority{Certificate: []byte(a.certificate), Key: []byte(a.key)}
}

func (a authority) encode(b []byte) []byte {
	return appendText(appendText(b, 1, a.certificate), 2, a.key)
}

func decodeAuthority(s *scanner) (a authority) {
	for s.next() {
		switch s.field {
		case 1:
			a.certificate = s.text()
		case 2:
			a.key = s.text()
		}
	}
	return a
}
