package v1alpha1

// Labels, annotations and finalizers of the group.
const (
	// DefaultPoolAnnotation, with the value "true" on a MediaPool, marks the pool of Sessions that
	// name none. When several pools carry it, the oldest one without a className counts. Of those
	// with a className, the oldest is the one of its installation's REST APIs.
	DefaultPoolAnnotation = "mediarooms.dev/is-default-pool"
	// PublicAddressAnnotation on a Node holds the IP addresses, separated by commas, that clients
	// are told of the media pods on it.
	PublicAddressAnnotation = "mediarooms.dev/public-address"
	// PoolLabel on a media pod names its MediaPool.
	PoolLabel = "mediarooms.dev/pool"
	// CollectedAnnotation, "true" on a Session that is being deleted, says that it goes because
	// nobody ever joined it. As with OpenVidu, no event tells of that. It has to be there before
	// the Session is deleted.
	CollectedAnnotation = "mediarooms.dev/collected"
	// DrainingAnnotation on a media pod is since when it drains, RFC 3339. The operator sets it,
	// and heeds it whoever has set it.
	DrainingAnnotation = "mediarooms.dev/draining-since"
	// ComponentLabel names the part that a pod belongs to: "manager", "gateway", "mediapod" or
	// "recorder".
	ComponentLabel = "app.kubernetes.io/component"
	// ComponentMediaPod is the value of ComponentLabel on media pods.
	ComponentMediaPod = "mediapod"
	// ComponentRecorder is the value of ComponentLabel on recorder pods.
	ComponentRecorder = "recorder"
	// SessionFinalizer keeps a Session until its room is closed.
	SessionFinalizer = "mediarooms.dev/close-room"
	// ConnectionFinalizer keeps a Connection until its user is out and its token is worthless.
	ConnectionFinalizer = "mediarooms.dev/evict-user"
	// MediaPoolFinalizer keeps a MediaPool until its media pods are gone.
	MediaPoolFinalizer = "mediarooms.dev/remove-pods"
	// RecordingFinalizer keeps a Recording until it does not record any more and, if it says so,
	// its files are deleted.
	RecordingFinalizer = "mediarooms.dev/end-recording"
)

// Field paths of selectable fields and of the indexes that controllers and gateways keep.
const (
	// PoolNameField is the path of Session.spec.poolName.
	PoolNameField = "spec.poolName"
	// PodNameField is the path of Session.status.podName.
	PodNameField = "status.podName"
	// SessionIDField is the path of Session.status.sessionID.
	SessionIDField = "status.sessionID"
	// SessionNameField is the path of spec.sessionName of a Connection and of a Recording.
	SessionNameField = "spec.sessionName"
	// ConnectionIDField is the path of Connection.status.connectionID.
	ConnectionIDField = "status.connectionID"
	// RecordingIDField is the path of Recording.status.recordingID.
	RecordingIDField = "status.recordingID"
	// StateField is the path of Connection.status.state.
	StateField = "status.state"
)

// WebhookSecretName is the name of the Secret, in a tenant's namespace, that holds the values of a
// Webhook's headers. The name is fixed, so that the operator needs rights on no other Secret of a
// tenant.
const WebhookSecretName = "mediarooms-webhook"

// Keys of the Secret of an S3Storage.
const (
	// S3AccessKey and S3SecretKey are the two parts of the credentials.
	S3AccessKey = "accessKeyId"
	S3SecretKey = "secretAccessKey" //nolint:gosec // the name of a key, not its value
	// S3AuthorityKey has the certificates of those that sign the service's.
	S3AuthorityKey = "ca.crt"
)
