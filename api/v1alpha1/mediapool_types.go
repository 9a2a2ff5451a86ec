package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Placement says which pod with room a new Session gets.
// +kubebuilder:validation:Enum=Packed;Spread
type Placement string

// ExposureType says how media reaches the pods.
// +kubebuilder:validation:Enum=HostPort;HostNetwork;NodePort;LoadBalancer;Internal
type ExposureType string

// ExternalTrafficPolicy says which nodes pass clients' packets on to a pod.
// +kubebuilder:validation:Enum=Local;Cluster
type ExternalTrafficPolicy string

// Standby says whether a second media pod follows a room.
// +kubebuilder:validation:Enum=None;Warm
type Standby string

// RecordingNotification says which clients are told of recordings.
// +kubebuilder:validation:Enum=None;Moderators;PublishersAndModerators;All
type RecordingNotification string

// RecordingAccess says who may fetch the files of recordings.
// +kubebuilder:validation:Enum=Authenticated;Public
type RecordingAccess string

// Values of the enums of MediaPoolSpec.
const (
	// RecordingNotificationNone tells nobody.
	RecordingNotificationNone RecordingNotification = "None"
	// RecordingNotificationModerators tells moderators.
	RecordingNotificationModerators RecordingNotification = "Moderators"
	// RecordingNotificationPublishersAndModerators tells all but subscribers.
	RecordingNotificationPublishersAndModerators RecordingNotification = "PublishersAndModerators"
	// RecordingNotificationAll tells everybody.
	RecordingNotificationAll RecordingNotification = "All"

	// RecordingAccessAuthenticated needs the tenant's REST password.
	RecordingAccessAuthenticated RecordingAccess = "Authenticated"
	// RecordingAccessPublic needs nothing.
	RecordingAccessPublic RecordingAccess = "Public"

	// StandbyNone has no second pod: users come back by themselves on another
	// one when theirs is lost.
	StandbyNone Standby = "None"
	// StandbyWarm has a second pod know what it needs to go on with the media.
	StandbyWarm Standby = "Warm"

	// ExternalTrafficLocal has the pod's own node alone pass packets on: no hop
	// more, and the pod sees its clients' addresses.
	ExternalTrafficLocal ExternalTrafficPolicy = "Local"
	// ExternalTrafficCluster has each node pass packets on.
	ExternalTrafficCluster ExternalTrafficPolicy = "Cluster"

	// PlacementPacked fills the fullest pod first.
	PlacementPacked Placement = "Packed"
	// PlacementSpread fills the emptiest pod first.
	PlacementSpread Placement = "Spread"

	// ExposureHostPort gives every pod a port of its own on its node.
	ExposureHostPort ExposureType = "HostPort"
	// ExposureHostNetwork runs the pods in their node's network, each on a port
	// of its own.
	ExposureHostNetwork ExposureType = "HostNetwork"
	// ExposureNodePort makes a Service of type NodePort per pod.
	ExposureNodePort ExposureType = "NodePort"
	// ExposureLoadBalancer makes a Service of type LoadBalancer per pod and
	// advertises its address.
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	// ExposureInternal advertises the pods' own addresses; clients come through
	// TURN.
	ExposureInternal ExposureType = "Internal"
)

