package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// servingCertificate is a directory with tls.crt and tls.key, such as a mounted Secret, that is
// read again when it has changed. Safe for concurrent use.
type servingCertificate struct {
	directory string

	mu          sync.Mutex // guards what follows
	modified    time.Time
	certificate *tls.Certificate
}

// config returns the TLS configuration of a server with this certificate. It fails when there is
// none now.
func (c *servingCertificate) config() (*tls.Config, error) {
	if _, err := c.load(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.load}, nil
}

// load returns the certificate. While the directory can't be read, what was read last still holds.
func (c *servingCertificate) load(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	file, key := filepath.Join(c.directory, "tls.crt"), filepath.Join(c.directory, "tls.key")
	info, err := os.Stat(file)
	if err == nil && (c.certificate == nil || !info.ModTime().Equal(c.modified)) {
		var certificate tls.Certificate
		if certificate, err = tls.LoadX509KeyPair(file, key); err == nil {
			c.certificate, c.modified = &certificate, info.ModTime()
		}
	}
	if c.certificate == nil {
		return nil, fmt.Errorf("reading the serving certificate: %w", err)
	}
	return c.certificate, nil
}
