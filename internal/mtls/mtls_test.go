package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/mtls"
)

// authority is a CA of a test.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.certificate, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

// directory writes the certificate of a part, as a mounted Secret has it.
func (a *authority) directory(name string, expires time.Time) string {
	a.t.Helper()
	directory := a.t.TempDir()
	a.write(directory, name, expires)
	return directory
}

func (a *authority) write(directory, name string, expires time.Time) {
	a.t.Helper()
	certificate, key := a.sign(&x509.Certificate{
		DNSNames: []string{name}, NotAfter: expires, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		mtls.CAFile:          {Type: "CERTIFICATE", Bytes: a.certificate.Raw},
		mtls.CertificateFile: {Type: "CERTIFICATE", Bytes: certificate.Raw},
		mtls.PrivateKeyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(directory, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// shake does a handshake and passes one byte, and returns what went wrong at the server and at the
// client.
func shake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer connection.Close()
		_, err = tls.Server(connection, server).Write([]byte("x"))
		done <- err
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, clientErr = io.ReadFull(tls.Client(connection, client), make([]byte, 1))
	return <-done, clientErr
}

func TestWhoTalksToWhom(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for sentence, test := range map[string]struct {
		server, client string // directories
		expect         string // whom the client wants to talk to
		want           bool
	}{
		"the operator talks to a media pod": {
			ours.directory(mtls.MediaPod, later), ours.directory(mtls.Manager, later), mtls.MediaPod, true,
		},
		"a gateway has no business at the control port": {
			ours.directory(mtls.MediaPod, later), ours.directory(mtls.Gateway, later), mtls.MediaPod, false,
		},
		"a media pod has no business at the control port of another": {
			ours.directory(mtls.MediaPod, later), ours.directory(mtls.MediaPod, later), mtls.MediaPod, false,
		},
		"a client of another CA is refused": {
			ours.directory(mtls.MediaPod, later), theirs.directory(mtls.Manager, later), mtls.MediaPod, false,
		},
		"a server of another CA is refused": {
			theirs.directory(mtls.MediaPod, later), ours.directory(mtls.Manager, later), mtls.MediaPod, false,
		},
		"a server that is another part is refused": {
			ours.directory(mtls.Gateway, later), ours.directory(mtls.Manager, later), mtls.MediaPod, false,
		},
		"a certificate that has expired is refused": {
			ours.directory(mtls.MediaPod, later), ours.directory(mtls.Manager, earlier), mtls.MediaPod, false,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			server, err := mtls.Server(test.server, mtls.Manager)
			if err != nil {
				t.Fatal(err)
			}
			client, err := mtls.Client(test.client, test.expect)
			if err != nil {
				t.Fatal(err)
			}
			serverErr, clientErr := shake(t, server, client)
			if ok := serverErr == nil && clientErr == nil; ok != test.want {
				t.Errorf("server %v, client %v", serverErr, clientErr)
			}
		})
	}
}

func TestOlderTLSAndNoCertificateAreRefused(t *testing.T) {
	ours := newAuthority(t)
	server, err := mtls.Server(ours.directory(mtls.MediaPod, time.Now().Add(time.Hour)), mtls.Manager)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mtls.Client(ours.directory(mtls.Manager, time.Now().Add(time.Hour)), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if serverErr, clientErr := shake(t, server, old); serverErr == nil || clientErr == nil {
		t.Error("TLS 1.2 was taken")
	}
	nobody := client.Clone()
	nobody.GetClientCertificate = nil
	if serverErr, clientErr := shake(t, server, nobody); serverErr == nil || clientErr == nil {
		t.Error("a client without a certificate was taken")
	}
}

func TestARenewalNeedsNoRestart(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	serverDirectory, clientDirectory := before.directory(mtls.MediaPod, later), before.directory(mtls.Manager, later)
	server, err := mtls.Server(serverDirectory, mtls.Manager)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mtls.Client(clientDirectory, mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	if serverErr, clientErr := shake(t, server, client); serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	for _, part := range []struct{ directory, name string }{{serverDirectory, mtls.MediaPod}, {clientDirectory, mtls.Manager}} {
		after.write(part.directory, part.name, later)
		// A renewal is seen by its time.
		file := filepath.Join(part.directory, mtls.CertificateFile)
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if serverErr, clientErr := shake(t, server, client); serverErr != nil || clientErr != nil {
		t.Errorf("after both were renewed: server %v, client %v", serverErr, clientErr)
	}
	// What can't be read changes nothing.
	if err := os.Remove(filepath.Join(serverDirectory, mtls.PrivateKeyFile)); err != nil {
		t.Fatal(err)
	}
	if serverErr, clientErr := shake(t, server, client); serverErr != nil || clientErr != nil {
		t.Errorf("while a file is missing: server %v, client %v", serverErr, clientErr)
	}
}

func TestADirectoryThatCannotBeUsedIsAnError(t *testing.T) {
	if _, err := mtls.Server(t.TempDir(), mtls.Manager); err == nil {
		t.Error("an empty directory was taken by a server")
	}
	if _, err := mtls.Client(t.TempDir(), mtls.MediaPod); err == nil {
		t.Error("an empty directory was taken by a client")
	}
}

func TestMemory(t *testing.T) {
	var memory mtls.Memory
	if _, _, err := memory.Load(); !errors.Is(err, mtls.ErrNoCertificate) {
		t.Errorf("an empty one gives %v", err)
	}
	ours := newAuthority(t)
	directory := ours.directory(mtls.Manager, time.Now().Add(time.Hour))
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	held, err := mtls.FromPEM(read(mtls.CertificateFile), read(mtls.PrivateKeyFile), read(mtls.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	server, err := mtls.Server(ours.directory(mtls.MediaPod, time.Now().Add(time.Hour)), mtls.Manager)
	if err != nil {
		t.Fatal(err)
	}
	if serverErr, clientErr := shake(t, server, mtls.ClientFrom(held, mtls.MediaPod)); serverErr != nil || clientErr != nil {
		t.Errorf("server %v, client %v", serverErr, clientErr)
	}
	if _, err := mtls.FromPEM(read(mtls.CertificateFile), read(mtls.PrivateKeyFile), nil); err == nil {
		t.Error("no roots were taken")
	}
}

// All pods of a part derive the same key from what they have in common, and nobody else does.
func TestDeriveKey(t *testing.T) {
	ours := newAuthority(t)
	derive := func(directory, purpose string) string {
		t.Helper()
		certificate, err := tls.LoadX509KeyPair(filepath.Join(directory, mtls.CertificateFile), filepath.Join(directory, mtls.PrivateKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		key, err := mtls.DeriveKey(&certificate, purpose)
		if err != nil || len(key) != 32 {
			t.Fatalf("got a key of %d bytes, %v", len(key), err)
		}
		return string(key)
	}
	one, two := ours.directory(mtls.Gateway, time.Now().Add(time.Hour)), ours.directory(mtls.Gateway, time.Now().Add(time.Hour))
	key := derive(one, "links")
	if derive(one, "links") != key {
		t.Error("two pods derive two keys")
	}
	if derive(one, "others") == key {
		t.Error("the key of two purposes is the same")
	}
	if derive(two, "links") == key {
		t.Error("the key of two certificates is the same")
	}
	if _, err := mtls.DeriveKey(&tls.Certificate{}, "links"); err == nil {
		t.Error("a key was derived from nothing")
	}
}
