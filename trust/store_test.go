package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestStoredCredentialsAreLoaded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "made", "yet")
	paris := found("paris")
	for range 2 { // a node that enrols, and a renewal
		want := enrol(paris, n1("paris"), noon)
		if err := want.Store(dir); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir, noon)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Error("what is loaded is not what was stored")
		}
	}
	for name, want := range map[string]fs.FileMode{AuthorityFile: 0o644, NodeFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s is %v, want %v", name, info.Mode(), want)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("more than two files are left: %v", files)
	}
}

// TestACrashWhileStoring ends each store before each of its writes, in the
// middle of it and after it. What is then loaded are the old credentials or
// the new, and the next store works.
func TestACrashWhileStoring(t *testing.T) {
	paris, anew := found("paris"), found("paris")
	crash := errors.New("crash")
	for name, next := range map[string]*Credentials{
		"a renewal":       enrol(paris, n1("paris"), noon),
		"a new authority": enrol(anew, n1("paris"), noon),
	} {
		old := enrol(paris, n1("paris"), noon)
		steps := 0
		for crashAt := 0; ; crashAt++ {
			dir := t.TempDir()
			if err := old.Store(dir); err != nil {
				t.Fatal(err)
			}
			steps = 0
			err := next.store(dir, func(file string, data []byte, mode fs.FileMode) error {
				steps++
				switch at := crashAt - 3*(steps-1); at {
				case 0:
					return crash
				case 1: // a file that nobody asks for is torn
					return errors.Join(crash, os.WriteFile(file+".new", data[:len(data)/2], mode))
				case 2:
					return errors.Join(crash, replaceFile(file, data, mode))
				default:
					return replaceFile(file, data, mode)
				}
			})
			got, loadErr := Load(dir, noon)
			if loadErr != nil {
				t.Fatalf("%s, crash %d: %v", name, crashAt, loadErr)
			}
			if string(got.Key) != string(old.Key) && string(got.Key) != string(next.Key) {
				t.Errorf("%s, crash %d: the key is neither the old nor the new", name, crashAt)
			}
			if err == nil {
				if !reflect.DeepEqual(got, next) {
					t.Errorf("%s: whole, but not the new credentials", name)
				}
				break
			}
			if err := next.Store(dir); err != nil {
				t.Errorf("%s, crash %d: again: %v", name, crashAt, err)
			}
			if got, err := Load(dir, noon); err != nil || !reflect.DeepEqual(got, next) {
				t.Errorf("%s, crash %d: stored again, loaded %v", name, crashAt, err)
			}
		}
		if want := map[string]int{"a renewal": 1, "a new authority": 3}[name]; steps != want {
			t.Errorf("%s took %d writes, want %d", name, steps, want)
		}
	}
}

// The first store of all leaves nothing, or an authority alone: the node did
// not join yet.
func TestACrashWhileStoringForTheFirstTime(t *testing.T) {
	crash := errors.New("crash")
	for crashAt := range 2 {
		dir := t.TempDir()
		steps := 0
		err := enrol(found("paris"), n1("paris"), noon).store(dir, func(file string, data []byte, mode fs.FileMode) error {
			if steps++; steps > crashAt {
				return crash
			}
			return replaceFile(file, data, mode)
		})
		if !errors.Is(err, crash) {
			t.Fatalf("got %v", err)
		}
		if _, err := Load(dir, noon); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("crash %d: got %v, want that nothing is there", crashAt, err)
		}
	}
}

