package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectionType says what takes part: a WebRTC client or an IP camera.
// +kubebuilder:validation:Enum=WebRTC;IPCam
type ConnectionType string

// Role is what a participant may do.
// +kubebuilder:validation:Enum=Subscriber;Publisher;Moderator;PublisherOnly
type Role string

// MediaKind is one kind of media.
// +kubebuilder:validation:Enum=Audio;Video
type MediaKind string

// WhenDisconnected says what happens to a Connection when its user has left.
// +kubebuilder:validation:Enum=Keep;Delete
type WhenDisconnected string

// ConnectionState is where a Connection is in its life; it only moves
// forward.
// +kubebuilder:validation:Enum=Pending;Active;Disconnected
type ConnectionState string

// Values of the enums of Connection.
const (
	// ConnectionTypeWebRTC is a browser or another WebRTC client.
	ConnectionTypeWebRTC ConnectionType = "WebRTC"
	// ConnectionTypeIPCam is an IP camera.
	ConnectionTypeIPCam ConnectionType = "IPCam"

	// RoleSubscriber receives streams.
	RoleSubscriber Role = "Subscriber"
	// RolePublisher also sends streams.
	RolePublisher Role = "Publisher"
	// RoleModerator also evicts users and ends the streams of others.
	RoleModerator Role = "Moderator"
	// RolePublisherOnly sends streams, and receives none.
	RolePublisherOnly Role = "PublisherOnly"

	// MediaKindAudio is sound.
	MediaKindAudio MediaKind = "Audio"
	// MediaKindVideo is a picture: of a camera, a screen or anything else.
	MediaKindVideo MediaKind = "Video"

	// WhenDisconnectedKeep keeps the Connection, as a record of the visit.
	WhenDisconnectedKeep WhenDisconnected = "Keep"
	// WhenDisconnectedDelete deletes the Connection.
	WhenDisconnectedDelete WhenDisconnected = "Delete"

	// ConnectionStatePending: the token was not used yet.
	ConnectionStatePending ConnectionState = "Pending"
	// ConnectionStateActive: the user is in the room, or may still come back
	// within the reconnection window.
	ConnectionStateActive ConnectionState = "Active"
	// ConnectionStateDisconnected: the user has left.
	ConnectionStateDisconnected ConnectionState = "Disconnected"
)

// ConnectionSpec is one participant's admission to a room.
// +kubebuilder:validation:XValidation:rule="self.sessionName == oldSelf.sessionName",fieldPath=".sessionName",message="`sessionName` may not be changed after creation"
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",fieldPath=".type",message="`type` may not be changed after creation"
// +kubebuilder:validation:XValidation:rule="has(self.data) == has(oldSelf.data) && (!has(self.data) || self.data == oldSelf.data)",fieldPath=".data",message="`data` may not be changed, set or unset after creation"
// +kubebuilder:validation:XValidation:rule="self.type != 'IPCam' || has(self.ipCam)",fieldPath=".ipCam",message="`ipCam` must be set when `type` is IPCam"
// +kubebuilder:validation:XValidation:rule="self.type == 'IPCam' || !has(self.ipCam)",fieldPath=".ipCam",message="`ipCam` may be set only when `type` is IPCam"
type ConnectionSpec struct {
	// sessionName is the name of the Session object, in the same namespace. It
	// may not be changed. While there is no such Session the Connection is not
	// accepted (reason SessionNotFound).
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="`sessionName` must be the name of a Session object: lower-case letters, digits and `-`, with a letter or digit at both ends"
	// +required
	SessionName string `json:"sessionName"`

	// type is WebRTC (a browser or another WebRTC client) or IPCam (a camera, see
	// ipCam). It may not be changed. This version does not serve cameras yet: a
	// Connection of type IPCam is not accepted (reason Unsupported).
	// +kubebuilder:default=WebRTC
	// +optional
	Type ConnectionType `json:"type,omitempty"`

	// role is what the participant may do: Subscriber (receive), Publisher (also
	// send), Moderator (also evict users and end the streams of others) or
	// PublisherOnly (send only). A change is told to a client that is in the room.
	// +kubebuilder:default=Publisher
	// +optional
	Role Role `json:"role,omitempty"`

	// moderation takes away what the role allows: kinds of media, or single
	// streams. It may be changed at any time and holds at once.
	// +optional
	Moderation Moderation `json:"moderation,omitzero"`

	// data is the server data that every participant of the room gets with this
	// one, such as a JSON text with the user's name; up to 10,000 characters. It
	// may not be changed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=10000
	// +optional
	Data string `json:"data,omitempty"`

	// record says whether this participant's streams are part of individual
	// recordings.
	// +kubebuilder:default=true
	// +optional
	Record *bool `json:"record,omitempty"`

	// customIceServers are the STUN and TURN servers for this client, instead of
	// those of the pool. One on an address of media is not told to the client:
	// with it, browsers get no media over UDP.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	CustomIceServers []IceServer `json:"customIceServers,omitempty"`

	// bandwidth bounds this participant's video. A limit that is absent is the
	// pool's (spec.bandwidth); 0 is no limit, also where the pool has one.
	// +optional
	Bandwidth VideoBandwidth `json:"bandwidth,omitzero"`

	// ipCam is the camera. It must be set when type is IPCam, and only then.
	// +optional
	IPCam *IPCam `json:"ipCam,omitempty"`

	// tokenSecretName is the name of a Secret, made and owned by this
	// Connection, that takes the token (key `token`) instead of status.token:
	// for teams whose viewers may read Connections but must not join. A Secret
	// that exists already and belongs to something else is left alone (reason
	// TokenSecretInUse).
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="`tokenSecretName` must be the name of a Secret: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
	// +optional
	TokenSecretName string `json:"tokenSecretName,omitempty"`

	// tokenRotation is mixed into the token: another number makes a token that
	// was not used yet worthless and gives a new one.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	TokenRotation int32 `json:"tokenRotation,omitempty"`

	// whenDisconnected says what happens when the user has left: Keep the
	// Connection as a record of the visit, or Delete it, as OpenVidu does.
	// +kubebuilder:default=Keep
	// +optional
	WhenDisconnected WhenDisconnected `json:"whenDisconnected,omitempty"`
}

