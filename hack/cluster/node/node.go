// Package node is one node of the cluster. Its first process lives in network,
// mount and PID namespaces of the node's own and starts containerd, kubelet and
// kube-proxy there:
//
//	machine
//	 └─ cluster node            PID 1 of the node
//	     ├─ containerd
//	     ├─ kubelet
//	     ├─ kube-proxy
//	     └─ containerd-shim ─ containers
//
// When the first process ends, for whatever reason, the kernel ends all others
// and drops all mounts: a node is whole or it is not there. That is also
// how a node is lost in a test.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/assets"
	"mediarooms.dev/mediarooms/hack/cluster/image"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/machine"
	"mediarooms.dev/mediarooms/hack/cluster/network"
	"mediarooms.dev/mediarooms/hack/cluster/pki"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// containerdTimeout bounds the time until containerd answers.
const containerdTimeout = 30 * time.Second

// Start starts a node that does not run. program is the cluster program,
// assetsDir the folder of the binaries.
func Start(ctx context.Context, n instance.Node, program, assetsDir string) (*process.Running, error) {
	if err := network.CreateNode(ctx, n); err != nil {
		return nil, err
	}
	if err := machine.CreateCgroup(n.Cgroup()); err != nil {
		return nil, err
	}
	for _, folder := range []string{"config/cni", "kubelet", "cni", "log"} {
		if err := os.MkdirAll(n.Path(folder), 0o755); err != nil {
			return nil, fmt.Errorf("creating the folders of %s: %w", n.Name, err)
		}
	}
	if err := WriteConfig(n); err != nil {
		return nil, err
	}
	c := process.Component{
		Instance: n.Instance.Name, Name: n.Name, Log: n.Instance.Path("log", n.Name+".log"),
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	}
	return process.Start(c, "nsenter", "--net="+network.NamespacePath(n), "--",
		program, "node", "--name", n.Instance.Name, "--node", n.Name, "--assets", assetsDir)
}

// Run is the life of a node's first process. It returns only with an error.
func Run(ctx context.Context, n instance.Node, assetsDir string) error {
	if os.Getpid() != 1 {
		return errors.New("a node must be the first process of a PID namespace: use 'cluster start-node'")
	}
	if err := machine.EnterCgroup(filepath.Join(n.Cgroup(), "system"), 0); err != nil {
		return err
	}
	if err := mountAll(n); err != nil {
		return err
	}
	// This is the node's own: the setting belongs to the network namespace.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return fmt.Errorf("letting the node forward: %w", err)
	}
	children := map[int]string{}
	start := func(name string, argv ...string) error {
		c := process.Component{
			Instance: n.Instance.Name, Name: n.Name + "/" + name, Log: n.Instance.Path("log", n.Name+"-"+name+".log"),
		}
		pid, err := process.StartUnwatched(c, argv...)
		children[pid] = name
		return err
	}
	if err := start("containerd", "containerd", "--config", n.Path("config", "containerd.toml")); err != nil {
		return err
	}
	if err := awaitContainerd(ctx, n); err != nil {
		return err
	}
	if err := image.Import(ctx, n, filepath.Join(assetsDir, assets.PauseArchive)); err != nil {
		return err
	}
	if err := start("kubelet", filepath.Join(assetsDir, "kubelet"),
		"--config", n.Path("config", "kubelet.json"),
		"--kubeconfig", pki.KubeconfigPath(n.Instance, n.Name),
		"--hostname-override", n.Name, "--node-ip", n.IP().String()); err != nil {
		return err
	}
	if err := start("kube-proxy", filepath.Join(assetsDir, "kube-proxy"), "--config", n.Path("config", "kube-proxy.json")); err != nil {
		return err
	}
	return reap(n, children)
}

// reap waits for all processes of the node, orphans too, until one of its
// components ends.
func reap(n instance.Node, children map[int]string) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for the node's processes: %w", err)
		}
		if name, ok := children[pid]; ok {
			log := n.Instance.Path("log", n.Name+"-"+name+".log")
			return fmt.Errorf("%s ended (exit code %d, signal %d); the end of %s:\n%s",
				name, status.ExitStatus(), status.Signal(), log, process.Tail(log, 20))
		}
	}
}

// awaitContainerd waits until containerd's socket answers.
func awaitContainerd(ctx context.Context, n instance.Node) error {
	ctx, cancel := context.WithTimeout(ctx, containerdTimeout)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", n.ContainerdSocket())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd: %w; the end of its log:\n%s", err,
				process.Tail(n.Instance.Path("log", n.Name+"-containerd.log"), 20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// mountAll gives the node a /proc of its own, an empty /run as after a boot,
// and its own data where programs have a path built in. Nothing of this is seen outside.
func mountAll(n instance.Node) error {
	// A stale socket would look like a containerd that does not answer.
	if err := os.Remove(n.ContainerdSocket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an old socket: %w", err)
	}
	mounts := []struct {
		what           string
		source, target string
		kind           string
		flags          uintptr
	}{
		{"cutting the node's mounts off", "", "/", "", syscall.MS_REC | syscall.MS_SLAVE},
		{"sharing mounts within the node", "", "/", "", syscall.MS_REC | syscall.MS_SHARED},
		{"mounting /proc", "proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"mounting /run", "tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
		{"mounting the kubelet's folder", n.Path("kubelet"), "/var/lib/kubelet", "", syscall.MS_BIND},
		{"mounting the CNI's folder", n.Path("cni"), "/var/lib/cni", "", syscall.MS_BIND},
		{"mounting the pods' logs", n.Path("log"), "/var/log", "", syscall.MS_BIND},
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	return nil
}