// TestWhatLoadSays: each error names the file, what is wrong and the way out.
func TestWhatLoadSays(t *testing.T) {
	paris := found("paris")
	write := func(dir, name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alter := func(name string, change func(text string) string) func(dir string) {
		return func(dir string) {
			text := must(os.ReadFile(filepath.Join(dir, name)))
			write(dir, name, []byte(change(string(text))))
		}
	}
	stored := func(c *Credentials) func(dir string) {
		return func(dir string) {
			if err := c.Store(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	ours := paris.signer()
	forged := func(edit func(*x509.Certificate)) func(dir string) {
		return stored(ours.forge(edit).credentials(paris.Certificate))
	}
	other := enrol(paris, n1("paris"), noon)

	var said strings.Builder
	for _, test := range []struct {
		name  string
		spoil func(dir string)
		is    error
	}{
		{"nothing there", func(dir string) { _ = os.RemoveAll(dir) }, fs.ErrNotExist},
		{"no node.pem", func(dir string) { _ = os.Remove(filepath.Join(dir, NodeFile)) }, fs.ErrNotExist},
		{"no ca.pem", func(dir string) { _ = os.Remove(filepath.Join(dir, AuthorityFile)) }, nil},
		{"a directory for node.pem", func(dir string) {
			_ = os.Remove(filepath.Join(dir, NodeFile))
			_ = os.Mkdir(filepath.Join(dir, NodeFile), 0o700)
		}, nil},
		{"node.pem is empty", alter(NodeFile, func(string) string { return "" }), nil},
		{"node.pem is zeroed", alter(NodeFile, func(s string) string { return strings.Repeat("\x00", len(s)) }), nil},
		{"node.pem is cut off", alter(NodeFile, func(s string) string { return s[:len(s)-40] }), nil},
		{"node.pem is cut off after the certificate", alter(NodeFile, func(s string) string { return s[:strings.Index(s, "-----BEGIN PRIVATE")] }), nil},
		{"a bit of the certificate", alter(NodeFile, func(s string) string { return s[:100] + "!" + s[101:] }), nil},
		{"a letter of the certificate", alter(NodeFile, func(s string) string { return s[:30] + "AAAA" + s[34:] }), nil},
		{"ca.pem is cut off", alter(AuthorityFile, func(s string) string { return s[:len(s)/2] }), nil},
		{"ca.pem is huge", alter(AuthorityFile, func(s string) string { return s + strings.Repeat("\n", 1<<20) }), nil},
		{"another key", func(dir string) {
			text := string(must(certificateBlocks(other.Certificate)))
			alter(NodeFile, func(s string) string { return text + s[strings.Index(s, "-----BEGIN PRIVATE"):] })(dir)
		}, nil},
		{"a letter of the key", alter(NodeFile, func(s string) string {
			at := strings.Index(s, "-----BEGIN PRIVATE") + 40
			return s[:at] + "AAAA" + s[at+4:]
		}), nil},
		{"two keys", alter(NodeFile, func(s string) string { return s + s[strings.Index(s, "-----BEGIN PRIVATE"):] }), nil},
		{"another authority", func(dir string) { write(dir, AuthorityFile, must(certificateBlocks(found("paris").Certificate))) }, nil},
		{"a node's certificate for an authority", func(dir string) { write(dir, AuthorityFile, must(certificateBlocks(other.Certificate))) }, nil},
		{"expired", forged(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.Add(-4*day), noon.Add(-day) }), ErrExpired},
		{"not yet valid", forged(func(c *x509.Certificate) { c.NotBefore = noon.Add(day / 2) }), ErrNotYetValid},
		{"of a client", forged(func(c *x509.Certificate) { c.URIs = urls(Subject{"paris", Client, "ops"}) }), nil},
		{"of nobody", forged(func(c *x509.Certificate) { c.URIs = nil }), nil},
		{"not for servers", forged(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), nil},
	} {
		dir := filepath.Join(t.TempDir(), "tls")
		stored(enrol(paris, n1("paris"), noon))(dir)
		test.spoil(dir)
		_, err := Load(dir, noon)
		if err == nil {
			t.Errorf("%s: was loaded", test.name)
			continue
		}
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v is not %v", test.name, err, test.is)
		}
		if test.is == nil && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: passes for a node that did not join yet: %v", test.name, err)
		}
		fmt.Fprintf(&said, "# %s\n%s\n", test.name, strings.ReplaceAll(err.Error(), dir, "DIR"))
	}
	golden(t, "load", said.String())
}

// What comes by another way than files is checked in the same way.
func TestCheckNamesThePart(t *testing.T) {
	c := enrol(found("paris"), n1("paris"), noon)
	for want, broken := range map[string]Credentials{
		"read key: the key cannot be used: ":                          {nil, c.Certificate, c.Authority},
		"read certificate: there is no certificate in it":             {c.Key, nil, c.Authority},
		"read certificate: x509: malformed":                           {c.Key, c.Key, c.Authority},
		"read authority: there is no certificate in it":               {c.Key, c.Certificate, nil},
		"read authority: the certificate of node n1 of site paris is": {c.Key, c.Certificate, c.Certificate},
	} {
		if err := broken.Check(noon); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := c.Check(noon); err != nil {
		t.Error(err)
	}
}

// An authority that is over says so, and does not pass for a stranger.
func TestAnAuthorityThatIsOver(t *testing.T) {
	root := (*signer)(nil).forge(func(c *x509.Certificate) { authorities(c); c.NotAfter = noon.Add(day) })
	c := root.forge(func(c *x509.Certificate) { c.NotAfter = noon.Add(9 * day) }).credentials(root.certificate.Raw)
	if err := c.Check(noon); err != nil {
		t.Fatal(err)
	}
	err := c.Check(noon.Add(2 * day))
	const want = `the certificate of node n1 of site paris: the certificate "Example authority" that signed it expired on 2026-03-02 12:00:00 UTC`
	if !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// What an operator's own authority makes comes in many forms.
func TestAnOperatorsFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, blocks ...*pem.Block) string {
		name = filepath.Join(dir, name)
		var text []byte
		for _, b := range blocks {
			text = append(text, "a remark, as openssl writes them\n"...)
			text = append(text, pem.EncodeToMemory(b)...)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	certificate := func(s *signer) *pem.Block { return &pem.Block{Type: certificateBlock, Bytes: s.certificate.Raw} }
	root := (*signer)(nil).forge(authorities)
	middle := root.forge(authorities)
	ca := file("ca.pem", certificate((*signer)(nil).forge(authorities)), certificate(root))

	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ec := middle.forge(nil)
	with := func(key crypto.Signer) *signer { // the same certificate, for another key
		template := *ec.certificate
		der := must(x509.CreateCertificate(rand.Reader, &template, middle.certificate, key.Public(), middle.key))
		return &signer{certificate: must(x509.ParseCertificate(der)), key: key}
	}
	pkcs8 := func(key crypto.Signer) *pem.Block {
		return &pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}
	}
	sec1 := &pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(ec.key.(*ecdsa.PrivateKey)))}
	for name, test := range map[string]struct {
		made *signer
		key  *pem.Block
	}{
		"EC in PKCS#8":   {ec, pkcs8(ec.key)},
		"EC in SEC 1":    {ec, sec1},
		"RSA in PKCS#8":  {with(rsaKey), pkcs8(rsaKey)},
		"RSA in PKCS#1":  {with(rsaKey), &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}},
		"Ed25519, PKCS8": {with(edKey), pkcs8(edKey)},
	} {
		chain, key := file("node.pem", certificate(test.made), certificate(middle)), file("node.key", test.key)
		c, err := LoadFiles(ca, chain, key, noon)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		k := keeping(c)
		client := Pinned(PinOf(root.certificate.Raw))
		client.Time = atNoon
		if m := meet(t, k.ServerRPC(), client); m.err() != nil {
			t.Errorf("%s: a pinned client: %v", name, m.err())
		}
		if m := meet(t, k.ServerRaft(), k.DialNode("n1")); m.err() != nil {
			t.Errorf("%s: a node: %v", name, m.err())
		}
	}
	one := file("one.pem", sec1, certificate(ec), certificate(middle))
	if _, err := LoadFiles(ca, one, one, noon); err != nil {
		t.Errorf("key and certificate in one file: %v", err)
	}

	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	for want, files := range map[string][2]string{
		"leave.pem: the certificate of node n1 of site paris is not signed by an authority in":               {file("leave.pem", certificate(ec)), file("ec.key", sec1)},
		"weak.key: the key cannot be used: it is weak: RSA with 1024 bits":                                   {file("weak.pem", certificate(with(weak)), certificate(middle)), file("weak.key", pkcs8(weak))},
		"locked.key: the key is encrypted, and nobody can be asked for its passphrase: write it without one": {one, file("locked.key", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}})},
		"old.key: the key is encrypted": {one, file("old.key", &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}})},
		"middle.pem; put the two together that were made together, or have your authority issue a new certificate": {file("middle.pem", certificate(middle), certificate(ec)), file("ec.key", sec1)},
		"none.key: there is no key in it":         {one, file("none.key", certificate(ec))},
		"none.pem: there is no certificate in it": {file("none.pem", sec1), one},
		"missing.pem": {filepath.Join(dir, "missing.pem"), one},
	} {
		if _, err := LoadFiles(ca, files[0], files[1], noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
