package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WebhookEvent is the name of an event, as in OpenVidu.
// +kubebuilder:validation:Enum=sessionCreated;sessionDestroyed;participantJoined;participantLeft;webrtcConnectionCreated;webrtcConnectionDestroyed;recordingStatusChanged;filterEventDispatched;signalSent;mediaNodeStatusChanged;autoscaling;nodeCrashed;nodeRecovered;broadcastStarted;broadcastStopped;HANodeRegistered;HANodeDeregistered
type WebhookEvent string

// The events that this version sends. The other names of the enum are OpenVidu's, and never come.
const (
	// EventSessionCreated is the first event of a Session.
	EventSessionCreated WebhookEvent = "sessionCreated"
	// EventSessionDestroyed is the last event of a Session.
	EventSessionDestroyed WebhookEvent = "sessionDestroyed"
	// EventParticipantJoined is a user that came in.
	EventParticipantJoined WebhookEvent = "participantJoined"
	// EventParticipantLeft is a user that left.
	EventParticipantLeft WebhookEvent = "participantLeft"
	// EventWebRTCConnectionCreated is a user that began to send or to receive a stream.
	EventWebRTCConnectionCreated WebhookEvent = "webrtcConnectionCreated"
	// EventWebRTCConnectionDestroyed is a user that no longer sends or receives a stream.
	EventWebRTCConnectionDestroyed WebhookEvent = "webrtcConnectionDestroyed"
	// EventRecordingStatusChanged is a recording that started, stopped, or has its files ready.
	EventRecordingStatusChanged WebhookEvent = "recordingStatusChanged"
	// EventSignalSent is a message that a user or the server sent to users.
	EventSignalSent WebhookEvent = "signalSent"
)

// TLSVerification says how the certificate of an endpoint is checked.
// +kubebuilder:validation:Enum=Full;None
type TLSVerification string

// Values of TLSVerification.
const (
	// TLSVerificationFull takes only a certificate for the URL's host by a known authority.
	TLSVerificationFull TLSVerification = "Full"
	// TLSVerificationNone takes any certificate.
	TLSVerificationNone TLSVerification = "None"
)

// WebhookFormat is the form of the documents that a Webhook is sent.
// +kubebuilder:validation:Enum=OpenVidu;OpenTok
type WebhookFormat string

// Values of WebhookFormat.
const (
	// WebhookFormatOpenVidu is the form of OpenVidu's webhook.
	WebhookFormatOpenVidu WebhookFormat = "OpenVidu"
	// WebhookFormatOpenTok is the form of OpenTok's session monitoring and of the
	// callbacks of its archives.
	WebhookFormatOpenTok WebhookFormat = "OpenTok"
)

// MaxWebhooks is how many Webhooks of a namespace are served, the oldest first:
// each event costs a request to each.
const MaxWebhooks = 8

