package openvidu

import (
	"slices"
	"strings"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// A participant of another protocol may send several streams, and clients of OpenVidu know one
// stream of each participant: that whose id ends in the participant's, as the ids of OpenVidu's own
// streams do (openvidu-rpc 4.11). Each further stream has a connection id of its own at the end of
// its id. Clients see a stand-in by that id, which nobody is: it comes with the stream, has the
// metadata of the stream's publisher, and leaves with the stream
// (docs/adr/0083-a-further-stream-is-a-participant-of-its-own.md).

// sender returns the connection id of the participant that clients see send a stream.
func sender(streamID, publisherID string) string {
	if strings.HasSuffix(streamID, "_"+publisherID) || !strings.Contains(streamID, "con_") {
		return publisherID
	}
	return publisherOf(streamID)
}

// standIn is what clients are told of the stand-in for a stream; its streams are left out.
func standIn(s room.Stream, publisherID, clientData, serverData string) room.Announcement {
	return room.Announcement{
		ConnectionID: sender(s.ID, publisherID), Created: s.Created, ClientData: clientData, ServerData: serverData,
	}
}

// shownOthers returns whom clients see of those who are in a room: each is followed by its
// stand-ins.
func shownOthers(others []room.Announcement) []room.Announcement {
	all := make([]room.Announcement, 0, len(others))
	for _, other := range others {
		further := func(s room.Stream) bool { return sender(s.ID, other.ConnectionID) != other.ConnectionID }
		own := other
		own.Streams = slices.DeleteFunc(slices.Clone(other.Streams), further)
		all = append(all, own)
		for _, s := range other.Streams {
			if further(s) {
				one := standIn(s, other.ConnectionID, other.ClientData, other.ServerData)
				one.Streams = []room.Stream{s}
				all = append(all, one)
			}
		}
	}
	return all
}

// shown returns what clients are told instead of a notification: the same with the ids of
// stand-ins, and that those come and leave; nothing where the protocol has no word for it. A pause
// for want of bandwidth browsers see by themselves.
func shown(notification room.Notification) []room.Notification {
	switch n := notification.(type) {
	case room.ParticipantPublished:
		return shownPublished(n)
	case room.ParticipantUnpublished:
		return shownUnpublished(n)
	case room.ParticipantLeft:
		return shownLeft(n)
	case room.StreamChanged:
		n.ConnectionID = sender(n.StreamID, n.ConnectionID)
		return []room.Notification{n}
	case room.StreamRenewed:
		n.ConnectionID = sender(n.StreamID, n.ConnectionID)
		return []room.Notification{n}
	case room.CandidateAdded:
		n.ConnectionID = sender(n.StreamID, n.ConnectionID)
		return []room.Notification{n}
	case room.VideoPaused:
		if n.Pause != media.LimitPause && n.Before != media.LimitPause {
			return nil
		}
		n.ConnectionID = sender(n.StreamID, n.ConnectionID)
		return []room.Notification{n}
	case room.ForceMuteChanged:
		return nil
	}
	return []room.Notification{notification}
}

func shownPublished(n room.ParticipantPublished) []room.Notification {
	publisher := n.ConnectionID
	n.ConnectionID = sender(n.Stream.ID, publisher)
	if n.ConnectionID == publisher {
		return []room.Notification{n}
	}
	joined := room.ParticipantJoined{Participant: standIn(n.Stream, publisher, n.ClientData, n.ServerData)}
	return []room.Notification{joined, n}
}

func shownUnpublished(n room.ParticipantUnpublished) []room.Notification {
	publisher := n.ConnectionID
	n.ConnectionID = sender(n.StreamID, publisher)
	if n.ConnectionID == publisher {
		return []room.Notification{n}
	}
	return []room.Notification{n, room.ParticipantLeft{ConnectionID: n.ConnectionID, Reason: leaves(n.Reason)}}
}

// shownLeft has the stand-ins leave before the one whom they stand for.
func shownLeft(n room.ParticipantLeft) []room.Notification {
	var all []room.Notification
	for _, streamID := range n.StreamIDs {
		if id := sender(streamID, n.ConnectionID); id != n.ConnectionID {
			all = append(all, room.ParticipantLeft{ConnectionID: id, Reason: n.Reason})
		}
	}
	return append(all, n)
}

// leaves returns why a stand-in leaves whose stream has ended for a reason.
func leaves(ended reasons.Reason) reasons.Reason {
	switch ended {
	case reasons.ForceUnpublishByUser:
		return reasons.ForceDisconnectByUser
	case reasons.ForceUnpublishByServer:
		return reasons.ForceDisconnectByServer
	}
	return reasons.Disconnect
}

// sent is a stream that a stand-in sends, as clients see it.
type sent struct{ streamID, publisherID string }

// standIns returns what the stand-ins of a room send, by their connection ids.
func standIns(r *room.Room) map[string]sent {
	all := make(map[string]sent)
	for streamID, publisherID := range r.Publishers() {
		if id := sender(streamID, publisherID); id != publisherID {
			all[id] = sent{streamID, publisherID}
		}
	}
	return all
}

// subscriptionTo returns the id of the client's subscription to what a participant sends that it
// sees.
func subscriptionTo(r *room.Room, connectionID string) string {
	if one, stands := standIns(r)[connectionID]; stands {
		return room.LastingID(one.streamID, one.publisherID)
	}
	return connectionID
}

// behind returns the connection ids of those whom clients mean: instead of a stand-in the one whom
// it stands for.
func behind(r *room.Room, connectionIDs []string) []string {
	all := standIns(r)
	meant := slices.Clone(connectionIDs)
	for i, id := range meant {
		if one, stands := all[id]; stands {
			meant[i] = one.publisherID
		}
	}
	return meant
}
