package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConnectionType says what takes part: a WebRTC client or an IP camera.
// +kubebuilder:validation:Enum=WebRTC;IPCam
type ConnectionType string

// Role is what a participant may do.
// +kubebuilder:validation:Enum=Subscriber;Publisher;Moderator
type Role string

// WhenDisconnected says what happens to a Connection when its user has left.
// +kubebuilder:validation:Enum=Keep;Delete
type WhenDisconnected string

// ConnectionState is where a Connection is in its life; it only moves forward.
// +kubebuilder:validation:Enum=Pending;Active;Disconnected
type ConnectionState string

// Values of the enums of Connection.
const (
	ConnectionTypeWebRTC ConnectionType = "WebRTC"
	ConnectionTypeIPCam  ConnectionType = "IPCam"

	RoleSubscriber Role = "Subscriber"
	RolePublisher  Role = "Publisher"
	RoleModerator  Role = "Moderator"

	WhenDisconnectedKeep   WhenDisconnected = "Keep"
	WhenDisconnectedDelete WhenDisconnected = "Delete"

	// ConnectionStatePending: the token was not used yet.
	ConnectionStatePending ConnectionState = "Pending"
	// ConnectionStateActive: the user is in the room, or may still come back within the reconnection window.
	ConnectionStateActive ConnectionState = "Active"
	// ConnectionStateDisconnected: the user has left.
	ConnectionStateDisconnected ConnectionState = "Disconnected"
)

// ConnectionSpec is one participant's admission to a room.
// +kubebuilder:validation:XValidation:rule="self.sessionName == oldSelf.sessionName",message="`sessionName` may not be changed"
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="`type` may not be changed"
// +kubebuilder:validation:XValidation:rule="has(self.data) == has(oldSelf.data) && (!has(self.data) || self.data == oldSelf.data)",message="`data` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="has(self.ipCam) == (self.type == 'IPCam')",message="`ipCam` must be set when `type` is IPCam, and only then"
type ConnectionSpec struct {
	// sessionName is the name of the Session object, in the same namespace. It may not be changed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="`sessionName` must be the name of a Session object: lower-case letters, digits and `-`"
	// +required
	SessionName string `json:"sessionName"`

	// type is WebRTC or IPCam. It may not be changed.
	// +kubebuilder:default=WebRTC
	// +optional
	Type ConnectionType `json:"type,omitempty"`

	// role is what the participant may do: Subscriber, Publisher or Moderator.
	// +kubebuilder:default=Publisher
	// +optional
	Role Role `json:"role,omitempty"`

	// data is sent to every participant as this one's server data. It may not be changed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=10000
	// +optional
	Data string `json:"data,omitempty"`

	// record says whether this participant's streams are recorded.
	// +kubebuilder:default=true
	// +optional
	Record *bool `json:"record,omitempty"`

	// customIceServers are given to this client instead of the pool's.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	CustomIceServers []IceServer `json:"customIceServers,omitempty"`

	// kurentoOptions bound this participant's bandwidth.
	// +optional
	KurentoOptions *KurentoOptions `json:"kurentoOptions,omitempty"`

	// ipCam is the camera, for type IPCam.
	// +optional
	IPCam *IPCam `json:"ipCam,omitempty"`

	// tokenSecretName names a Secret, made and owned by this Connection, that takes the token (key `token`) instead
	// of the status.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="`tokenSecretName` must be the name of a Secret: lower-case letters, digits, `-` and `.`"
	// +optional
	TokenSecretName string `json:"tokenSecretName,omitempty"`

	// tokenRotation is mixed into the token: another number makes a token that was not used yet worthless and gives a new one.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +optional
	TokenRotation int32 `json:"tokenRotation,omitempty"`

	// whenDisconnected says what happens when the user has left: Keep the Connection, or Delete it.
	// +kubebuilder:default=Keep
	// +optional
	WhenDisconnected WhenDisconnected `json:"whenDisconnected,omitempty"`
}

