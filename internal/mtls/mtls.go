// Package mtls is the authority on how the parts of Mediarooms trust each other: TLS 1.3,
// certificates on both sides from one CA that the operator makes and renews, and a fixed DNS name
// per part, which is all that counts of a certificate's subject.
//
// Certificates come from a directory, a mounted Secret, which is read again when its files have
// changed, or from memory; either way a renewal needs no restart.
package mtls

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DNS names of the parts, as they stand in their certificates.
const (
	Manager  = "manager.mediarooms.internal"
	Gateway  = "gateway.mediarooms.internal"
	MediaPod = "mediapod.mediarooms.internal"
	// Worker is a pod that takes media out of rooms.
	Worker = "worker.mediarooms.internal"
)

// Names of the files in a directory, and of the keys in a Secret.
const (
	CAFile          = "ca.crt"
	CertificateFile = "tls.crt"
	PrivateKeyFile  = "tls.key"
)

// ErrNoCertificate is what a Memory answers that holds nothing yet.
var ErrNoCertificate = errors.New("no certificate yet")

// ErrPeer marks a peer whose certificate is valid but belongs to a part that has no business here.
var ErrPeer = errors.New("peer not allowed")

// Source is where a part's own certificate and the roots that it trusts come from. It is asked at
// every handshake. Implementations are safe for concurrent use.
type Source interface {
	// Load returns the certificate with its key, and the roots.
	Load() (*tls.Certificate, *x509.CertPool, error)
}

// Server returns the TLS configuration of a server that lets in only the named parts. It fails when
// the directory can't be used now.
func Server(directory string, allowed ...string) (*tls.Config, error) {
	source := &identity{directory: directory}
	if _, _, err := source.Load(); err != nil {
		return nil, err
	}
	return ServerFrom(source, allowed...), nil
}

// ServerFrom is Server with any source; while that can't be used, handshakes fail.
func ServerFrom(source Source, allowed ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			certificate, roots, err := source.Load()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:       tls.VersionTLS13,
				NextProtos:       []string{"h2", "http/1.1"},
				Certificates:     []tls.Certificate{*certificate},
				ClientAuth:       tls.RequireAndVerifyClientCert,
				ClientCAs:        roots,
				VerifyConnection: requireName(allowed),
			}, nil
		},
	}
}

// Client returns the TLS configuration of a client that talks only to the named part, whatever
// address it has. It fails when the directory can't be used now.
func Client(directory, server string) (*tls.Config, error) {
	source := &identity{directory: directory}
	if _, _, err := source.Load(); err != nil {
		return nil, err
	}
	return ClientFrom(source, server), nil
}

// ClientFrom is Client with any source; while that can't be used, handshakes fail.
func ClientFrom(source Source, server string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: server,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, _, err := source.Load()
			return certificate, err
		},
		// The roots may have changed since this configuration was made, so the chain is verified
		// below.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, against the current roots.
		VerifyConnection: func(state tls.ConnectionState) error {
			_, roots, err := source.Load()
			if err != nil {
				return err
			}
			return verify(state, roots, server)
		},
	}
}

// DeriveKey returns a secret of 32 bytes that every pod of a part derives alike, for one purpose,
// from the private key that they have in common (HKDF, RFC 5869). It changes when that is renewed.
// It fails for a key that can't be encoded.
func DeriveKey(certificate *tls.Certificate, purpose string) ([]byte, error) {
	private, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return hkdf.Key(sha256.New, private, nil, purpose, sha256.Size)
}

func verify(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName:       name,
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("verifying the certificate of %s: %w", name, err)
	}
	return nil
}

func requireName(allowed []string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error { return Require(state, allowed...) }
}

// Require refuses a peer that is none of the named parts, with ErrPeer. It is for servers where not
// every part may do everything that they let in.
func Require(state tls.ConnectionState, allowed ...string) error {
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("checking the certificate: there is none: %w", ErrPeer)
	}
	for _, name := range state.PeerCertificates[0].DNSNames {
		if slices.Contains(allowed, name) {
			return nil
		}
	}
	return fmt.Errorf("checking the names %q: %w", state.PeerCertificates[0].DNSNames, ErrPeer)
}

// identity is a directory with a certificate, its key and the roots. Safe for concurrent use.
type identity struct {
	directory string

	mu          sync.Mutex // guards what follows
	modified    time.Time
	certificate *tls.Certificate
	roots       *x509.CertPool
}

// Load returns what the directory holds. While it can't be read, what was read last still holds.
func (i *identity) Load() (*tls.Certificate, *x509.CertPool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()

	info, err := os.Stat(filepath.Join(i.directory, CertificateFile))
	if err == nil && i.certificate != nil && info.ModTime().Equal(i.modified) {
		return i.certificate, i.roots, nil
	}
	if err == nil {
		var certificate tls.Certificate
		var roots *x509.CertPool
		if certificate, roots, err = read(i.directory); err == nil {
			i.certificate, i.roots, i.modified = &certificate, roots, info.ModTime()
			return i.certificate, i.roots, nil
		}
	}
	if i.certificate != nil {
		return i.certificate, i.roots, nil
	}
	return nil, nil, fmt.Errorf("reading the certificate directory %s: %w", i.directory, err)
}

func read(directory string) (tls.Certificate, *x509.CertPool, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(directory, CertificateFile), filepath.Join(directory, PrivateKeyFile))
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	bundle, err := os.ReadFile(filepath.Join(directory, CAFile))
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return tls.Certificate{}, nil, fmt.Errorf("parsing %s: no certificate in it", CAFile)
	}
	return certificate, roots, nil
}

// Memory is a Source that holds what it was given last. The zero value holds nothing.
type Memory struct {
	mu          sync.Mutex // guards what follows
	certificate *tls.Certificate
	roots       *x509.CertPool
}

// FromPEM returns a Memory that holds a certificate, its key and the roots.
func FromPEM(certificate, key, roots []byte) (*Memory, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("reading the roots: no certificate in it")
	}
	var memory Memory
	memory.Set(pair, pool)
	return &memory, nil
}

// Set replaces what the source holds. Handshakes from now on use it.
func (m *Memory) Set(certificate tls.Certificate, roots *x509.CertPool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.certificate, m.roots = &certificate, roots
}

// Load implements Source. It fails with ErrNoCertificate before the first Set.
func (m *Memory) Load() (*tls.Certificate, *x509.CertPool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.certificate == nil {
		return nil, nil, ErrNoCertificate
	}
	return m.certificate, m.roots, nil
}
