package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/assets"
	"mediarooms.dev/mediarooms/hack/cluster/controlplane"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/machine"
	"mediarooms.dev/mediarooms/hack/cluster/network"
	"mediarooms.dev/mediarooms/hack/cluster/node"
	"mediarooms.dev/mediarooms/hack/cluster/pki"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// layout changes when an instance made by an older program can't be continued.
const layout = "1"

const (
	controlPlaneTimeout = 90 * time.Second
	nodeTimeout         = 120 * time.Second
)

// up is level-triggered: it looks at what runs and starts the rest, whether
// that is everything, nothing, or what a killed run or a reboot took away.
func up(ctx context.Context, c *cluster, _ []string) error {
	assetsDir, err := prepareAssets(ctx, c)
	if err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.discardOther(ctx, assetsDir); err != nil {
		return err
	}
	if err := c.prepare(ctx, assetsDir); err != nil {
		return err
	}
	running, err := c.running()
	if err != nil {
		return err
	}
	started, err := c.startControlPlane(ctx, running, assetsDir)
	if err != nil {
		return err
	}
	nodes, err := c.startNodes(ctx, running, assetsDir)
	if err != nil {
		return err
	}
	if err := c.awaitNodes(ctx, assetsDir, append(started, nodes...)); err != nil {
		return err
	}
	if err := c.startForwarder(ctx, running); err != nil {
		return err
	}
	if err := instance.WriteJSON(c.InfoPath(), c.Describe(assetsDir, c.program)); err != nil {
		return fmt.Errorf("describing the cluster: %w", err)
	}
	c.say("cluster %s is up: KUBECONFIG=%s", c.Name, c.Kubeconfig())
	return nil
}

// lock keeps other runs off this instance.
func (c *cluster) lock() (unlock func(), err error) {
	return machine.Lock(c.Name, func() { c.say("waiting for another run of this program on %s", c.Name) })
}

// programs are what an instance needs on the machine.
var programs = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "nsenter", "nft", "iptables", "conntrack", "/usr/lib/cni/bridge"}

func prepareAssets(ctx context.Context, c *cluster) (string, error) {
	var missing []string
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("missing on this machine: %s; hack/install-deps installs them on Debian", strings.Join(missing, ", "))
	}
	root, err := checkout()
	if err != nil {
		return "", err
	}
	return assets.Ensure(ctx, root, c.out)
}

// checkout returns the root of the checkout that the working directory is in.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the checkout: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "kubernetes", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("start this program inside the checkout: it builds Kubernetes from hack/cluster/kubernetes")
		}
	}
}

// discardOther removes an instance of another layout or Kubernetes.
func (c *cluster) discardOther(ctx context.Context, assetsDir string) error {
	stamp, err := os.ReadFile(c.Path("stamp"))
	if err == nil && string(stamp) == stampOf(assetsDir) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the instance's version: %w", err)
	}
	if err == nil {
		c.say("the instance was made by another version of this program: starting anew")
	}
	return c.remove(ctx)
}

func stampOf(assetsDir string) string { return layout + " " + filepath.Base(assetsDir) + "\n" }

// prepare makes all that processes need: folders, certificates, the bridge.
func (c *cluster) prepare(ctx context.Context, assetsDir string) error {
	if err := machine.Prepare(c.Instance); err != nil {
		return err
	}
	if err := instance.WriteFile(c.Path("stamp"), []byte(stampOf(assetsDir)), 0o644); err != nil {
		return fmt.Errorf("writing the instance's version: %w", err)
	}
	if err := pki.Ensure(c.Instance); err != nil {
		return err
	}
	kubeconfig, err := os.ReadFile(pki.KubeconfigPath(c.Instance, "admin"))
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	if err := instance.WriteFile(c.Kubeconfig(), kubeconfig, 0o600); err != nil {
		return fmt.Errorf("writing the administrator's kubeconfig: %w", err)
	}
	if err := c.writeResolvConf(); err != nil {
		return err
	}
	return network.EnsureBridge(ctx, c.Instance)
}

// writeResolvConf gives pods the machine's name servers, but for those on
// loopback, which are not theirs.
func (c *cluster) writeResolvConf() error {
	data, err := os.ReadFile("/run/systemd/resolve/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile("/etc/resolv.conf")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the machine's name servers: %w", err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "nameserver" && !net.ParseIP(fields[1]).IsLoopback() {
			kept.WriteString(line)
		}
	}
	if err := instance.WriteFile(c.Path("resolv.conf"), []byte(kept.String()), 0o644); err != nil {
		return fmt.Errorf("writing the pods' name servers: %w", err)
	}
	return nil
}

