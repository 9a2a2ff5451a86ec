package podspec

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// In the node's network a port that is open on all addresses is open to the internet.
func TestHostNetworkPodsListenOnTheirOwnAddress(t *testing.T) {
	for exposure, want := range map[v1alpha1.ExposureType][]string{
		v1alpha1.ExposureHostNetwork: {
			"--control-address=[$(POD_IP)]:31001", "--signalling-address=[$(POD_IP)]:31002",
			"--health-address=[$(POD_IP)]:31003", "--metrics-address=[$(POD_IP)]:31004", "--media-port=31000",
		},
		// A pod's own network has no other addresses, but that by which kubectl port-forward comes.
		v1alpha1.ExposureHostPort: {
			"--control-address=:7443", "--signalling-address=:7444", "--health-address=:8081", "--metrics-address=:8080", "--media-port=31000",
		},
		v1alpha1.ExposureInternal: {
			"--control-address=:7443", "--signalling-address=:7444", "--health-address=:8081", "--metrics-address=:8080", "--media-port=7445",
		},
	} {
		t.Run(string(exposure), func(t *testing.T) {
			spec := Spec{Kind: Media, Exposure: v1alpha1.Exposure{Type: exposure}, Port: 31000}
			c := spec.Pod().Spec.Containers[0]
			for _, argument := range want {
				if !slices.Contains(c.Args, argument) {
					t.Errorf("it has no %s among %v", argument, c.Args)
				}
			}
			// What stands in an argument must be in the environment, and probes must not name
			// another address than the pod's.
			address := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "POD_IP" })
			if address < 0 || c.Env[address].ValueFrom.FieldRef.FieldPath != "status.podIP" {
				t.Errorf("the environment is %v", c.Env)
			}
			for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
				if probe.HTTPGet.Host != "" || probe.HTTPGet.Port.String() != "health" {
					t.Errorf("a probe asks %+v", probe.HTTPGet)
				}
			}
		})
	}
}

func TestResources(t *testing.T) {
	list := func(pairs ...string) corev1.ResourceList {
		out := make(corev1.ResourceList)
		for i := 0; i < len(pairs); i += 2 {
			out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return out
	}
	for sentence, test := range map[string]struct {
		given                  *corev1.ResourceRequirements
		wantRequest, wantLimit string
	}{
		"nothing is said": {nil, "cpu=100m ephemeral-storage=64Mi memory=128Mi", "ephemeral-storage=1Gi memory=1Gi"},
		"only requests are said": {
			&corev1.ResourceRequirements{Requests: list("cpu", "2", "memory", "512Mi")},
			"cpu=2 ephemeral-storage=64Mi memory=512Mi", "ephemeral-storage=1Gi memory=1Gi",
		},
		"more is requested than the limit by default": {
			&corev1.ResourceRequirements{Requests: list("memory", "4Gi", "ephemeral-storage", "2Gi")},
			"cpu=100m ephemeral-storage=2Gi memory=4Gi", "ephemeral-storage=2Gi memory=4Gi",
		},
		"only limits are said": {
			&corev1.ResourceRequirements{Limits: list("cpu", "4", "memory", "64Mi")},
			"ephemeral-storage=64Mi", "cpu=4 ephemeral-storage=1Gi memory=64Mi",
		},
		"something else is said": {
			&corev1.ResourceRequirements{Limits: list("example.org/device", "1")},
			"cpu=100m ephemeral-storage=64Mi memory=128Mi", "ephemeral-storage=1Gi example.org/device=1 memory=1Gi",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			spec := Spec{Kind: Media, Template: v1alpha1.PodTemplate{Resources: test.given}}
			before := test.given.DeepCopy()
			c := spec.Pod().Spec.Containers[0]
			for what, pair := range map[string][2]string{
				"requests": {text(c.Resources.Requests), test.wantRequest}, "limits": {text(c.Resources.Limits), test.wantLimit},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s are %s, want %s", what, pair[0], pair[1])
				}
			}
			// The heap is bounded by what the container may have.
			limit := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if limit < 0 || c.Env[limit].ValueFrom.ResourceFieldRef.Resource != "limits.memory" {
				t.Errorf("the environment is %v", c.Env)
			}
			// It is the cache's own.
			if !equality.Semantic.DeepEqual(spec.Template.Resources, before) {
				t.Errorf("the pool itself was changed to %+v", spec.Template.Resources)
			}
		})
	}
}

// text writes quantities by name.
func text(list corev1.ResourceList) string {
	var parts []string
	for name, quantity := range list {
		parts = append(parts, string(name)+"="+quantity.String())
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