// IceServer is one STUN or TURN server as a client gets it.
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('stun') || (!has(self.username) && !has(self.credential) && !has(self.staticAuthSecret))",message="`username`, `credential` and `staticAuthSecret` may not be set for a stun `url`"
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('turn') || (has(self.staticAuthSecret) ? (!has(self.username) && !has(self.credential)) : (has(self.username) && has(self.credential)))",message="a turn `url` must have `username` and `credential`, or `staticAuthSecret` alone"
type IceServer struct {
	// url is stun:, stuns:, turn: or turns: with a host and an optional port; turn and turns may end in ?transport=udp or
	// ?transport=tcp.
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(stuns?:[^?]+|turns?:[^?]+([?]transport=(udp|tcp))?)$')",message="`url` must start with stun:, stuns:, turn: or turns:, and only turn and turns may have ?transport=udp or ?transport=tcp"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]+:([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([?].*)?$')",message="`url` must have a host name, an IPv4 address or a bracketed IPv6 address, and a port, if any, from 1 to 65535"
	// +required
	URL string `json:"url"`
	// username of a TURN server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Username string `json:"username,omitempty"`
	// credential of a TURN server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Credential string `json:"credential,omitempty"`
	// staticAuthSecret is the shared secret of a TURN server (TURN REST scheme); clients get credentials derived from it that
	// hold for a day, never the secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	StaticAuthSecret string `json:"staticAuthSecret,omitempty"`
}

// KurentoOptions bound a participant's video bandwidth, in kilobits per second; 0 is no limit.
// The name is OpenVidu's; no Kurento takes part.
// +kubebuilder:validation:XValidation:rule="!has(self.videoMaxRecvBandwidth) || !has(self.videoMinRecvBandwidth) || self.videoMaxRecvBandwidth == 0 || self.videoMinRecvBandwidth <= self.videoMaxRecvBandwidth",message="`videoMinRecvBandwidth` may not be greater than `videoMaxRecvBandwidth`"
// +kubebuilder:validation:XValidation:rule="!has(self.videoMaxSendBandwidth) || !has(self.videoMinSendBandwidth) || self.videoMaxSendBandwidth == 0 || self.videoMinSendBandwidth <= self.videoMaxSendBandwidth",message="`videoMinSendBandwidth` may not be greater than `videoMaxSendBandwidth`"
type KurentoOptions struct {
	// videoMaxRecvBandwidth bounds what the media pod receives from this participant, in kbps.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMaxRecvBandwidth *int32 `json:"videoMaxRecvBandwidth,omitempty"`
	// videoMinRecvBandwidth, in kbps.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMinRecvBandwidth *int32 `json:"videoMinRecvBandwidth,omitempty"`
	// videoMaxSendBandwidth bounds what the media pod sends to this participant per stream, in kbps.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMaxSendBandwidth *int32 `json:"videoMaxSendBandwidth,omitempty"`
	// videoMinSendBandwidth, in kbps.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	VideoMinSendBandwidth *int32 `json:"videoMinSendBandwidth,omitempty"`
	// allowedFilters are stored for compatibility; there are no server-side filters.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=atomic
	// +optional
	AllowedFilters []string `json:"allowedFilters,omitempty"`
}

// IPCam is an IP camera that publishes to the room.
type IPCam struct {
	// rtspURI is where the camera is.
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(rtsps?|https?|file)://.+')",message="`rtspURI` must be a URL that starts with rtsp://, rtsps://, http://, https:// or file://"
	// +required
	RTSPURI string `json:"rtspURI"`
	// adaptativeBitrate lets the stream adapt to its receivers.
	// +kubebuilder:default=true
	// +optional
	AdaptativeBitrate *bool `json:"adaptativeBitrate,omitempty"`
	// onlyPlayWithSubscribers opens the source only while somebody receives it.
	// +kubebuilder:default=true
	// +optional
	OnlyPlayWithSubscribers *bool `json:"onlyPlayWithSubscribers,omitempty"`
	// networkCacheMilliseconds is the jitter buffer.
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600000
	// +optional
	NetworkCacheMilliseconds *int32 `json:"networkCacheMilliseconds,omitempty"`
}

