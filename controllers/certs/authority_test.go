package certs

import (
	"crypto/x509"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/mtls"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// trusts says whether a leaf is trusted by who has the authority's bundle.
func trusts(t *testing.T, a *authority, leaf pair, now time.Time) bool {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.bundle())
	_, err := leaf.certificate.Verify(x509.VerifyOptions{
		DNSName: mtls.MediaPod, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// TestRotation goes through the whole life of a CA and its successor. At each step whoever has this
// bundle or the one before must trust leaves of this step and of the one before.
func TestRotation(t *testing.T) {
	var before *authority
	var leafBefore pair
	now := start
	signers := make(map[string]bool)
	for now.Before(start.Add(3 * caLife)) {
		a, again, err := advance(before, now)
		if err != nil {
			t.Fatal(err)
		}
		if due(a.current.certificate, now) && a.next == nil {
			t.Fatalf("at %s the CA is due and has no successor", now)
		}
		leaf, err := a.leaf(mtls.MediaPod, now)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil {
			if !trusts(t, before, leaf, now) {
				t.Errorf("at %s who has the bundle of before does not trust a new leaf", now)
			}
			if now.Before(leafBefore.certificate.NotAfter) && !trusts(t, a, leafBefore, now) {
				t.Errorf("at %s who has the new bundle does not trust a leaf of before", now)
			}
		}
		signers[a.current.certificate.SerialNumber.String()] = true
		if n := len(a.old); n > 2 {
			t.Errorf("at %s there are %d old certificates", now, n)
		}
		before, leafBefore = a, leaf
		if !again.After(now) {
			t.Fatalf("at %s it looks again at %s", now, again)
		}
		// A leaf lives shorter than a CA, so nobody looks later than that.
		if soon := now.Add(leafLife / 2); again.After(soon) {
			again = soon
		}
		now = again
	}
	if len(signers) < 4 {
		t.Errorf("in three lives there were %d CAs", len(signers))
	}
}

func TestStoredAuthorityIsReadBack(t *testing.T) {
	a, _, err := advance(nil, start)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err = advance(a, start.Add(caLife*3/4))
	if err != nil {
		t.Fatal(err)
	}
	if a.next == nil {
		t.Fatal("there is no successor")
	}
	data, err := a.data()
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseAuthority(data)
	if err != nil {
		t.Fatal(err)
	}
	if !back.current.certificate.Equal(a.current.certificate) || !back.next.certificate.Equal(a.next.certificate) || len(back.old) != 0 {
		t.Errorf("it is %+v", back)
	}
	for name, spoil := range map[string]func(data map[string][]byte){
		"a key of another":  func(data map[string][]byte) { data[mtls.PrivateKeyFile] = data[nextKeyField] },
		"no certificate":    func(data map[string][]byte) { delete(data, mtls.CertificateFile) },
		"a key that is not": func(data map[string][]byte) { data[mtls.PrivateKeyFile] = []byte("x") },
		"no bundle":         func(data map[string][]byte) { data[mtls.CAFile] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			data, err := a.data()
			if err != nil {
				t.Fatal(err)
			}
			spoil(data)
			if _, err := parseAuthority(data); err == nil {
				t.Error("it was taken")
			}
		})
	}
}
