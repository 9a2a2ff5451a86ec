// Package certs is the authority on the operator's secrets: the CA by which the parts of Mediarooms
// trust each other, the certificate of each part, and the key that tokens are derived from. It
// makes them, renews them in time, and heals what was deleted.
//
// A CA is replaced in two steps, so that nobody ever meets a certificate that it can't verify:
//
//	days left   > 1/3 of its life      < 1/3                          propagation later
//	            signs, alone     -->   signs; the next one is   -->   the next one signs; the old one
//	                                   trusted already                is trusted until it expires
package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Lives of certificates.
const (
	// caLife and leafLife are how long certificates are valid. Each is replaced before a third of
	// it is left.
	caLife   = 6 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// propagation is how long a next CA is trusted everywhere before it signs: far longer than a
	// kubelet takes to renew a mounted Secret.
	propagation = 24 * time.Hour
	// backdate tolerates clocks that are behind.
	backdate = 5 * time.Minute
)

// errNoPEM is a Secret's value that is no PEM block of the expected kind.
var errNoPEM = errors.New("no such PEM block")

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authority is the state of the CA: the pair that signs, the one that will, and old ones that are
// still trusted.
type authority struct {
	current pair
	next    *pair
	old     []*x509.Certificate
}

// advance returns the authority as it has to be now, and when to look again. A nil authority
// becomes a new one.
func advance(a *authority, now time.Time) (*authority, time.Time, error) {
	if a == nil {
		current, err := newCA(now)
		if err != nil {
			return nil, time.Time{}, err
		}
		a = &authority{current: current}
	}
	out := *a
	out.old = nil
	for _, certificate := range a.old {
		if now.Before(certificate.NotAfter) {
			out.old = append(out.old, certificate)
		}
	}
	switch {
	case out.next == nil && due(out.current.certificate, now):
		next, err := newCA(now)
		if err != nil {
			return nil, time.Time{}, err
		}
		out.next = &next
	case out.next != nil && !now.Before(out.next.certificate.NotBefore.Add(backdate+propagation)):
		if now.Before(out.current.certificate.NotAfter) {
			out.old = append(out.old, out.current.certificate)
		}
		out.current, out.next = *out.next, nil
	}
	again := renewal(out.current.certificate)
	if out.next != nil {
		again = out.next.certificate.NotBefore.Add(backdate + propagation)
	}
	return &out, again, nil
}

// bundle returns all certificates that are trusted, as PEM, the one that signs first.
func (a *authority) bundle() []byte {
	out := encode("CERTIFICATE", a.current.certificate.Raw)
	if a.next != nil {
		out = append(out, encode("CERTIFICATE", a.next.certificate.Raw)...)
	}
	for _, certificate := range a.old {
		out = append(out, encode("CERTIFICATE", certificate.Raw)...)
	}
	return out
}

// signed says whether a certificate is the current CA's.
func (a *authority) signed(certificate *x509.Certificate) bool {
	return certificate.CheckSignatureFrom(a.current.certificate) == nil
}

// renewal is when a certificate is replaced: when a third of its life is left.
func renewal(certificate *x509.Certificate) time.Time {
	return certificate.NotAfter.Add(-certificate.NotAfter.Sub(certificate.NotBefore) / 3)
}

func due(certificate *x509.Certificate, now time.Time) bool {
	return !now.Before(renewal(certificate))
}

func newCA(now time.Time) (pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "mediarooms-ca"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return newPair(template, nil)
}

// leaf issues a certificate for the part with a DNS name.
func (a *authority) leaf(name string, now time.Time) (pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return newPair(template, &a.current)
}

// newPair makes a key and a certificate that the issuer signs, or itself.
func newPair(template *x509.Certificate, issuer *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, fmt.Errorf("making a serial number: %w", err)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return pair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("parsing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return pair{certificate: certificate, key: key}, nil
}

// pem returns the certificate and the key as PEM.
func (p pair) pem() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the key of %s: %w", p.certificate.Subject.CommonName, err)
	}
	return encode("CERTIFICATE", p.certificate.Raw), encode("PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parsePair reads what pem returned, and checks that the two belong together.
func parsePair(certificate, key []byte) (pair, error) {
	certificates, err := parseBundle(certificate)
	if err != nil {
		return pair{}, err
	}
	block, _ := pem.Decode(key)
	if block == nil || block.Type != "PRIVATE KEY" {
		return pair{}, fmt.Errorf("reading the key: %w", errNoPEM)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return pair{}, fmt.Errorf("reading the key: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(certificates[0].PublicKey) {
		return pair{}, fmt.Errorf("reading the key: it is not the certificate's: %w", x509.ErrUnsupportedAlgorithm)
	}
	return pair{certificate: certificates[0], key: private}, nil
}

// parseBundle reads one or more certificates.
func parseBundle(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(bytes.TrimSpace(data)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		out = append(out, certificate)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("reading a certificate: %w", errNoPEM)
	}
	return out, nil
}
