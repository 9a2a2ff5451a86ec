package rooms

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// InFlight bounds how long what has changed in a room waits for the pod's answer to what was sent
// of it before. Many changes in a short time so become few messages, each of which holds the whole
// room. Putting somebody out does not wait.
const InFlight = 100 * time.Millisecond

// delivery is how far a room is told to its pod.
type delivery struct {
	// needed numbers the needs to send the room; had is the last one that what was sent meets.
	// urgent says that somebody is to be put out by what has changed.
	needed, had uint64
	urgent      bool
	// revision is that of the last message to the pod, acked the last one that the pod has applied.
	revision, acked uint64
	// room is what was sent last to this pod, at a time; nil when nothing was. connections are
	// those in it.
	room        *controlv1.Room
	at          time.Time
	connections map[types.UID]told
	// closing says that the pod is to close it; closed that it has. silent says that nobody is told
	// then.
	closing, closed, silent bool
	// evicting are the Connections that are being deleted and are not known to be out.
	evicting map[types.UID]*eviction
}

// told is a Connection in the room that was sent last.
type told struct {
	name       types.NamespacedName
	generation int64
}

// eviction is a Connection that waits until the pod has applied a room without it.
type eviction struct {
	name types.NamespacedName
	// need is the one that it has made, revision the first message that meets it; 0 when none was
	// sent.
	need, revision uint64
}

// restart begins anew with another pod.
func (d *delivery) restart() {
	d.acked, d.room, d.at, d.connections = 0, nil, time.Time{}, nil
	d.closing, d.closed = false, false
}

// wait returns how long what has changed has to wait for the pod's answer.
func (d *delivery) wait(now time.Time) time.Duration {
	if d.urgent || d.room == nil || d.revision <= d.acked {
		return 0
	}
	return max(0, d.at.Add(InFlight).Sub(now))
}

// Sending says what is to be sent of a room.
type Sending struct {
	// Need identifies the present need. It goes back with what is built from what was read after
	// it.
	Need uint64
	// Outdated says that something has changed since the room was sent last, or that it never was;
	// After that the pod's answer is awaited, for so long.
	Outdated bool
	After    time.Duration
	// Generation is that of the Session which was sent last, at a time; 0 when none was.
	Generation int64
	At         time.Time
	// Standby is what was sent last of the room's standby, nil when there was none. It is not to be
	// changed.
	Standby *controlv1.RoomStandby
	// Recordings are what was sent last of the room's recordings. They are not to be changed.
	Recordings []*controlv1.Recording
}

func (d *delivery) view(now time.Time) Sending {
	return Sending{
		Need: d.needed, Outdated: d.room == nil || d.needed > d.had, After: d.wait(now), Generation: d.room.GetGeneration(), At: d.at,
		Standby: d.room.GetStandby(), Recordings: d.room.GetRecordings(),
	}
}

// outdate notes that a room is to be sent again, and has its Session woken when that may be. The
// table is locked.
func (t *Table) outdate(r *room, urgent bool, woken *wakes) {
	d := &r.delivery
	d.needed++
	d.urgent = d.urgent || urgent
	if r.at.Pod == "" || d.closing {
		return
	}
	after := d.wait(t.clock.Now())
	if after == 0 {
		woken.session(r.Name)
		return
	}
	if woken.later == nil {
		woken.later = make(map[types.NamespacedName]time.Duration)
	}
	woken.later[r.Name] = after
}

// Require has a room sent again, unless this generation of a Connection was in what was sent last,
// or that is to be sent again anyway.
func (t *Table) Require(session, connection types.UID, generation int64) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[session]; known && r.delivery.connections[connection].generation < generation {
		t.outdate(r, false, &woken)
	}
	t.mu.Unlock()
	t.wake(woken)
}

