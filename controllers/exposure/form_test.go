package exposure

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// twoPorts are the ports of a kind of pods.
var twoPorts = []Port{{Name: "media", Number: 7000, Media: true}, {Name: "health", Number: 8000}}

// Each form says what a pod takes of its node, and what its Service is.
func TestForms(t *testing.T) {
	used := map[int32]int{21000: 1}
	for form, want := range map[v1alpha1.ExposureType]struct {
		allocated int32
		ports     string // name, number and port of the node
		service   string
		given     v1alpha1.PortRange
	}{
		v1alpha1.ExposureHostPort: {
			21001, "media-udp 21001 21001, media-tcp 21001 21001, health 8000 0, ", "", v1alpha1.PortRange{First: 21000, Last: 21003},
		},
		v1alpha1.ExposureHostNetwork: {
			21002, "media-udp 21002 0, media-tcp 21002 0, health 21003 0, ", "", v1alpha1.PortRange{First: 21000, Last: 21003},
		},
		v1alpha1.ExposureNodePort: {
			0, "media-udp 7000 0, media-tcp 7000 0, health 8000 0, ", "NodePort Local media-udp UDP 7000, media-tcp TCP 7000, ", v1alpha1.PortRange{},
		},
		v1alpha1.ExposureLoadBalancer: {
			0, "media-udp 7000 0, media-tcp 7000 0, health 8000 0, ", "LoadBalancer Local media-udp UDP 7000, ", v1alpha1.PortRange{},
		},
		v1alpha1.ExposureInternal: {
			0, "media-udp 7000 0, media-tcp 7000 0, health 8000 0, ", "", v1alpha1.PortRange{},
		},
	} {
		t.Run(string(form), func(t *testing.T) {
			e := New(v1alpha1.Exposure{Type: form, PortRange: &v1alpha1.PortRange{First: 21000, Last: 21003}}, twoPorts)
			if e.NodePorts() != want.given {
				t.Errorf("the range is %v, want %v", e.NodePorts(), want.given)
			}
			allocated := e.Allocate(Ports{Used: used})
			if allocated != want.allocated || e.Check(allocated) != nil {
				t.Errorf("the port is %d, want %d; it is refused with %v", allocated, want.allocated, e.Check(allocated))
			}
			ports := ""
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "uid"}}
			pod.Spec.HostNetwork = e.HostNetwork()
			pod.Spec.Containers = []corev1.Container{{Ports: e.ContainerPorts(allocated)}}
			for _, port := range pod.Spec.Containers[0].Ports {
				ports += fmt.Sprintf("%s %d %d, ", port.Name, port.ContainerPort, port.HostPort)
			}
			if ports != want.ports {
				t.Errorf("the ports are %q, want %q", ports, want.ports)
			}
			// What was given to a pod is read from it again.
			if got := Allocated(pod); got != want.allocated {
				t.Errorf("the pod has port %d of its node, want %d", got, want.allocated)
			}
			if got := describe(e, pod); got != want.service || e.HasService() != (got != "") {
				t.Errorf("the Service is %q, want %q", got, want.service)
			}
		})
	}
}

// describe returns the Services of a pod in a few words.
func describe(e Exposure, pod *corev1.Pod) string {
	out := ""
	for _, service := range e.Services(pod, map[string]string{"a": "b"}) {
		if *service.Name != pod.Name {
			out += *service.Name + " "
		}
		out += fmt.Sprintf("%s %s ", *service.Spec.Type, *service.Spec.ExternalTrafficPolicy)
		if service.Spec.LoadBalancerClass != nil {
			out += *service.Spec.LoadBalancerClass + " "
		}
		for _, port := range service.Spec.Ports {
			out += fmt.Sprintf("%s %s %d, ", *port.Name, *port.Protocol, *port.Port)
			if port.TargetPort.StrVal != *port.Name {
				out += "to another port "
			}
		}
		for name, value := range service.Annotations {
			if name != settingsAnnotation {
				out += name + "=" + value + " "
			}
		}
		if *service.OwnerReferences[0].UID != pod.UID || service.Spec.Selector[PodLabel] != pod.Name || service.Labels["a"] != "b" {
			out += "of another pod"
		}
	}
	return out
}

