package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RecordingState says how far a Recording is.
// +kubebuilder:validation:Enum=Starting;Started;Stopped;Ready;Failed
type RecordingState string

// OnDelete says what happens to the files of a Recording when its object is
// deleted.
// +kubebuilder:validation:Enum=KeepFiles;DeleteFiles
type OnDelete string

// Values of the enums of Recordings.
const (
	// RecordingStateStarting waits for the recorder, or for somebody in the room.
	RecordingStateStarting RecordingState = "Starting"
	// RecordingStateStarted records.
	RecordingStateStarted RecordingState = "Started"
	// RecordingStateStopped does not record any more; its files are being
	// finished.
	RecordingStateStopped RecordingState = "Stopped"
	// RecordingStateReady has files that can be fetched.
	RecordingStateReady RecordingState = "Ready"
	// RecordingStateFailed has ended without them.
	RecordingStateFailed RecordingState = "Failed"

	// OnDeleteKeepFiles leaves the files where they are.
	OnDeleteKeepFiles OnDelete = "KeepFiles"
	// OnDeleteDeleteFiles deletes the files.
	OnDeleteDeleteFiles OnDelete = "DeleteFiles"
)

// RecordingSpec is what is to be recorded. Only stop and onDelete may be
// changed.
// +kubebuilder:validation:XValidation:rule="self.hasAudio || self.hasVideo",message="`hasAudio` and `hasVideo` may not both be false"
// +kubebuilder:validation:XValidation:rule="has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",fieldPath=".name",message="`name` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.customLayoutURL) == has(oldSelf.customLayoutURL) && (!has(self.customLayoutURL) || self.customLayoutURL == oldSelf.customLayoutURL)",fieldPath=".customLayoutURL",message="`customLayoutURL` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.maxDurationSeconds) == has(oldSelf.maxDurationSeconds) && (!has(self.maxDurationSeconds) || self.maxDurationSeconds == oldSelf.maxDurationSeconds)",fieldPath=".maxDurationSeconds",message="`maxDurationSeconds` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.customLayoutURL) == (self.layout == 'Custom')",fieldPath=".customLayoutURL",message="`customLayoutURL` must be set when `layout` is Custom, and only then"
type RecordingSpec struct {
	// sessionName is the name of the Session object, in the same namespace. It
	// may not be changed. While there is no such Session the Recording waits
	// (reason SessionNotFound). It begins when somebody is in the room.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="`sessionName` must be the name of a Session: lower-case letters, digits and `-`, with a letter or digit at both ends"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`sessionName` may not be changed"
	// +required
	SessionName string `json:"sessionName"`
	// outputMode is Individual (one file per stream), Composed (one file with
	// all videos in a grid, made when the recording has stopped) or
	// ComposedQuickStart (the same). Composed recordings need a MediaPool with
	// spec.egress.compositor; others do not accept them (reason Unsupported).
	// +kubebuilder:default=Composed
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`outputMode` may not be changed"
	// +optional
	OutputMode RecordingOutputMode `json:"outputMode,omitempty"`
	// name of the recording, for people. It may contain letters, digits, `_`,
	// `-` and `~`. When absent it is status.recordingID.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_~-]+$')",message="`name` may contain only letters, digits, `_`, `-` and `~`"
	// +optional
	Name string `json:"name,omitempty"`
	// hasAudio records audio. hasAudio and hasVideo may not both be false.
	// +kubebuilder:default=true
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`hasAudio` may not be changed"
	// +optional
	HasAudio *bool `json:"hasAudio,omitempty"`
	// hasVideo records video.
	// +kubebuilder:default=true
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`hasVideo` may not be changed"
	// +optional
	HasVideo *bool `json:"hasVideo,omitempty"`
	// layout arranges the videos of a composed recording: BestFit,
	// PictureInPicture, VerticalPresentation, HorizontalPresentation, or Custom
	// for the one at customLayoutURL. Custom is not available yet (reason
	// Unsupported). The others are BestFit for now, as in OpenVidu.
	// +kubebuilder:default=BestFit
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`layout` may not be changed"
	// +optional
	Layout RecordingLayout `json:"layout,omitempty"`
	// customLayoutURL is where the layout Custom is.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CustomLayoutURL string `json:"customLayoutURL,omitempty"`
	// resolution of a composed recording: WIDTHxHEIGHT in pixels, each from 100
	// to 1999.
	// +kubebuilder:default="1280x720"
	// +kubebuilder:validation:MaxLength=9
	// +kubebuilder:validation:XValidation:rule="self.matches('^(1[0-9]{3}|[1-9][0-9]{2})x(1[0-9]{3}|[1-9][0-9]{2})$')",message="`resolution` must be WIDTHxHEIGHT, such as 1280x720, each from 100 to 1999"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`resolution` may not be changed"
	// +optional
	Resolution string `json:"resolution,omitempty"`
	// frameRate of a composed recording, in frames per second.
	// +kubebuilder:default=25
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`frameRate` may not be changed"
	// +optional
	FrameRate int32 `json:"frameRate,omitempty"`
	// ignoreFailedStreams goes on recording the other streams when one can't be
	// recorded.
	// +kubebuilder:default=false
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="`ignoreFailedStreams` may not be changed"
	// +optional
	IgnoreFailedStreams bool `json:"ignoreFailedStreams,omitempty"`
	// maxDurationSeconds ends the recording after this time, with the reason
	// automaticStop. Absent means no limit.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	MaxDurationSeconds *int64 `json:"maxDurationSeconds,omitempty"`
	// stop ends the recording, with the reason recordingStoppedByServer. It may
	// not be unset: a recording that has stopped does not go on.
	// +kubebuilder:default=false
	// +kubebuilder:validation:XValidation:rule="self || !oldSelf",message="`stop` may not be unset: a recording that has stopped does not go on"
	// +optional
	Stop bool `json:"stop,omitempty"`
	// onDelete says what happens to the files when this object is deleted:
	// KeepFiles or DeleteFiles. A recording that runs is stopped either way.
	// +kubebuilder:default=KeepFiles
	// +optional
	OnDelete OnDelete `json:"onDelete,omitempty"`
}

