// Package reasons is the single authority on why participants, streams and Sessions end, and on
// whose doing it is. Media pods give these reasons, the operator stores and counts them, and
// clients, webhooks and Kubernetes Events show them.
package reasons

// Reason is why something has ended, as clients and servers are told (docs/spec).
type Reason string

// Reasons why a participant leaves. What it sends and receives ends for the same reason.
const (
	Disconnect              Reason = "disconnect"
	ForceDisconnectByUser   Reason = "forceDisconnectByUser"
	ForceDisconnectByServer Reason = "forceDisconnectByServer"
	SessionClosedByServer   Reason = "sessionClosedByServer"
	NetworkDisconnect       Reason = "networkDisconnect"
	ServerStopped           Reason = "openviduServerStopped"
	// NodeCrashed is the operator's: the media pod was lost.
	NodeCrashed Reason = "nodeCrashed"
	// Unknown stands for no reason and for those that this version does not know.
	Unknown Reason = "unknown"
)

// Reasons why a stream ends while its participant stays.
const (
	Unpublish              Reason = "unpublish"
	ForceUnpublishByUser   Reason = "forceUnpublishByUser"
	ForceUnpublishByServer Reason = "forceUnpublishByServer"
	// Unsubscribe ends one subscription. Only events tell it.
	Unsubscribe Reason = "unsubscribe"
)

// TokenExpired is why a Connection has ended whose token nobody has used in time: nobody has left.
// Only its status tells it.
const TokenExpired Reason = "tokenExpired"

// LastParticipantLeft ends a Session that goes with its last participant. Only events tell it.
const LastParticipantLeft Reason = "lastParticipantLeft"

// Reasons why a recording ends, besides those why its Session does.
const (
	// RecordingStoppedByServer: it was stopped on request.
	RecordingStoppedByServer Reason = "recordingStoppedByServer"
	// AutomaticStop: nobody was in the room or published for some time, or it was as long as it may
	// be.
	AutomaticStop Reason = "automaticStop"
)

// Cause is who made a participant leave, as applications that were written for OpenTok know it
// (ConnectionEvent.reason there, with a small first letter).
type Cause string

// Causes. There are no others.
const (
	// ClientDisconnected: the client left by itself.
	ClientDisconnected Cause = "ClientDisconnected"
	// ForceDisconnected: a moderator or the server disconnected the client.
	ForceDisconnected Cause = "ForceDisconnected"
	// NetworkDisconnected is involuntary: the client's network or the media pod failed.
	NetworkDisconnected Cause = "NetworkDisconnected"
)

// leaving lists the reasons why a participant leaves, with their causes.
var leaving = []struct {
	reason Reason
	cause  Cause
}{
	{Disconnect, ClientDisconnected},
	{ForceDisconnectByUser, ForceDisconnected},
	{ForceDisconnectByServer, ForceDisconnected},
	{SessionClosedByServer, ForceDisconnected},
	{ServerStopped, ForceDisconnected},
	{NetworkDisconnect, NetworkDisconnected},
	{NodeCrashed, NetworkDisconnected},
	{Unknown, NetworkDisconnected},
}

// Leaving returns the reasons why a participant leaves.
func Leaving() []Reason {
	all := make([]Reason, 0, len(leaving))
	for _, l := range leaving {
		all = append(all, l.reason)
	}
	return all
}

// ParseLeaving returns the reason why a participant has left, Unknown for what is none: the result
// is one of Leaving, whatever was reported.
func ParseLeaving(reported string) Reason {
	for _, l := range leaving {
		if string(l.reason) == reported {
			return l.reason
		}
	}
	return Unknown
}

// Cause returns who makes a participant leave for this reason.
func (r Reason) Cause() Cause {
	for _, l := range leaving {
		if l.reason == r {
			return l.cause
		}
	}
	return NetworkDisconnected
}

// SessionEnd returns why a Session ends that is closed. emptied says that it is closed because its
// last participant has left, for the reason last.
func SessionEnd(emptied bool, last Reason) Reason {
	if !emptied {
		return SessionClosedByServer
	}
	switch last {
	case NodeCrashed, ServerStopped, SessionClosedByServer:
		return last
	}
	return LastParticipantLeft
}
