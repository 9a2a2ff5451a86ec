package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MediaMode says how media flows between participants.
// +kubebuilder:validation:Enum=Routed;Relayed
type MediaMode string

// RecordingMode says what starts a recording.
// +kubebuilder:validation:Enum=Manual;Always
type RecordingMode string

// ForcedVideoCodec restricts the video codec of a Session's publishers.
// +kubebuilder:validation:Enum=MediaServerPreferred;None;VP8;VP9;H264
type ForcedVideoCodec string

// WhenEmpty says what happens to a Session when its last active connection leaves.
// +kubebuilder:validation:Enum=Keep;Delete
type WhenEmpty string

// Values of the enums of SessionSpec.
const (
	MediaModeRouted  MediaMode = "Routed"
	MediaModeRelayed MediaMode = "Relayed"

	RecordingModeManual RecordingMode = "Manual"
	RecordingModeAlways RecordingMode = "Always"

	ForcedVideoCodecMediaServerPreferred ForcedVideoCodec = "MediaServerPreferred"
	ForcedVideoCodecNone                 ForcedVideoCodec = "None"
	ForcedVideoCodecVP8                  ForcedVideoCodec = "VP8"
	ForcedVideoCodecVP9                  ForcedVideoCodec = "VP9"
	ForcedVideoCodecH264                 ForcedVideoCodec = "H264"

	WhenEmptyKeep   WhenEmpty = "Keep"
	WhenEmptyDelete WhenEmpty = "Delete"
)

// RecordingOutputMode says what files a recording makes.
// +kubebuilder:validation:Enum=Composed;ComposedQuickStart;Individual
type RecordingOutputMode string

// RecordingLayout arranges the videos of a composed recording.
// +kubebuilder:validation:Enum=BestFit;PictureInPicture;VerticalPresentation;HorizontalPresentation;Custom
type RecordingLayout string

// SessionSpec is the room that a user wants.
// +kubebuilder:validation:XValidation:rule="has(self.sessionID) == has(oldSelf.sessionID) && (!has(self.sessionID) || self.sessionID == oldSelf.sessionID)",message="`sessionID` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.poolName) == has(oldSelf.poolName) && (!has(self.poolName) || self.poolName == oldSelf.poolName)",message="`poolName` may not be changed, set or unset after creation"
type SessionSpec struct {
	// sessionID is the identifier that clients see. It defaults to the object's name, may not be changed, and is unique in its
	// namespace: of two Sessions with the same one the older wins.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="`sessionID` may contain only letters, digits, `_` and `-`"
	// +optional
	SessionID string `json:"sessionID,omitempty"`

	// poolName is the MediaPool that hosts the room. It defaults to the default pool and may not be changed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="`poolName` must be the name of a MediaPool: lower-case letters, digits, `-` and `.`"
	// +optional
	PoolName string `json:"poolName,omitempty"`

	// mediaMode is Routed (through the media pod) or Relayed. Relayed is stored for compatibility and is routed too.
	// +kubebuilder:default=Routed
	// +optional
	MediaMode MediaMode `json:"mediaMode,omitempty"`

	// recordingMode is Manual or Always.
	// +kubebuilder:default=Manual
	// +optional
	RecordingMode RecordingMode `json:"recordingMode,omitempty"`

	// defaultRecordingProperties apply to recordings that do not set their own.
	// +optional
	DefaultRecordingProperties *RecordingProperties `json:"defaultRecordingProperties,omitempty"`

	// forcedVideoCodec restricts what later publishers may send. MediaServerPreferred leaves the choice to the
	// publisher, as None does: the media pod forwards every codec that it knows.
	// +kubebuilder:default=MediaServerPreferred
	// +optional
	ForcedVideoCodec ForcedVideoCodec `json:"forcedVideoCodec,omitempty"`

	// allowTranscoding lets a publisher that lacks the forced codec send another one. It is never transcoded: this
	// is a forwarding unit.
	// +kubebuilder:default=false
	// +optional
	AllowTranscoding bool `json:"allowTranscoding,omitempty"`

	// maxConnections bounds the Connections that may be in the room or hold an unused token. It is exact. Absent is no limit.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// whenEmpty says what happens when the last active connection leaves: Keep the Session, or Delete it.
	// +kubebuilder:default=Keep
	// +optional
	WhenEmpty WhenEmpty `json:"whenEmpty,omitempty"`
}