// running returns the instance's components that run, by name.
func (c *cluster) running() (map[string]process.Found, error) {
	found, err := process.Find(c.Name)
	if err != nil {
		return nil, err
	}
	running := map[string]process.Found{}
	for _, f := range found {
		if f.Main() {
			running[f.Name] = f
		}
	}
	return running, nil
}

// startControlPlane starts what does not run of the control plane, and waits
// until it is ready. It returns what it started.
func (c *cluster) startControlPlane(ctx context.Context, running map[string]process.Found, assetsDir string) ([]*process.Running, error) {
	ready, err := controlplane.NewReady(c.Instance)
	if err != nil {
		return nil, err
	}
	var started []*process.Running
	for _, name := range controlplane.Components {
		if _, ok := running[name]; !ok {
			p, err := controlplane.Start(c.Instance, name, assetsDir)
			if err != nil {
				return nil, err
			}
			started = append(started, p)
		}
		if err := c.await(ctx, name+" is ready", controlPlaneTimeout, allAlive(started), func() error { return ready.Check(name) }); err != nil {
			return nil, err
		}
	}
	return started, nil
}

// allAlive returns a check that fails as soon as one of the processes has ended.
func allAlive(started []*process.Running) func() error {
	return func() error {
		for _, p := range started {
			if err := p.Err(); err != nil {
				return err
			}
		}
		return nil
	}
}

// startNodes starts the nodes that are not whole.
func (c *cluster) startNodes(ctx context.Context, running map[string]process.Found, assetsDir string) ([]*process.Running, error) {
	var started []*process.Running
	for _, n := range c.Nodes() {
		if whole(n, running) {
			continue
		}
		if err := killNode(n); err != nil {
			return nil, err
		}
		p, err := node.Start(ctx, n, c.program, assetsDir)
		if err != nil {
			return nil, err
		}
		started = append(started, p)
	}
	return started, nil
}

// nodeComponents are the processes that make a node whole, besides its first.
var nodeComponents = []string{"containerd", "kubelet", "kube-proxy"}

func whole(n instance.Node, running map[string]process.Found) bool {
	if _, ok := running[n.Name]; !ok {
		return false
	}
	for _, component := range nodeComponents {
		if _, ok := running[n.Name+"/"+component]; !ok {
			return false
		}
	}
	return true
}

// awaitNodes waits until all nodes are Ready and pods can be created.
func (c *cluster) awaitNodes(ctx context.Context, assetsDir string, started []*process.Running) error {
	fresh := map[string]bool{}
	for _, p := range started {
		fresh[p.Name] = true
	}
	since := c.start.Truncate(time.Second)
	for _, n := range c.Nodes() {
		check := func() error { return c.nodeReady(ctx, assetsDir, n.Name, fresh[n.Name], since) }
		if err := c.await(ctx, n.Name+" is ready", nodeTimeout, allAlive(started), check); err != nil {
			return fmt.Errorf("%w\nlogs: %s", err, c.Path("log"))
		}
	}
	return c.await(ctx, "pods can be created", controlPlaneTimeout, allAlive(started), func() error {
		_, err := c.kubectl(ctx, assetsDir, "get", "serviceaccount", "default", "-o", "name")
		return err
	})
}

// kubectl runs kubectl against the instance.
func (c *cluster) kubectl(ctx context.Context, assetsDir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(assetsDir, "kubectl"), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	output, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("kubectl %s: %s", strings.Join(args, " "), strings.TrimSpace(string(exit.Stderr)))
	}
	return output, err
}

// startForwarder starts what listens on localhost for the gateway.
func (c *cluster) startForwarder(ctx context.Context, running map[string]process.Found) error {
	if _, ok := running[forwarder]; ok {
		return nil
	}
	component := process.Component{Instance: c.Name, Name: forwarder, Log: c.Path("log", forwarder+".log")}
	p, err := process.Start(component, c.program, forwarder, "--name", c.Name)
	if err != nil {
		return err
	}
	if err := machine.EnterCgroup(filepath.Join(c.Cgroup(), "control-plane"), p.PID); err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", c.GatewayPort())
	return c.await(ctx, c.GatewayURL()+" is forwarded to the gateway", controlPlaneTimeout, allAlive([]*process.Running{p}), func() error {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
