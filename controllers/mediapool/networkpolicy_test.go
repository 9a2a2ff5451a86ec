package mediapool

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/controllers/podspec"
)

const system = "mediarooms-system"

// Ports of a media pod that has a network of its own, and of the operator's metrics.
const (
	controlPort    = 7443
	signallingPort = 7444
	metricsPort    = 8080
)

// end is one end of a connection: a pod, or an address outside the cluster.
type end struct {
	address   netip.Addr
	namespace map[string]string // labels; nil outside the cluster
	pod       *corev1.Pod
}

// network is what the component config/network-policy makes of a cluster.
type network struct {
	policies []networkingv1.NetworkPolicy
	ends     map[string]end
}

func newNetwork(t *testing.T) network {
	t.Helper()
	n := network{ends: make(map[string]end)}
	var component struct {
		metav1.TypeMeta
		Resources []string
	}
	decode(t, filepath.Join("network-policy", "kustomization.yaml"), &component)
	if component.Kind != "Component" {
		t.Fatalf("config/network-policy is a %s", component.Kind)
	}
	for _, file := range component.Resources {
		var policy networkingv1.NetworkPolicy
		decode(t, filepath.Join("network-policy", file), &policy)
		if policy.Kind != "NetworkPolicy" || policy.Namespace != system {
			t.Errorf("%s holds %s %s/%s", file, policy.Kind, policy.Namespace, policy.Name)
		}
		n.policies = append(n.policies, policy)
	}
	in := func(namespace map[string]string, pod *corev1.Pod, address string) end {
		return end{address: netip.MustParseAddr(address), namespace: namespace, pod: pod}
	}
	own := map[string]string{metav1.ObjectNameField: system}
	for part, folder := range map[string]string{"operator": "manager", "gateway": "gateway"} {
		var deployment appsv1.Deployment
		decode(t, filepath.Join(folder, "deployment.yaml"), &deployment)
		pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
		n.ends[part] = in(own, pod, "10.244.0.2")
	}
	n.ends["media pod"] = in(own, buildPod(newPool(), podspec.Image{Name: "image"}), "10.244.0.4")
	n.ends["stray pod of the namespace"] = in(own, &corev1.Pod{}, "10.244.0.5")
	n.ends["tenant's pod"] = in(map[string]string{metav1.ObjectNameField: "team"}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		// Labels are not enough: they are of another namespace.
		Labels: map[string]string{"app.kubernetes.io/name": "mediarooms", "app.kubernetes.io/component": "gateway"},
	}}, "10.244.1.2")
	n.ends["Prometheus"] = in(map[string]string{"mediarooms.dev/reads-metrics": "true"}, &corev1.Pod{}, "10.244.1.3")
	for name, address := range map[string]string{
		"client": "192.0.2.7", "client in the company": "10.0.0.7", "client with IPv6": "2001:db8::7",
		"API server": "10.1.2.3", "metadata service": "169.254.169.254", "metadata service with IPv6": "fd00:ec2::254",
	} {
		n.ends[name] = end{address: netip.MustParseAddr(address)}
	}
	return n
}

// decode reads a manifest below config/.
func decode(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", file))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("\n---\n")) {
		t.Fatalf("%s holds several objects, of which only one would be read", file)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
}

// allows says whether a connection is let through at both of its ends.
func (n network) allows(from, to end, protocol corev1.Protocol, port int32) bool {
	return n.lets(networkingv1.PolicyTypeEgress, from, to, to, protocol, port) && n.lets(networkingv1.PolicyTypeIngress, to, from, to, protocol, port)
}

// lets says whether the policies of one end let a connection through: it is not selected by any of
// this type, or one of them has a rule for it.
func (n network) lets(direction networkingv1.PolicyType, own, peer, target end, protocol corev1.Protocol, port int32) bool {
	selected := false
	for _, policy := range n.policies {
		if own.pod == nil || own.namespace[metav1.ObjectNameField] != policy.Namespace || !slices.Contains(policy.Spec.PolicyTypes, direction) ||
			!matches(&policy.Spec.PodSelector, own.pod.Labels) {
			continue
		}
		selected = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				if hasPeer(rule.From, policy.Namespace, peer) && hasPort(rule.Ports, target.pod, protocol, port) {
					return true
				}
			}
			continue
		}
		for _, rule := range policy.Spec.Egress {
			if hasPeer(rule.To, policy.Namespace, peer) && hasPort(rule.Ports, target.pod, protocol, port) {
				return true
			}
		}
	}
	return !selected
}

func hasPeer(peers []networkingv1.NetworkPolicyPeer, namespace string, who end) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		if block := peer.IPBlock; block != nil {
			return netip.MustParsePrefix(block.CIDR).Contains(who.address) && !slices.ContainsFunc(block.Except, func(except string) bool {
				return netip.MustParsePrefix(except).Contains(who.address)
			})
		}
		if who.pod == nil || peer.PodSelector != nil && !matches(peer.PodSelector, who.pod.Labels) {
			return false
		}
		if peer.NamespaceSelector == nil {
			return who.namespace[metav1.ObjectNameField] == namespace
		}
		return matches(peer.NamespaceSelector, who.namespace)
	})
}

