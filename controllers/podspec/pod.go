package podspec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/exposure"
)

// user is who everything runs as.
const user = 65532

// tlsDirectory is where the certificate is mounted.
const tlsDirectory = "/etc/mediarooms/tls"

// filesVolume is the name of the volume of a kind that has one.
const filesVolume = "files"

// keysVolume is the name of the volume with the keys to a service.
const keysVolume = "keys"

// keys returns a volume with those keys of a Secret that are for S3, and no others: the Secret is
// named by who makes a pool. A pod runs without them, and says what is missing.
func keys(secret string) corev1.VolumeSource {
	source := &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To(int32(0o440)), Optional: ptr.To(true)}
	for _, key := range []string{v1alpha1.S3AccessKey, v1alpha1.S3SecretKey, v1alpha1.S3AuthorityKey} {
		source.Items = append(source.Items, corev1.KeyToPath{Key: key, Path: key})
	}
	return corev1.VolumeSource{Secret: source}
}

// Image is what pods run whose template says nothing else.
type Image struct {
	// Name of the image, with its tag or digest.
	Name       string
	PullPolicy corev1.PullPolicy
}

// Spec is what one pod is made from.
type Spec struct {
	Kind            Kind
	Namespace, Name string
	Owner           metav1.OwnerReference
	// Labels that all pods of the owner have: they are spread over the nodes.
	Labels      map[string]string
	Annotations map[string]string
	Template    v1alpha1.PodTemplate
	Exposure    v1alpha1.Exposure
	// Port is the first port of its node that the pod was given (exposure.Exposure.Allocate).
	Port int32
	// GraceSeconds is how long the pod may take to end.
	GraceSeconds int32
	Image        Image
	// Volume is where a kind keeps its files that has a volume.
	Volume corev1.VolumeSource
	// Keys is the Secret with the keys to a service that the pod uses; "" for none.
	Keys string
	// AvoidNodes are nodes on which it comes only if there is no other.
	AvoidNodes []string
}

// Pod returns the pod.
func (s Spec) Pod() *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, Labels: s.labels(), OwnerReferences: []metav1.OwnerReference{s.Owner},
			Annotations: merged(s.Template.Metadata.Annotations, s.Annotations),
		},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{s.container()},
			RestartPolicy:                 cmp.Or(s.Kind.Restart, corev1.RestartPolicyNever),
			TerminationGracePeriodSeconds: ptr.To(int64(s.GraceSeconds)),
			// Pods without keys look up no names, and a node without cluster DNS can run them.
			DNSPolicy:   corev1.DNSDefault,
			HostNetwork: s.exposure().HostNetwork(),
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
					SecretName: s.Kind.Secret, DefaultMode: ptr.To(int32(0o440)),
				}},
			}},
			NodeSelector:              s.Template.NodeSelector,
			Tolerations:               s.Template.Tolerations,
			Affinity:                  s.Template.Affinity,
			TopologySpreadConstraints: s.Template.TopologySpreadConstraints,
			PriorityClassName:         s.Template.PriorityClassName,
			ImagePullSecrets:          s.Template.ImagePullSecrets,
		},
	}
	if s.Kind.Volume != "" {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: filesVolume, VolumeSource: s.Volume})
	}
	if s.Keys != "" {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: keysVolume, VolumeSource: keys(s.Keys)})
		pod.Spec.DNSPolicy = corev1.DNSClusterFirst // the service may be one of the cluster
	}
	if len(s.AvoidNodes) > 0 {
		// Spreading, unless the template asks for it, would weigh as much.
		pod.Spec.Affinity = avoiding(s.Template.Affinity, s.AvoidNodes)
	} else if len(s.Template.TopologySpreadConstraints) == 0 {
		pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: s.Labels},
		}}
	}
	return pod
}

func (s Spec) exposure() exposure.Exposure { return s.Kind.Exposed(s.Exposure) }

// labels of the pod. Those of the operator win over the template's.
func (s Spec) labels() map[string]string {
	labels := merged(s.Template.Metadata.Labels, s.Labels)
	labels["app.kubernetes.io/name"] = "mediarooms"
	labels["app.kubernetes.io/managed-by"] = certs.ManagedValue
	labels[v1alpha1.ComponentLabel] = s.Kind.Component
	labels[exposure.PodLabel] = s.Name
	return labels
}

