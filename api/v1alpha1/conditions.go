package v1alpha1

// Condition types. Accepted, Programmed and Ready of Sessions, Connections and Recordings are
// always present, Unknown while undecided.
const (
	// ConditionAccepted says whether the spec is valid and admitted.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed says whether the media pod has applied this generation.
	ConditionProgrammed = "Programmed"
	// ConditionReady says whether a client can use the object now. For a Session and a Connection
	// it is Accepted and Programmed; for a Connection also that its token is not spent, or its user
	// is in the room. For a MediaPool: that its minimum of pods can host rooms, and
	// that no rollout fails. For a Webhook: that its endpoint takes events, as far as was seen. For
	// a Recording: that its files can be fetched.
	ConditionReady = "Ready"
	// ConditionProgressing says of a MediaPool whether its pods are, or are becoming, what its spec
	// wants. It is False while pods fail to start.
	ConditionProgressing = "Progressing"
	// ConditionRecorderReady says of a MediaPool that records whether its recorder runs. Other
	// pools have no such condition.
	ConditionRecorderReady = "RecorderReady"
	// ConditionProtected says of a Session whether a standby could go on with the room now, if its
	// media pod was lost.
	ConditionProtected = "Protected"
)

// Reasons of Accepted.
const (
	// ReasonAccepted: the spec is valid and admitted.
	ReasonAccepted = "Accepted"
	// ReasonSessionIDInUse: an older Session of the namespace has this sessionID.
	ReasonSessionIDInUse = "SessionIDInUse"
	// ReasonPoolNotFound: the named pool does not exist, or none is named and there is no default
	// pool.
	ReasonPoolNotFound = "PoolNotFound"
	// ReasonNamespaceNotAllowed: the pool does not host the Sessions of this namespace
	// (MediaPool.spec.allowedNamespaces).
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonNoCapacity: the pool is full and may not grow, or is growing. The object waits.
	ReasonNoCapacity = "NoCapacity"
	// ReasonSessionNotFound: the Session of a Connection does not exist.
	ReasonSessionNotFound = "SessionNotFound"
	// ReasonSessionNotAccepted: the Session of a Connection is not accepted.
	ReasonSessionNotAccepted = "SessionNotAccepted"
	// ReasonSessionFull: the Session's maxConnections is reached. The Connection waits.
	ReasonSessionFull = "SessionFull"
	// ReasonUnsupported: the spec is valid but asks for something that is not available yet.
	ReasonUnsupported = "Unsupported"
	// ReasonDeleting: the object, or the Session that it belongs to, is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonTokenSecretInUse: the Secret that a Connection's tokenSecretName names exists and
	// belongs to something else.
	ReasonTokenSecretInUse = "TokenSecretInUse"
	// ReasonHeaderSecretMissing: the Secret mediarooms-webhook lacks a key that a header of a
	// Webhook names, or it holds what can't be a header. Events wait.
	ReasonHeaderSecretMissing = "HeaderSecretMissing"
	// ReasonInvalid: the spec has passed the schema, but can't be used. The message says why.
	ReasonInvalid = "Invalid"
	// ReasonNoRecorder: the pool of the Session does not record (MediaPool.spec.egress). The
	// Recording waits.
	ReasonNoRecorder = "NoRecorder"
	// ReasonSessionRecorded: another Recording of the Session runs. This one waits.
	ReasonSessionRecorded = "SessionRecorded"
	// ReasonTooManyWebhooks: there are older Webhooks, as many as a namespace may have. Nothing is
	// sent to this one.
	ReasonTooManyWebhooks = "TooManyWebhooks"
)

// Reasons of Programmed.
const (
	// ReasonProgrammed: the media pod has applied this generation.
	ReasonProgrammed = "Programmed"
	// ReasonWaitingForPod: no media pod has been chosen, or it is starting.
	ReasonWaitingForPod = "WaitingForPod"
	// ReasonWaitingForAck: the media pod has not confirmed this generation yet.
	ReasonWaitingForAck = "WaitingForAck"
	// ReasonPodUnreachable: the control stream to the media pod is down. With Ready, which is True
	// all the same, that nothing was heard of the pod for some seconds: what was there goes on.
	// With Protected: nothing was heard of the standby.
	ReasonPodUnreachable = "PodUnreachable"
	// ReasonWaitingForParticipants: nobody is in the room that is to be recorded.
	ReasonWaitingForParticipants = "WaitingForParticipants"
	// ReasonRecorderUnreachable: the stream to the recorder is down, or its pod is not there.
	ReasonRecorderUnreachable = "RecorderUnreachable"
	// ReasonNotAccepted: nothing is programmed for an object that is not accepted.
	ReasonNotAccepted = "NotAccepted"
)

// Reasons of Protected.
const (
	// ReasonStandbyReady: the standby could go on with the room now.
	ReasonStandbyReady = "StandbyReady"
	// ReasonStandbyBehind: the standby does not know all that it needs yet, or not any more.
	ReasonStandbyBehind = "StandbyBehind"
	// ReasonNoStandby: there is no other media pod that could be the standby.
	ReasonNoStandby = "NoStandby"
	// ReasonNotWanted: neither the Session nor its pool wants a standby.
	ReasonNotWanted = "NotWanted"
)

// Reasons of Progressing.
const (
	// ReasonRolledOut: all pods of a MediaPool are of its current template and can host rooms.
	ReasonRolledOut = "RolledOut"
	// ReasonRollingOut: pods of a MediaPool are being made or replaced.
	ReasonRollingOut = "RollingOut"
	// ReasonStartFailed: the last media pod that was made did not start. With Ready: the pool's
	// minimum of pods is there, but not of its current template. With RecorderReady: the recorder.
	ReasonStartFailed = "StartFailed"
)

// Reasons of Ready.
const (
	// ReasonReady: a client can use the object now.
	ReasonReady = "Ready"
	// ReasonActive: the user of a Connection is in the room.
	ReasonActive = "Active"
	// ReasonReconnecting: the room of a Connection has lost its media pod, and the user has not
	// come back on another one yet.
	ReasonReconnecting = "Reconnecting"
	// ReasonRecording: the recording runs.
	ReasonRecording = "Recording"
	// ReasonFinishing: the recording has stopped, and its files are being finished, or brought to
	// S3.
	ReasonFinishing = "Finishing"
	// ReasonRecordingFailed: there is nothing to fetch. The message says why.
	ReasonRecordingFailed = "RecordingFailed"
	// ReasonFilesLost: the recorder does not have the files any more.
	ReasonFilesLost = "FilesLost"
	// ReasonDisconnected: the user of a Connection has left; its token is spent.
	ReasonDisconnected = "Disconnected"
	// ReasonTokenExpired: nobody has used the token of a Connection in time
	// (MediaPool.spec.pendingConnectionSeconds).
	ReasonTokenExpired = "TokenExpired"
	// ReasonPodsNotReady: fewer pods of a MediaPool than its minimum can host rooms.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonRetrying: the endpoint of a Webhook can't be reached, or asks to be called again.
	// Events wait.
	ReasonRetrying = "Retrying"
	// ReasonRefused: the endpoint of a Webhook has refused the last event, which is not sent again.
	ReasonRefused = "Refused"
	// ReasonNotObserved: what the object stands for could not be read; the rest of the status is as
	// it was seen last. The message says what could not be read.
	ReasonNotObserved = "NotObserved"
	// ReasonPending: nothing has been decided yet.
	ReasonPending = "Pending"
)
