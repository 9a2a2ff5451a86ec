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

// Facts are what the addresses of a pod depend on. Node and Service are nil while there is none.
type Facts struct {
	Pod     *corev1.Pod
	Node    *corev1.Node
	Service *corev1.Service
}

// Advertise returns the transport addresses by which clients reach a pod's media, one for each of
// its IP addresses, or why there are none. Addresses that are set by hand win: those of the node
// (v1alpha1.PublicAddressAnnotation), then that of the pool (exposure.publicAddress).
func (e Exposure) Advertise(facts Facts) (addresses []*controlv1.TransportAddress, missing string) {
	udp, tcp, missing := e.ports(facts)
	if missing != "" {
		return nil, missing
	}
	ips, missing := e.addresses(facts, e.publicAddress)
	for _, ip := range ips {
		addresses = append(addresses, &controlv1.TransportAddress{Ip: ip, UdpPort: udp, TcpPort: tcp})
	}
	return addresses, missing
}

func podPorts(facts Facts) (udp, tcp int32, missing string) {
	port := mediaPortOf(facts.Pod).ContainerPort
	return port, port, ""
}

func podPortUDP(facts Facts) (udp, tcp int32, missing string) {
	return mediaPortOf(facts.Pod).ContainerPort, 0, ""
}

func servicePorts(facts Facts) (udp, tcp int32, missing string) {
	if facts.Service != nil {
		for _, port := range facts.Service.Spec.Ports {
			switch port.Protocol {
			case corev1.ProtocolUDP:
				udp = port.NodePort
			case corev1.ProtocolTCP:
				tcp = port.NodePort
			}
		}
	}
	if udp == 0 {
		return 0, 0, "the Service has no node ports yet"
	}
	return udp, tcp, ""
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

func balancerAddresses(facts Facts, byHand string) (ips []string, missing string) {
	if byHand != "" {
		return []string{byHand}, ""
	}
	if facts.Service == nil {
		return nil, "the Service does not exist yet"
	}
	ingress := facts.Service.Status.LoadBalancer.Ingress
	for _, point := range ingress {
		ips = append(ips, point.IP)
	}
	switch ips = onePerFamily(ips); {
	case ips != nil:
		return ips, ""
	case len(ingress) > 0:
		return nil, "the load balancer has only a host name, and media needs an IP address; set exposure.publicAddress"
	}
	return nil, "the load balancer has no address yet"
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