func merged(theirs, ours map[string]string) map[string]string {
	out := make(map[string]string, len(theirs)+len(ours))
	maps.Copy(out, theirs)
	maps.Copy(out, ours)
	return out
}

// BudgetLabels returns the labels of the PodDisruptionBudget of a pool.
func BudgetLabels(pool string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name": "mediarooms", "app.kubernetes.io/managed-by": certs.ManagedValue,
		v1alpha1.ComponentLabel: Media.Component, v1alpha1.PoolLabel: pool,
	}
}

// ServiceLabels returns the labels of the Service of a pod: those of the pod that are the
// operator's and not of this pod alone.
func ServiceLabels(pod *corev1.Pod) map[string]string {
	out := make(map[string]string)
	for _, name := range []string{
		"app.kubernetes.io/name", "app.kubernetes.io/managed-by", v1alpha1.ComponentLabel, v1alpha1.PoolLabel,
	} {
		out[name] = pod.Labels[name]
	}
	return out
}

// avoiding returns an affinity that prefers other nodes to some, which have just failed and look
// idle.
func avoiding(theirs *corev1.Affinity, nodes []string) *corev1.Affinity {
	affinity := &corev1.Affinity{}
	if theirs != nil {
		affinity = theirs.DeepCopy()
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
	return affinity
}

func (s Spec) container() corev1.Container {
	return corev1.Container{
		Name:            s.Kind.Component,
		Image:           cmp.Or(s.Template.Image, s.Image.Name),
		ImagePullPolicy: s.Image.PullPolicy,
		Command:         slices.Clone(s.Kind.Command),
		// Of a program that says nothing itself, the log says how it ended.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Args:                     s.arguments(),
		Env: []corev1.EnvVar{
			fieldEnv("POD_UID", "metadata.uid"),
			fieldEnv("POD_NAME", "metadata.name"),
			fieldEnv("POD_IP", "status.podIP"),
			{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
		},
		Ports:          s.exposure().ContainerPorts(s.Port),
		LivenessProbe:  s.Kind.Liveness.probe(),
		ReadinessProbe: s.Kind.Readiness.probe(),
		Resources:      s.Kind.resources(s.Template.Resources),
		VolumeMounts:   s.mounts(),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// mounts are the directories of the container: its certificate, and its files and keys if it has
// any.
func (s Spec) mounts() []corev1.VolumeMount {
	mounts := []corev1.VolumeMount{{Name: "tls", MountPath: tlsDirectory, ReadOnly: true}}
	if s.Kind.Volume != "" {
		mounts = append(mounts, corev1.VolumeMount{Name: filesVolume, MountPath: s.Kind.Volume})
	}
	if s.Keys != "" {
		mounts = append(mounts, corev1.VolumeMount{Name: keysVolume, MountPath: s.Kind.Keys, ReadOnly: true})
	}
	return mounts
}

// arguments tell the command where to listen, and where its files, keys and certificate are.
func (s Spec) arguments() []string {
	exposed := s.exposure()
	out := make([]string, 0, len(s.Kind.Ports)+1)
	for i, port := range exposed.Ports(s.Port) {
		if port.Media {
			out = append(out, fmt.Sprintf("--%s=%d", s.Kind.Ports[i].Flag, port.Number))
			continue
		}
		out = append(out, fmt.Sprintf("--%s=%s", s.Kind.Ports[i].Flag, exposed.ListenAddress(port.Number)))
	}
	if s.Kind.Volume != "" {
		out = append(out, "--"+s.Kind.Directory+"="+s.Kind.Volume)
	}
	if s.Keys != "" {
		out = append(out, "--"+s.Kind.KeysDirectory+"="+s.Kind.Keys)
	}
	return append(out, "--tls-directory="+tlsDirectory)
}

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func (p Probe) probe() *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: p.Path, Port: intstr.FromString(healthPort)}},
		PeriodSeconds:    p.PeriodSeconds,
		FailureThreshold: p.Failures,
		TimeoutSeconds:   2,
	}
}

// resources returns those of a template with what it leaves open: a limit is not below what is
// requested, and a request that is absent beside a limit stays so, since Kubernetes takes the limit
// for it.
func (k Kind) resources(given *corev1.ResourceRequirements) corev1.ResourceRequirements {
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
	for name, quantity := range k.Requests {
		_, requested := out.Requests[name]
		if _, limited := out.Limits[name]; !requested && !limited {
			out.Requests[name] = quantity
		}
	}
	for name, quantity := range k.Limits {
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