// WebhookSpec is where the events of a namespace's Sessions go.
// +kubebuilder:validation:XValidation:rule="!has(self.caBundle) || !has(self.tlsVerification) || self.tlsVerification != 'None'",fieldPath=".caBundle",message="`caBundle` may not be set when `tlsVerification` is None"
// +kubebuilder:validation:XValidation:rule="has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",fieldPath=".className",message="`className` may not be changed, set or unset after creation"
type WebhookSpec struct {
	// className names the installation whose Sessions' events are sent, where a
	// cluster has several (--class). Absent means the one without a class. It may
	// not be changed.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="`className` must be lower-case letters, digits and `-`, with a letter or digit at both ends"
	// +optional
	ClassName string `json:"className,omitempty"`
	// url takes the events: one POST per event, with a JSON object as the body.
	// It starts with http:// or https://. Loopback and link-local addresses are
	// not called, and redirects not followed. Secrets belong into headers, not
	// here: who may read this object can read it.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://')",message="`url` must start with http:// or https://"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://') || self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?][!-\"$-~]*)?$')",message="`url` must have a host name or an address (IPv6 in brackets), a port, if any, from 1 to 65535, and no user name, fragment or space"
	// +required
	URL string `json:"url"`

	// format is the form of the documents: OpenVidu's, or OpenTok's (session
	// monitoring, and the callbacks of archives). In OpenTok's there are no
	// signals and no subscriptions, and participants are connections.
	// +kubebuilder:default=OpenVidu
	// +optional
	Format WebhookFormat `json:"format,omitempty"`

	// events are the names of the events that are sent. When absent it is all of
	// them but HANodeRegistered and HANodeDeregistered. Names of features that
	// this version lacks are allowed: their events never come.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=17
	// +listType=set
	// +optional
	Events []WebhookEvent `json:"events,omitempty"`

	// headers are added to every request.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Headers []WebhookHeader `json:"headers,omitempty"`

	// timeoutSeconds bounds one request, from the connection to the end of the
	// answer.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=30
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// retrySeconds is how long after an event its delivery is tried again, while
	// the endpoint can't be reached or answers with 408, 429 or 5xx. With 0 it is
	// tried once.
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	// +optional
	RetrySeconds *int32 `json:"retrySeconds,omitempty"`

	// tlsVerification is Full (the certificate must be for the host of the URL,
	// by an authority that is known) or None (any certificate will do, as with
	// OpenVidu).
	// +kubebuilder:default=Full
	// +optional
	TLSVerification TLSVerification `json:"tlsVerification,omitempty"`

	// caBundle are the certificates, in PEM, of the authorities that are known,
	// instead of those that the operator's image brings.
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="`caBundle` must hold certificates in PEM"
	// +optional
	CABundle string `json:"caBundle,omitempty"`
}

// WebhookHeader is one header of a Webhook's requests.
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.secretKey)",message="exactly one of `value` and `secretKey` must be set"
type WebhookHeader struct {
	// name of the header. Those that HTTP itself needs, and those that start with
	// Mediarooms-, can't be set.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="`name` may contain only letters, digits, `-`, `_` and `.`"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^(?i)(host|connection|content-length|expect|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|mediarooms-.*)$')",message="`name` may not be a header that HTTP or Mediarooms sets itself"
	// +required
	Name string `json:"name"`
	// value of the header.
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]([ -~]*[!-~])?$')",message="`value` must consist of printable ASCII characters, with no space at either end"
	// +optional
	Value string `json:"value,omitempty"`
	// secretKey is the key in the Secret mediarooms-webhook, in the same
	// namespace, that holds the value. A change there holds at once. While it is
	// missing nothing is sent.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="`secretKey` must be a key of a Secret: letters, digits, `-`, `_` and `.`"
	// +optional
	SecretKey string `json:"secretKey,omitempty"`
}

// WebhookStatus is what was observed of the deliveries. All of it can be
// rebuilt.
type WebhookStatus struct {
	// conditions are Accepted (the spec can be used: the Secret has what it names)
	// and Ready (the endpoint takes events, as far as was seen). Both are always
	// there, Unknown while undecided.
	// +kubebuilder:default={{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}
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
	// pendingEvents counts the events that wait for their delivery. It follows
	// with some seconds' delay.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	// +optional
	PendingEvents int64 `json:"pendingEvents"`
	// lastDeliveryTime is when an event was taken last. It follows with some
	// seconds' delay.
	// +optional
	LastDeliveryTime *metav1.Time `json:"lastDeliveryTime,omitempty"`
}

// Webhook has the events of its namespace's Sessions sent to a URL: who
// comes and goes, which streams begin and end, as OpenVidu's webhook does.
// Each Webhook of a namespace gets every event.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=webhooks,scope=Namespaced,shortName=mrhook,categories=mediarooms
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the endpoint takes events, as far as was seen"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`,description="Where the events go"
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.pendingEvents`,description="Events that wait for their delivery"
// +kubebuilder:printcolumn:name="Delivered",type=date,JSONPath=`.status.lastDeliveryTime`,description="Time since an event was taken last"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Time since the Webhook was created"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1,description="What the reason does not say"
type Webhook struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is where the events go.
	// +required
	Spec WebhookSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={}
	// +optional
	Status WebhookStatus `json:"status,omitzero"`
}

// WebhookList is a list of Webhooks.
// +kubebuilder:object:root=true
type WebhookList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Webhooks.
	Items []Webhook `json:"items"`
}
