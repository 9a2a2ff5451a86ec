package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RecordingMode says what starts a recording.
// +kubebuilder:validation:Enum=Manual;Always
type RecordingMode string

// ForcedVideoCodec restricts the video codec of a Session's publishers.
// +kubebuilder:validation:Enum=MediaServerPreferred;None;VP8;VP9;H264
type ForcedVideoCodec string

// WhenEmpty says what happens to a Session when its last active connection
// leaves.
// +kubebuilder:validation:Enum=Keep;Delete
type WhenEmpty string

// Values of the enums of SessionSpec.
const (
	// RecordingModeManual records only on request.
	RecordingModeManual RecordingMode = "Manual"
	// RecordingModeAlways starts a recording with the first published stream.
	RecordingModeAlways RecordingMode = "Always"

	// ForcedVideoCodecMediaServerPreferred takes VP8, which every client can
	// decode, from who offers it, and else what the publisher prefers.
	ForcedVideoCodecMediaServerPreferred ForcedVideoCodec = "MediaServerPreferred"
	// ForcedVideoCodecNone is the same as MediaServerPreferred.
	ForcedVideoCodecNone ForcedVideoCodec = "None"
	// ForcedVideoCodecVP8 takes only VP8.
	ForcedVideoCodecVP8 ForcedVideoCodec = "VP8"
	// ForcedVideoCodecVP9 takes only VP9.
	ForcedVideoCodecVP9 ForcedVideoCodec = "VP9"
	// ForcedVideoCodecH264 takes only H264.
	ForcedVideoCodecH264 ForcedVideoCodec = "H264"

	// WhenEmptyKeep keeps the Session.
	WhenEmptyKeep WhenEmpty = "Keep"
	// WhenEmptyDelete deletes the Session, and with it its Connections.
	WhenEmptyDelete WhenEmpty = "Delete"
)

// RecordingOutputMode says what files a recording makes.
// +kubebuilder:validation:Enum=Composed;ComposedQuickStart;Individual
type RecordingOutputMode string

// RecordingLayout arranges the videos of a composed recording.
// +kubebuilder:validation:Enum=BestFit;PictureInPicture;VerticalPresentation;HorizontalPresentation;Custom
type RecordingLayout string

// Values of the enums of RecordingProperties.
const (
	// RecordingOutputModeComposed makes one file with all videos in a grid.
	RecordingOutputModeComposed RecordingOutputMode = "Composed"
	// RecordingOutputModeComposedQuickStart is Composed with the renderer
	// running before the recording starts.
	RecordingOutputModeComposedQuickStart RecordingOutputMode = "ComposedQuickStart"
	// RecordingOutputModeIndividual makes one file per stream.
	RecordingOutputModeIndividual RecordingOutputMode = "Individual"

	// RecordingLayoutBestFit is a grid.
	RecordingLayoutBestFit RecordingLayout = "BestFit"
	// RecordingLayoutPictureInPicture is one large video with a small one in it.
	RecordingLayoutPictureInPicture RecordingLayout = "PictureInPicture"
	// RecordingLayoutVerticalPresentation is one large video with the others
	// beside it.
	RecordingLayoutVerticalPresentation RecordingLayout = "VerticalPresentation"
	// RecordingLayoutHorizontalPresentation is one large video with the others
	// below it.
	RecordingLayoutHorizontalPresentation RecordingLayout = "HorizontalPresentation"
	// RecordingLayoutCustom is the layout at RecordingProperties.CustomLayout.
	RecordingLayoutCustom RecordingLayout = "Custom"
)

