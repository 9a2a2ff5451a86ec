package node

import (
	"fmt"
	"path/filepath"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/pki"
)

// cniBinaries is where Debian's containernetworking-plugins are.
const cniBinaries = "/usr/lib/cni"

// containerdConfig is containerd's configuration (version 2). Its state lies
// on the node's own /run; only the socket can be reached from outside.
const containerdConfig = `version = 2
root = %[1]q
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = %[2]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[3]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[4]q
  # Without CAP_SYS_RESOURCE runc can't lower the OOM score, and dies.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[5]q
    conf_dir = %[6]q
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`

// WriteConfig writes the configuration of all of a node's programs.
func WriteConfig(n instance.Node) error {
	containerd := fmt.Sprintf(containerdConfig, n.Path("containerd"), n.ContainerdSocket(), n.Path("opt"),
		instance.PauseImage, cniBinaries, n.Path("config", "cni"))
	if err := instance.WriteFile(n.Path("config", "containerd.toml"), []byte(containerd), 0o600); err != nil {
		return fmt.Errorf("configuring containerd: %w", err)
	}
	for path, config := range map[string]any{
		filepath.Join("cni", "10-bridge.conflist"): cniConfig(n),
		"kubelet.json":    kubeletConfig(n),
		"kube-proxy.json": kubeProxyConfig(n),
	} {
		if err := instance.WriteJSON(n.Path("config", path), config); err != nil {
			return fmt.Errorf("configuring %s: %w", n.Name, err)
		}
	}
	return nil
}

type object = map[string]any

func cniConfig(n instance.Node) object {
	return object{
		"cniVersion": "0.4.0",
		"name":       "mediarooms",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
				"ipam": object{
					"type": "host-local",
					// On the node's own /run, so that addresses are free again after a restart.
					"dataDir": "/run/cni-ipam",
					"ranges":  [][]object{{{"subnet": n.PodSubnet().String()}}},
					"routes":  []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}
}

func kubeletConfig(n instance.Node) object {
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",

		"containerRuntimeEndpoint": "unix://" + n.ContainerdSocket(),
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": n.Instance.Path("pki", "ca.crt")},
		},
		"authorization":     object{"mode": "Webhook"},
		"address":           n.IP().String(),
		"tlsCertFile":       n.Instance.Path("pki", n.Name+"-serving.crt"),
		"tlsPrivateKeyFile": n.Instance.Path("pki", n.Name+"-serving.key"),
		"resolvConf":        n.Instance.Path("resolv.conf"),
		"volumePluginDir":   "/var/lib/kubelet/volume-plugins",

		"failCgroupV1":           false,
		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             "/" + n.Cgroup(),
		"enforceNodeAllocatable": []string{},
		"failSwapOn":             false,
		"oomScoreAdj":            0,
		"maxPods":                200,

		// The disk is the developer's: that it is nearly full evicts nothing.
		"evictionHard": object{
			"memory.available": "50Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
	}
}

func kubeProxyConfig(n instance.Node) object {
	return object{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"clientConnection": object{"kubeconfig": pki.KubeconfigPath(n.Instance, "kube-proxy")},
		"mode":             "nftables",
		"clusterCIDR":      n.Instance.Range().String(),
		"hostnameOverride": n.Name,
		"oomScoreAdj":      0,
		// These limits are the machine's, not the node's.
		"conntrack": object{"maxPerCore": 0, "min": 0},
	}
}
