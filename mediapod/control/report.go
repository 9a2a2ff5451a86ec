package control

import (
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// partBytes bounds a message, about: that of a part is far below what either side takes, and is
// through before a slow link is taken for a dead one.
const partBytes = 1 << 20

// reports makes the messages by which one stream tells of rooms. To an operator that takes parts it
// tells of each connection when it has changed, of what a client said of itself once, and of
// nothing in a message that is large.
type reports struct {
	inParts bool
	told    map[string]toldRoom // by room
}

// toldRoom is what was told of a room last.
type toldRoom struct {
	connections map[string]*controlv1.ConnectionStatus
	udp, tcp    int32
	forceMute   bool
	levels      *controlv1.RoomLevels
}

// is reports whether what was told of a room itself is what a status tells.
func (r toldRoom) is(status *controlv1.RoomStatus) bool {
	return r.udp == status.GetUdpMedia() && r.tcp == status.GetTcpMedia() && r.forceMute == status.GetForceMute() &&
		proto.Equal(r.levels, status.GetLevels())
}

// forget says that a room is gone.
func (r *reports) forget(uid string) { delete(r.told, uid) }

// whole returns the state of a room with all its connections.
func (r *reports) whole(snapshot room.Snapshot, revision uint64) []*controlv1.PodMessage {
	status := roomStatus(snapshot, revision)
	if !r.inParts {
		return []*controlv1.PodMessage{statusMessage(status)}
	}
	r.remember(status)
	return statusParts(status)
}

// changes returns what has changed in a room since it was told of last, which may be nothing; the
// whole room when nothing was told yet.
func (r *reports) changes(snapshot room.Snapshot, revision uint64) []*controlv1.PodMessage {
	before, known := r.told[snapshot.UID]
	if !r.inParts || !known {
		return r.whole(snapshot, revision)
	}
	status := roomStatus(snapshot, revision)
	status.Changes = true
	status.Gone = r.remember(status)
	if len(status.Connections) == 0 && len(status.Gone) == 0 && before.is(status) {
		return nil
	}
	return statusParts(status)
}

// remember notes what is told by a status. Of what the operator knows already it takes out what
// clients have said, and, when the status is one of changes, all of it. It returns the connections
// that were told of before and are gone.
func (r *reports) remember(status *controlv1.RoomStatus) (gone []string) {
	before := r.told[status.GetUid()].connections
	after := make(map[string]*controlv1.ConnectionStatus, len(status.GetConnections()))
	kept := status.Connections[:0]
	for _, connection := range status.GetConnections() {
		last, known := before[connection.GetUid()]
		delete(before, connection.GetUid())
		after[connection.GetUid()] = connection
		switch {
		case known && status.GetChanges() && proto.Equal(connection, last):
			continue
		case known && sameClient(connection, last):
			connection = withoutClient(connection)
		}
		kept = append(kept, connection)
	}
	status.Connections = kept
	for uid := range before {
		gone = append(gone, uid)
	}
	if r.told == nil {
		r.told = make(map[string]toldRoom)
	}
	r.told[status.GetUid()] = toldRoom{after, status.GetUdpMedia(), status.GetTcpMedia(), status.GetForceMute(), status.GetLevels()}
	return gone
}

func sameClient(a, b *controlv1.ConnectionStatus) bool {
	return a.GetClientData() == b.GetClientData() && a.GetIp() == b.GetIp() && a.GetPlatform() == b.GetPlatform()
}

// withoutClient returns a status without what the client has said of itself, which was told before.
func withoutClient(c *controlv1.ConnectionStatus) *controlv1.ConnectionStatus {
	return &controlv1.ConnectionStatus{
		Uid: c.GetUid(), Generation: c.GetGeneration(), State: c.GetState(), ActiveUnixMs: c.GetActiveUnixMs(), DisconnectedUnixMs: c.GetDisconnectedUnixMs(),
		DisconnectReason: c.GetDisconnectReason(), Publishers: c.GetPublishers(), Subscribers: c.GetSubscribers(), SameClient: true,
		SubscribedUnixMs: c.GetSubscribedUnixMs(), Restored: c.GetRestored(), Withheld: c.GetWithheld(),
	}
}

func statusMessage(status *controlv1.RoomStatus) *controlv1.PodMessage {
	return &controlv1.PodMessage{Message: &controlv1.PodMessage_Room{Room: status}}
}

// statusParts cuts a status into messages that are not large.
func statusParts(status *controlv1.RoomStatus) []*controlv1.PodMessage {
	var messages []*controlv1.PodMessage
	for _, connections := range cut(status.GetConnections()) {
		part := &controlv1.RoomStatus{
			Uid: status.GetUid(), Revision: status.GetRevision(), Generation: status.GetGeneration(), Changes: status.GetChanges(),
			Connections: connections, UdpMedia: status.GetUdpMedia(), TcpMedia: status.GetTcpMedia(), ForceMute: status.GetForceMute(), More: true,
			Levels: status.GetLevels(),
		}
		messages = append(messages, statusMessage(part))
	}
	last := messages[len(messages)-1].GetRoom()
	last.More, last.Gone = false, status.GetGone()
	return messages
}

// checkpoint returns a room's state as of the last event that was acknowledged.
func (r *reports) checkpoint(whole *controlv1.RoomJournal) []*controlv1.PodMessage {
	var messages []*controlv1.PodMessage
	parts := [][]*controlv1.RoomEvent{whole.GetOpen()}
	if r.inParts {
		parts = cut(whole.GetOpen())
	}
	for i, open := range parts {
		part := &controlv1.RoomJournal{Room: whole.GetRoom(), Open: open, Begun: whole.GetBegun(), More: i < len(parts)-1}
		messages = append(messages, &controlv1.PodMessage{Message: &controlv1.PodMessage_Journal{Journal: part}})
	}
	return messages
}

// cut divides a list into parts of about partBytes; at least one, which may be empty.
func cut[M proto.Message](list []M) [][]M {
	parts := [][]M{nil}
	size := 0
	for _, element := range list {
		weight := proto.Size(element)
		if last := parts[len(parts)-1]; len(last) > 0 && size+weight > partBytes {
			parts, size = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], element)
		size += weight
	}
	return parts
}
