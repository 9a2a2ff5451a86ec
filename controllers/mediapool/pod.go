package mediapool

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/fleet"
)

// Annotations and labels of media pods that only this controller uses.
const (
	// hashAnnotation is the digest of everything that a pod was made from.
	hashAnnotation = "mediarooms.dev/template-hash"
	// drainingAnnotation is since when a pod is emptied, RFC 3339.
	drainingAnnotation = "mediarooms.dev/draining-since"
	// evictAnnotation keeps the cluster autoscaler off pods with rooms.
	evictAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	// podLabel names the pod, for its Service's selector.
	podLabel = "mediarooms.dev/pod"
)

// Ports of a pod that has a network of its own.
const (
	controlPort    = 7443
	signallingPort = 7444
	mediaPort      = 7445
	metricsPort    = 8080
	healthPort     = 8081
)

// user is who everything runs as.
const user = 65532

// tlsDirectory is where the certificate is mounted.
const tlsDirectory = "/etc/mediarooms/tls"

// Image is what media pods run when their pool does not say.
type Image struct {
	// Name of the image, with its tag or digest.
	Name       string
	PullPolicy corev1.PullPolicy
}

// podPorts are the port numbers of one pod.
type podPorts struct {
	media, control, signalling, health, metrics int32
}

// portsFrom returns the ports of a pod that was given a port of the range; 0 for a pod that needs none.
func portsFrom(exposure v1alpha1.ExposureType, given int32) podPorts {
	switch exposure {
	case v1alpha1.ExposureHostNetwork:
		return podPorts{media: given, control: given + 1, signalling: given + 2, health: given + 3, metrics: given + 4}
	case v1alpha1.ExposureHostPort:
		return podPorts{media: given, control: controlPort, signalling: signallingPort, health: healthPort, metrics: metricsPort}
	}
	return podPorts{media: mediaPort, control: controlPort, signalling: signallingPort, health: healthPort, metrics: metricsPort}
}

// buildPod returns a media pod of a pool. It is pure.
func buildPod(pool *v1alpha1.MediaPool, namespace, name string, given int32, image Image) *corev1.Pod {
	template := pool.Spec.Template
	labels := maps.Clone(template.Metadata.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels["app.kubernetes.io/name"] = "mediarooms"
	labels["app.kubernetes.io/managed-by"] = certs.ManagedValue
	labels[v1alpha1.ComponentLabel] = v1alpha1.ComponentMediaPod
	labels[v1alpha1.PoolLabel] = pool.Name
	labels[podLabel] = name
	annotations := maps.Clone(template.Metadata.Annotations)
	if annotations == nil {
		annotations = make(map[string]string)
	}
	annotations[hashAnnotation] = templateHash(pool, image)
	annotations[evictAnnotation] = "true"

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "MediaPool", Name: pool.Name, UID: pool.UID,
				Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
			}},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{container(pool, portsFrom(pool.Spec.Exposure.Type, given), image)},
			// A media pod that has ended is replaced, never restarted: its rooms are gone.
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: ptr.To(int64(pool.Spec.DrainSeconds)),
			// Media pods look up no names, and a node without cluster DNS can run them.
			DNSPolicy:   corev1.DNSDefault,
			HostNetwork: pool.Spec.Exposure.Type == v1alpha1.ExposureHostNetwork,
			// They face the internet and have no business with the API.
			AutomountServiceAccountToken: ptr.To(false),
			EnableServiceLinks:           ptr.To(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(int64(user)), RunAsGroup: ptr.To(int64(user)), FSGroup: ptr.To(int64(user)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Volumes: []corev1.Volume{{
				Name: "tls",
				VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
					SecretName: certs.MediaPodSecret, DefaultMode: ptr.To(int32(0o440)),
				}},
			}},
			NodeSelector:              template.NodeSelector,
			Tolerations:               template.Tolerations,
			Affinity:                  template.Affinity,
			TopologySpreadConstraints: template.TopologySpreadConstraints,
			PriorityClassName:         template.PriorityClassName,
			ImagePullSecrets:          template.ImagePullSecrets,
		},
	}
	if len(pod.Spec.TopologySpreadConstraints) == 0 {
		pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.PoolLabel: pool.Name}},
		}}
	}
	return pod
}

// avoidNodes has the scheduler prefer other nodes to those that have just failed, which look idle. Spreading, unless the pool asks for
// it, would weigh as much.
func avoidNodes(pod *corev1.Pod, pool *v1alpha1.MediaPool, nodes []string) {
	if len(nodes) == 0 {
		return
	}
	pod.Spec.TopologySpreadConstraints = pool.Spec.Template.TopologySpreadConstraints
	affinity := &corev1.Affinity{}
	if pod.Spec.Affinity != nil {
		affinity = pod.Spec.Affinity.DeepCopy() // it is the pool's
	}
	if affinity.NodeAffinity == nil {
		affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	// A term by name takes one value.
	var others corev1.NodeSelectorTerm
	for _, node := range nodes {
		others.MatchFields = append(others.MatchFields, corev1.NodeSelectorRequirement{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node},
		})
	}
	affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = append(
		affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.PreferredSchedulingTerm{Weight: 100, Preference: others})
	pod.Spec.Affinity = affinity
}

