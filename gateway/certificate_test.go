package gateway

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
)

// mounted is a volume of a Secret as a kubelet makes it: the files are links into a folder that is
// itself a link, and that link is exchanged.
type mounted struct {
	testing.TB
	directory string
	versions  int
}

// publish exchanges all files at once. Their times differ from version to version, as they do
// where a kubelet writes them.
func (m *mounted) publish(from string) {
	m.Helper()
	m.versions++
	version := filepath.Join(m.directory, "..version"+string(rune('0'+m.versions)))
	if err := os.CopyFS(version, os.DirFS(from)); err != nil {
		m.Fatal(err)
	}
	written := time.Date(2026, 1, 1, m.versions, 0, 0, 0, time.UTC)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Chtimes(filepath.Join(version, name), written, written); err != nil {
			m.Fatal(err)
		}
		if m.versions == 1 {
			if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.directory, name)); err != nil {
				m.Fatal(err)
			}
		}
	}
	next := filepath.Join(m.directory, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), next); err != nil {
		m.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(m.directory, "..data")); err != nil {
		m.Fatal(err)
	}
}

func TestACertificateIsRenewedInItsVolume(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	first, second := authority.Directory(t, "rooms.example.com"), authority.Directory(t, "rooms.example.com")
	volume := &mounted{TB: t, directory: t.TempDir()}
	volume.publish(first)
	serving := &servingCertificate{directory: volume.directory}
	if _, err := serving.config(); err != nil {
		t.Fatal(err)
	}
	serves := func(from string) bool {
		t.Helper()
		want, err := tls.LoadX509KeyPair(filepath.Join(from, "tls.crt"), filepath.Join(from, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := serving.load(nil)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Equal(got.Certificate[0], want.Certificate[0])
	}
	if !serves(first) {
		t.Error("the first certificate is not served")
	}
	volume.publish(second)
	if !serves(second) {
		t.Error("the renewed certificate is not served")
	}

	// A certificate that is not its key's.
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(second)); err != nil {
		t.Fatal(err)
	}
	certificate, err := os.ReadFile(filepath.Join(first, "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "tls.crt"), certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	volume.publish(broken)
	if !serves(second) {
		t.Error("a pair that does not match takes the place of one that does")
	}
	volume.publish(first)
	if !serves(first) {
		t.Error("after a pair that does not match, the next one is not served")
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(expiries{servingLabel: func() (*tls.Certificate, error) { return serving.load(nil) }})
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("gathered %v, %v", families, err)
	}
	until := time.Until(time.Unix(int64(families[0].GetMetric()[0].GetGauge().GetValue()), 0))
	if until <= 0 || until > time.Hour {
		t.Errorf("the certificate ends in %v; it was made for an hour", until)
	}
}
