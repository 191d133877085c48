package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sample is a token that is always the same.
func sample(kind Kind) Token {
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(200 + i)
	}
	t := Token{Kind: kind, ID: "abcd2345", Secret: newSecret(secret), Pin: PinOf([]byte("paris")), Expires: noon.Add(day)}
	if kind == JoinToken {
		t.Uses = 10
	}
	return t
}

func same(a, b Token) bool {
	return a.Kind == b.Kind && a.ID == b.ID && a.Secret.Equal(b.Secret) && a.Pin == b.Pin && a.Expires.Equal(b.Expires) && a.Uses == b.Uses
}

func TestATokensTextGivesTheToken(t *testing.T) {
	for _, want := range []Token{
		NewToken(ClientToken, PinOf([]byte("paris")), time.Time{}, 0),
		NewToken(ClientToken, Pin{}, time.Now(), 0),
		NewToken(JoinToken, PinOf([]byte("paris")), noon.Add(time.Millisecond), 1000),
		NewToken(JoinToken, Pin{}, time.Time{}, 1<<31-1),
		sample(ClientToken), sample(JoinToken),
	} {
		text := want.Text()
		got, err := ParseToken(" " + text + "\n")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !same(got, want) || got.Text() != text {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !regexp.MustCompile(`^(cat|catjoin)_[a-z2-7]+$`).MatchString(text) {
			t.Errorf("%s is not one word", text)
		}
		if !regexp.MustCompile(`^[a-z2-7]{8}$`).MatchString(got.ID) {
			t.Errorf("its ID is %q", got.ID)
		}
	}
}

// What is in people's hands must be readable by later versions.
func TestTheTextOfAToken(t *testing.T) {
	golden(t, "token", sample(ClientToken).Text()+"\n"+sample(JoinToken).Text()+"\n")
}

func TestSecretsAreCompared(t *testing.T) {
	one := sample(ClientToken).Secret
	for name, test := range map[string]struct {
		other Secret
		want  bool
	}{
		"itself":    {one, true},
		"a copy":    {sample(JoinToken).Secret, true},
		"another":   {NewToken(ClientToken, Pin{}, noon, 0).Secret, false},
		"no secret": {Secret{}, false},
	} {
		if one.Equal(test.other) != test.want || test.other.Equal(one) != test.want {
			t.Errorf("%s: want equal %v", name, test.want)
		}
	}
	if !(Secret{}).Equal(Secret{}) {
		t.Error("no secret differs from none")
	}
}

func TestTokensDiffer(t *testing.T) {
	a, b := NewToken(ClientToken, Pin{}, time.Time{}, 0), NewToken(ClientToken, Pin{}, time.Time{}, 0)
	if a.ID == b.ID || a.Secret.Equal(b.Secret) || a.Hash() == b.Hash() {
		t.Error("two tokens are alike")
	}
}

func TestATokenMatchesItsHashAlone(t *testing.T) {
	token := sample(ClientToken)
	hash, secret := token.Hash(), token.Secret.reveal()
	if !token.Matches(hash[:]) {
		t.Error("it does not match its own hash")
	}
	again, err := ParseToken(token.Text())
	if err != nil || !again.Matches(hash[:]) {
		t.Errorf("what was parsed does not match: %v", err)
	}
	otherID, otherKind := token, token
	otherID.ID, otherKind.Kind = "abcd2346", JoinToken
	bare := token
	bare.Secret = Secret{}
	empty := Token{}.Hash()
	for name, no := range map[string]bool{
		"another ID":        otherID.Matches(hash[:]),
		"another kind":      otherKind.Matches(hash[:]),
		"another secret":    NewToken(ClientToken, token.Pin, token.Expires, 0).Matches(hash[:]),
		"no secret":         bare.Matches(hash[:]),
		"nothing":           Token{}.Matches(empty[:]),
		"no hash":           token.Matches(nil),
		"a part of it":      token.Matches(hash[:16]),
		"the secret itself": token.Matches(secret[:]),
	} {
		if no {
			t.Errorf("%s matches", name)
		}
	}
}

// TestWhatParseTokenSays: a wrong paste is told from a wrong token.
func TestWhatParseTokenSays(t *testing.T) {
	text := sample(ClientToken).Text()
	middle := len(text) / 2
	swap := text[:middle] + map[bool]string{true: "b", false: "a"}[text[middle] == 'a'] + text[middle+1:]
	newer := []byte{2, 2 + 3 + 4, 'n', 'e', 'w'}
	newer = append(newer, checksum("cat_", newer)...)
	var said strings.Builder
	for _, test := range []struct{ name, text string }{
		{"nothing", ""},
		{"a word", "hunter2"},
		{"a secret of old", strings.Repeat("s3cr3t", 20)},
		{"the prefix alone", "cat_"},
		{"the beginning", text[:6]},
		{"all but the end", text[:len(text)-1]},
		{"all but the beginning", text[5:]},
		{"two tokens", text + text},
		{"one character too many", text + "a"},
		{"in capitals", strings.ToUpper(text)},
		{"a wrong character", swap},
		{"two characters swapped", text[:middle] + "72" + text[middle+2:]},
		{"an impossible character", text[:middle] + "0" + text[middle+1:]},
		{"a line break in it", text[:middle] + "\n" + text[middle:]},
		{"in quotes", `"` + text + `"`},
		{"a foreign letter", text[:middle] + "é" + text[middle+1:]},
		{"an ellipsis", text[:20] + "…"},
		{"of the other kind's prefix", "catjoin_" + strings.TrimPrefix(text, "cat_")},
		{"of a newer version", "cat_" + alphabet.EncodeToString(newer)},
	} {
		_, err := ParseToken(test.text)
		if err == nil {
			t.Errorf("%s was taken", test.name)
			continue
		}
		for at := 0; at+8 < len(test.text); at++ {
			if strings.Contains(err.Error(), test.text[at:at+8]) {
				t.Errorf("%s: the error repeats a part of the text: %v", test.name, err)
				break
			}
		}
		fmt.Fprintf(&said, "# %s\n%s\n", test.name, err)
	}
	golden(t, "tokens", said.String())
}

func TestEachWrongCharacterIsNoticed(t *testing.T) {
	text := sample(JoinToken).Text()
	for at := len("catjoin_"); at < len(text); at++ {
		for _, c := range "az27" {
			if byte(c) == text[at] {
				continue
			}
			if _, err := ParseToken(text[:at] + string(c) + text[at+1:]); err == nil {
				t.Errorf("%c in place %d was taken", c, at)
			}
		}
		if _, err := ParseToken(text[:at]); err == nil {
			t.Errorf("%d of %d characters were taken", at, len(text))
		}
	}
}

func TestIsToken(t *testing.T) {
	for text, want := range map[string]bool{
		"cat_": true, "catjoin_x": true, " cat_x\n": true, sample(JoinToken).Text(): true,
		"": false, "cat": false, "CAT_x": false, "category": false, "catjoin-x": false, "admin": false,
	} {
		if got := IsToken(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestATokenThatNobodyMadeHasNoText(t *testing.T) {
	bare, strange, unnamed := sample(ClientToken), sample(ClientToken), sample(ClientToken)
	bare.Secret, strange.Kind, unnamed.ID = Secret{}, "root", "n1"
	for _, token := range []Token{{}, bare, strange, unnamed} {
		if got := token.Text(); got != "" {
			t.Errorf("got %s", got)
		}
	}
}

// TestTheSecretIsNeverPrinted: whatever holds a secret, however it is held.
func TestTheSecretIsNeverPrinted(t *testing.T) {
	token := sample(ClientToken)
	type private struct {
		token  Token
		secret Secret
		list   []Secret
		more   map[string]*Token
	}
	held := private{token, token.Secret, []Secret{token.Secret}, map[string]*Token{"x": &token}}
	var logged bytes.Buffer
	text, lines := slog.New(slog.NewTextHandler(&logged, nil)), slog.New(slog.NewJSONHandler(&logged, nil))
	var shown []string
	for _, value := range []any{token.Secret, &token.Secret, token, &token, []Token{token}, map[string]Token{"t": token}, held, &held} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%t", "%10v", "%p"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		shown = append(shown, fmt.Sprint(value), fmt.Sprintln(value), fmt.Errorf("%v", value).Error())
		text.Info("x", "value", value)
		lines.Info("x", "value", value)
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(encoded))
	}
	shown = append(shown, logged.String(), token.Secret.String(), token.Secret.GoString(), token.Secret.LogValue().String())

	secret := token.Secret.reveal()
	forms := []string{token.Text()[20:40]}
	for _, form := range []string{"%x", "%X", "%s", "%q", "% x", "%d", "%v", "%o", "%b", "%U", "%c"} {
		whole := fmt.Sprintf(form, secret[4:8])
		forms = append(forms, strings.Trim(whole, `[]"`))
	}
	for _, s := range shown {
		for _, form := range forms {
			if strings.Contains(s, form) {
				t.Errorf("the secret shows as %s in %s", form, s)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, token.Secret); got != "(secret)" {
			t.Errorf("%s gives %s", verb, got)
		}
		if got := fmt.Sprintf(verb, token); !strings.Contains(got, "(secret)") {
			t.Errorf("%s of a token gives %s", verb, got)
		}
	}
	if got := string(must(json.Marshal(token))); !strings.Contains(got, `"Secret":"(secret)"`) {
		t.Errorf("JSON is %s", got)
	}
	if !strings.Contains(logged.String(), "(secret)") {
		t.Errorf("the log has %s", logged.String())
	}
}

func TestAGossipKeyAndItsName(t *testing.T) {
	a, b := NewGossipKey(), NewGossipKey()
	if len(a) != 32 || bytes.Equal(a, b) {
		t.Errorf("keys of %d bytes, alike %v", len(a), bytes.Equal(a, b))
	}
	if KeyID(a) != KeyID(bytes.Clone(a)) || KeyID(a) == KeyID(b) || len(KeyID(a)) != 12 {
		t.Errorf("names are %s and %s", KeyID(a), KeyID(b))
	}
	if got, want := KeyID(make([]byte, 32)), "7a9847bd69bc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