// SessionSpec is the room that a user wants.
// +kubebuilder:validation:XValidation:rule="has(self.sessionID) == has(oldSelf.sessionID) && (!has(self.sessionID) || self.sessionID == oldSelf.sessionID)",fieldPath=".sessionID",message="`sessionID` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.poolName) == has(oldSelf.poolName) && (!has(self.poolName) || self.poolName == oldSelf.poolName)",fieldPath=".poolName",message="`poolName` may not be changed, set or unset after creation"
type SessionSpec struct {
	// sessionID is the identifier that clients and OpenVidu's REST API see. It
	// may contain letters, digits, `_` and `-`. When absent it is the object's
	// name. It may not be changed. It is unique in its namespace: of two
	// Sessions with the same one the older is served, the other is not accepted
	// (reason SessionIDInUse).
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="`sessionID` may contain only letters, digits, `_` and `-`"
	// +optional
	SessionID string `json:"sessionID,omitempty"`

	// poolName is the name of the MediaPool that hosts the room. When absent it
	// is the default pool: the one with the annotation
	// mediarooms.dev/is-default-pool: "true", and without a className. It may not
	// be changed. While there is no such pool the Session is not accepted (reason
	// PoolNotFound).
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="`poolName` must be the name of a MediaPool: lower-case letters, digits and `-`, with a letter or digit at both ends"
	// +optional
	PoolName string `json:"poolName,omitempty"`

	// recordingMode is Manual (a recording is started on request) or Always (it
	// starts with the first published stream, with defaultRecordingProperties,
	// unless it was stopped by hand before). Always needs a pool that records
	// (MediaPool.spec.egress); otherwise it is ignored.
	// +kubebuilder:default=Manual
	// +optional
	RecordingMode RecordingMode `json:"recordingMode,omitempty"`

	// defaultRecordingProperties apply to recordings of this Session that do not
	// set their own.
	// +optional
	DefaultRecordingProperties *RecordingProperties `json:"defaultRecordingProperties,omitempty"`

	// forcedVideoCodec restricts what later publishers may send: VP8, VP9 or
	// H264. With MediaServerPreferred and None a media pod takes VP8, which every
	// client can decode, from who offers it, and else what the publisher prefers.
	// +kubebuilder:default=MediaServerPreferred
	// +optional
	ForcedVideoCodec ForcedVideoCodec `json:"forcedVideoCodec,omitempty"`

	// allowTranscoding lets a publisher that lacks the forced codec send another
	// one, instead of refusing it. The video is forwarded as it is: a media pod
	// never transcodes.
	// +kubebuilder:default=false
	// +optional
	AllowTranscoding bool `json:"allowTranscoding,omitempty"`

	// maxConnections bounds the Connections that are in the room or hold a token
	// that was not used yet. The bound is exact. A Connection beyond it waits
	// (reason SessionFull). Absent means no limit. Lowering it throws nobody
	// out.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// whenEmpty says what happens when the last active connection leaves: Keep
	// the Session (a room that is declared in Git does not vanish), or Delete it
	// and its Connections, as OpenVidu does.
	// +kubebuilder:default=Keep
	// +optional
	WhenEmpty WhenEmpty `json:"whenEmpty,omitempty"`

	// standby says whether a second media pod, on another node if there is one,
	// follows the room so that calls go on there when the first one is lost: None
	// or Warm. Absent means as the pool says.
	// +optional
	Standby Standby `json:"standby,omitempty"`
}

// RecordingProperties are the defaults of a Session's recordings.
// +kubebuilder:validation:XValidation:rule="self.hasAudio || self.hasVideo",message="`hasAudio` and `hasVideo` may not both be false"
type RecordingProperties struct {
	// name of the recording. It may contain letters, digits, `_`, `-` and `~`.
	// When absent it is the recording's identifier.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_~-]+$')",message="`name` may contain only letters, digits, `_`, `-` and `~`"
	// +optional
	Name string `json:"name,omitempty"`
	// hasAudio records audio. hasAudio and hasVideo may not both be false.
	// +kubebuilder:default=true
	// +optional
	HasAudio *bool `json:"hasAudio,omitempty"`
	// hasVideo records video.
	// +kubebuilder:default=true
	// +optional
	HasVideo *bool `json:"hasVideo,omitempty"`
	// outputMode is Composed (one file with all videos in a grid),
	// ComposedQuickStart (the same, and the renderer already runs when the
	// recording is started) or Individual (one file per stream).
	// +kubebuilder:default=Composed
	// +optional
	OutputMode RecordingOutputMode `json:"outputMode,omitempty"`
	// recordingLayout arranges the videos of a composed recording: BestFit,
	// PictureInPicture, VerticalPresentation, HorizontalPresentation, or Custom
	// for the layout at customLayout.
	// +kubebuilder:default=BestFit
	// +optional
	RecordingLayout RecordingLayout `json:"recordingLayout,omitempty"`
	// customLayout is the path of a layout, for recordingLayout Custom.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CustomLayout string `json:"customLayout,omitempty"`
	// resolution of a composed recording: WIDTHxHEIGHT in pixels, each from 100
	// to 1999.
	// +kubebuilder:default="1280x720"
	// +kubebuilder:validation:MaxLength=9
	// +kubebuilder:validation:XValidation:rule="self.matches('^(1[0-9]{3}|[1-9][0-9]{2})x(1[0-9]{3}|[1-9][0-9]{2})$')",message="`resolution` must be WIDTHxHEIGHT, such as 1280x720, each from 100 to 1999"
	// +optional
	Resolution string `json:"resolution,omitempty"`
	// frameRate of a composed recording, in frames per second.
	// +kubebuilder:default=25
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	// +optional
	FrameRate int32 `json:"frameRate,omitempty"`
	// ignoreFailedStreams goes on recording the other streams when one fails.
	// +kubebuilder:default=false
	// +optional
	IgnoreFailedStreams bool `json:"ignoreFailedStreams,omitempty"`
}