// MediaPoolSpec is the fleet of media pods that is wanted.
// +kubebuilder:validation:XValidation:rule="self.minPods <= self.maxPods",fieldPath=".minPods",message="`minPods` may not be greater than `maxPods`, which is 10 when absent"
// +kubebuilder:validation:XValidation:rule="has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",fieldPath=".className",message="`className` may not be changed, set or unset after creation"
type MediaPoolSpec struct {
	// className names the installation that runs the pool and hosts its Sessions,
	// where a cluster has several (--class). Absent means the one without a
	// class. It may not be changed.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="`className` must be lower-case letters, digits and `-`, with a letter or digit at both ends"
	// +optional
	ClassName string `json:"className,omitempty"`
	// minPods is how many pods always run, also when there is nothing to do.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MinPods *int32 `json:"minPods,omitempty"`
	// maxPods is how many pods may run. When all of them are full, a new Session
	// waits (reason NoCapacity).
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPods int32 `json:"maxPods,omitempty"`
	// warmSessions is how many more Sessions the running pods can always take,
	// so that a new one need not wait for a pod to start.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +optional
	WarmSessions *int32 `json:"warmSessions,omitempty"`
	// capacity is what one pod takes at most.
	// +kubebuilder:default={}
	// +optional
	Capacity PodCapacity `json:"capacity,omitzero"`
	// placement says which pod with room a new Session gets: Packed takes the
	// fullest one (fewer pods), Spread the emptiest one (fewer Sessions hit by
	// the loss of a pod).
	// +kubebuilder:default=Packed
	// +optional
	Placement Placement `json:"placement,omitempty"`
	// standby says whether a second media pod, on another node if there is one,
	// follows each room so that calls go on there when the first one is lost:
	// None or Warm. It takes none of that pod's capacity, but a pool with rooms
	// has two pods then, if maxPods allows. Absent means Warm where maxPods is
	// more than 1, else None. A Session may say something else.
	// +optional
	Standby Standby `json:"standby,omitempty"`
	// publicURL is where clients reach the gateway, such as
	// https://rooms.example.org; tokens are made of it. It has no path. http and
	// ws stand for the same, as do https and wss. An IPv6 address can't stand in
	// it, since clients do not take tokens with one: give it a name.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(http|https|ws|wss)://')",message="`publicURL` must start with http://, https://, ws:// or wss://"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^(http|https|ws|wss)://') || self.matches('^[a-z]+://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$')",message="`publicURL` must have a host name or an IPv4 address (clients take no IPv6 address), a port, if any, from 1 to 65535, and no path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[0-9.]+(:[0-9]+)?(/|$)') || isIP(self.split('/')[2].split(':')[0])",message="`publicURL` must have a valid IPv4 address"
	// +required
	PublicURL string `json:"publicURL"`
	// allowedNamespaces says by the labels of namespaces whose Sessions the pool
	// hosts; all when absent, as with an empty selector. Who is not among them
	// waits (reason NamespaceNotAllowed). A Session that has a place keeps it
	// when the selector or the labels change, until it loses its pod. Every
	// namespace has the label kubernetes.io/metadata.name, which is its name.
	// Whoever may label namespaces chooses who is let in.
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="`allowedNamespaces` may contain only the operators In, NotIn, Exists and DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : !(e.operator in ['Exists', 'DoesNotExist']) || !has(e.values) || size(e.values) == 0)",message="`allowedNamespaces` must have `values` with the operators In and NotIn, and none with the others"
	// +optional
	AllowedNamespaces *metav1.LabelSelector `json:"allowedNamespaces,omitempty"`
	// exposure is how media reaches the pods.
	// +kubebuilder:default={}
	// +optional
	Exposure Exposure `json:"exposure,omitzero"`
	// iceServers are the STUN and TURN servers for clients whose Connection
	// brings none. Without any, clients use none. One on an address of media is
	// not told to clients: with it, browsers get no media over UDP.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	IceServers []IceServer `json:"iceServers,omitempty"`
	// bandwidth bounds the video of clients whose Connection does not say
	// (spec.bandwidth). A limit that is absent is none. A change holds for
	// streams that begin after it.
	// +optional
	Bandwidth VideoBandwidth `json:"bandwidth,omitzero"`
	// networkQuality tells clients how good the network of each publisher is
	// (networkQualityLevelChanged, from 0 to 5). Absent means that they are not
	// told.
	// +optional
	NetworkQuality *NetworkQuality `json:"networkQuality,omitempty"`
	// reconnectWindowSeconds is how long a client that lost its connection may
	// come back before it counts as gone.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	// +optional
	ReconnectWindowSeconds int32 `json:"reconnectWindowSeconds,omitempty"`
	// pendingConnectionSeconds is how long a token that nobody uses keeps a place
	// in the room and on the pod, from when the Connection was accepted. Then the
	// Connection is Disconnected (disconnectReason tokenExpired) and the token
	// worthless. 0, as when absent, is for ever.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	PendingConnectionSeconds int32 `json:"pendingConnectionSeconds,omitempty"`
	// drainSeconds is how long a pod that is to go may take to empty; after it
	// the pod goes with whoever is still there.
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	DrainSeconds int32 `json:"drainSeconds,omitempty"`
	// egress has the pool's Sessions recorded, by a pod of its own that is called
	// after the pool, with -recorder. When absent, nothing is recorded.
	// +optional
	Egress *Egress `json:"egress,omitempty"`
	// template is what a team may set on the pods; the rest is the operator's.
	// Changing it replaces the pods one by one.
	// +optional
	Template PodTemplate `json:"template,omitzero"`
}

