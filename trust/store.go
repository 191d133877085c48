package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files of a directory of credentials.
const (
	AuthorityFile = "ca.pem"   // 0644: also for clients that verify host names
	NodeFile      = "node.pem" // 0600: the node's certificate, those between it and the authority, and its key
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
	maxFile          = 1 << 20
)

// Store writes the credentials into a directory, which it makes if need be. It
// does not check them.
//
// The key and its certificate are one file, replaced in one step. Where the
// authority changes, its file holds the old and the new one until that is
// done. So Load finds the old credentials or the new after a crash at any point.
func (c *Credentials) Store(dir string) error {
	if err := c.store(dir, replaceFile); err != nil {
		return fmt.Errorf("store the node's certificate in %s: %w", dir, err)
	}
	return nil
}

func (c *Credentials) store(dir string, replace func(name string, data []byte, mode fs.FileMode) error) error {
	node, authority, err := c.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authorityFile, nodeFile := filepath.Join(dir, AuthorityFile), filepath.Join(dir, NodeFile)
	was, _ := readFile(authorityFile) // what cannot be read is not worth keeping
	if bytes.Equal(was, authority) {
		return replace(nodeFile, node, 0o600)
	}
	both := authority
	if _, err := certificatesOf(authorityFile, was); err == nil {
		both = append(bytes.Clone(authority), was...)
	}
	if err := replace(authorityFile, both, 0o644); err != nil {
		return err
	}
	if err := replace(nodeFile, node, 0o600); err != nil {
		return err
	}
	if len(both) == len(authority) {
		return nil
	}
	return replace(authorityFile, authority, 0o644)
}

// encode returns the texts of the two files.
func (c *Credentials) encode() (node, authority []byte, err error) {
	if node, err = certificateBlocks(c.Certificate); err != nil {
		return nil, nil, err
	}
	if authority, err = certificateBlocks(c.Authority); err != nil {
		return nil, nil, err
	}
	return append(node, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: c.Key})...), authority, nil
}

// replaceFile lets a file have its old content or its new, whatever happens.
func replaceFile(name string, data []byte, mode fs.FileMode) error {
	next := name + ".new" // one name: what a crash leaves is overwritten
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Load reads what Store wrote and checks it. Its errors name the file, what is
// wrong with it and the way out; they are fs.ErrNotExist where there is
// no node.pem yet, and ErrExpired or ErrNotYetValid about dates.
func Load(dir string, now time.Time) (*Credentials, error) {
	node := filepath.Join(dir, NodeFile)
	return load(sources{key: node, certificate: node, authority: filepath.Join(dir, AuthorityFile),
		remedy: "restore it from a copy, or take the node out at another one (catalyst member remove), empty its data directory and join it anew"}, now)
}

// LoadFiles reads what an operator's own authority issued, and checks it as
// Load does: PEM, the key in PKCS#8, PKCS#1 or SEC 1 and not encrypted, the
// node's certificate before those between it and the authority, one authority
// or several.
func LoadFiles(authority, certificate, key string, now time.Time) (*Credentials, error) {
	return load(sources{key: key, certificate: certificate, authority: authority,
		remedy: "have your authority issue a new certificate"}, now)
}

func load(from sources, now time.Time) (*Credentials, error) {
	var texts [3][]byte
	for i, name := range []string{from.key, from.certificate, from.authority} {
		text, err := readFile(name)
		if errors.Is(err, fs.ErrNotExist) && name != from.certificate {
			err = errors.New(err.Error()) // half of it is there: that is not nothing
		}
		if err != nil {
			return nil, fmt.Errorf("%w; make it readable for the node, or %s", err, from.remedy)
		}
		texts[i] = text
	}
	return decode(texts[0], texts[1], texts[2], from, now)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read %s: it has more than %d bytes, which no such file has", name, maxFile)
	}
	return data, nil
}

// fileError names the file once.
func fileError(name string, err error) error {
	if path := new(fs.PathError); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// decode makes credentials of three texts in PEM.
func decode(key, certificate, authority []byte, from sources, now time.Time) (*Credentials, error) {
	var c Credentials
	for _, part := range []struct {
		of   func(name string, text []byte) ([]byte, error)
		name string
		text []byte
		to   *[]byte
	}{
		{keyOf, from.key, key, &c.Key},
		{certificatesOf, from.certificate, certificate, &c.Certificate},
		{certificatesOf, from.authority, authority, &c.Authority},
	} {
		der, err := part.of(part.name, part.text)
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, from.remedy)
		}
		*part.to = der
	}
	if _, err := c.open(from, now); err != nil {
		return nil, err
	}
	return &c, nil
}

// blocks returns the PEM blocks of a text. The library skips what it cannot
// read; here that is damage.
func blocks(name string, text []byte) (all []*pem.Block, err error) {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		all = append(all, b)
	}
	switch {
	case begun == 0:
		return nil, fmt.Errorf("read %s: it is damaged: there is no PEM in it", name)
	case len(all) != begun:
		return nil, fmt.Errorf("read %s: it is damaged: %d of its %d PEM blocks can be read", name, len(all), begun)
	}
	return all, nil
}

// certificatesOf returns the certificates of a text in PEM, as DER.
func certificatesOf(name string, text []byte) (der []byte, err error) {
	all, err := blocks(name, text)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Type != certificateBlock {
			continue
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return nil, fmt.Errorf("read %s: a certificate in it is damaged: %w", name, err)
		}
		der = append(der, b.Bytes...)
	}
	if der == nil {
		return nil, fmt.Errorf("read %s: there is no certificate in it", name)
	}
	return der, nil
}

// keyOf returns the key of a text in PEM, as PKCS#8.
func keyOf(name string, text []byte) ([]byte, error) {
	all, err := blocks(name, text)
	if err != nil {
		return nil, err
	}
	var found *pem.Block
	for _, b := range all {
		switch {
		case !strings.HasSuffix(b.Type, keyBlock):
		case strings.HasPrefix(b.Type, "ENCRYPTED") || b.Headers["DEK-Info"] != "":
			return nil, fmt.Errorf("read %s: the key is encrypted, and nobody can be asked for its passphrase: write it without one (openssl pkey -in … -out …), readable by the node alone", name)
		case found != nil:
			return nil, fmt.Errorf("read %s: there is more than one key in it; leave the node's", name)
		default:
			found = b
		}
	}
	if found == nil {
		return nil, fmt.Errorf("read %s: there is no key in it", name)
	}
	key, err := parseKey(found.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: the key cannot be used: %w", name, err)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

func certificateBlocks(der []byte) (text []byte, err error) {
	all, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return text, nil
}
