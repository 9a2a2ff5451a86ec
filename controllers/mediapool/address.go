package mediapool

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// advertise returns the transport addresses by which clients reach a pod's media, or why there are none. It is pure. The
// precedence is: the pool's publicAddress; the load balancer's address; the node's ExternalIP; the node's InternalIP.
// node and service are nil while there is none.
func advertise(pool *v1alpha1.MediaPool, pod *corev1.Pod, node *corev1.Node, service *corev1.Service) ([]*controlv1.TransportAddress, string) {
	exposure := pool.Spec.Exposure
	ip, missing := exposure.PublicAddress, ""
	media := portsOf(pod)
	udp, tcp := media, media
	switch exposure.Type {
	case v1alpha1.ExposureInternal:
		if ip == "" {
			ip, missing = pod.Status.PodIP, "the pod has no address yet"
		}
	case v1alpha1.ExposureNodePort:
		if udp, tcp = nodePorts(service); udp == 0 {
			return nil, "the Service has no node ports yet"
		}
		if ip == "" {
			ip, missing = nodeAddress(node)
		}
	case v1alpha1.ExposureLoadBalancer:
		// One protocol per load balancer works with every provider, so there is no TCP.
		tcp = 0
		if ip == "" {
			ip, missing = balancerAddress(service)
		}
	default:
		if ip == "" {
			ip, missing = nodeAddress(node)
		}
	}
	if ip == "" {
		return nil, missing
	}
	return []*controlv1.TransportAddress{{Ip: ip, UdpPort: udp, TcpPort: tcp}}, ""
}

// portsOf returns the media port of a pod.
func portsOf(pod *corev1.Pod) int32 {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "media-udp" {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func nodePorts(service *corev1.Service) (udp, tcp int32) {
	if service == nil {
		return 0, 0
	}
	for _, port := range service.Spec.Ports {
		switch port.Protocol {
		case corev1.ProtocolUDP:
			udp = port.NodePort
		case corev1.ProtocolTCP:
			tcp = port.NodePort
		}
	}
	return udp, tcp
}

func nodeAddress(node *corev1.Node) (ip, missing string) {
	if node == nil {
		return "", "the pod is on no node yet"
	}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		for _, address := range node.Status.Addresses {
			if address.Type == kind && validIP(address.Address) {
				return address.Address, ""
			}
		}
	}
	return "", fmt.Sprintf("node %s has neither an ExternalIP nor an InternalIP; set exposure.publicAddress", node.Name)
}

func balancerAddress(service *corev1.Service) (ip, missing string) {
	if service == nil {
		return "", "the Service does not exist yet"
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if validIP(ingress.IP) {
			return ingress.IP, ""
		}
	}
	if len(service.Status.LoadBalancer.Ingress) > 0 {
		return "", "the load balancer has only a host name, and media needs an IP address; set exposure.publicAddress"
	}
	return "", "the load balancer has no address yet"
}

func validIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}