// SessionStatus is what was observed of a room. All of it can be rebuilt.
type SessionStatus struct {
	// conditions are Accepted (the spec is valid and a pool has room),
	// Programmed (the media pod has applied this generation) and Ready (a client
	// can use the room now). These three are always there, Unknown while
	// undecided. Protected (a standby could go on with the room now) comes with
	// the operator's first decision.
	// +kubebuilder:default={{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Programmed", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}
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
	// sessionID is the identifier that clients see.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SessionID string `json:"sessionID,omitempty"`
	// url is the base URL of the signalling, such as wss://rooms.example.org.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	URL string `json:"url,omitempty"`
	// poolName is the MediaPool that hosts the room.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PoolName string `json:"poolName,omitempty"`
	// podName is the media pod that hosts the room, in the operator's namespace.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PodName string `json:"podName,omitempty"`
	// nodeName is the node of that pod.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// standbyPodName is the media pod that goes on with the room when the one
	// that hosts it is lost. The condition Protected says whether it could now.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StandbyPodName string `json:"standbyPodName,omitempty"`
	// standbyNodeName is the node of that pod.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StandbyNodeName string `json:"standbyNodeName,omitempty"`
	// activeConnections counts the users in the room.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	ActiveConnections int32 `json:"activeConnections"`
	// pendingConnections counts the Connections whose token was not used yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	PendingConnections int32 `json:"pendingConnections"`
	// publishers counts the published streams.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	Publishers int32 `json:"publishers"`
	// recording says that a recording of the room runs, or is about to.
	// +kubebuilder:default=false
	// +optional
	Recording bool `json:"recording"`
	// mediaConnections counts the peer connections of the room by what their
	// packets go over. A user has one for each stream that it publishes or
	// receives.
	// +kubebuilder:default={}
	// +optional
	MediaConnections MediaConnections `json:"mediaConnections,omitzero"`
	// serviceLevels are how the room has served its users in the last minute,
	// about. They are written once in 10 s at most, and go when a minute was
	// without news: nobody has come, and next to nothing was lost.
	// +optional
	ServiceLevels *ServiceLevels `json:"serviceLevels,omitempty"`
}

// ServiceLevels are how a room has served its users in the last minute.
type ServiceLevels struct {
	// joins counts the users who got in.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	Joins int32 `json:"joins"`
	// failedJoins counts the attempts to get in that the media pod has refused.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	FailedJoins int32 `json:"failedJoins"`
	// medianJoinMilliseconds is how long getting in took half of them at most,
	// from the open socket to the answer. Absent while that is not known.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MedianJoinMilliseconds int32 `json:"medianJoinMilliseconds,omitempty"`
	// worstLossPercent is the greatest share of media packets that was lost
	// between a user and the media pod, in either direction, before repairs: at
	// most 1, 2, 5, 10, 20, 50 or 100 of a hundred. 0 is less than one in 200.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=0
	// +optional
	WorstLossPercent int32 `json:"worstLossPercent"`
	// sinceTime is when the figures became so.
	// +required
	SinceTime metav1.Time `json:"sinceTime"`
}

// MediaConnections counts peer connections by transport.
type MediaConnections struct {
	// udp counts those whose packets go over UDP.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	UDP int32 `json:"udp"`
	// tcp counts those whose packets go over ICE-TCP, since UDP does not get
	// through. They have more delay wherever packets are lost.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	TCP int32 `json:"tcp"`
}

// Session is a room. Users join it with the token of a Connection.
// Everything in its spec has a default: the smallest Session is a name.
// Deleting it evicts everybody and removes its Connections.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sessions,scope=Namespaced,shortName=mrsess,categories=mediarooms
// +kubebuilder:selectablefield:JSONPath=`.spec.poolName`
// +kubebuilder:selectablefield:JSONPath=`.status.podName`
// +kubebuilder:selectablefield:JSONPath=`.status.sessionID`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether a client can use the room now"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.status.podName`,description="The media pod that hosts the room"
// +kubebuilder:printcolumn:name="Standby",type=string,JSONPath=`.status.standbyPodName`,description="The media pod that goes on with the room when the first one is lost"
// +kubebuilder:printcolumn:name="Protected",type=string,JSONPath=`.status.conditions[?(@.type=="Protected")].status`,description="Whether it could go on now"
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.activeConnections`,description="Users in the room"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Time since the Session was created"
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.status.poolName`,priority=1,description="The MediaPool that hosts the room"
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.nodeName`,priority=1,description="The node of the media pod"
// +kubebuilder:printcolumn:name="Joined",type=integer,JSONPath=`.status.serviceLevels.joins`,priority=1,description="Users who got in within the last minute"
// +kubebuilder:printcolumn:name="Loss",type=integer,JSONPath=`.status.serviceLevels.worstLossPercent`,priority=1,description="The worst loss of media packets in the last minute, in percent"
// +kubebuilder:printcolumn:name="SessionID",type=string,JSONPath=`.status.sessionID`,priority=1,description="The identifier that clients see"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",message="`metadata.name` must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
type Session struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the room that is wanted.
	// +kubebuilder:default={}
	// +optional
	Spec SessionSpec `json:"spec,omitzero"`
	// status is what was observed.
	// +kubebuilder:default={}
	// +optional
	Status SessionStatus `json:"status,omitzero"`
}

// SessionList is a list of Sessions.
// +kubebuilder:object:root=true
type SessionList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Sessions.
	Items []Session `json:"items"`
}
