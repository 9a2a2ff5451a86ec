package fleet

import (
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// RoomView is a room as its pod knows it.
type RoomView struct {
	// Pod that it is assigned to; its Name is "" when none is.
	Pod PodView
	// Generation of the Session that the pod has applied; 0 when none.
	Generation int64
	// Visited says that somebody has been in it.
	Visited bool
	// Publishers counts the published streams.
	Publishers int32
	// Media counts the peer connections by transport.
	Media v1alpha1.MediaConnections
	// Seen is what pods observed of each Connection. Not to be changed.
	Seen map[types.UID]*controlv1.ConnectionStatus
}

// ConnectionView is a Connection as its room's pod knows it.
type ConnectionView struct {
	// Pod of the room; its Name is "" when the room is on none.
	Pod PodView
	// Seen is what pods observed of it, nil when nothing. Not to be changed.
	Seen *controlv1.ConnectionStatus
	// Programmed is the Connection's generation that the pod has applied; 0 when none.
	Programmed int64
}

// Assign puts a room on a pod. It is idempotent. On another pod than before, what was observed is kept: who has left stays out. The
// pod before, if it lives, closes it.
func (f *Fleet) Assign(assigned placement.Room, pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.rooms[assigned.UID]
	if !ok {
		r = &room{Room: assigned, seen: make(map[types.UID]*controlv1.ConnectionStatus)}
		f.rooms[assigned.UID] = r
	} else if r.pod == pod && !r.end.removing {
		return
	}
	if before, ok := f.links[r.pod]; ok && r.pod != pod {
		before.mark(r.UID)
	}
	r.pod = pod
	r.end = ending{silent: r.end.silent}
	r.acked, r.generation, r.sentAt, r.media = 0, 0, time.Time{}, v1alpha1.MediaConnections{}
	r.fresh = make(map[types.UID]bool)
	f.push(r)
}

// Push sends a room again at once, since a Connection in it is gone. The pod's answer wakes the Connections that it concerns.
func (f *Fleet) Push(session types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.rooms[session]; ok {
		f.pushNow(r)
	}
}

// Tell sends a room again, unless the Connection of this generation was in what was sent last.
func (f *Fleet) Tell(session, connection types.UID, generation int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.rooms[session]; ok && !r.dirty && r.told.connections[connection] < generation {
		f.push(r)
	}
}

// TellRoom sends a room again, unless what was sent last was of this generation of the Session.
func (f *Fleet) TellRoom(session types.UID, generation int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.rooms[session]; ok && !r.dirty && r.told.generation < generation {
		f.push(r)
	}
}

// PushPool sends all rooms of a pool again, since what the pool says for them may have changed.
func (f *Fleet) PushPool(pool string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rooms {
		if r.Pool == pool {
			f.push(r)
		}
	}
}

// push marks a room as changed. f.mu is held.
func (f *Fleet) push(r *room) {
	r.dirty = true
	if l, ok := f.links[r.pod]; ok {
		l.mark(r.UID)
	}
}

// pushNow marks a room as changed, by which somebody is to be put out. f.mu is held.
func (f *Fleet) pushNow(r *room) {
	r.urgent = true
	f.push(r)
}

func (f *Fleet) pushAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rooms {
		f.push(r)
	}
}

// served returns a room that a pod has, nil when there is none such, or its pod is lost. The caller holds f.mu.
func (f *Fleet) served(session types.UID) *room {
	r, ok := f.rooms[session]
	if !ok || r.end.removed {
		return nil
	}
	if l, ok := f.links[r.pod]; !ok || l.lost {
		return nil
	}
	return r
}

// Close asks the pod to close a room and says whether it has: also when the room is on no pod, or its pod is lost. The pod's answer wakes the Session.
func (f *Fleet) Close(session types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.served(session)
	if r == nil {
		return true
	}
	if !r.end.removing {
		r.end.removing = true
		f.pushNow(r)
	}
	return false
}

// Silence says, before Close, that nobody is to be told that a Session has ended.
func (f *Fleet) Silence(session types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.rooms[session]; ok {
		r.end.silent = true
	}
}

// Acknowledge tells a pod, if it is there, that it may forget the events of a room up to a sequence.
func (f *Fleet) Acknowledge(pod string, session types.UID, sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.links[pod]
	if !ok || l.lost {
		return
	}
	if l.acks == nil {
		l.acks = make(map[types.UID]uint64)
	}
	l.acks[session] = max(l.acks[session], sequence)
	l.signal()
}

// Abandon closes a room that nobody waits for, and forgets it once it is closed.
func (f *Fleet) Abandon(session types.UID) {
	closed := f.Close(session)
	f.mu.Lock()
	defer f.mu.Unlock()
	if closed {
		delete(f.rooms, session)
	} else if r, ok := f.rooms[session]; ok {
		r.end.abandoned = true
	}
}

