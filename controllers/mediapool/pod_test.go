package mediapool

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// buildPod returns a pod of a pool.
func buildPod(pool *v1alpha1.MediaPool, image podspec.Image) *corev1.Pod {
	return podSpec(pool, "ns", "name", image, createPod{port: 31000}).Pod()
}

func TestPod(t *testing.T) {
	pool := newPool()
	pool.Spec.Template.Metadata.Labels = map[string]string{v1alpha1.PoolLabel: "stolen", "team": "video"}
	pod := buildPod(pool, podspec.Image{Name: "image"})
	if pod.Labels[v1alpha1.PoolLabel] != "pool" || pod.Labels["team"] != "video" {
		t.Errorf("labels are %v", pod.Labels)
	}
	c := pod.Spec.Containers[0]
	if *pod.Spec.AutomountServiceAccountToken || *pod.Spec.EnableServiceLinks || pod.Spec.RestartPolicy != corev1.RestartPolicyNever ||
		!*pod.Spec.SecurityContext.RunAsNonRoot || *pod.Spec.SecurityContext.RunAsUser != 65532 ||
		pod.Spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		!*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || c.SecurityContext.Capabilities.Drop[0] != "ALL" {
		t.Errorf("it is %+v", pod.Spec)
	}
	if port := exposure.Allocated(pod); port != 31000 {
		t.Errorf("its port is %d", port)
	}
	if len(pod.Spec.TopologySpreadConstraints) != 1 || pod.Spec.TopologySpreadConstraints[0].WhenUnsatisfiable != corev1.ScheduleAnyway {
		t.Errorf("it is spread by %v", pod.Spec.TopologySpreadConstraints)
	}

	pod = podSpec(pool, "ns", "name", podspec.Image{Name: "image"}, createPod{port: 31000, avoid: []string{"a", "b"}}).Pod()
	terms := pod.Spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	if len(terms) != 1 || len(terms[0].Preference.MatchFields) != 2 || pool.Spec.Template.Affinity != nil || pod.Spec.TopologySpreadConstraints != nil {
		t.Errorf("nodes are avoided by %v, and it is spread by %v", terms, pod.Spec.TopologySpreadConstraints)
	}

	pool.Spec.Exposure = v1alpha1.Exposure{Type: v1alpha1.ExposureHostNetwork}
	pod = buildPod(pool, podspec.Image{Name: "image"})
	numbers := make(map[string]int32)
	for _, port := range pod.Spec.Containers[0].Ports {
		numbers[port.Name] = port.ContainerPort
	}
	if !pod.Spec.HostNetwork || numbers["media-udp"] != 31000 || numbers["media-tcp"] != 31000 || numbers["control"] != 31001 || numbers["metrics"] != 31004 {
		t.Errorf("ports are %v", numbers)
	}

	before := templateHash(pool, podspec.Image{Name: "image"})
	pool.Spec.Exposure.PublicAddress = "198.51.100.1"
	if templateHash(pool, podspec.Image{Name: "image"}) != before {
		t.Error("an address that is sent to running pods replaces them")
	}
	if templateHash(pool, podspec.Image{Name: "other"}) == before {
		t.Error("another image does not")
	}
}