func container(pool *v1alpha1.MediaPool, ports podPorts, image Image) corev1.Container {
	template := pool.Spec.Template
	address := func(port int32) string { return fmt.Sprintf(":%d", port) }
	if pool.Spec.Exposure.Type == v1alpha1.ExposureHostNetwork {
		// The node's network may be the internet. The kubelet, the operator and the gateways come by the pod's own address, which is the node's
		// internal one; in brackets it may be IPv6.
		address = func(port int32) string { return fmt.Sprintf("[$(POD_IP)]:%d", port) }
	}
	c := corev1.Container{
		Name:            "mediapod",
		Image:           cmp.Or(template.Image, image.Name),
		ImagePullPolicy: image.PullPolicy,
		Command:         []string{"/mediapod"},
		Args: []string{
			"--control-address=" + address(ports.control),
			"--signalling-address=" + address(ports.signalling),
			"--health-address=" + address(ports.health),
			"--metrics-address=" + address(ports.metrics),
			fmt.Sprintf("--media-port=%d", ports.media),
			"--tls-directory=" + tlsDirectory,
		},
		Env: []corev1.EnvVar{
			fieldEnv("POD_UID", "metadata.uid"),
			fieldEnv("POD_NAME", "metadata.name"),
			fieldEnv("POD_IP", "status.podIP"),
			{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
		},
		Ports: []corev1.ContainerPort{
			{Name: fleet.ControlPort, ContainerPort: ports.control, Protocol: corev1.ProtocolTCP},
			{Name: "signalling", ContainerPort: ports.signalling, Protocol: corev1.ProtocolTCP},
			{Name: "health", ContainerPort: ports.health, Protocol: corev1.ProtocolTCP},
			{Name: "metrics", ContainerPort: ports.metrics, Protocol: corev1.ProtocolTCP},
			{Name: "media-udp", ContainerPort: ports.media, Protocol: corev1.ProtocolUDP},
			{Name: "media-tcp", ContainerPort: ports.media, Protocol: corev1.ProtocolTCP},
		},
		LivenessProbe:  probe("/healthz", 10, 3),
		ReadinessProbe: probe("/readyz", 2, 3),
		Resources:      resources(template.Resources),
		VolumeMounts:   []corev1.VolumeMount{{Name: "tls", MountPath: tlsDirectory, ReadOnly: true}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if pool.Spec.Exposure.Type == v1alpha1.ExposureHostPort {
		for i := range c.Ports {
			if c.Ports[i].ContainerPort == ports.media {
				c.Ports[i].HostPort = ports.media
			}
		}
	}
	return c
}

// What a media pod gets whose pool does not say.
var (
	defaultRequests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Mi"),
	}
	// A pod that is taken over, or just full, must not take its node along. It writes nothing but its log, of which the kubelet keeps 50 MiB unless it is
	// told otherwise: the limit is far beyond that, since who reaches it is evicted.
	defaultLimits = corev1.ResourceList{
		corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceEphemeralStorage: resource.MustParse("1Gi"),
	}
)

// resources returns those of a pool with what it leaves open: a limit is not below what is requested, and a request that is absent beside a limit stays so,
// since Kubernetes takes the limit for it.
func resources(given *corev1.ResourceRequirements) corev1.ResourceRequirements {
	var out corev1.ResourceRequirements
	if given != nil {
		given.DeepCopyInto(&out)
	}
	if out.Requests == nil {
		out.Requests = make(corev1.ResourceList)
	}
	if out.Limits == nil {
		out.Limits = make(corev1.ResourceList)
	}
	for name, quantity := range defaultRequests {
		_, requested := out.Requests[name]
		if _, limited := out.Limits[name]; !requested && !limited {
			out.Requests[name] = quantity
		}
	}
	for name, quantity := range defaultLimits {
		if _, limited := out.Limits[name]; limited {
			continue
		}
		if request, requested := out.Requests[name]; requested && request.Cmp(quantity) > 0 {
			quantity = request
		}
		out.Limits[name] = quantity
	}
	return out
}

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("health")}},
		PeriodSeconds:    period,
		FailureThreshold: failures,
		TimeoutSeconds:   2,
	}
}

// templateHash is the digest of everything that a pod of the pool is made from, without its name and its port. A pod with another
// one is replaced.
func templateHash(pool *v1alpha1.MediaPool, image Image) string {
	exposure := pool.Spec.Exposure
	// The address is sent to running pods.
	exposure.PublicAddress = ""
	parts, err := json.Marshal([]any{"v2", pool.Spec.Template, exposure, pool.Spec.DrainSeconds, image})
	if err != nil {
		// Plain data types always marshal; a pod that is replaced once too often is the harmless side.
		return "unknown"
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:8])
}

// givenPort returns the port of the range that a pod was given, 0 when none.
func givenPort(pod *corev1.Pod) int32 {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "media-udp" && (port.HostPort != 0 || pod.Spec.HostNetwork) {
				return port.ContainerPort
			}
		}
	}
	return 0
}
