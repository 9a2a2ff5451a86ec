// Package instance is the single authority on what an instance of the local
// cluster is called and where its parts are: names, addresses, ports, paths.
// Everything follows from the instance's name, so several run side by side and
// a part that an earlier, killed run left is found again without a record.
//
// One instance owns 10.231.N.0/20:
//
//	10.231.N.1       the bridge: API server; the machine reaches the cluster through it
//	10.231.N.11,.12  the nodes
//	10.231.N+1.0/24  the pods of node-1, 10.231.N+2.0/24 those of node-2
package instance

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// names lists the instances in the order of their address ranges. The set is
// closed so that no two instances ever meet.
var names = []string{"local", "test", "bench", "selftest"}

const (
	// Root holds the folders of all instances.
	Root = "/var/lib/mediarooms"
	// CgroupRoot is the cgroup, in every hierarchy, below which all instances live.
	CgroupRoot = "mediarooms"
	// ServiceRange is the range of cluster IPs. It exists inside the nodes
	// only, so all instances share it.
	ServiceRange = "10.96.0.0/16"
	// APIServiceIP is the cluster IP of the API server: the first of ServiceRange.
	APIServiceIP = "10.96.0.1"
	// APIServerPort is the port of every instance's API server, on its own address.
	APIServerPort = 6443
	// GatewayNodePort is the port on every node at which the gateway's Service answers.
	GatewayNodePort = 30443
	// PauseImage is the name of the sandbox image.
	PauseImage = "mediarooms.dev/pause:1"
	// nodeCount is how many nodes an instance has.
	nodeCount = 2
)

// Instance is one local cluster.
type Instance struct {
	Name  string
	index int
}

// New returns the instance of the given name, which is one of a closed set.
func New(name string) (Instance, error) {
	index := slices.Index(names, name)
	if index < 0 {
		return Instance{}, fmt.Errorf("unknown instance %q: choose one of %s", name, strings.Join(names, ", "))
	}
	return Instance{Name: name, index: index}, nil
}

// addr returns 10.231.N+subnet.host of this instance's range.
func (i Instance) addr(subnet, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 231, byte(i.index*16 + subnet), byte(host)})
}

// Range is everything that this instance addresses, nodes and pods.
func (i Instance) Range() netip.Prefix { return netip.PrefixFrom(i.addr(0, 0), 20) }

// Dir is the run folder: all data, configuration, logs and sockets.
func (i Instance) Dir() string { return filepath.Join(Root, i.Name) }

// Path returns a path inside the run folder.
func (i Instance) Path(elem ...string) string {
	return filepath.Join(append([]string{i.Dir()}, elem...)...)
}

// Bridge is the name of the bridge in the machine's own network namespace.
func (i Instance) Bridge() string { return "mr-" + i.Name }

// BridgeAddr is the bridge's address, which the API server binds and
// advertises.
func (i Instance) BridgeAddr() netip.Prefix { return netip.PrefixFrom(i.addr(0, 1), 24) }

// APIServer is the URL of the API server.
func (i Instance) APIServer() string {
	return fmt.Sprintf("https://%s:%d", i.BridgeAddr().Addr(), APIServerPort)
}

// EtcdClientPort is etcd's port for clients, on loopback.
func (i Instance) EtcdClientPort() int { return 23790 + 10*i.index }

// EtcdPeerPort is etcd's port for other members, on loopback.
func (i Instance) EtcdPeerPort() int { return i.EtcdClientPort() + 1 }

// GatewayPort is the port on localhost that is forwarded to the gateway: 4443
// for the instance local.
func (i Instance) GatewayPort() int { return 4443 + i.index }

