// Package podspec is the authority on what pods are made of: which kinds there are, and the pod of
// each that a template, an exposure and an image give. It is pure.
//
// A new kind of pods is one more entry of the catalog.
package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/exposure"
)

// Kind is one kind of pods.
type Kind struct {
	// Component is the value of the label app.kubernetes.io/component. Pods, with a suffix, and
	// their container are called so, too.
	Component string
	// Command of the container. The ports and the directory of the certificate are its arguments.
	Command []string
	Ports   []Port
	// Secret holds the certificate by which the operator and others know a pod.
	Secret string
	// Liveness and Readiness are asked over HTTP, at the port "health".
	Liveness, Readiness Probe
	// Restart says what a kubelet does with a container that has ended; "" is Never: a pod that has
	// ended is replaced, since what it held is gone.
	Restart corev1.RestartPolicy
	// Volume is the directory of the pod's volume, and Directory the flag that takes it; "" for a
	// kind without one.
	Volume, Directory string
	// Keys is the directory of the Secret with the keys to a service that a pod of the kind uses,
	// and KeysDirectory the flag that takes it; "" for a kind that uses none.
	Keys, KeysDirectory string
	// Requests and Limits are what a container gets whose template leaves them open.
	Requests, Limits corev1.ResourceList
}

// Port is one port of a kind. In the network of a node a pod takes consecutive ones, in the order
// of the kind.
type Port struct {
	exposure.Port
	// Flag of the command that takes the address to listen on; for media only the number.
	Flag string
}

// Probe is one question to a pod.
type Probe struct {
	Path                    string
	PeriodSeconds, Failures int32
}

const (
	// ControlPort is the name of the port that control streams go to.
	ControlPort = "control"
	// FilesPort is the name of the port that files are fetched from.
	FilesPort = "files"
	// healthPort is the name of the port that probes go to.
	healthPort = "health"
)

// Media pods host rooms.
var Media = Kind{
	Component: v1alpha1.ComponentMediaPod,
	Command:   []string{"/mediapod"},
	Ports: []Port{
		{exposure.Port{Name: "media", Number: 7445, Media: true}, "media-port"},
		{exposure.Port{Name: ControlPort, Number: 7443}, "control-address"},
		{exposure.Port{Name: "signalling", Number: 7444}, "signalling-address"},
		{exposure.Port{Name: healthPort, Number: 8081}, "health-address"},
		{exposure.Port{Name: "metrics", Number: 8080}, "metrics-address"},
	},
	Secret:    certs.MediaPodSecret,
	Liveness:  Probe{"/healthz", 10, 3},
	Readiness: Probe{"/readyz", 2, 3},
	Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Mi"),
	},
	// A pod that is taken over, or just full, must not take its node along. It writes nothing but
	// its log, of which the kubelet keeps 50 MiB unless it is told otherwise: the limit is far
	// beyond that, since who reaches it is evicted.
	Limits: corev1.ResourceList{
		corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceEphemeralStorage: resource.MustParse("1Gi"),
	},
}

// Recorder pods take recordings out of rooms and have the files.
var Recorder = Kind{
	Component: v1alpha1.ComponentRecorder,
	Command:   []string{"/recorder"},
	Ports: []Port{
		{exposure.Port{Name: ControlPort, Number: 7443}, "control-address"},
		{exposure.Port{Name: FilesPort, Number: 7444}, "files-address"},
		{exposure.Port{Name: healthPort, Number: 8081}, "health-address"},
		{exposure.Port{Name: "metrics", Number: 8080}, "metrics-address"},
	},
	Secret:    certs.WorkerSecret,
	Liveness:  Probe{"/healthz", 10, 3},
	Readiness: Probe{"/readyz", 2, 3},
	// The volume outlives the process, which finishes what a crash has left.
	Restart: corev1.RestartPolicyAlways,
	Volume:  "/recordings", Directory: "directory",
	Keys: "/etc/mediarooms/s3", KeysDirectory: "s3-directory",
	Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Mi"),
	},
	// Ephemeral storage has no limit here: an emptyDir has one of its own.
	Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
}

// kinds is the catalog.
var kinds = []Kind{Media, Recorder}

// Selector selects the pods, and their Services, of all kinds.
func Selector() labels.Selector {
	components := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		components = append(components, kind.Component)
	}
	of, err := labels.NewRequirement(v1alpha1.ComponentLabel, selection.In, components)
	if err != nil {
		return labels.Nothing() // a kind whose name is no label's value has no pods
	}
	return labels.NewSelector().Add(*of)
}

// Exposed returns how pods of the kind are exposed.
func (k Kind) Exposed(spec v1alpha1.Exposure) exposure.Exposure {
	ports := make([]exposure.Port, 0, len(k.Ports))
	for _, port := range k.Ports {
		ports = append(ports, port.Port)
	}
	return exposure.New(spec, ports)
}

// PortOf returns the port of a pod that has a name; 0 when there is none.
func PortOf(pod *corev1.Pod, name string) int32 {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}