// Moderation takes away from a participant what its role allows. A stream
// that may not be any more ends: every client in the room, the publisher's
// too, is told so with the reason forceUnpublishByServer.
type Moderation struct {
	// publish are the kinds of media that the participant may publish: Audio,
	// Video or both. Absent means both, an empty list none. A stream with a kind
	// that is not in the list ends, and publishing one is refused (error 401);
	// the client may publish again without that kind.
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Publish []MediaKind `json:"publish,omitzero"`
	// endedStreamIDs are streams of this participant (status.publishers) that
	// must not be. The client may publish again: that is a stream with another
	// identifier. Identifiers of streams that are gone do no harm and may be
	// removed.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^str_[A-Z]{3}_[A-Z][0-9A-Za-z]{3}_(con|ipc)_[0-9A-Za-z_-]+$')",message="`endedStreamIDs` may contain only identifiers of streams, such as str_CAM_A1b2_con_C3d4E5f6G7"
	// +listType=set
	// +optional
	EndedStreamIDs []string `json:"endedStreamIDs,omitempty"`
}

// MaxEndedStreamIDs is how many identifiers Moderation.EndedStreamIDs may have.
const MaxEndedStreamIDs = 16

// EndStream adds a stream to those that must not be. The oldest go when there are too many: those
// streams are gone for long.
func (m *Moderation) EndStream(id string) {
	if slices.Contains(m.EndedStreamIDs, id) {
		return
	}
	ended := append(slices.Clone(m.EndedStreamIDs), id)
	m.EndedStreamIDs = ended[max(0, len(ended)-MaxEndedStreamIDs):]
}

// IceServer is one STUN or TURN server as a client gets it.
// +kubebuilder:validation:XValidation:rule="!self.url.matches('^stuns?:') || !(has(self.username) || has(self.credential) || has(self.staticAuthSecret))",message="`username`, `credential` and `staticAuthSecret` may not be set for a stun: or stuns: `url`"
// +kubebuilder:validation:XValidation:rule="!self.url.matches('^turns?:') || has(self.staticAuthSecret) || (has(self.username) && has(self.credential))",message="`username` and `credential`, or `staticAuthSecret`, must be set for a turn: or turns: `url`"
// +kubebuilder:validation:XValidation:rule="!has(self.staticAuthSecret) || !(has(self.username) || has(self.credential))",message="`username` and `credential` may not be set together with `staticAuthSecret`"
type IceServer struct {
	// url is stun:HOST, stuns:HOST, turn:HOST or turns:HOST, with an optional
	// :PORT; turn and turns may end in ?transport=udp or ?transport=tcp. An IPv6
	// address is written in brackets.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(stun|stuns|turn|turns):')",message="`url` must start with stun:, stuns:, turn: or turns:"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') || self.matches('^turns?:[^?]+[?]transport=(udp|tcp)$')",message="`url` may end only in ?transport=udp or ?transport=tcp, and only for turn: and turns:"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^(stun|stuns|turn|turns):') || self.matches('^[a-z]+:([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([?].*)?$')",message="`url` must have a host name, an IPv4 address or an IPv6 address in brackets, and its port, if any, must be from 1 to 65535"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+:[0-9.]+(:[0-9]+)?([?]|$)') || isIP(self.split(':')[1].split('?')[0])",message="`url` must have a valid IPv4 address"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+:[[][^]]*[]]') || isIP(self.substring(self.indexOf('[') + 1, self.indexOf(']')))",message="`url` must have a valid IPv6 address between the brackets"
	// +required
	URL string `json:"url"`
	// username at a TURN server, together with credential.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Username string `json:"username,omitempty"`
	// credential at a TURN server, together with username.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Credential string `json:"credential,omitempty"`
	// staticAuthSecret is the shared secret of a TURN server (its REST scheme),
	// instead of username and credential. Clients get credentials derived from
	// it that hold for a day, never the secret. Who may read this object can
	// read it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	StaticAuthSecret string `json:"staticAuthSecret,omitempty"`
}

