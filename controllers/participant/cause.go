package participant

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Cause is who ended a visit, as applications that were written for OpenTok know it (ConnectionEvent.reason there, with a small first
// letter).
type Cause string

// Causes. There are no others.
const (
	// ClientDisconnected: the user left.
	ClientDisconnected Cause = "ClientDisconnected"
	// ForceDisconnected: a moderator or the server put the user out.
	ForceDisconnected Cause = "ForceDisconnected"
	// NetworkDisconnected: nobody wanted it. The user's network was lost, or the media pod.
	NetworkDisconnected Cause = "NetworkDisconnected"
)

// Reasons why a user left (openvidu-rpc 5.1).
const (
	ReasonDisconnect              = "disconnect"
	ReasonForceDisconnectByUser   = "forceDisconnectByUser"
	ReasonForceDisconnectByServer = "forceDisconnectByServer"
	ReasonSessionClosedByServer   = "sessionClosedByServer"
	ReasonNetworkDisconnect       = "networkDisconnect"
	// ReasonNodeCrashed is why a user left whose media pod was lost.
	ReasonNodeCrashed   = "nodeCrashed"
	ReasonServerStopped = "openviduServerStopped"
	// ReasonUnknown stands for no reason and for those that this version does not know.
	ReasonUnknown = "unknown"
)

// causes maps every reason to its cause.
var causes = map[string]Cause{
	ReasonDisconnect:              ClientDisconnected,
	ReasonForceDisconnectByUser:   ForceDisconnected,
	ReasonForceDisconnectByServer: ForceDisconnected,
	ReasonSessionClosedByServer:   ForceDisconnected,
	ReasonServerStopped:           ForceDisconnected,
	ReasonNetworkDisconnect:       NetworkDisconnected,
	ReasonNodeCrashed:             NetworkDisconnected,
	ReasonUnknown:                 NetworkDisconnected,
}

// Disconnection returns the cause of a leave and its reason, as one of the constants: both are closed sets, whatever a pod reports.
func Disconnection(reported string) (cause Cause, reason string) {
	if cause, known := causes[reported]; known {
		return cause, reported
	}
	return causes[ReasonUnknown], ReasonUnknown
}

// Reasons returns all reasons that Disconnection returns, in no order.
func Reasons() []string { return slices.Collect(maps.Keys(causes)) }

// Evict returns the status of a participant that is put out: with a reason and at a time, unless it was out before.
func Evict(status v1alpha1.ConnectionStatus, reason string, at metav1.Time) v1alpha1.ConnectionStatus {
	out := *status.DeepCopy()
	if out.State != v1alpha1.ConnectionStateActive {
		return out
	}
	out.State = v1alpha1.ConnectionStateDisconnected
	out.DisconnectedTime, out.DisconnectReason = &at, reason
	out.Publishers, out.Subscribers = nil, nil
	return out
}