// Egress is how the Sessions of a pool are recorded.
type Egress struct {
	// storage is where the recorder keeps the files.
	// +kubebuilder:default={}
	// +optional
	Storage EgressStorage `json:"storage,omitzero"`
	// resources of the recorder's container. What is absent is requests of 100m
	// CPU, 128Mi memory and 64Mi ephemeral storage, and a limit of 1Gi memory, or
	// 2Gi with a compositor.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// notification says which clients are told that a recording starts and stops
	// (recordingStarted, recordingStopped): None, Moderators,
	// PublishersAndModerators or All.
	// +kubebuilder:default=PublishersAndModerators
	// +optional
	Notification RecordingNotification `json:"notification,omitempty"`
	// access says who may fetch files from the gateway: those who have the
	// tenant's REST password (Authenticated), or everybody who knows the URL
	// (Public).
	// +kubebuilder:default=Authenticated
	// +optional
	Access RecordingAccess `json:"access,omitempty"`
	// autoStopSeconds is after which time a recording stops by itself when nobody
	// is in the room any more, or nobody publishes after its start.
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	AutoStopSeconds *int32 `json:"autoStopSeconds,omitempty"`
	// compositor has the recorder compose recordings: of the files of all streams
	// it makes one, when the recording has stopped. When absent, only recordings
	// of the outputMode Individual are made.
	// +optional
	Compositor *Compositor `json:"compositor,omitempty"`
}

// Compositor is how a recorder composes recordings.
type Compositor struct {
	// image of the recorder, which has ffmpeg beside the program. It counts
	// instead of template.image. With it the limit of memory, where resources
	// says nothing, is 2Gi.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Image string `json:"image"`
}

// DefaultAutoStopSeconds is Egress.AutoStopSeconds where that is absent.
const DefaultAutoStopSeconds = 120

// EgressStorage is where a recorder keeps the files of recordings.
// +kubebuilder:validation:XValidation:rule="!has(self.claimName) || !has(self.sizeLimit)",message="`claimName` and `sizeLimit` may not be set together"
type EgressStorage struct {
	// claimName is a PersistentVolumeClaim in the operator's namespace. When
	// absent, the files are in an emptyDir: they are gone with the recorder's
	// pod.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="`claimName` must be the name of a PersistentVolumeClaim: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
	// +optional
	ClaimName string `json:"claimName,omitempty"`
	// sizeLimit bounds the emptyDir; 10Gi when absent.
	// +optional
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
	// s3 is where recordings go when they have ended. The volume has them until
	// then, and for as long as S3 does not take them.
	// +optional
	S3 *S3Storage `json:"s3,omitempty"`
}

// S3Storage is a bucket of a service that has the API of Amazon S3.
type S3Storage struct {
	// endpoint is the URL of the service, such as https://s3.example.org, without
	// a path. Media and keys can be read by others on the way when it begins with
	// http://.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$')",message="`endpoint` must be http:// or https:// with a host and a port, if any, from 1 to 65535, and no path"
	// +required
	Endpoint string `json:"endpoint"`
	// bucket is the name of a bucket that exists.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9][a-z0-9.-]+[a-z0-9]$') && !self.contains('..')",message="`bucket` must be the name of a bucket: 3 to 63 lower-case letters, digits, `-` and single `.`, with a letter or digit at both ends"
	// +required
	Bucket string `json:"bucket"`
	// region of the bucket.
	// +kubebuilder:default=us-east-1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')",message="`region` must be the name of a region: letters, digits and `-`, with a letter or digit at both ends"
	// +optional
	Region string `json:"region,omitempty"`
	// prefix stands before the keys of all objects, with a slash behind it. Keys
	// are PREFIX/RECORDINGID/UID/FILE.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$')",message="`prefix` must be names of letters, digits, `.`, `_` and `-` with `/` between them; no name begins with `.`, and there is no `/` at the ends"
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// pathStyle asks for https://HOST/BUCKET/KEY, which most services take. false
	// asks for https://BUCKET.HOST/KEY.
	// +kubebuilder:default=true
	// +optional
	PathStyle *bool `json:"pathStyle,omitempty"`
	// secretName is a Secret in the operator's namespace, with the keys
	// accessKeyId and secretAccessKey, and optionally ca.crt with the certificates
	// of those that sign the service's. It may be changed at any time.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="`secretName` must be the name of a Secret: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
	// +required
	SecretName string `json:"secretName"`
}

// DefaultS3Region is S3Storage.Region where that is absent.
const DefaultS3Region = "us-east-1"

