package fleet

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// partBytes is how large a Room may be before it is sent in parts, and about how large each is.
const partBytes = 4 << 20

// maxUnfinished bounds what is kept of parts that others are to follow, in bytes.
const maxUnfinished = maxMessage

// errEndless is a pod that tells parts without an end.
var errEndless = errors.New("too much is told in parts")

// assembly puts together what one stream tells in parts, and fills in what it tells once only. It
// belongs to the goroutine that reads the stream.
type assembly struct {
	statuses map[string]unfinished[*controlv1.RoomStatus]  // by room
	journals map[string]unfinished[*controlv1.RoomJournal] // likewise
	bytes    int                                           // of both
	clients  map[string]map[string]introduction            // room -> connection -> what its client has said of itself
}

// unfinished is what was told so far.
type unfinished[M proto.Message] struct {
	told  M
	bytes int
}

// introduction is what a client has said of itself.
type introduction struct{ data, ip, platform string }

func newAssembly() *assembly {
	return &assembly{
		statuses: make(map[string]unfinished[*controlv1.RoomStatus]), journals: make(map[string]unfinished[*controlv1.RoomJournal]),
		clients: make(map[string]map[string]introduction),
	}
}

// status returns the status that a part completes, nil while others are to follow. Of a room that
// is not known nothing is kept.
func (a *assembly) status(part *controlv1.RoomStatus, known bool) (*controlv1.RoomStatus, error) {
	if !known {
		a.forget(part.GetUid())
		return nil, nil
	}
	size := proto.Size(part)
	before := a.statuses[part.GetUid()]
	part.Connections = append(before.told.GetConnections(), part.GetConnections()...)
	part.Gone = append(before.told.GetGone(), part.GetGone()...)
	complete, err := keep(a, a.statuses, part.GetUid(), part, size)
	if complete {
		a.fill(part)
		return part, nil
	}
	return nil, err
}

// journal returns the checkpoint of a room when a part completes it, nil while others are to
// follow.
func (a *assembly) journal(part *controlv1.RoomJournal) (*controlv1.RoomJournal, error) {
	size, uid := proto.Size(part), part.GetRoom().GetUid()
	part.Open = append(a.journals[uid].told.GetOpen(), part.GetOpen()...)
	complete, err := keep(a, a.journals, uid, part, size)
	if complete {
		return part, nil
	}
	return nil, err
}

// keep takes in a part of a size, together with what was told before it, and reports whether it is
// the last one.
func keep[M interface {
	proto.Message
	GetMore() bool
}](a *assembly, all map[string]unfinished[M], uid string, part M, size int) (complete bool, err error) {
	before := all[uid]
	if !part.GetMore() {
		a.bytes -= before.bytes
		delete(all, uid)
		return true, nil
	}
	if a.bytes += size; a.bytes > maxUnfinished {
		return false, errEndless
	}
	all[uid] = unfinished[M]{part, before.bytes + size}
	return false, nil
}

// forget drops what is kept of a room.
func (a *assembly) forget(uid string) {
	delete(a.clients, uid)
	a.bytes -= a.statuses[uid].bytes
	delete(a.statuses, uid)
}

// fill fills in what clients have said of themselves where it is as it was, and remembers it.
func (a *assembly) fill(status *controlv1.RoomStatus) {
	before := a.clients[status.GetUid()]
	after := before
	if !status.GetChanges() || before == nil {
		after = make(map[string]introduction, len(status.GetConnections()))
		a.clients[status.GetUid()] = after
	}
	for _, uid := range status.GetGone() {
		delete(after, uid)
	}
	for _, c := range status.GetConnections() {
		said := introduction{c.GetClientData(), c.GetIp(), c.GetPlatform()}
		if c.GetSameClient() {
			said = before[c.GetUid()]
			c.ClientData, c.Ip, c.Platform, c.SameClient = said.data, said.ip, said.platform, false
		}
		after[c.GetUid()] = said
	}
}

// roomParts cuts a Room into messages that are not large. The Room itself stays as it is.
func roomParts(room *controlv1.Room) []*controlv1.Room {
	if proto.Size(room) <= partBytes {
		return []*controlv1.Room{room}
	}
	connections := room.GetConnections()
	var parts []*controlv1.Room
	for len(connections) > 0 {
		size := 0
		end := slices.IndexFunc(connections, func(c *controlv1.Connection) bool {
			size += proto.Size(c)
			return size > partBytes
		})
		if end < 0 {
			end = len(connections)
		}
		end = max(1, end)
		parts = append(parts, &controlv1.Room{Uid: room.GetUid(), Revision: room.GetRevision(), Connections: connections[:end:end], More: true})
		connections = connections[end:]
	}
	return append(parts, withoutConnections(room))
}

// withoutConnections returns a Room with all the other fields of one.
func withoutConnections(room *controlv1.Room) *controlv1.Room {
	out := &controlv1.Room{}
	room.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Name() != "connections" {
			out.ProtoReflect().Set(field, value)
		}
		return true
	})
	return out
}