// A pool may say how its Services are made.
func TestServiceSettings(t *testing.T) {
	settings := v1alpha1.ExposureService{
		Annotations: map[string]string{"cloud": "fast"}, LoadBalancerClass: "example.org/nlb",
		ExternalTrafficPolicy: v1alpha1.ExternalTrafficCluster, PerProtocol: true,
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "uid"}}
	for form, want := range map[v1alpha1.ExposureType]string{
		v1alpha1.ExposureLoadBalancer: "LoadBalancer Cluster example.org/nlb media-udp UDP 7000, cloud=fast " +
			"pod-tcp LoadBalancer Cluster example.org/nlb media-tcp TCP 7000, cloud=fast ",
		v1alpha1.ExposureNodePort: "NodePort Cluster media-udp UDP 7000, cloud=fast pod-tcp NodePort Cluster media-tcp TCP 7000, cloud=fast ",
		v1alpha1.ExposureInternal: "",
	} {
		if got := describe(New(v1alpha1.Exposure{Type: form, Service: settings}, twoPorts), pod); got != want {
			t.Errorf("%s: the Services are %q, want %q", form, got, want)
		}
	}
}

// Services are made anew when there are too few, or they were made from other settings.
func TestServed(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "uid"}}
	made := func(e Exposure) (services []*corev1.Service) {
		for _, service := range e.Services(pod, nil) {
			services = append(services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: *service.Name, Annotations: service.Annotations}})
		}
		return services
	}
	with := func(settings v1alpha1.ExposureService) Exposure {
		return New(v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer, Service: settings}, twoPorts)
	}
	plain, two := with(v1alpha1.ExposureService{}), with(v1alpha1.ExposureService{PerProtocol: true})
	other := with(v1alpha1.ExposureService{Annotations: map[string]string{"cloud": "fast"}})
	for name, test := range map[string]struct {
		e        Exposure
		services []*corev1.Service
		want     bool
	}{
		"there is none":                  {plain, nil, false},
		"there is one":                   {plain, made(plain), true},
		"there are two":                  {two, made(two), true},
		"one of two":                     {two, made(two)[:1], false},
		"the annotations are others":     {other, made(plain), false},
		"one of before there were any":   {plain, []*corev1.Service{{}}, false},
		"a form without Services":        {New(v1alpha1.Exposure{Type: v1alpha1.ExposureInternal}, twoPorts), nil, true},
		"what the cloud adds is no harm": {plain, []*corev1.Service{{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{settingsAnnotation: plain.digest(), "x": "y"}}}}, true},
	} {
		if got := test.e.Served(pod, test.services); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestARangeThatIsTooSmall(t *testing.T) {
	within := &v1alpha1.PortRange{First: 21000, Last: 21000}
	e := New(v1alpha1.Exposure{Type: v1alpha1.ExposureHostNetwork, PortRange: within}, twoPorts)
	if port := e.Allocate(Ports{}); port != 0 || e.Check(port) == nil {
		t.Errorf("a pod with two ports gets %d", port)
	}
	e = New(v1alpha1.Exposure{Type: v1alpha1.ExposureHostPort, PortRange: within}, twoPorts)
	if port := e.Allocate(Ports{}); port != 21000 || e.Check(port) != nil {
		t.Errorf("a pod with one port on its node gets %d", port)
	}
}

// The API knows no other types; an object of a later version must not end the operator.
func TestATypeThatIsNotKnown(t *testing.T) {
	e := New(v1alpha1.Exposure{Type: "Tunnel"}, twoPorts)
	if port := e.Allocate(Ports{}); port != defaultRange.First {
		t.Errorf("a pod gets port %d", port)
	}
	if _, missing := e.Advertise(Facts{Pod: &corev1.Pod{}}); missing == "" {
		t.Error("a pod without a node advertises something")
	}
}
