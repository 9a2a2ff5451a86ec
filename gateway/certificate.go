package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// Values of the label certificate.
const (
	servingLabel  = "serving"
	identityLabel = "identity"
)

var expiryDesc = prometheus.NewDesc("mediarooms_gateway_certificate_expiry_timestamp_seconds",
	"When a certificate ends that this gateway uses now, in seconds since 1970: serving, towards clients, or identity, towards media pods.",
	[]string{"certificate"}, nil)

// expiries tells when certificates end, by the label of each.
type expiries map[string]func() (*tls.Certificate, error)

// Describe implements prometheus.Collector.
func (expiries) Describe(out chan<- *prometheus.Desc) { out <- expiryDesc }

// Collect implements prometheus.Collector. A certificate that can't be read is left out.
func (e expiries) Collect(out chan<- prometheus.Metric) {
	for label, load := range e {
		certificate, err := load()
		if err != nil {
			continue
		}
		if leaf, err := x509.ParseCertificate(certificate.Certificate[0]); err == nil {
			out <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()), label)
		}
	}
}
