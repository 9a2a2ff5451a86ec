package exposure

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
)

// PodLabel names a pod, for its Service's selector.
const PodLabel = "mediarooms.dev/pod"

// Service returns the Service of a pod, with some labels; nil when it needs none. It goes with the
// pod.
func (e Exposure) Service(pod *corev1.Pod, labels map[string]string) *corev1ac.ServiceApplyConfiguration {
	if !e.HasService() {
		return nil
	}
	spec := corev1ac.ServiceSpec().
		WithType(e.service).
		WithSelector(map[string]string{PodLabel: pod.Name}).
		// Packets must not take another hop, and the pod sees its clients' addresses.
		WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
	for _, port := range e.kind {
		if !port.Media {
			continue
		}
		spec.WithPorts(servicePort(mediaUDP, corev1.ProtocolUDP, port.Number))
		if e.serviceTCP {
			spec.WithPorts(servicePort(mediaTCP, corev1.ProtocolTCP, port.Number))
		}
	}
	owner := metav1ac.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(pod.Name).WithUID(pod.UID).
		WithController(true).WithBlockOwnerDeletion(false)
	return corev1ac.Service(pod.Name, pod.Namespace).WithLabels(labels).WithOwnerReferences(owner).WithSpec(spec)
}

func servicePort(name string, protocol corev1.Protocol, number int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().WithName(name).WithProtocol(protocol).WithPort(number).WithTargetPort(intstr.FromString(name))
}
