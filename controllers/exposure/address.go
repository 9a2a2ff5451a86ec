package exposure

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Facts are what the addresses of a pod depend on. Node is nil while there is none.
type Facts struct {
	Pod      *corev1.Pod
	Node     *corev1.Node
	Services []*corev1.Service
	// Resolve returns the addresses of the host name of a load balancer as far as they are known,
	// or why there are none. nil is a Resolve that knows none.
	Resolve func(host string) (ips []string, missing string)
}

// Advertise returns the transport addresses by which clients reach a pod's media, one for each of
// its IP addresses, or why there are none. Addresses that are set by hand win: those of the node
// (v1alpha1.PublicAddressAnnotation), then that of the pool (exposure.publicAddress).
func (e Exposure) Advertise(facts Facts) (addresses []*controlv1.TransportAddress, missing string) {
	return e.advertise(facts, e.publicAddress)
}

// at returns transport addresses with the same ports.
func at(ips []string, udp, tcp int32) []*controlv1.TransportAddress {
	addresses := make([]*controlv1.TransportAddress, 0, len(ips))
	for _, ip := range ips {
		addresses = append(addresses, &controlv1.TransportAddress{Ip: ip, UdpPort: udp, TcpPort: tcp})
	}
	return addresses
}

// podPortsAt advertises the pod's own port, for both protocols.
func podPortsAt(
	addresses func(facts Facts, byHand string) (ips []string, missing string),
) func(facts Facts, byHand string) ([]*controlv1.TransportAddress, string) {
	return func(facts Facts, byHand string) ([]*controlv1.TransportAddress, string) {
		ips, missing := addresses(facts, byHand)
		if missing != "" {
			return nil, missing
		}
		port := mediaPortOf(facts.Pod).ContainerPort
		return at(ips, port, port), ""
	}
}

// nodePortsAt advertises the node ports of the pod's Services.
func nodePortsAt(
	addresses func(facts Facts, byHand string) (ips []string, missing string),
) func(facts Facts, byHand string) ([]*controlv1.TransportAddress, string) {
	return func(facts Facts, byHand string) ([]*controlv1.TransportAddress, string) {
		var udp, tcp int32
		for _, service := range facts.Services {
			for _, port := range service.Spec.Ports {
				switch port.Protocol {
				case corev1.ProtocolUDP:
					udp = port.NodePort
				case corev1.ProtocolTCP:
					tcp = port.NodePort
				}
			}
		}
		if udp == 0 {
			return nil, "the Service has no node ports yet"
		}
		ips, missing := addresses(facts, byHand)
		if missing != "" {
			return nil, missing
		}
		return at(ips, udp, tcp), ""
	}
}

func podAddresses(facts Facts, byHand string) (ips []string, missing string) {
	if byHand != "" {
		return []string{byHand}, ""
	}
	for _, ip := range facts.Pod.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	if ips = onePerFamily(ips); ips == nil {
		return nil, "the pod has no address yet"
	}
	return ips, ""
}

func nodeAddresses(facts Facts, byHand string) (ips []string, missing string) {
	switch {
	case facts.Node != nil && facts.Node.Annotations[v1alpha1.PublicAddressAnnotation] != "":
		return annotated(facts.Node)
	case byHand != "":
		return []string{byHand}, ""
	case facts.Node == nil:
		return nil, "the pod is on no node yet"
	}
	if ips = ofNode(facts.Node); ips == nil {
		return nil, fmt.Sprintf("node %s has neither an ExternalIP nor an InternalIP; set exposure.publicAddress", facts.Node.Name)
	}
	return ips, ""
}

// maxAnnotated is how many addresses a node may be annotated with: clients try each.
const maxAnnotated = 8

// annotated returns the addresses that a node is annotated with.
func annotated(node *corev1.Node) (ips []string, wrong string) {
	for text := range strings.SplitSeq(node.Annotations[v1alpha1.PublicAddressAnnotation], ",") {
		ip, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
			return nil, fmt.Sprintf("the annotation %s of node %s has %q: it must have IP addresses that clients can reach, separated by commas",
				v1alpha1.PublicAddressAnnotation, node.Name, text)
		}
		ips = append(ips, ip.String())
	}
	if len(ips) > maxAnnotated {
		return nil, fmt.Sprintf("the annotation %s of node %s has %d addresses: it may have %d", v1alpha1.PublicAddressAnnotation, node.Name, len(ips), maxAnnotated)
	}
	return ips, ""
}

// ofNode returns the addresses by which clients reach a node, one for IPv4 and one for IPv6: its
// ExternalIP, else its InternalIP. Where there is an ExternalIP of the other kind, an InternalIP
// that is private is left out. It is nil when there is none.
func ofNode(node *corev1.Node) []string {
	kinds := make(map[corev1.NodeAddressType][]string)
	for _, address := range node.Status.Addresses {
		kinds[address.Type] = append(kinds[address.Type], address.Address)
	}
	external := onePerFamily(kinds[corev1.NodeExternalIP])
	internal := kinds[corev1.NodeInternalIP]
	if external != nil {
		internal = slices.DeleteFunc(internal, func(text string) bool {
			ip, err := netip.ParseAddr(text)
			return err != nil || ip.IsPrivate()
		})
	}
	return onePerFamily(append(external, internal...))
}

// SameAddresses says whether clients reach two versions of a node by the same addresses.
func SameAddresses(before, after *corev1.Node) bool {
	return before.Annotations[v1alpha1.PublicAddressAnnotation] == after.Annotations[v1alpha1.PublicAddressAnnotation] &&
		slices.Equal(ofNode(before), ofNode(after))
}

// balancers advertises the addresses of the load balancers of the pod's Services, each with the
// protocols of its Service. Without UDP there is nothing; TCP is added when it comes.
func balancers(facts Facts, byHand string) (addresses []*controlv1.TransportAddress, missing string) {
	missing = "the Service does not exist yet"
	for _, service := range facts.Services {
		var udp, tcp int32
		for _, port := range service.Spec.Ports {
			switch port.Protocol {
			case corev1.ProtocolUDP:
				udp = port.Port
			case corev1.ProtocolTCP:
				tcp = port.Port
			}
		}
		ips, absent := balancerAddresses(service, facts, byHand)
		if udp != 0 {
			missing = absent
		}
		addresses = append(addresses, at(ips, udp, tcp)...)
	}
	if missing != "" {
		return nil, missing
	}
	return addresses, ""
}

// balancerAddresses returns the addresses of a load balancer, those of its host name if it has no
// others.
func balancerAddresses(service *corev1.Service, facts Facts, byHand string) (ips []string, missing string) {
	if byHand != "" {
		return []string{byHand}, ""
	}
	var hosts []string
	for _, point := range service.Status.LoadBalancer.Ingress {
		ips = append(ips, point.IP)
		if point.Hostname != "" {
			hosts = append(hosts, point.Hostname)
		}
	}
	switch ips = onePerFamily(ips); {
	case ips != nil:
		return ips, ""
	case len(hosts) == 0:
		return nil, "the load balancer has no address yet"
	case facts.Resolve == nil:
		return nil, fmt.Sprintf("the addresses of the load balancer %s are not known yet", hosts[0])
	}
	return facts.Resolve(hosts[0])
}

// onePerFamily returns the first IPv4 and the first IPv6 address of some texts, in their order; nil
// when there is none.
func onePerFamily(texts []string) []string {
	var ips []string
	var v4, v6 bool
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		family := &v6
		if ip.Is4() {
			family = &v4
		}
		if err == nil && !*family {
			*family = true
			ips = append(ips, text)
		}
	}
	return ips
}