// ConnectionStatus is what was observed of a participant. All of it can be rebuilt.
type ConnectionStatus struct {
	// conditions are Accepted, Programmed and Ready.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the last generation that was reconciled without an error.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// connectionID is the identifier that clients see (con_...).
	// +optional
	ConnectionID string `json:"connectionID,omitempty"`
	// token is the URL that the client's Session.connect() takes. It works once. Absent when tokenSecretName is set.
	// +optional
	Token string `json:"token,omitempty"`
	// state is Pending, Active or Disconnected.
	// +optional
	State ConnectionState `json:"state,omitempty"`
	// createdTime is when the token was made.
	// +optional
	CreatedTime *metav1.Time `json:"createdTime,omitempty"`
	// activeTime is when the token was used.
	// +optional
	ActiveTime *metav1.Time `json:"activeTime,omitempty"`
	// disconnectedTime is when the user left.
	// +optional
	DisconnectedTime *metav1.Time `json:"disconnectedTime,omitempty"`
	// disconnectReason is why, such as disconnect, networkDisconnect or nodeCrashed.
	// +optional
	DisconnectReason string `json:"disconnectReason,omitempty"`
	// clientData is what the client said of itself when it joined.
	// +optional
	ClientData string `json:"clientData,omitempty"`
	// serverData is spec.data.
	// +optional
	ServerData string `json:"serverData,omitempty"`
	// ip is the client's address.
	// +optional
	IP string `json:"ip,omitempty"`
	// platform is the client's description of its browser and system.
	// +optional
	Platform string `json:"platform,omitempty"`
	// location is where the client is, when known.
	// +optional
	Location string `json:"location,omitempty"`
	// publishers are the streams that this participant sends, by creation.
	// +listType=map
	// +listMapKey=streamID
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Publishers []PublisherStatus `json:"publishers,omitempty"`
	// subscribers are the streams that this participant receives, by creation.
	// +listType=map
	// +listMapKey=streamID
	// +kubebuilder:validation:MaxItems=10000
	// +optional
	Subscribers []SubscriberStatus `json:"subscribers,omitempty"`
}

// PublisherStatus is one published stream.
type PublisherStatus struct {
	// streamID identifies the stream.
	// +required
	StreamID string `json:"streamID"`
	// createdTime is when it was published.
	// +optional
	CreatedTime metav1.Time `json:"createdTime,omitzero"`
	// hasAudio says whether the stream has an audio track.
	// +optional
	HasAudio bool `json:"hasAudio"`
	// hasVideo says whether the stream has a video track.
	// +optional
	HasVideo bool `json:"hasVideo"`
	// audioActive is false while the audio is muted.
	// +optional
	AudioActive bool `json:"audioActive"`
	// videoActive is false while the video is muted.
	// +optional
	VideoActive bool `json:"videoActive"`
	// typeOfVideo is CAMERA, SCREEN, CUSTOM or IPCAM; absent without video.
	// +optional
	TypeOfVideo string `json:"typeOfVideo,omitempty"`
	// frameRate that the publisher announced, in frames per second; absent when it did not.
	// +optional
	FrameRate int32 `json:"frameRate,omitempty"`
	// videoDimensions is a JSON text with width and height in pixels.
	// +optional
	VideoDimensions string `json:"videoDimensions,omitempty"`
}

// SubscriberStatus is one received stream.
type SubscriberStatus struct {
	// streamID identifies the stream.
	// +required
	StreamID string `json:"streamID"`
}

// Connection is one participant's admission to a room: pending until its token is used, then active.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=connections,scope=Namespaced,shortName=mrconn,categories=mediarooms
// +kubebuilder:selectablefield:JSONPath=`.spec.sessionName`
// +kubebuilder:printcolumn:name="Session",type=string,JSONPath=`.spec.sessionName`,description="The room"
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`,description="What the participant may do"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Pending, Active or Disconnected"
// +kubebuilder:printcolumn:name="User IP",type=string,JSONPath=`.status.ip`,priority=1,description="The client's address"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the client can join, or has"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",message="`metadata.name` must be a DNS label: at most 63 lower-case letters, digits and `-`"
type Connection struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the admission that is wanted.
	// +required
	Spec ConnectionSpec `json:"spec"`
	// status is what was observed.
	// +optional
	Status ConnectionStatus `json:"status,omitzero"`
}

// ConnectionList is a list of Connections.
// +kubebuilder:object:root=true
type ConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Connection `json:"items"`
}
