// Package exposure is the authority on how clients reach the media of a pod: the ports that it
// takes of its node, its Service, and the addresses that it advertises. Each form of
// MediaPool.spec.exposure.type is one entry of a table; nothing else asks for the type.
//
//	HostPort      node's addresses, a port of the pool's range        media port on the node
//	HostNetwork   node's addresses, ports of the pool's range         pod in the node's network
//	NodePort      node's addresses, a port that Kubernetes chooses    Service, UDP and TCP
//	LoadBalancer  the load balancer's addresses                       Service, UDP; another one for TCP where asked
//	Internal      pod's addresses                                     nothing: clients come through a TURN server
package exposure

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Port is one port of a kind of pods.
type Port struct {
	Name string
	// Number of the port where the pod has a network of its own.
	Number int32
	// Media says that clients come there, by UDP and by TCP.
	Media bool
}

// defaultRange is where ports come from when a pool names no range
// (MediaPool.spec.exposure.portRange).
var defaultRange = v1alpha1.PortRange{First: 20000, Last: 20999}

// nodePorts are those of a pod's ports that it takes of its node.
type nodePorts int

const (
	noPort nodePorts = iota
	mediaPort
	everyPort
)

// form is one way of exposing a pod.
type form struct {
	nodePorts nodePorts
	// service is the type of the Service that each pod has; "" is none. Its ports carry UDP, and
	// with serviceTCP TCP, too.
	service    corev1.ServiceType
	serviceTCP bool
	// advertise returns the addresses by which clients reach the pod, by hand or not, or why there
	// are none.
	advertise func(facts Facts, byHand string) (addresses []*controlv1.TransportAddress, missing string)
}

var forms = map[v1alpha1.ExposureType]form{
	v1alpha1.ExposureHostPort:    {nodePorts: mediaPort, advertise: podPortsAt(nodeAddresses)},
	v1alpha1.ExposureHostNetwork: {nodePorts: everyPort, advertise: podPortsAt(nodeAddresses)},
	v1alpha1.ExposureNodePort: {
		service: corev1.ServiceTypeNodePort, serviceTCP: true, advertise: nodePortsAt(nodeAddresses),
	},
	// One protocol per load balancer works with every provider, so there is no TCP.
	v1alpha1.ExposureLoadBalancer: {service: corev1.ServiceTypeLoadBalancer, advertise: balancers},
	v1alpha1.ExposureInternal:     {advertise: podPortsAt(podAddresses)},
}

// Exposure is how the pods of a pool are exposed.
type Exposure struct {
	form
	publicAddress string
	within        v1alpha1.PortRange
	kind          []Port
	settings      v1alpha1.ExposureService
}

// New returns the exposure of pods that have some ports. A type that is not known is taken for the
// default of the API, HostPort.
func New(spec v1alpha1.Exposure, ports []Port) Exposure {
	found, known := forms[spec.Type]
	if !known {
		found = forms[v1alpha1.ExposureHostPort]
	}
	e := Exposure{form: found, publicAddress: spec.PublicAddress, kind: ports, settings: spec.Service}
	if found.nodePorts != noPort {
		e.within = ptr.Deref(spec.PortRange, defaultRange)
	}
	return e
}

// HostNetwork says whether pods are in their node's network.
func (e Exposure) HostNetwork() bool { return e.nodePorts == everyPort }

// HasService says whether each pod has a Service of its own.
func (e Exposure) HasService() bool { return e.service != "" }

// NodePorts are the ports that pods may be given on their nodes; none where nodes' ports are not
// ours to give.
func (e Exposure) NodePorts() v1alpha1.PortRange { return e.within }

// errRange is a port range without room for a single pod.
var errRange = errors.New("exposure.portRange is too small for a pod in its node's network")

// stride is how many consecutive ports of its node a pod takes.
func (e Exposure) stride() int32 {
	if e.nodePorts == everyPort {
		return int32(len(e.kind))
	}
	return 1
}

// Ports is what is known of the ports of nodes.
type Ports struct {
	// Used counts the pods per port.
	Used map[int32]int
	// Taken are those that something else uses. Recent are those that a pod had a short while ago:
	// its clients may be told of the next pod there, whose address they would take for the former
	// one's.
	Taken, Recent map[int32]bool
}

