// Package pki makes the keys and certificates of an instance, and the
// kubeconfigs that hold them.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// lifetime is long, since nothing renews certificates of a cluster that is
// thrown away in the end.
const lifetime = 10 * 365 * 24 * time.Hour

// authority signs certificates into a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Ensure makes everything below pki/ in the run folder, and the kubeconfigs,
// unless an earlier run has. The folder appears whole or not at all.
func Ensure(i instance.Instance) error {
	final := i.Path("pki")
	if _, err := os.Stat(final); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for certificates: %w", err)
	}
	partial := final + ".new"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("removing half-made certificates: %w", err)
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return fmt.Errorf("creating the certificates' folder: %w", err)
	}
	if err := create(i, partial); err != nil {
		return err
	}
	if err := os.Rename(partial, final); err != nil {
		return fmt.Errorf("publishing certificates: %w", err)
	}
	return nil
}

func create(i instance.Instance, dir string) error {
	etcd, err := newAuthority(dir, "etcd-ca")
	if err != nil {
		return err
	}
	if err := etcd.sign("etcd", pkix.Name{CommonName: "etcd"}, "127.0.0.1"); err != nil {
		return err
	}
	cluster, err := newAuthority(dir, "ca")
	if err != nil {
		return err
	}
	if err := cluster.sign("apiserver", pkix.Name{CommonName: "kube-apiserver"}, i.BridgeAddr().Addr().String(), instance.APIServiceIP,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	kubeletClient := pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}
	if err := cluster.sign("apiserver-kubelet-client", kubeletClient); err != nil {
		return err
	}
	// Who the kubeconfigs' users are, the API server's built-in roles say.
	users := map[string]pkix.Name{
		"admin":                   {CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
	}
	for _, n := range i.Nodes() {
		users[n.Name] = pkix.Name{CommonName: "system:node:" + n.Name, Organization: []string{"system:nodes"}}
		if err := cluster.sign(n.Name+"-serving", pkix.Name{CommonName: "system:node:" + n.Name}, n.Name, n.IP().String()); err != nil {
			return err
		}
	}
	for user, subject := range users {
		if err := cluster.sign(user, subject); err != nil {
			return err
		}
		if err := writeKubeconfig(i, dir, user); err != nil {
			return err
		}
	}
	return writeServiceAccountKeys(dir)
}

func newAuthority(dir, name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mediarooms-local-" + name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s back: %w", name, err)
	}
	return &authority{dir: dir, cert: cert, key: key}, writePair(dir, name, der, key)
}

// sign writes NAME.crt and NAME.key, for use as a client and, when there are
// hosts, as a server.
func (a *authority) sign(name string, subject pkix.Name, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("drawing a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing %s: %w", name, err)
	}
	return writePair(a.dir, name, der, key)
}

func writePair(dir, name string, der []byte, key *ecdsa.PrivateKey) error {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	if err := writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".key"), "EC PRIVATE KEY", keyDER)
}

func writeServiceAccountKeys(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating the service accounts' key: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the service accounts' key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the service accounts' key: %w", err)
	}
	if err := writePEM(filepath.Join(dir, "service-accounts.key"), "EC PRIVATE KEY", private); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "service-accounts.pub"), "PUBLIC KEY", public)
}

func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}
