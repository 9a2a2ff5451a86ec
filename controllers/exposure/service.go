package exposure

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// PodLabel names a pod, for its Services' selector.
const PodLabel = "mediarooms.dev/pod"

// settingsAnnotation is the digest of what a Service was made from.
const settingsAnnotation = "mediarooms.dev/service-settings"

// tcpSuffix ends the name of a pod's second Service, for TCP.
const tcpSuffix = "-tcp"

// ServiceNames returns the names of the Services that a pod is to have, UDP first; none where pods
// have none.
func (e Exposure) ServiceNames(pod string) []string {
	switch {
	case !e.HasService():
		return nil
	case e.settings.PerProtocol:
		return []string{pod, pod + tcpSuffix}
	}
	return []string{pod}
}

// Served says whether a pod has its Services, and as the settings are now.
func (e Exposure) Served(pod *corev1.Pod, services []*corev1.Service) bool {
	if len(services) != len(e.ServiceNames(pod.Name)) {
		return false
	}
	digest := e.digest()
	for _, service := range services {
		if service.Annotations[settingsAnnotation] != digest {
			return false
		}
	}
	return true
}

// digest is that of the settings of Services.
func (e Exposure) digest() string {
	settings, err := json.Marshal(e.settings)
	if err != nil {
		return "" // plain data always marshals
	}
	sum := sha256.Sum256(settings)
	return hex.EncodeToString(sum[:8])
}

// Services returns the Services of a pod, with some labels. They go with the pod.
func (e Exposure) Services(pod *corev1.Pod, labels map[string]string) []*corev1ac.ServiceApplyConfiguration {
	var services []*corev1ac.ServiceApplyConfiguration
	for _, name := range e.ServiceNames(pod.Name) {
		tcp := e.serviceTCP
		if e.settings.PerProtocol {
			tcp = name != pod.Name
		}
		udp := !e.settings.PerProtocol || !tcp
		services = append(services, e.namedService(name, pod, labels, udp, tcp))
	}
	return services
}

// namedService returns one Service of a pod, for UDP, TCP or both.
func (e Exposure) namedService(name string, pod *corev1.Pod, labels map[string]string, udp, tcp bool) *corev1ac.ServiceApplyConfiguration {
	policy := cmp.Or(e.settings.ExternalTrafficPolicy, v1alpha1.ExternalTrafficLocal)
	spec := corev1ac.ServiceSpec().
		WithType(e.service).
		WithSelector(map[string]string{PodLabel: pod.Name}).
		WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicy(policy))
	if class := e.settings.LoadBalancerClass; class != "" && e.service == corev1.ServiceTypeLoadBalancer {
		spec.WithLoadBalancerClass(class)
	}
	for _, port := range e.kind {
		if port.Media && udp {
			spec.WithPorts(servicePort(mediaUDP, corev1.ProtocolUDP, port.Number))
		}
		if port.Media && tcp {
			spec.WithPorts(servicePort(mediaTCP, corev1.ProtocolTCP, port.Number))
		}
	}
	annotations := map[string]string{settingsAnnotation: e.digest()}
	maps.Copy(annotations, e.settings.Annotations)
	owner := metav1ac.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(pod.Name).WithUID(pod.UID).
		WithController(true).WithBlockOwnerDeletion(false)
	return corev1ac.Service(name, pod.Namespace).WithLabels(labels).WithAnnotations(annotations).WithOwnerReferences(owner).WithSpec(spec)
}

func servicePort(name string, protocol corev1.Protocol, number int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().WithName(name).WithProtocol(protocol).WithPort(number).WithTargetPort(intstr.FromString(name))
}
