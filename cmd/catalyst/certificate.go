package main

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// certificate is a server's certificate in files. They are read again when they
// have changed; while they cannot be read, the last one stays.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	current *tls.Certificate
	of      time.Time // when the files had changed last
}

func openCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.read(c.changedAt()); err != nil {
		return nil, err
	}
	return c, nil
}

// changedAt is when the younger of the files has changed.
func (c *certificate) changedAt() (at time.Time) {
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at
}

func (c *certificate) read(at time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.of = &pair, at
	return nil
}

// config is for a server that shows it.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if at := c.changedAt(); !at.Equal(c.of) {
				_ = c.read(at) // a half-written one is read with the next handshake
			}
			return c.current, nil
		},
	}
}