// IPCam is an IP camera that publishes to the room.
type IPCam struct {
	// rtspURI is where the camera is: a URL that starts with rtsp://, rtsps://,
	// http://, https:// or file://.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(rtsp|rtsps|http|https|file)://[^[:space:]]+$') && isURL(self)",message="`rtspURI` must be a URL that starts with rtsp://, rtsps://, http://, https:// or file://"
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
	// networkCacheMilliseconds is the jitter buffer between the camera and the
	// media pod: a smaller one is faster, a larger one steadier.
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600000
	// +optional
	NetworkCacheMilliseconds *int32 `json:"networkCacheMilliseconds,omitempty"`
}

// ConnectionStatus is what was observed of a participant. All of it can be
// rebuilt.
type ConnectionStatus struct {
	// conditions are Accepted (the Session is known and has room), Programmed
	// (the media pod has applied this generation) and Ready (the token can be
	// used now, or its user is in the room). All three are always there, Unknown
	// while undecided.
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
	// connectionID is the identifier that clients see (con_...).
	// +kubebuilder:validation:MaxLength=64
	// +optional
	ConnectionID string `json:"connectionID,omitempty"`
	// token is the URL that the client's Session.connect() takes. It works once.
	// Absent when tokenSecretName is set.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Token string `json:"token,omitempty"`
	// tokenSecretName is the Secret that holds the token, if one does. When
	// spec.tokenSecretName names another one, or none, this one is deleted.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	TokenSecretName string `json:"tokenSecretName,omitempty"`
	// state is Pending (the token was not used), Active (the user is in the
	// room) or Disconnected (the user has left).
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
	// disconnectReason is why, such as disconnect, networkDisconnect or
	// nodeCrashed; tokenExpired when nobody came in time.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	DisconnectReason string `json:"disconnectReason,omitempty"`
	// clientData is what the client said of itself when it joined.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	ClientData string `json:"clientData,omitempty"`
	// serverData is spec.data.
	// +kubebuilder:validation:MaxLength=10000
	// +optional
	ServerData string `json:"serverData,omitempty"`
	// ip is the client's address.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	IP string `json:"ip,omitempty"`
	// platform is the client's description of its browser and system.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Platform string `json:"platform,omitempty"`
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
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
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
	// +kubebuilder:validation:MaxLength=256
	// +optional
	TypeOfVideo string `json:"typeOfVideo,omitempty"`
	// frameRate that the publisher announced, in frames per second; absent when
	// it did not.
	// +optional
	FrameRate int32 `json:"frameRate,omitempty"`
	// videoDimensions is a JSON text with width and height in pixels.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	VideoDimensions string `json:"videoDimensions,omitempty"`
}

// SubscriberStatus is one received stream.
type SubscriberStatus struct {
	// streamID identifies the stream.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +required
	StreamID string `json:"streamID"`
}

// Connection is one participant's admission to a room: pending until its
// token is used, then active, then disconnected. The token is in
// status.token. Deleting a Connection evicts its user, or makes its unused
// token worthless.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=connections,scope=Namespaced,shortName=mrconn,categories=mediarooms
// +kubebuilder:selectablefield:JSONPath=`.spec.sessionName`
// +kubebuilder:selectablefield:JSONPath=`.status.connectionID`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Session",type=string,JSONPath=`.spec.sessionName`,description="The room"
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`,description="What the participant may do"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Pending, Active or Disconnected"
// +kubebuilder:printcolumn:name="User IP",type=string,JSONPath=`.status.ip`,priority=1,description="The client's address"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the client can join, or has"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Time since the Connection was created"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",message="`metadata.name` must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
type Connection struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the admission that is wanted.
	// +required
	Spec ConnectionSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={}
	// +optional
	Status ConnectionStatus `json:"status,omitzero"`
}

// ConnectionList is a list of Connections.
// +kubebuilder:object:root=true
type ConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Connections.
	Items []Connection `json:"items"`
}
