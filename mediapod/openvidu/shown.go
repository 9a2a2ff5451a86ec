package openvidu

import (
	"slices"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// A participant of another protocol may send several streams, of which clients of OpenVidu know
// one: that whose id names the connection, as the ids of OpenVidu's own streams do (openvidu-rpc
// 4.11). Of the others they are told nothing.

// shown reports whether clients are told of a stream of a connection.
func shown(streamID, connectionID string) bool {
	return strings.HasSuffix(streamID, "_"+connectionID)
}

// shownStreams returns the streams of a participant that clients are told of.
func shownStreams(a room.Announcement) []room.Stream {
	return slices.DeleteFunc(slices.Clone(a.Streams), func(s room.Stream) bool { return !shown(s.ID, a.ConnectionID) })
}

// hidden reports whether a notification is about a stream that clients are not told of, or about a
// pause for want of bandwidth, for which the protocol has no word: browsers see that by themselves.
func hidden(notification room.Notification) bool {
	switch n := notification.(type) {
	case room.ParticipantPublished:
		return !shown(n.Stream.ID, n.ConnectionID)
	case room.ParticipantUnpublished:
		return !shown(n.StreamID, n.ConnectionID)
	case room.StreamChanged:
		return !shown(n.StreamID, n.ConnectionID)
	case room.VideoPaused:
		return !shown(n.StreamID, n.ConnectionID) || n.Pause != media.LimitPause && n.Before != media.LimitPause
	}
	return false
}