func hasPort(ports []networkingv1.NetworkPolicyPort, pod *corev1.Pod, protocol corev1.Protocol, number int32) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		switch {
		case *port.Protocol != protocol:
			return false
		case port.Port.Type == intstr.String:
			return pod != nil && slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
				return p.Name == port.Port.StrVal && p.ContainerPort == number && protocolOf(p.Protocol) == protocol
			})
		case port.EndPort != nil:
			return port.Port.IntVal <= number && number <= *port.EndPort
		}
		return port.Port.IntVal == number
	})
}

// protocolOf is the protocol of a container's port, which is TCP when it does not say.
func protocolOf(protocol corev1.Protocol) corev1.Protocol {
	if protocol == "" {
		return corev1.ProtocolTCP
	}
	return protocol
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(set))
}

// Who may reach which port of which part. Nobody else may, and a port without a row fails the test.
func TestNetworkPolicies(t *testing.T) {
	n := newNetwork(t)
	everybody := slices.Sorted(maps.Keys(n.ends))
	table := map[string]map[string][]string{
		"operator": {"metrics": {"Prometheus"}, "health": nil},
		"gateway":  {"clients": everybody, "metrics": {"Prometheus"}, "health": nil},
		"media pod": {
			"control": {"operator", "media pod"}, "signalling": {"gateway"}, "metrics": {"Prometheus"}, "health": nil,
			"media-udp": everybody, "media-tcp": everybody,
		},
	}
	for part, ports := range table {
		target := n.ends[part]
		for _, port := range target.pod.Spec.Containers[0].Ports {
			allowed, known := ports[port.Name]
			if !known {
				t.Errorf("nobody says who may reach port %q of the %s", port.Name, part)
			}
			for _, who := range everybody {
				// What a gateway or a media pod may not send anywhere it does not send here either:
				// that is the other test.
				if got, want := n.lets(networkingv1.PolicyTypeIngress, target, n.ends[who], target, protocolOf(port.Protocol), port.ContainerPort), slices.Contains(allowed, who); got != want {
					t.Errorf("%s reaches %s of the %s: %v", who, port.Name, part, got)
				}
			}
		}
		for _, port := range []int32{22, 1234, 10250} {
			for _, who := range everybody {
				if n.lets(networkingv1.PolicyTypeIngress, target, n.ends[who], target, corev1.ProtocolTCP, port) {
					t.Errorf("%s reaches port %d of the %s", who, port, part)
				}
			}
		}
	}
}

// What a part may reach that was taken over.
func TestNetworkPoliciesOfWhatGoesOut(t *testing.T) {
	n := newNetwork(t)
	for _, test := range []struct {
		from, to string
		protocol corev1.Protocol
		port     int32
		want     bool
	}{
		{"operator", "media pod", corev1.ProtocolTCP, controlPort, true},
		{"operator", "API server", corev1.ProtocolTCP, 6443, true},
		{"operator", "client", corev1.ProtocolTCP, 8443, true}, // the endpoint of a Webhook
		{"gateway", "media pod", corev1.ProtocolTCP, signallingPort, true},
		{"gateway", "media pod", corev1.ProtocolTCP, controlPort, false},
		{"gateway", "media pod", corev1.ProtocolTCP, metricsPort, false},
		{"gateway", "API server", corev1.ProtocolTCP, 6443, true},
		{"gateway", "tenant's pod", corev1.ProtocolTCP, 9200, false},
		{"gateway", "metadata service", corev1.ProtocolTCP, 80, false},
		{"gateway", "operator", corev1.ProtocolTCP, metricsPort, false},
		{"media pod", "media pod", corev1.ProtocolTCP, controlPort, true},
		{"media pod", "media pod", corev1.ProtocolTCP, signallingPort, false},
		{"media pod", "gateway", corev1.ProtocolTCP, 4443, false},
		{"media pod", "client", corev1.ProtocolUDP, 50000, true},
		{"media pod", "client in the company", corev1.ProtocolUDP, 50000, true},
		{"media pod", "client with IPv6", corev1.ProtocolUDP, 443, true},
		{"media pod", "client", corev1.ProtocolTCP, 443, false},
		{"media pod", "client", corev1.ProtocolUDP, 53, false},
		{"media pod", "API server", corev1.ProtocolTCP, 6443, false},
		{"media pod", "tenant's pod", corev1.ProtocolTCP, 9200, false},
		{"media pod", "operator", corev1.ProtocolTCP, metricsPort, false},
		{"media pod", "metadata service", corev1.ProtocolTCP, 80, false},
		{"media pod", "metadata service", corev1.ProtocolUDP, 8125, false},
		{"media pod", "metadata service with IPv6", corev1.ProtocolTCP, 80, false},
		{"media pod", "metadata service with IPv6", corev1.ProtocolUDP, 8125, false},
		{"tenant's pod", "media pod", corev1.ProtocolTCP, controlPort, false},
		{"tenant's pod", "gateway", corev1.ProtocolTCP, 4443, true},
	} {
		t.Run(fmt.Sprintf("%s to %s at %s %d", test.from, test.to, test.protocol, test.port), func(t *testing.T) {
			if got := n.allows(n.ends[test.from], n.ends[test.to], test.protocol, test.port); got != test.want {
				t.Errorf("it is %v", got)
			}
		})
	}
}
