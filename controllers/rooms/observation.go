package rooms

import (
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// sightings is what pods observed of a room.
type sightings struct {
	epoch       uint64 // of the assignment that it is on
	generation  int64  // of the Session that the pod has applied; 0 when none
	media       v1alpha1.MediaConnections
	forceMute   bool // streams have to be muted, as the last pod has said that it was on
	levels      *controlv1.RoomLevels
	visited     bool // somebody has been in it, on whatever pod
	connections map[types.UID]sighting
}

// sighting is what was observed of one Connection. The status is never changed, only replaced.
type sighting struct {
	epoch  uint64 // of the assignment by which it was observed last
	status *controlv1.ConnectionStatus
}

func newSightings() sightings {
	return sightings{connections: make(map[types.UID]sighting)}
}

// restart begins with another assignment. What was observed of Connections is kept, whether
// streams have to be muted, and what the last minute was like: the next pod says so anew.
func (s *sightings) restart(epoch uint64) {
	s.epoch, s.generation, s.media = epoch, 0, v1alpha1.MediaConnections{}
}

// crash has users be out who were in the room when its pod was lost.
func (s *sightings) crash(users []types.UID, at time.Time) {
	for _, uid := range users {
		before := s.connections[uid]
		status := &controlv1.ConnectionStatus{Uid: string(uid), State: controlv1.ConnectionState_CONNECTION_STATE_ACTIVE}
		if before.status != nil {
			status = proto.CloneOf(before.status)
		}
		participant.Crash(status, at)
		s.connections[uid] = sighting{before.epoch, status}
	}
}

// take takes in a status of the pod that the room is on. It returns the Connections of which
// something has changed, and whether the Session is concerned.
func (s *sightings) take(status *controlv1.RoomStatus) (changed []types.UID, concerned bool) {
	media := v1alpha1.MediaConnections{UDP: status.GetUdpMedia(), TCP: status.GetTcpMedia()}
	concerned = s.generation != status.GetGeneration() || s.media != media || !proto.Equal(s.levels, status.GetLevels())
	s.levels = status.GetLevels()
	s.generation, s.media, s.forceMute = status.GetGeneration(), media, status.GetForceMute()
	there := make(map[types.UID]bool, len(status.GetConnections()))
	for _, now := range status.GetConnections() {
		uid := types.UID(now.GetUid())
		there[uid] = true
		before, known := s.connections[uid]
		after := merge(before.status, now)
		if known && before.epoch == s.epoch && proto.Equal(before.status, after) {
			continue
		}
		come := after.GetState() > controlv1.ConnectionState_CONNECTION_STATE_PENDING
		// That a pod knows of somebody who has not come yet says nothing of the room.
		concerned = concerned || known || come
		s.connections[uid] = sighting{s.epoch, after}
		s.visited = s.visited || come
		changed = append(changed, uid)
	}
	for _, uid := range status.GetGone() {
		concerned = s.drop(types.UID(uid)) || concerned
	}
	// Of changes, who is not named is as before. Only a pod that has applied a Room can have
	// dropped somebody; before, it has not been told of everybody yet.
	if !status.GetChanges() && status.GetRevision() != 0 {
		for uid := range s.connections {
			if !there[uid] {
				concerned = s.drop(uid) || concerned
			}
		}
	}
	return changed, concerned
}

// drop forgets a Connection that the pod does not have any more, if the pod had it.
func (s *sightings) drop(uid types.UID) bool {
	if before, known := s.connections[uid]; !known || before.epoch != s.epoch {
		return false
	}
	delete(s.connections, uid)
	return true
}

// merge returns what is known of a Connection after another observation. Who has left on an earlier
// pod stays out.
func merge(before, now *controlv1.ConnectionStatus) *controlv1.ConnectionStatus {
	switch {
	case before == nil, before.State < now.State,
		before.State <= now.State && now.ActiveUnixMs != 0,
		before.State == now.State && before.ActiveUnixMs == 0:
		return now
	}
	after := proto.CloneOf(before)
	after.Generation = now.Generation
	return after
}

// Observe takes in what a pod says of a room, and wakes who is concerned. The status is the table's
// from then on.
func (t *Table) Observe(pod string, status *controlv1.RoomStatus) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[types.UID(status.GetUid())]; known && r.at.Pod == pod {
		changed, concerned := r.seen.take(status)
		for _, uid := range changed {
			if c, sent := r.delivery.connections[uid]; sent {
				woken.connection(c.name)
			}
		}
		woken.connection(r.delivery.evicted()...)
		if answered := status.GetRevision() > r.delivery.acked; answered {
			r.delivery.acked = status.GetRevision()
			if r.leaves != nil {
				r.leaves, woken.pool, concerned = nil, r.Pool, true // the pod before may go
			}
			concerned = concerned || r.delivery.needed > r.delivery.had
		}
		if concerned {
			woken.session(r.Name)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}

// Removed takes in that a pod has closed a room.
func (t *Table) Removed(pod string, removed *controlv1.RoomRemoved) {
	var woken wakes
	uid := types.UID(removed.GetUid())
	t.mu.Lock()
	if t.removals[uid] == pod {
		delete(t.removals, uid)
	}
	if r, known := t.rooms[uid]; known && r.at.Pod == pod && r.delivery.closing && removed.GetRevision() >= r.delivery.revision {
		r.delivery.closed = true
		woken.session(r.Name)
		woken.connection(r.delivery.evicted()...)
	}
	t.mu.Unlock()
	t.wake(woken)
}

// evicted returns the Connections that wait to be out.
func (d *delivery) evicted() []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(d.evicting))
	for _, e := range d.evicting {
		names = append(names, e.name)
	}
	return names
}

// MarkLost takes in that a pod is lost. Everybody concerned is woken.
func (t *Table) MarkLost(pod string) {
	var woken wakes
	t.mu.Lock()
	now := t.clock.Now()
	for _, r := range t.rooms {
		t.loseStandby(r, pod, &woken)
		if r.at.Pod != pod {
			continue
		}
		r.lose(now)
		woken.session(r.Name)
		for _, c := range r.delivery.connections {
			woken.connection(c.name)
		}
		woken.connection(r.delivery.evicted()...)
	}
	for uid, on := range t.removals {
		if on == pod {
			delete(t.removals, uid)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}

// Has says whether there is such a room, and whether it is, or was until it is closed, on a pod.
func (t *Table) Has(session types.UID, pod string) (known, here bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if on, removing := t.removals[session]; removing {
		return true, on == pod
	}
	r, known := t.rooms[session]
	return known, known && r.on(pod)
}
