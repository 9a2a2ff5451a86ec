// Package mtlstest makes certificates for tests and benchmarks of what uses package mtls: a CA of
// their own, and identities of the parts from it.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/mtls"
)

// Authority is a CA. Its certificates hold for an hour.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New returns a CA that nobody else trusts.
func New() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing a CA: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading a CA back: %w", err)
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// NewAuthority is New for tests.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	authority, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// Pool returns the CA's certificate as what a peer trusts.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue writes a new certificate for a name, its key and the CA's certificate into a directory,
// which it creates if need be.
func (a *Authority) Issue(directory, name string) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return fmt.Errorf("drawing a serial number: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		DNSNames:     []string{name},
		NotBefore:    a.certificate.NotBefore,
		NotAfter:     a.certificate.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing a certificate for %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	write := func(file, kind string, data []byte) error {
		return os.WriteFile(filepath.Join(directory, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600)
	}
	return errors.Join(
		os.MkdirAll(directory, 0o700),
		write(mtls.CAFile, "CERTIFICATE", a.certificate.Raw),
		write(mtls.CertificateFile, "CERTIFICATE", der),
		write(mtls.PrivateKeyFile, "PRIVATE KEY", private),
	)
}

// Write is Issue for tests.
func (a *Authority) Write(t testing.TB, directory, name string) {
	t.Helper()
	if err := a.Issue(directory, name); err != nil {
		t.Fatal(err)
	}
}

// Directory returns a directory, which goes with the test, with what Write writes.
func (a *Authority) Directory(t testing.TB, name string) string {
	t.Helper()
	directory := t.TempDir()
	a.Write(t, directory, name)
	return directory
}

// Memory returns a new certificate for a name, and the CA as what it trusts.
func (a *Authority) Memory(t testing.TB, name string) *mtls.Memory {
	t.Helper()
	config, err := mtls.Client(a.Directory(t, name), name)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := config.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	var memory mtls.Memory
	memory.Set(*certificate, a.Pool())
	return &memory
}
