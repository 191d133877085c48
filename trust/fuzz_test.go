package trust

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// What ParseToken takes is the one text of its token.
func FuzzParseToken(f *testing.F) {
	f.Add(sample(ClientToken).Text())
	f.Add(sample(JoinToken).Text())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "token: ") {
				t.Errorf("the error does not say that it is about a token: %v", err)
			}
			return
		}
		if got := token.Text(); got != strings.TrimSpace(text) || !IsToken(text) {
			t.Errorf("got %s", got)
		}
		hash := token.Hash()
		if again, err := ParseToken(token.Text()); err != nil || !same(again, token) || !again.Matches(hash[:]) {
			t.Errorf("got %+v, %v, want %+v", again, err, token)
		}
	})
}

// The checksum keeps most of FuzzParseToken's inputs from what is under it.
func FuzzDecodeToken(f *testing.F) {
	for _, kind := range []Kind{ClientToken, JoinToken} {
		payload, err := unwrap(prefixes[kind], strings.TrimPrefix(sample(kind).Text(), prefixes[kind]))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token, ok := decodeToken(payload)
		if !ok || len(payload) > 200 {
			return
		}
		token.Kind = JoinToken
		again, err := ParseToken(token.Text())
		if err != nil || !same(again, token) {
			t.Errorf("got %+v, %v, want %+v", again, err, token)
		}
	})
}

// A subject has one URI.
func FuzzSubjectOf(f *testing.F) {
	f.Add("catalyst://paris/node/n1", "")
	f.Add("catalyst://paris/client/ops", "https://example")
	f.Fuzz(func(t *testing.T, one, two string) {
		c := new(x509.Certificate)
		for _, text := range []string{one, two} {
			if u, err := url.Parse(text); err == nil {
				c.URIs = append(c.URIs, u)
			}
		}
		s, err := SubjectOf(c)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("a stranger writes %d bytes into the error", len(err.Error()))
			}
			return
		}
		lower := func(uri string) string { // a scheme has no case
			scheme, rest, _ := strings.Cut(uri, ":")
			return strings.ToLower(scheme) + ":" + rest
		}
		if got := s.URI(); got != lower(one) && got != lower(two) {
			t.Errorf("%q and %q give %q", one, two, got)
		}
		if fault := s.fault(); fault != "" || s.Role != Node && s.Role != Client {
			t.Errorf("%v is a subject, with %s", s, fault)
		}
	})
}

// What is loaded can be used and stored.
func FuzzLoad(f *testing.F) {
	paris := found("paris")
	c := enrol(paris, n1("paris"), noon)
	node, ca := must(certificateBlocks(c.Certificate)), must(certificateBlocks(c.Authority))
	key := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: c.Key})
	f.Add(key, node, ca)
	f.Add(append(node, key...), append(node, key...), append(ca, ca...))
	from := sources{"KEY", "CERTIFICATE", "AUTHORITY", "REMEDY"}
	f.Fuzz(func(t *testing.T, key, certificate, authority []byte) {
		c, err := decode(key, certificate, authority, from, noon)
		if err != nil {
			if text := err.Error(); !strings.Contains(text, "read KEY: ") && !strings.Contains(text, "read CERTIFICATE: ") && !strings.Contains(text, "read AUTHORITY: ") {
				t.Errorf("the error names no file: %v", err)
			}
			return
		}
		if err := (&Keeper{Time: atNoon}).Set(c); err != nil {
			t.Error(err)
		}
		node, ca, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(node, node, ca, from, noon); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("what is stored is not loaded: %v", err)
		}
	})
}

// A request comes from a machine that is not of the site yet.
func FuzzRequested(f *testing.F) {
	_, request, err := NewRequest("n1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Fuzz(func(t *testing.T, request []byte) {
		if public, err := requested(request); err == nil && keyFault(public) != "" {
			t.Errorf("a key is taken that %s", keyFault(public))
		}
	})
}