// Drop forgets a room that is closed or given up.
func (f *Fleet) Drop(session types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rooms, session)
}

// Evict has a Connection that is being deleted put out of its room and says whether it is: the pod has confirmed a state
// without it, or there is no such room any more. Until then the pod's answers wake it. The cache must show the deletion already.
func (f *Fleet) Evict(session, connection types.UID, name types.NamespacedName) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.served(session)
	if r == nil {
		return true
	}
	e, ok := r.evicting[connection]
	if !ok {
		if r.evicting == nil {
			r.evicting = make(map[types.UID]eviction)
		}
		r.evicting[connection] = eviction{name: name, revision: r.sent + 1}
		f.pushNow(r)
		return false
	}
	if _, there := r.seen[connection]; there || r.acked < e.revision {
		return false
	}
	delete(r.evicting, connection)
	return true
}

// Room returns a room as its pod knows it.
func (f *Fleet) Room(session types.UID) RoomView {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.rooms[session]
	if !ok {
		return RoomView{Pod: PodView{State: Lost}}
	}
	view := RoomView{
		Pod: f.podOf(r), Generation: r.generation, Visited: r.visited, Media: r.media,
		Seen: make(map[types.UID]*controlv1.ConnectionStatus, len(r.seen)),
	}
	for uid, seen := range r.seen {
		view.Seen[uid] = proto.CloneOf(seen)
		view.Publishers += int32(len(seen.Publishers))
	}
	return view
}

// Connection returns a Connection as its room's pod knows it.
func (f *Fleet) Connection(session, connection types.UID) ConnectionView {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.rooms[session]
	if !ok {
		return ConnectionView{Pod: PodView{State: Lost}}
	}
	view := ConnectionView{Pod: f.podOf(r)}
	if seen, ok := r.seen[connection]; ok {
		view.Seen = proto.CloneOf(seen)
		if r.fresh[connection] {
			view.Programmed = seen.Generation
		}
	}
	return view
}

// podOf returns the pod of a room. f.mu is held.
func (f *Fleet) podOf(r *room) PodView {
	if l, ok := f.links[r.pod]; ok {
		return l.view()
	}
	return PodView{Pod: Pod{Name: r.pod}, State: Lost}
}

// observe takes in a RoomStatus of a pod and returns who is to be woken. f.mu is held.
func (f *Fleet) observe(l *link, status *controlv1.RoomStatus) (sessions, connections []types.NamespacedName) {
	r, ok := f.rooms[types.UID(status.Uid)]
	if !ok || r.pod != l.pod.Name {
		return nil, nil
	}
	media := v1alpha1.MediaConnections{UDP: status.UdpMedia, TCP: status.TcpMedia}
	changed := r.generation != status.Generation || r.media != media
	r.generation, r.media = status.Generation, media
	there := make(map[types.UID]bool, len(status.Connections))
	for _, now := range status.Connections {
		uid := types.UID(now.Uid)
		there[uid] = true
		before, known := r.seen[uid]
		after := merge(before, now)
		if known && r.fresh[uid] && proto.Equal(before, after) {
			continue
		}
		// That a pod knows of somebody who has not come yet says nothing of the room.
		changed = changed || known || after.State != controlv1.ConnectionState_CONNECTION_STATE_PENDING
		r.seen[uid], r.fresh[uid] = after, true
		r.visited = r.visited || after.State > controlv1.ConnectionState_CONNECTION_STATE_PENDING
		if name, ok := r.told.names[uid]; ok {
			connections = append(connections, name)
		}
	}
	for _, uid := range status.Gone {
		if r.fresh[types.UID(uid)] {
			changed = true
			delete(r.seen, types.UID(uid))
			delete(r.fresh, types.UID(uid))
		}
	}
	for uid := range r.seen {
		if status.Changes {
			break // who is not named is as before
		}
		// Only a pod that has applied a Room can have dropped somebody; before, it has not been told of everybody yet.
		if !there[uid] && status.Revision != 0 && r.fresh[uid] {
			changed = true
			delete(r.seen, uid)
			delete(r.fresh, uid)
		}
	}
	if status.Revision > r.acked {
		r.acked = status.Revision
		if r.dirty {
			l.signal()
		}
	}
	for _, e := range r.evicting {
		connections = append(connections, e.name)
	}
	if changed {
		sessions = append(sessions, r.Name)
	}
	return sessions, connections
}

// merge returns what is known of a Connection after another observation. Who has left on an earlier pod stays out.
func merge(before, now *controlv1.ConnectionStatus) *controlv1.ConnectionStatus {
	if before == nil || before.State <= now.State && now.ActiveUnixMs != 0 || before.State < now.State {
		return proto.CloneOf(now)
	}
	if before.State == now.State && before.ActiveUnixMs == 0 {
		return proto.CloneOf(now)
	}
	after := proto.CloneOf(before)
	after.Generation = now.Generation
	return after
}
