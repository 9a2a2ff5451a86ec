package exposure

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestAdvertise(t *testing.T) {
	node := func(addresses ...corev1.NodeAddress) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Addresses: addresses}}
	}
	internal := corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}
	external := corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.1"}
	nodePorts := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Protocol: corev1.ProtocolUDP, NodePort: 30001}, {Protocol: corev1.ProtocolTCP, NodePort: 30002},
	}}}
	internal6 := corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "2001:db8::1"}
	private6 := corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "fd00::1"}
	annotated := func(told string) *corev1.Node {
		n := node(external)
		n.Name, n.Annotations = "n", map[string]string{v1alpha1.PublicAddressAnnotation: told}
		return n
	}
	balancer := func(ingress ...corev1.LoadBalancerIngress) *corev1.Service {
		return &corev1.Service{
			Spec:   corev1.ServiceSpec{Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolUDP, Port: 21000}}},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
		}
	}
	for sentence, test := range map[string]struct {
		exposure v1alpha1.ExposureType
		public   string
		node     *corev1.Node
		service  *corev1.Service
		ip       string // or several, with a space between them
		udp, tcp int32
		missing  string // part of the reason
	}{
		"an external address is preferred":           {exposure: v1alpha1.ExposureHostPort, node: node(internal, external), ip: "203.0.113.1", udp: 21000, tcp: 21000},
		"an internal address is better than none":    {exposure: v1alpha1.ExposureHostPort, node: node(internal), ip: "10.0.0.1", udp: 21000, tcp: 21000},
		"an address that was set by hand wins":       {exposure: v1alpha1.ExposureHostPort, public: "198.51.100.1", node: node(external), ip: "198.51.100.1", udp: 21000, tcp: 21000},
		"one address of each family":                 {exposure: v1alpha1.ExposureHostPort, node: node(internal6, internal, internal), ip: "2001:db8::1 10.0.0.1", udp: 21000, tcp: 21000},
		"an external address goes with a public one": {exposure: v1alpha1.ExposureHostPort, node: node(internal, internal6, external), ip: "203.0.113.1 2001:db8::1", udp: 21000, tcp: 21000},
		"an external address goes alone":             {exposure: v1alpha1.ExposureHostPort, node: node(internal, private6, external), ip: "203.0.113.1", udp: 21000, tcp: 21000},
		"the node's annotation wins": {
			exposure: v1alpha1.ExposureHostPort, public: "198.51.100.1", node: annotated("198.51.100.7, 2001:db8::7"), ip: "198.51.100.7 2001:db8::7", udp: 21000, tcp: 21000,
		},
		"the node's annotation has addresses":          {exposure: v1alpha1.ExposureHostPort, node: annotated("198.51.100.7,example.org"), missing: `of node n has "example.org"`},
		"the node's annotation has addresses to reach": {exposure: v1alpha1.ExposureNodePort, node: annotated("0.0.0.0"), service: nodePorts, missing: `has "0.0.0.0"`},
		"the node's annotation has few addresses":      {exposure: v1alpha1.ExposureHostPort, node: annotated(strings.Repeat("198.51.100.7,", 8) + "::1"), missing: "it may have 8"},
		"the node's annotation is not the balancer's": {
			exposure: v1alpha1.ExposureLoadBalancer, node: annotated("198.51.100.7"), service: balancer(corev1.LoadBalancerIngress{IP: "198.51.100.2"}), ip: "198.51.100.2", udp: 21000,
		},
		"a name is no address":                              {exposure: v1alpha1.ExposureHostPort, node: node(corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "host"}), missing: "publicAddress"},
		"a pod that is on no node has none":                 {exposure: v1alpha1.ExposureHostPort, missing: "no node yet"},
		"node ports are advertised with the node's address": {exposure: v1alpha1.ExposureNodePort, node: node(internal), service: nodePorts, ip: "10.0.0.1", udp: 30001, tcp: 30002},
		"node ports have to be there":                       {exposure: v1alpha1.ExposureNodePort, node: node(internal), missing: "no node ports yet"},
		"a load balancer is UDP only": {
			exposure: v1alpha1.ExposureLoadBalancer, service: balancer(corev1.LoadBalancerIngress{IP: "198.51.100.2"}), ip: "198.51.100.2", udp: 21000,
		},
		"a load balancer may take its time": {exposure: v1alpha1.ExposureLoadBalancer, service: balancer(), missing: "no address yet"},
		"the name of a load balancer is resolved": {
			exposure: v1alpha1.ExposureLoadBalancer, service: balancer(corev1.LoadBalancerIngress{Hostname: "lb.example.org"}), ip: "198.51.100.3 198.51.100.4", udp: 21000,
		},
		"the name of a load balancer may be unknown": {
			exposure: v1alpha1.ExposureLoadBalancer, service: balancer(corev1.LoadBalancerIngress{Hostname: "other.example.org"}), missing: "other.example.org is unknown",
		},
		"an address of a load balancer is better than its name": {
			exposure: v1alpha1.ExposureLoadBalancer, service: balancer(corev1.LoadBalancerIngress{IP: "198.51.100.2", Hostname: "lb.example.org"}), ip: "198.51.100.2", udp: 21000,
		},
		"an address by hand is better than a name": {
			exposure: v1alpha1.ExposureLoadBalancer, public: "198.51.100.1", service: balancer(corev1.LoadBalancerIngress{Hostname: "lb.example.org"}), ip: "198.51.100.1", udp: 21000,
		},
		"a load balancer needs a Service": {exposure: v1alpha1.ExposureLoadBalancer, missing: "does not exist yet"},
		"internal is the pod's own":       {exposure: v1alpha1.ExposureInternal, ip: "10.1.1.1 fd00::1:1", udp: 21000, tcp: 21000},
	} {
		t.Run(sentence, func(t *testing.T) {
			pod := &corev1.Pod{
				Spec:   corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "media-udp", ContainerPort: 21000}}}}},
				Status: corev1.PodStatus{PodIP: "10.1.1.1", PodIPs: []corev1.PodIP{{IP: "10.1.1.1"}, {IP: "fd00::1:1"}}},
			}
			exposed := New(v1alpha1.Exposure{Type: test.exposure, PublicAddress: test.public}, nil)
			facts := Facts{Pod: pod, Node: test.node, Resolve: func(host string) ([]string, string) {
				if host == "lb.example.org" {
					return []string{"198.51.100.3", "198.51.100.4"}, ""
				}
				return nil, host + " is unknown"
			}}
			if test.service != nil {
				facts.Services = []*corev1.Service{test.service}
			}
			got, missing := exposed.Advertise(facts)
			if test.missing != "" {
				if got != nil || !strings.Contains(missing, test.missing) {
					t.Errorf("got %v, %q", got, missing)
				}
				return
			}
			var ips []string
			for _, address := range got {
				ips = append(ips, address.Ip)
				if address.UdpPort != test.udp || address.TcpPort != test.tcp {
					t.Errorf("the ports are those of %v", address)
				}
			}
			if strings.Join(ips, " ") != test.ip {
				t.Errorf("got %v, %q", got, missing)
			}
		})
	}
}

// Two load balancers have two addresses, and TCP may come later.
func TestOneBalancerPerProtocol(t *testing.T) {
	service := func(protocol corev1.Protocol, ip string) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Protocol: protocol, Port: 21000}}}}
		if ip != "" {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip}}
		}
		return s
	}
	exposed := New(v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer, Service: v1alpha1.ExposureService{PerProtocol: true}}, nil)
	for want, services := range map[string][]*corev1.Service{
		"198.51.100.2 21000 0, 198.51.100.3 0 21000, ": {service(corev1.ProtocolUDP, "198.51.100.2"), service(corev1.ProtocolTCP, "198.51.100.3")},
		"198.51.100.2 21000 0, ":                       {service(corev1.ProtocolUDP, "198.51.100.2"), service(corev1.ProtocolTCP, "")},
		"the load balancer has no address yet":         {service(corev1.ProtocolUDP, ""), service(corev1.ProtocolTCP, "198.51.100.3")},
	} {
		addresses, got := exposed.Advertise(Facts{Pod: &corev1.Pod{}, Services: services})
		for _, a := range addresses {
			got += fmt.Sprintf("%s %d %d, ", a.Ip, a.UdpPort, a.TcpPort)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