// PodCapacity bounds what one media pod takes. Beyond it a Session waits
// with reason NoCapacity.
type PodCapacity struct {
	// sessions is how many Sessions one pod hosts.
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	Sessions int32 `json:"sessions,omitempty"`
	// connections is how many Connections one pod hosts, pending ones included.
	// +kubebuilder:default=500
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	Connections int32 `json:"connections,omitempty"`
}

// VideoBandwidth bounds a participant's video, as seen from the participant.
type VideoBandwidth struct {
	// videoMaxSendKbps bounds what a participant sends per stream, in kbps; 0 is
	// no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMaxSendKbps *int32 `json:"videoMaxSendKbps,omitempty"`
	// videoMaxRecvKbps bounds what a participant receives per stream, in kbps; 0
	// is no limit. The video of a stream that can't be made to fit pauses, and the
	// participant is told.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMaxRecvKbps *int32 `json:"videoMaxRecvKbps,omitempty"`
}

// NetworkQuality is how clients are told of each other's network.
type NetworkQuality struct {
	// intervalSeconds is how often the media pod judges it. Clients are told of
	// changes only.
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	// +optional
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
}

// Exposure is how media reaches the pods.
// +kubebuilder:validation:XValidation:rule="!has(self.portRange) || self.type in ['HostPort', 'HostNetwork']",fieldPath=".portRange",message="`portRange` may be set only when `type` is HostPort or HostNetwork"
// +kubebuilder:validation:XValidation:rule="!has(self.service) || self.type in ['NodePort', 'LoadBalancer']",fieldPath=".service",message="`service` may be set only when `type` is NodePort or LoadBalancer"
// +kubebuilder:validation:XValidation:rule="!has(self.service) || !has(self.service.loadBalancerClass) || self.type == 'LoadBalancer'",fieldPath=".service",message="`loadBalancerClass` may be set only when `type` is LoadBalancer"
type Exposure struct {
	// type is HostPort (each pod has a port of its own on its node), HostNetwork
	// (the pods are in their node's network), NodePort or LoadBalancer (each pod
	// has a Service of its own), or Internal (the pods' own addresses; clients
	// come through a TURN server, see iceServers).
	// +kubebuilder:default=HostPort
	// +optional
	Type ExposureType `json:"type,omitempty"`
	// portRange is where HostPort and HostNetwork pods get their ports from;
	// 20000 to 20999 when absent. A port is used for UDP and TCP. It should lie
	// outside the cluster's range of node ports.
	// +optional
	PortRange *PortRange `json:"portRange,omitempty"`
	// publicAddress is the IP address that clients are told, instead of the
	// node's (ExternalIP, else InternalIP) or the load balancer's.
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="`publicAddress` must be an IPv4 or IPv6 address"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLoopback()",message="`publicAddress` must be an address that clients can reach: it may not be unspecified, multicast or link-local"
	// +optional
	PublicAddress string `json:"publicAddress,omitempty"`
	// service is about the Services of NodePort and LoadBalancer pods.
	// +optional
	Service ExposureService `json:"service,omitzero"`
}