// Allocate returns the first of the node's ports that one more pod gets, 0 when it takes none or
// the range is too small: the lowest that the fewest pods use, and rather one that no pod had a
// short while ago. A port that something else has taken is chosen only if all are taken. The
// scheduler keeps two pods with the same port on different nodes.
func (e Exposure) Allocate(ports Ports) int32 {
	if e.nodePorts == noPort {
		return 0
	}
	return ports.choose(e.within, e.stride())
}

// choose returns a port of the range, in steps of stride; 0 when the range is smaller than that.
func (p Ports) choose(within v1alpha1.PortRange, stride int32) int32 {
	var best int32
	for port := within.First; port+stride-1 <= within.Last; port += stride {
		if best == 0 || p.prefers(port, best) {
			best = port
		}
		if p.Used[best] == 0 && !p.Taken[best] && !p.Recent[best] {
			break
		}
	}
	return best
}

// prefers says whether a port is better than a lower one.
func (p Ports) prefers(port, lower int32) bool {
	switch {
	case p.Taken[port] != p.Taken[lower]:
		return p.Taken[lower]
	case p.Used[port] != p.Used[lower]:
		return p.Used[port] < p.Used[lower]
	}
	return p.Recent[lower] && !p.Recent[port]
}

// Given returns the ports of its node that a pod takes which was given the first of them.
func (e Exposure) Given(allocated int32) v1alpha1.PortRange {
	return v1alpha1.PortRange{First: allocated, Last: allocated + e.stride() - 1}
}

// Check says why no pod can be made with the port that Allocate returned.
func (e Exposure) Check(allocated int32) error {
	if e.nodePorts == everyPort && allocated == 0 {
		return errRange
	}
	return nil
}

// Ports returns the ports of a pod that was given ports of its node, from the first on.
func (e Exposure) Ports(allocated int32) []Port {
	out := slices.Clone(e.kind)
	for i := range out {
		switch {
		case e.nodePorts == everyPort:
			out[i].Number = allocated + int32(i)
		case e.nodePorts == mediaPort && out[i].Media:
			out[i].Number = allocated
		}
	}
	return out
}

// ContainerPorts returns the same ports as a container declares them.
func (e Exposure) ContainerPorts(allocated int32) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, port := range e.Ports(allocated) {
		if !port.Media {
			out = append(out, corev1.ContainerPort{Name: port.Name, ContainerPort: port.Number, Protocol: corev1.ProtocolTCP})
			continue
		}
		var onNode int32
		if e.nodePorts == mediaPort {
			onNode = port.Number
		}
		out = append(out,
			corev1.ContainerPort{Name: mediaUDP, ContainerPort: port.Number, HostPort: onNode, Protocol: corev1.ProtocolUDP},
			corev1.ContainerPort{Name: mediaTCP, ContainerPort: port.Number, HostPort: onNode, Protocol: corev1.ProtocolTCP})
	}
	return out
}

// ListenAddress returns on which address a pod listens for everything but media. The node's network
// may be the internet; the kubelet, the operator and the gateways come by the pod's own address,
// which is the node's internal one. It is in the environment as POD_IP, and in brackets it may be
// IPv6.
func (e Exposure) ListenAddress(port int32) string {
	if e.HostNetwork() {
		return fmt.Sprintf("[$(POD_IP)]:%d", port)
	}
	return fmt.Sprintf(":%d", port)
}

// Names of a pod's media ports.
const (
	mediaUDP = "media-udp"
	mediaTCP = "media-tcp"
)

// Allocated returns the first port of its node that a pod was given, 0 when none.
func Allocated(pod *corev1.Pod) int32 {
	if port := mediaPortOf(pod); port.HostPort != 0 || pod.Spec.HostNetwork {
		return port.ContainerPort
	}
	return 0
}

// mediaPortOf returns the media port of a pod, for UDP.
func mediaPortOf(pod *corev1.Pod) corev1.ContainerPort {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == mediaUDP {
				return port
			}
		}
	}
	return corev1.ContainerPort{}
}