// GatewayURL is the gateway as a browser on this machine reaches it. It says
// localhost, since browsers give the camera to secure contexts only.
func (i Instance) GatewayURL() string { return fmt.Sprintf("http://localhost:%d", i.GatewayPort()) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (i Instance) Kubeconfig() string { return i.Path("kubeconfig") }

// InfoPath is the path of the file that Info describes.
func (i Instance) InfoPath() string { return i.Path("info.json") }

// Cgroup is the instance's cgroup, relative to each hierarchy's root.
func (i Instance) Cgroup() string { return filepath.Join(CgroupRoot, i.Name) }

// Nodes returns the instance's nodes.
func (i Instance) Nodes() []Node {
	nodes := make([]Node, 0, nodeCount)
	for n := 1; n <= nodeCount; n++ {
		nodes = append(nodes, Node{Name: fmt.Sprintf("node-%d", n), Instance: i, number: n})
	}
	return nodes
}

// Node returns the node of the given name.
func (i Instance) Node(name string) (Node, error) {
	for _, node := range i.Nodes() {
		if node.Name == name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("instance %s has no node %q", i.Name, name)
}

// Node is one node of an instance: a network, mount and PID namespace of its
// own, in which containerd, kubelet and kube-proxy run.
type Node struct {
	Name     string
	Instance Instance
	number   int
}

// Netns is the name of the network namespace, as ip-netns(8) knows it.
func (n Node) Netns() string { return fmt.Sprintf("mr-%s-%s", n.Instance.Name, n.Name) }

// Veth is the name of the node's link on the bridge.
func (n Node) Veth() string { return fmt.Sprintf("mr-%s-n%d", n.Instance.Name, n.number) }

// IP is the node's address on the bridge's network.
func (n Node) IP() netip.Addr { return n.Instance.addr(0, 10+n.number) }

// MAC is the hardware address of the node's end of the link. It is fixed, so
// that neighbours' caches stay right when a node starts again.
func (n Node) MAC() string {
	ip := n.IP().As4()
	return fmt.Sprintf("02:4d:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3])
}

// PodSubnet is where the node's pods get their addresses.
func (n Node) PodSubnet() netip.Prefix { return netip.PrefixFrom(n.Instance.addr(n.number, 0), 24) }

// Path returns a path inside the node's part of the run folder.
func (n Node) Path(elem ...string) string {
	return n.Instance.Path(append([]string{n.Name}, elem...)...)
}

// ContainerdSocket is the path of the node's containerd socket; it can be
// reached from outside the node.
func (n Node) ContainerdSocket() string { return n.Path("containerd.sock") }

// Cgroup is the node's cgroup, relative to each hierarchy's root.
func (n Node) Cgroup() string { return filepath.Join(n.Instance.Cgroup(), n.Name) }

// Info is what tests and scripts need to know about a running instance. The
// file info.json in the run folder holds it.
type Info struct {
	Name       string     `json:"name"`
	Kubeconfig string     `json:"kubeconfig"`
	Kubectl    string     `json:"kubectl"`
	GatewayURL string     `json:"gatewayURL"`
	APIServer  string     `json:"apiServer"`
	Nodes      []NodeInfo `json:"nodes"`
	// Assets is the folder of the Kubernetes binaries.
	Assets string `json:"assets"`
	// Cluster is the program that made the instance; it stops and starts nodes.
	Cluster string `json:"cluster"`
	// LogDir holds the logs of the control plane; a node's are in its own dir.
	LogDir string `json:"logDir"`
}

// NodeInfo is a node's part of Info.
type NodeInfo struct {
	Name             string `json:"name"`
	Netns            string `json:"netns"`
	IP               string `json:"ip"`
	PodSubnet        string `json:"podSubnet"`
	ContainerdSocket string `json:"containerdSocket"`
	Cgroup           string `json:"cgroup"`
	Dir              string `json:"dir"`
}

// Describe returns the instance's Info; assets is the folder of the binaries
// and program the cluster program's path.
func (i Instance) Describe(assets, program string) Info {
	info := Info{
		Name: i.Name, Kubeconfig: i.Kubeconfig(), Kubectl: filepath.Join(assets, "kubectl"), GatewayURL: i.GatewayURL(),
		APIServer: i.APIServer(), Assets: assets, Cluster: program, LogDir: i.Path("log"),
	}
	for _, n := range i.Nodes() {
		info.Nodes = append(info.Nodes, NodeInfo{
			Name: n.Name, Netns: n.Netns(), IP: n.IP().String(), PodSubnet: n.PodSubnet().String(),
			ContainerdSocket: n.ContainerdSocket(), Cgroup: n.Cgroup(), Dir: n.Path(),
		})
	}
	return info
}

// WriteFile writes a configuration file whole or not at all: a killed run never leaves half
// a file that a later one would believe.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// WriteJSON writes a value as JSON (which is YAML as well), readable by root only.
func WriteJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(path), err)
	}
	return WriteFile(path, append(data, '\n'), 0o600)
}