// ExposureService is about the Services of pods that have one each.
// +kubebuilder:validation:MinProperties=1
type ExposureService struct {
	// annotations of the Services, such as those by which a cloud makes a load
	// balancer. A change reaches the Services that there are.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.startsWith('mediarooms.dev/'))",message="`annotations` may not contain names that start with mediarooms.dev/: those are the operator's"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !format.qualifiedName().validate(key.lowerAscii()).hasValue())",message="`annotations` may contain only valid annotation names"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// loadBalancerClass says who makes the load balancers, as in a Service; the
	// cluster's default when absent. A change replaces the pods.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="`loadBalancerClass` must be a label-style name, such as service.k8s.aws/nlb"
	// +optional
	LoadBalancerClass string `json:"loadBalancerClass,omitempty"`
	// externalTrafficPolicy is Local (the pod's own node passes packets on, and
	// the pod sees its clients' addresses) or Cluster (each node does). Absent
	// means Local. A change reaches the Services that there are.
	// +optional
	ExternalTrafficPolicy ExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`
	// perProtocol makes a second Service per pod, for TCP. With LoadBalancer,
	// media has no TCP otherwise, since many load balancers take one protocol.
	// A change replaces the pods.
	// +optional
	PerProtocol bool `json:"perProtocol,omitempty"`
}

// PortRange is a range of ports, both ends included.
// +kubebuilder:validation:XValidation:rule="self.first <= self.last",fieldPath=".first",message="`first` may not be greater than `last`"
type PortRange struct {
	// first is the lowest port.
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +required
	First int32 `json:"first"`
	// last is the highest port.
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +required
	Last int32 `json:"last"`
}

// PodTemplate is what a team may set on the media pods of a pool.
type PodTemplate struct {
	// metadata is extra labels and annotations.
	// +optional
	Metadata PodTemplateMetadata `json:"metadata,omitzero"`
	// image of the media pods; the operator's own image when absent.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._/:@-]*$')",message="`image` must be the name of an image, such as registry.example.org/mediarooms:v1"
	// +optional
	Image string `json:"image,omitempty"`
	// resources of the media container. The memory limit also bounds the heap of
	// the process. What is absent is requests of 100m CPU, 128Mi memory and 64Mi
	// ephemeral storage, and limits of 1Gi memory and 1Gi ephemeral storage.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// nodeSelector restricts the nodes.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(key, !format.qualifiedName().validate(key).hasValue())",message="`nodeSelector` may contain only valid label names"
	// +kubebuilder:validation:XValidation:rule="self.all(key, size(self[key]) <= 63)",message="`nodeSelector` may contain only values of at most 63 characters"
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
	// +listType=map
	// +listMapKey=topologyKey
	// +listMapKey=whenUnsatisfiable
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// priorityClassName of the pods.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="`priorityClassName` must be the name of a PriorityClass: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// imagePullSecrets of the pods, in the operator's namespace.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// PodTemplateMetadata are labels and annotations of media pods; those of
// mediarooms.dev and app.kubernetes.io are the operator's.
type PodTemplateMetadata struct {
	// labels to add. Those that start with mediarooms.dev/ or app.kubernetes.io/
	// are the operator's.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.startsWith('mediarooms.dev/') && !key.startsWith('app.kubernetes.io/'))",message="`labels` may not contain names that start with mediarooms.dev/ or app.kubernetes.io/: those are the operator's"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !format.qualifiedName().validate(key).hasValue())",message="`labels` may contain only valid label names"
	// +kubebuilder:validation:XValidation:rule="self.all(key, size(self[key]) <= 63)",message="`labels` may contain only values of at most 63 characters"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// annotations to add. Those that start with mediarooms.dev/ are the
	// operator's.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.startsWith('mediarooms.dev/'))",message="`annotations` may not contain names that start with mediarooms.dev/: those are the operator's"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !format.qualifiedName().validate(key.lowerAscii()).hasValue())",message="`annotations` may contain only valid annotation names"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// MediaPoolStatus is what was observed of a fleet.
type MediaPoolStatus struct {
	// conditions are Accepted (the spec is valid), Ready (the pool's minimum of
	// pods can host rooms) and Progressing (pods start, or all have). All three are
	// always there, Unknown while undecided. RecorderReady (the recorder runs) is there
	// when the pool records.
	// +kubebuilder:default={{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Progressing", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the last metadata.generation that was reconciled
	// without an error. When it differs, the rest of the status may be stale.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// pods is how many media pods exist.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	Pods int32 `json:"pods"`
	// readyPods is how many of them can host rooms now.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	ReadyPods int32 `json:"readyPods"`
	// sessions is how many Sessions are placed on the pool's pods.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	Sessions int32 `json:"sessions"`
	// freeSessions is how many more the running pods can take.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	FreeSessions int32 `json:"freeSessions"`
}

// MediaPool is a fleet of media pods, in the operator's namespace. The one
// with the annotation mediarooms.dev/is-default-pool: "true" hosts the
// Sessions that name no pool.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mediapools,scope=Cluster,shortName=mrpool,categories=mediarooms
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the pool's minimum of pods can host rooms"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.readyPods`,description="Pods that can host rooms"
// +kubebuilder:printcolumn:name="Sessions",type=integer,JSONPath=`.status.sessions`,description="Sessions on the pool's pods"
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.freeSessions`,description="Sessions that the running pods can still take"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Time since the MediaPool was created"
// +kubebuilder:printcolumn:name="Exposure",type=string,JSONPath=`.spec.exposure.type`,priority=1,description="How media reaches the pods"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.publicURL`,priority=1,description="Where clients reach the gateway"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",message="`metadata.name` must be at most 40 lower-case letters, digits and `-`, with a letter or digit at both ends: pods are named after it"
type MediaPool struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the fleet that is wanted.
	// +required
	Spec MediaPoolSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={}
	// +optional
	Status MediaPoolStatus `json:"status,omitzero"`
}

// MediaPoolList is a list of MediaPools.
// +kubebuilder:object:root=true
type MediaPoolList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the MediaPools.
	Items []MediaPool `json:"items"`
}