// RecordingProperties are the defaults of a Session's recordings.
// +kubebuilder:validation:XValidation:rule="!has(self.hasAudio) || !has(self.hasVideo) || self.hasAudio || self.hasVideo",message="`hasAudio` and `hasVideo` may not both be false"
type RecordingProperties struct {
	// name of the recording; it defaults to the recording's id.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_~-]+$')",message="`name` may contain only letters, digits, `_`, `-` and `~`"
	// +kubebuilder:validation:MinLength=1
	// +optional
	Name string `json:"name,omitempty"`
	// hasAudio records audio.
	// +kubebuilder:default=true
	// +optional
	HasAudio *bool `json:"hasAudio,omitempty"`
	// hasVideo records video.
	// +kubebuilder:default=true
	// +optional
	HasVideo *bool `json:"hasVideo,omitempty"`
	// outputMode is Composed, ComposedQuickStart or Individual.
	// +kubebuilder:default=Composed
	// +optional
	OutputMode RecordingOutputMode `json:"outputMode,omitempty"`
	// recordingLayout arranges the videos of a composed recording.
	// +kubebuilder:default=BestFit
	// +optional
	RecordingLayout RecordingLayout `json:"recordingLayout,omitempty"`
	// customLayout is the path of a layout, for recordingLayout Custom.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CustomLayout string `json:"customLayout,omitempty"`
	// resolution of a composed recording, WIDTHxHEIGHT in pixels, each from 100 to 1999.
	// +kubebuilder:default="1280x720"
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=9
	// +kubebuilder:validation:XValidation:rule="self.matches('^(1[0-9]{3}|[1-9][0-9]{2})x(1[0-9]{3}|[1-9][0-9]{2})$')",message="`resolution` must be WIDTHxHEIGHT, each from 100 to 1999"
	// +optional
	Resolution string `json:"resolution,omitempty"`
	// frameRate of a composed recording in frames per second.
	// +kubebuilder:default=25
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	// +optional
	FrameRate int32 `json:"frameRate,omitempty"`
	// shmSizeBytes is the shared memory of a composed recording's renderer.
	// +kubebuilder:default=536870912
	// +kubebuilder:validation:Minimum=134217728
	// +kubebuilder:validation:Maximum=1099511627776
	// +optional
	ShmSizeBytes int64 `json:"shmSizeBytes,omitempty"`
	// ignoreFailedStreams goes on recording the other streams when one fails.
	// +kubebuilder:default=false
	// +optional
	IgnoreFailedStreams bool `json:"ignoreFailedStreams,omitempty"`
}

// SessionStatus is what was observed of a room. All of it can be rebuilt.
type SessionStatus struct {
	// conditions are Accepted, Programmed and Ready.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the last generation that was reconciled without an error.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// sessionID is the identifier that clients see.
	// +optional
	SessionID string `json:"sessionID,omitempty"`
	// url is the base URL of the signalling, such as wss://rooms.example.org.
	// +optional
	URL string `json:"url,omitempty"`
	// poolName is the pool that hosts the room.
	// +optional
	PoolName string `json:"poolName,omitempty"`
	// podName is the media pod that hosts the room.
	// +optional
	PodName string `json:"podName,omitempty"`
	// nodeName is the node of that pod.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// activeConnections counts the users in the room.
	// +optional
	ActiveConnections int32 `json:"activeConnections"`
	// pendingConnections counts the Connections whose token was not used yet.
	// +optional
	PendingConnections int32 `json:"pendingConnections"`
	// publishers counts the published streams.
	// +optional
	Publishers int32 `json:"publishers"`
	// recording says whether a recording is running.
	// +optional
	Recording bool `json:"recording"`
}

// Session is a room.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sessions,scope=Namespaced,shortName=mrsess,categories=mediarooms
// +kubebuilder:selectablefield:JSONPath=`.status.podName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether a client can use the room now"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.status.podName`,description="The media pod that hosts the room"
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.activeConnections`,description="Users in the room"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.status.poolName`,priority=1,description="The MediaPool"
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.nodeName`,priority=1,description="The node of the media pod"
// +kubebuilder:printcolumn:name="SessionID",type=string,JSONPath=`.status.sessionID`,priority=1,description="The identifier that clients see"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",message="`metadata.name` must be a DNS label: at most 63 lower-case letters, digits and `-`"
type Session struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the room that is wanted.
	// +kubebuilder:default={}
	// +optional
	Spec SessionSpec `json:"spec,omitzero"`
	// status is what was observed.
	// +optional
	Status SessionStatus `json:"status,omitzero"`
}

// SessionList is a list of Sessions.
// +kubebuilder:object:root=true
type SessionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Session `json:"items"`
}