// RecordingStatus is what was observed of a recording. Times and files are
// those that the recorder has on its volume, or has brought to S3.
type RecordingStatus struct {
	// conditions are Accepted (the spec is valid, and there is what to record and
	// a recorder), Programmed (the recorder has the order) and Ready (the files
	// can be fetched). All three are always there, Unknown while undecided.
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
	// state is Starting, Started, Stopped, Ready or Failed. The last two are
	// final.
	// +optional
	State RecordingState `json:"state,omitempty"`
	// recordingID is the identifier in OpenVidu's REST API: the Session's
	// sessionID, with ~1, ~2 and so on when others of the namespace have it.
	// +kubebuilder:validation:MaxLength=80
	// +optional
	RecordingID string `json:"recordingID,omitempty"`
	// sessionID is the identifier of the Session that clients see.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SessionID string `json:"sessionID,omitempty"`
	// sessionUID is the UID of the Session that is or was recorded. A later one
	// of the same name is another room.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	SessionUID string `json:"sessionUID,omitempty"`
	// poolName is the MediaPool whose recorder records and has the files.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PoolName string `json:"poolName,omitempty"`
	// reason is why the recording ended, by OpenVidu's names, such as
	// recordingStoppedByServer or automaticStop; absent while it runs.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`
	// startedTime is when it began to record.
	// +optional
	StartedTime *metav1.Time `json:"startedTime,omitempty"`
	// idleSinceTime is since when nobody is in the room, or nobody has published
	// since the start. The recording stops by itself after
	// MediaPool.spec.egress.autoStopSeconds.
	// +optional
	IdleSinceTime *metav1.Time `json:"idleSinceTime,omitempty"`
	// durationSeconds is how long the recording is, once its files are finished.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DurationSeconds int64 `json:"durationSeconds,omitempty"`
	// sizeBytes is the size of all files with media.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SizeBytes int64 `json:"sizeBytes,omitempty"`
	// size is sizeBytes for people, such as 3.4Mi.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Size string `json:"size,omitempty"`
	// url is where the gateway serves the recording.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	URL string `json:"url,omitempty"`
	// location is where the files are in S3, as s3://BUCKET/KEY with a slash at
	// the end; absent while they are on the recorder's volume only.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Location string `json:"location,omitempty"`
	// files are the recording's files; of more than 500 the first.
	// +kubebuilder:validation:MaxItems=500
	// +listType=atomic
	// +optional
	Files []RecordingFile `json:"files,omitempty"`
}

// RecordingFile is one file of a recording.
type RecordingFile struct {
	// name of the file, as the gateway serves it.
	// +kubebuilder:validation:MaxLength=512
	// +required
	Name string `json:"name"`
	// sizeBytes is its size.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SizeBytes int64 `json:"sizeBytes,omitempty"`
	// contentType is its media type, such as video/webm.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	ContentType string `json:"contentType,omitempty"`
	// streamID is the stream in it; absent for a file that is not of one stream.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	StreamID string `json:"streamID,omitempty"`
	// connectionID is the publisher of that stream.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	ConnectionID string `json:"connectionID,omitempty"`
	// startOffsetMilliseconds is from the start of the recording to the first of
	// the media.
	// +optional
	StartOffsetMilliseconds int64 `json:"startOffsetMilliseconds,omitempty"`
	// durationMilliseconds is from the first to the last of the media.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DurationMilliseconds int64 `json:"durationMilliseconds,omitempty"`
	// hasAudio says that there is audio in it.
	// +optional
	HasAudio bool `json:"hasAudio,omitempty"`
	// hasVideo says that there is video in it.
	// +optional
	HasVideo bool `json:"hasVideo,omitempty"`
}

// Recording records a Session. Applying one begins a recording as soon as
// somebody is in the room; `stop: true` ends it. One at a time is made of a
// Session: others wait. Deleting the object leaves the files, unless
// spec.onDelete says otherwise. The object outlives its Session.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=recordings,scope=Namespaced,shortName=rec,categories=mediarooms
// +kubebuilder:selectablefield:JSONPath=`.spec.sessionName`
// +kubebuilder:selectablefield:JSONPath=`.status.recordingID`
// +kubebuilder:printcolumn:name="Session",type=string,JSONPath=`.spec.sessionName`,description="The Session that is recorded"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="How far the recording is"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Duration",type=integer,JSONPath=`.status.durationSeconds`,description="How long the recording is, in seconds"
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.status.size`,description="The size of its files"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Time since the Recording was created"
// +kubebuilder:printcolumn:name="Ended",type=string,JSONPath=`.status.reason`,priority=1,description="Why the recording ended"
// +kubebuilder:printcolumn:name="RecordingID",type=string,JSONPath=`.status.recordingID`,priority=1,description="The identifier in OpenVidu's REST API"
type Recording struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is to be recorded.
	// +required
	Spec RecordingSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={}
	// +optional
	Status RecordingStatus `json:"status,omitzero"`
}

// RecordingList is a list of Recordings.
// +kubebuilder:object:root=true
type RecordingList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Recordings.
	Items []Recording `json:"items"`
}
