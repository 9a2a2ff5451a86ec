package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Placement says which pod with room a new Session gets.
// +kubebuilder:validation:Enum=Packed;Spread
type Placement string

// ExposureType says how media reaches the pods.
// +kubebuilder:validation:Enum=HostPort;HostNetwork;NodePort;LoadBalancer;Internal
type ExposureType string

// Values of the enums of MediaPoolSpec.
const (
	// PlacementPacked fills the fullest pod first.
	PlacementPacked Placement = "Packed"
	// PlacementSpread fills the emptiest pod first.
	PlacementSpread Placement = "Spread"

	// ExposureHostPort gives every pod a port of its own on its node.
	ExposureHostPort ExposureType = "HostPort"
	// ExposureHostNetwork runs the pods in their node's network, each on a port of its own.
	ExposureHostNetwork ExposureType = "HostNetwork"
	// ExposureNodePort makes a Service of type NodePort per pod.
	ExposureNodePort ExposureType = "NodePort"
	// ExposureLoadBalancer makes a Service of type LoadBalancer per pod and advertises its address.
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	// ExposureInternal advertises the pods' own addresses; clients come through TURN.
	ExposureInternal ExposureType = "Internal"
)

// MediaPoolSpec is the fleet of media pods that is wanted.
// +kubebuilder:validation:XValidation:rule="self.minPods <= self.maxPods",message="`minPods` may not be greater than `maxPods`"
type MediaPoolSpec struct {
	// minPods is how many pods always run.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MinPods *int32 `json:"minPods,omitempty"`
	// maxPods is how many pods may run.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPods int32 `json:"maxPods,omitempty"`
	// warmSessions is how many more Sessions the running pods can always take.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +optional
	WarmSessions *int32 `json:"warmSessions,omitempty"`
	// capacity bounds what one pod takes.
	// +kubebuilder:default={}
	// +optional
	Capacity PodCapacity `json:"capacity,omitzero"`
	// placement is Packed or Spread.
	// +kubebuilder:default=Packed
	// +optional
	Placement Placement `json:"placement,omitempty"`
	// publicURL is where clients reach the gateway, such as https://rooms.example.org; tokens are made of it.
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|wss?)://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$')",message="`publicURL` must be http://, https://, ws:// or wss:// with a host name or an IPv4 address, an optional port, and no path"
	// +required
	PublicURL string `json:"publicURL"`
	// exposure is how media reaches the pods.
	// +kubebuilder:default={}
	// +optional
	Exposure Exposure `json:"exposure,omitzero"`
	// iceServers are given to clients whose Connection brings none.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	IceServers []IceServer `json:"iceServers,omitempty"`
	// reconnectWindowSeconds is how long a client that lost its connection may come back.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	// +optional
	ReconnectWindowSeconds int32 `json:"reconnectWindowSeconds,omitempty"`
	// drainSeconds bounds a drain.
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	DrainSeconds int32 `json:"drainSeconds,omitempty"`
	// template sets what a team must be able to set on the pods.
	// +optional
	Template PodTemplate `json:"template,omitzero"`
}

// PodCapacity bounds what one media pod takes. Beyond it a Session waits with reason NoCapacity.
type PodCapacity struct {
	// sessions that one pod hosts.
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	Sessions int32 `json:"sessions,omitempty"`
	// connections that one pod hosts, pending ones included.
	// +kubebuilder:default=500
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	Connections int32 `json:"connections,omitempty"`
}

// Exposure is how media reaches the pods.
// +kubebuilder:validation:XValidation:rule="!has(self.portRange) || self.type == 'HostPort' || self.type == 'HostNetwork'",message="`portRange` may be set only when `type` is HostPort or HostNetwork"
type Exposure struct {
	// type is HostPort, HostNetwork, NodePort, LoadBalancer or Internal.
	// +kubebuilder:default=HostPort
	// +optional
	Type ExposureType `json:"type,omitempty"`
	// portRange is where HostPort and HostNetwork pods get their ports from; 31000 to 31999 when absent. A port is used for UDP
	// and TCP.
	// +optional
	PortRange *PortRange `json:"portRange,omitempty"`
	// publicAddress is the IP address that is advertised instead of the node's or the load balancer's.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="`publicAddress` must be an IP address"
	// +optional
	PublicAddress string `json:"publicAddress,omitempty"`
}

// PortRange is a range of ports, both ends included.
// +kubebuilder:validation:XValidation:rule="self.first <= self.last",message="`first` may not be greater than `last`"
type PortRange struct {
	// first port.
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +required
	First int32 `json:"first"`
	// last port.
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +required
	Last int32 `json:"last"`
}

// PodTemplate is what a team may set on the media pods of a pool.
type PodTemplate struct {
	// metadata are extra labels and annotations.
	// +optional
	Metadata PodTemplateMetadata `json:"metadata,omitzero"`
	// image of the media pods; the operator's own image when absent.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Image string `json:"image,omitempty"`
	// resources of the media container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// nodeSelector restricts the nodes.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations of the pods.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity of the pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// topologySpreadConstraints of the pods.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// priorityClassName of the pods.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// imagePullSecrets of the pods, in the operator's namespace.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// PodTemplateMetadata are labels and annotations of media pods; those of mediarooms.dev and app.kubernetes.io are the operator's.
type PodTemplateMetadata struct {
	// labels to add.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// annotations to add.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// MediaPoolStatus is what was observed of a fleet.
type MediaPoolStatus struct {
	// conditions are Accepted and Ready.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the last generation that was reconciled without an error.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// pods that exist.
	// +optional
	Pods int32 `json:"pods"`
	// readyPods can host rooms now.
	// +optional
	ReadyPods int32 `json:"readyPods"`
	// sessions that are placed on the pool's pods.
	// +optional
	Sessions int32 `json:"sessions"`
	// freeSessions is how many more the running pods can take.
	// +optional
	FreeSessions int32 `json:"freeSessions"`
}

// MediaPool is a fleet of media pods.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mediapools,scope=Cluster,shortName=mrpool,categories=mediarooms
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the pool's minimum of pods can host rooms"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.readyPods`,description="Pods that can host rooms"
// +kubebuilder:printcolumn:name="Sessions",type=integer,JSONPath=`.status.sessions`,description="Sessions on the pool's pods"
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.freeSessions`,description="Sessions that the running pods can still take"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Exposure",type=string,JSONPath=`.spec.exposure.type`,priority=1,description="How media reaches the pods"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.publicURL`,priority=1,description="Where clients reach the gateway"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",message="`metadata.name` must be a DNS label of at most 40 lower-case letters, digits and `-`: pods are named after it"
type MediaPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the fleet that is wanted.
	// +required
	Spec MediaPoolSpec `json:"spec"`
	// status is what was observed.
	// +optional
	Status MediaPoolStatus `json:"status,omitzero"`
}

// MediaPoolList is a list of MediaPools.
// +kubebuilder:object:root=true
type MediaPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MediaPool `json:"items"`
}