// Send gives the pod of a room its desired state, which the table keeps. need is the one that the
// room was built for, and pod the one; names are those of the Connections in it. Nothing is sent of
// a room that is being closed, or is on another pod: what users have there would not be in it.
func (t *Table) Send(pod string, desired *controlv1.Room, names map[types.UID]types.NamespacedName, need uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uid := types.UID(desired.GetUid())
	r, known := t.rooms[uid]
	if !known || pod == "" || r.at.Pod != pod || r.delivery.closing {
		return
	}
	d := &r.delivery
	d.revision++
	desired.Revision = d.revision
	d.room, d.at, d.had = desired, t.clock.Now(), need
	d.urgent = d.urgent && d.needed > need
	d.connections = make(map[types.UID]told, len(desired.GetConnections()))
	for _, c := range desired.GetConnections() {
		d.connections[types.UID(c.GetUid())] = told{names[types.UID(c.GetUid())], c.GetGeneration()}
	}
	for _, e := range d.evicting {
		if e.revision == 0 && e.need <= need {
			e.revision = d.revision
		}
	}
	t.outbox.Send(pod, uid, message(desired))
	t.handOver()
}

// Evict has a Connection that is being deleted put out of its room and says whether it is: the pod
// has confirmed a room without it, or there is no such room any more. Until then the pod's answers
// wake it. The cache must show the deletion already.
func (t *Table) Evict(c Connection) bool {
	var woken wakes
	t.mu.Lock()
	out := t.evict(c, &woken)
	t.mu.Unlock()
	t.wake(woken)
	return out
}

// evict is Evict. The table is locked.
func (t *Table) evict(c Connection, woken *wakes) bool {
	r, known := t.rooms[c.Session]
	if !known || !t.serves(r) {
		return true
	}
	d := &r.delivery
	e, begun := d.evicting[c.UID]
	if !begun {
		t.outdate(r, true, woken)
		if d.evicting == nil {
			d.evicting = make(map[types.UID]*eviction)
		}
		d.evicting[c.UID] = &eviction{name: c.Name, need: d.needed}
		return false
	}
	if _, there := r.seen.connections[c.UID]; there || e.revision == 0 || d.acked < e.revision {
		return false
	}
	delete(d.evicting, c.UID)
	return true
}

// Close asks the pod to close a room and says whether it has: also when the room is on no pod, or
// its pod is lost. The pod's answer wakes the Session. silent says that nobody is to be told of the
// end.
func (t *Table) Close(session types.UID, silent bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, known := t.rooms[session]
	if !known || !t.serves(r) {
		return true
	}
	d := &r.delivery
	if !d.closing {
		d.closing, d.silent = true, silent
		d.revision++
		t.outbox.Send(r.at.Pod, session, removal(session, d.revision, silent))
		t.relinquish(r)
		t.handOver()
	}
	return false
}

// Snapshot returns everything that a pod is to be told of rooms when a stream to it begins. It
// waits until the Room of each has been built: a room that is not named to its pod is closed there.
func (t *Table) Snapshot(ctx context.Context, pod string) ([]*controlv1.OperatorMessage, error) {
	for {
		messages, missing, changed := t.snapshot(pod)
		if len(missing) == 0 {
			return messages, nil
		}
		t.wake(wakes{sessions: missing})
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// snapshot returns what is to be told of the rooms on a pod, the Sessions whose Room was not built
// yet, and what is closed when that may have changed.
func (t *Table) snapshot(pod string) (messages []*controlv1.OperatorMessage, missing []types.NamespacedName, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uid, r := range t.rooms {
		d := &r.delivery
		switch {
		case r.standby.Pod == pod && r.standby.message != nil:
			messages = append(messages, r.standby.message)
		case r.leaves != nil && r.leaves.pod == pod && r.leaves.room != nil:
			messages = append(messages, message(r.leaves.room))
		case r.at.Pod != pod:
		case d.closing:
			messages = append(messages, removal(uid, d.revision, d.silent))
		case d.room == nil:
			missing = append(missing, r.Name)
		default:
			messages = append(messages, message(d.room))
		}
	}
	return messages, missing, t.handed
}

// handOver lets the snapshots that wait look again. The table is locked.
func (t *Table) handOver() {
	close(t.handed)
	t.handed = make(chan struct{})
}

func message(room *controlv1.Room) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: room}}
}

func removal(session types.UID, revision uint64, silent bool) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{
		RemoveRoom: &controlv1.RemoveRoom{Uid: string(session), Revision: revision, Silent: silent},
	}}
}
