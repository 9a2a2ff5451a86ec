package exposure

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Facts are what the addresses of a pod depend on. Node and Service are nil while there is none.
type Facts struct {
	Pod     *corev1.Pod
	Node    *corev1.Node
	Service *corev1.Service
}

// Advertise returns the transport addresses by which clients reach a pod's media, or why there are
// none. The address that the pool sets by hand wins (MediaPool.spec.exposure.publicAddress).
func (e Exposure) Advertise(facts Facts) (addresses []*controlv1.TransportAddress, missing string) {
	udp, tcp, missing := e.ports(facts)
	if missing != "" {
		return nil, missing
	}
	ip := e.publicAddress
	if ip == "" {
		if ip, missing = e.address(facts); ip == "" {
			return nil, missing
		}
	}
	return []*controlv1.TransportAddress{{Ip: ip, UdpPort: udp, TcpPort: tcp}}, ""
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

func podAddress(facts Facts) (ip, missing string) {
	return facts.Pod.Status.PodIP, "the pod has no address yet"
}

func nodeAddress(facts Facts) (ip, missing string) {
	if facts.Node == nil {
		return "", "the pod is on no node yet"
	}
	if ip := NodeAddress(facts.Node); ip != "" {
		return ip, ""
	}
	return "", fmt.Sprintf("node %s has neither an ExternalIP nor an InternalIP; set exposure.publicAddress", facts.Node.Name)
}

// NodeAddress returns the address by which clients reach a node: its ExternalIP, else its
// InternalIP; "" when it has neither.
func NodeAddress(node *corev1.Node) string {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		for _, address := range node.Status.Addresses {
			if address.Type == kind && validIP(address.Address) {
				return address.Address
			}
		}
	}
	return ""
}

func balancerAddress(facts Facts) (ip, missing string) {
	if facts.Service == nil {
		return "", "the Service does not exist yet"
	}
	ingress := facts.Service.Status.LoadBalancer.Ingress
	for _, point := range ingress {
		if validIP(point.IP) {
			return point.IP, ""
		}
	}
	if len(ingress) > 0 {
		return "", "the load balancer has only a host name, and media needs an IP address; set exposure.publicAddress"
	}
	return "", "the load balancer has no address yet"
}

func validIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}
