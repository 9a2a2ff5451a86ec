// Package controlplane starts etcd, the API server, the controller manager and
// the scheduler in the machine's own network namespace. They bind the
// instance's bridge address, and etcd loopback.
package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/machine"
	"mediarooms.dev/mediarooms/hack/cluster/pki"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// Components are the names of the control plane's processes, in the order in
// which they start.
var Components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Start starts one component.
func Start(i instance.Instance, name, assetsDir string) (*process.Running, error) {
	flags, ok := map[string]func(instance.Instance) []string{
		"etcd": etcd, "kube-apiserver": apiServer, "kube-controller-manager": controllerManager, "kube-scheduler": scheduler,
	}[name]
	if !ok {
		return nil, fmt.Errorf("the control plane has no component %q", name)
	}
	c := process.Component{Instance: i.Name, Name: name, Log: i.Path("log", name+".log")}
	running, err := process.Start(c, append([]string{filepath.Join(assetsDir, name)}, flags(i)...)...)
	if err != nil {
		return nil, err
	}
	return running, machine.EnterCgroup(filepath.Join(i.Cgroup(), "control-plane"), running.PID)
}

func etcd(i instance.Instance) []string {
	clients := fmt.Sprintf("https://127.0.0.1:%d", i.EtcdClientPort())
	peers := fmt.Sprintf("https://127.0.0.1:%d", i.EtcdPeerPort())
	return []string{
		"--name=" + i.Name,
		"--data-dir=" + i.Path("etcd"),
		"--listen-client-urls=" + clients, "--advertise-client-urls=" + clients,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers,
		"--initial-cluster=" + i.Name + "=" + peers,
		"--client-cert-auth", "--trusted-ca-file=" + i.Path("pki", "etcd-ca.crt"),
		"--cert-file=" + i.Path("pki", "etcd.crt"), "--key-file=" + i.Path("pki", "etcd.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + i.Path("pki", "etcd-ca.crt"),
		"--peer-cert-file=" + i.Path("pki", "etcd.crt"), "--peer-key-file=" + i.Path("pki", "etcd.key"),
		"--logger=zap", "--log-outputs=stderr",
	}
}

func apiServer(i instance.Instance) []string {
	address := i.BridgeAddr().Addr().String()
	return []string{
		"--bind-address=" + address, "--advertise-address=" + address,
		fmt.Sprintf("--secure-port=%d", instance.APIServerPort),
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", i.EtcdClientPort()),
		"--etcd-cafile=" + i.Path("pki", "etcd-ca.crt"),
		"--etcd-certfile=" + i.Path("pki", "etcd.crt"), "--etcd-keyfile=" + i.Path("pki", "etcd.key"),
		"--tls-cert-file=" + i.Path("pki", "apiserver.crt"), "--tls-private-key-file=" + i.Path("pki", "apiserver.key"),
		"--client-ca-file=" + i.Path("pki", "ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + i.Path("pki", "service-accounts.pub"),
		"--service-account-signing-key-file=" + i.Path("pki", "service-accounts.key"),
		"--service-cluster-ip-range=" + instance.ServiceRange,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--kubelet-certificate-authority=" + i.Path("pki", "ca.crt"),
		"--kubelet-client-certificate=" + i.Path("pki", "apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + i.Path("pki", "apiserver-kubelet-client.key"),
		// Names of nodes are in no DNS.
		"--kubelet-preferred-address-types=InternalIP",
	}
}

func controllerManager(i instance.Instance) []string {
	return append(client(i, "kube-controller-manager"),
		"--root-ca-file="+i.Path("pki", "ca.crt"),
		"--service-account-private-key-file="+i.Path("pki", "service-accounts.key"),
		"--use-service-account-credentials",
		"--cluster-cidr="+i.Range().String(),
		// Its built-in place would be made on the machine.
		"--flex-volume-plugin-dir="+i.Path("volume-plugins"),
	)
}

func scheduler(i instance.Instance) []string { return client(i, "kube-scheduler") }

// client returns the flags of components that talk to the API server. There is
// one of each, so none campaigns for leadership: on a busy machine it would lose
// it to nobody, and end.
func client(i instance.Instance, name string) []string {
	kubeconfig := pki.KubeconfigPath(i, name)
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + i.BridgeAddr().Addr().String(),
		"--leader-elect=false",
	}
}

// Ready asks a component's health endpoint.
type Ready struct {
	client *http.Client
	urls   map[string]string
}

// NewReady returns a Ready for an instance whose certificates exist.
func NewReady(i instance.Instance) (*Ready, error) {
	etcdClient, err := tls.LoadX509KeyPair(i.Path("pki", "etcd.crt"), i.Path("pki", "etcd.key"))
	if err != nil {
		return nil, fmt.Errorf("reading etcd's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	for _, name := range []string{"ca.crt", "etcd-ca.crt"} {
		data, err := os.ReadFile(i.Path("pki", name))
		if err != nil {
			return nil, fmt.Errorf("reading a CA: %w", err)
		}
		if !roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("reading a CA: %s holds no certificate", name)
		}
	}
	return &Ready{
		client: &http.Client{
			Timeout: 2 * time.Second,
			Transport: &http.Transport{
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{etcdClient}, MinVersion: tls.VersionTLS12},
			},
		},
		urls: map[string]string{
			"etcd":           fmt.Sprintf("https://127.0.0.1:%d/health", i.EtcdClientPort()),
			"kube-apiserver": i.APIServer() + "/readyz",
		},
	}, nil
}

// Check returns nil when the component is ready. Components without an endpoint
// that this program trusts are ready when they run.
func (r *Ready) Check(name string) error {
	url, ok := r.urls[name]
	if !ok {
		return nil
	}
	response, err := r.client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
