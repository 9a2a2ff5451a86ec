package rooms

import (
	"crypto/rand"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// This file holds every rule of standbys: which pod follows a room, what the two are told of each
// other, and what becomes of the room when its pod is lost.
//
//	             Protect               READY                   SERVING, Assign, HandOver
//	no standby ---------> BEHIND <-------------> READY ----------------------------------> the room's pod
//	     ^                   |                     |
//	     +-------------------+---------------------+  the standby is lost, Unprotect, Move
//
// The pods do not wait for the operator: a standby that takes over says so (SERVING), and the room
// is on it from then on. The pod before is told nothing. It forgets a room that it has lost to its
// standby without a word to anybody, whereas to be told to close it would put users out who are in
// the room elsewhere.

// secretBytes is how long the secret is that a standby shows to the pod that it follows.
const secretBytes = 32

// Host is the pod that serves a room, as its standby is told of it. Nothing of it ever changes for
// a name.
type Host struct {
	// Pod is its name, Node its node's.
	Pod, Node string
	// UID of the Pod object, and the address of its control port, HOST:PORT. Both are empty while
	// it is not known where the pod is.
	UID, Address string
}

// StandbyView is a room's standby as the table has it.
type StandbyView struct {
	// Pod is its name, "" when there is none; Follows is the pod that it follows.
	Pod, Follows string
	// Secret is what it shows to the pod that it follows. It is told to both, and to nobody else.
	Secret []byte
	// State is what it has said last to this leader, and unspecified before.
	State controlv1.StandbyState
	// Sought says that there is to be a standby, or a better one, and no pod was found.
	Sought bool
}

// Able says whether the standby could go on with the room, as far as it has said.
func (s StandbyView) Able() bool {
	return s.State == controlv1.StandbyState_STANDBY_STATE_READY || s.State == controlv1.StandbyState_STANDBY_STATE_SERVING
}

// Takeover is how a room has come to its pod: the pod had followed it.
type Takeover struct {
	// From is the pod that it was on before, To the one that it is on; both are empty for a room
	// that has come to its pod otherwise.
	From, To string
	// Cause is what the pod says of it (StandbyStatus.cause), "" as long as it has not.
	Cause string
}

// standby is what the table knows of a room's standby, guarded by Table.mu.
type standby struct {
	StandbyView
	// message has the pod follow the room; nil while it is not known where the other one is.
	message *controlv1.OperatorMessage
}

// handover is a room that its pod is to give to its standby in good order. That pod is told of the
// room as before, should it have to be told, until the standby has taken it.
type handover struct {
	pod  string
	room *controlv1.Room
}

// Protect finds a standby, among the candidates, for a room that is on a host, in place of the one
// that it may have. Without any the present one stays if it is to be kept, and the Session is woken
// when there may be another.
func (t *Table) Protect(session types.UID, host Host, candidates []placement.Candidate, keep bool) (pod string, found bool) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[session]; known && r.at.Pod != "" && r.at.Pod == host.Pod && !r.delivery.closing {
		var chosen placement.Candidate
		if chosen, found = placement.Standby(t.fill(candidates), host.Pod, host.Node, t.clock.Now()); found {
			t.unfollow(r)
			t.follow(r, chosen.Pod, host)
			pod, r.standby.Sought = chosen.Pod, chosen.Node == host.Node
			woken.session(r.Name) // its pod is to be told
		} else {
			if !keep && r.standby.Pod != "" {
				t.unfollow(r)
				woken.session(r.Name)
			}
			r.standby.Sought = true
		}
	}
	t.mu.Unlock()
	t.wake(woken)
	return pod, found
}

// Unprotect has no pod follow a room any more.
func (t *Table) Unprotect(session types.UID) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[session]; known {
		if r.standby.Pod != "" {
			woken.session(r.Name)
		}
		t.unfollow(r)
	}
	t.mu.Unlock()
	t.wake(woken)
}

// follow makes a pod the standby of a room. The secret is another one each time. The table is
// locked.
func (t *Table) follow(r *room, pod string, host Host) {
	secret := make([]byte, secretBytes)
	rand.Read(secret) // it never fails
	r.standby = standby{StandbyView: StandbyView{Pod: pod, Follows: host.Pod, Secret: secret}}
	if host.UID == "" {
		return
	}
	r.standby.message = &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Standby{Standby: &controlv1.Standby{
		Uid: string(r.UID), PodUid: host.UID, Address: host.Address, Secret: secret,
	}}}
	t.outbox.Send(pod, r.UID, r.standby.message)
}

// unfollow has a room be without a standby; the one that there was is told. The table is locked.
func (t *Table) unfollow(r *room) {
	if pod := r.standby.Pod; pod != "" {
		t.outbox.Send(pod, r.UID, &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Standby{
			Standby: &controlv1.Standby{Uid: string(r.UID), Drop: true},
		}})
	}
	r.standby = standby{}
}

// ObserveStandby takes in what a pod says of a room that it follows. It reports whether the pod has
// to do with the room: what others say counts for nothing.
func (t *Table) ObserveStandby(pod string, status *controlv1.StandbyStatus) bool {
	var woken wakes
	t.mu.Lock()
	r, known := t.rooms[types.UID(status.GetUid())]
	serving := status.GetState() == controlv1.StandbyState_STANDBY_STATE_SERVING
	switch {
	case !known || pod != r.standby.Pod && pod != r.at.Pod:
		known = false
	case pod == r.at.Pod:
		// It was given the room, as its standby, and has it now.
		if serving && r.taken.To == pod {
			r.tookOver(status.GetCause())
		}
	case serving:
		t.takeOver(r, &woken)
		r.tookOver(status.GetCause())
	case r.standby.State != status.GetState():
		r.standby.State = status.GetState()
		woken.session(r.Name)
	}
	t.mu.Unlock()
	t.wake(woken)
	return known
}

// takeOver puts a room on its standby, which serves it already, whatever else is reserved there.
// The table is locked.
func (t *Table) takeOver(r *room, woken *wakes) {
	before, pod := r.at.Pod, r.standby.Pod
	r.standby.State = controlv1.StandbyState_STANDBY_STATE_SERVING
	if before != "" {
		t.outbox.Withdraw(before, r.UID) // it would make the room anew
	}
	for _, c := range r.delivery.connections {
		woken.connection(c.name)
	}
	t.settle(r, pod)
	woken.pool = r.Pool
	woken.session(r.Name)
	woken.session(t.unplaced(r.Pool)...)
	woken.connection(t.waiting.of(r.UID)...)
	woken.connection(t.admissible(before)...)
}

// tookOver notes, once, why the pod of a room has taken it over. The table is locked.
func (r *room) tookOver(cause string) {
	if r.taken.Cause != "" {
		return
	}
	switch cause {
	case CauseEnded, CauseSilent, CauseMoved:
		r.taken.Cause = cause
	default:
		r.taken.Cause = causeUnknown
	}
	takeovers.WithLabelValues(r.taken.Cause).Inc()
}

// HandOver has a pod give a room to its standby, if that could go on with it now, whatever else is
// reserved there. The pod does so when the standby asks for it.
func (t *Table) HandOver(session types.UID, from string) (pod string, handed bool) {
	var woken wakes
	t.mu.Lock()
	r, known := t.rooms[session]
	if known && r.at.Pod == from && r.leaves == nil && !r.delivery.closing && r.standby.Able() && t.open(r.standby.Pod) {
		leaves := &handover{from, r.delivery.room}
		pod, handed = r.standby.Pod, true
		t.takeOver(r, &woken)
		r.leaves = leaves
	}
	t.mu.Unlock()
	t.wake(woken)
	return pod, handed
}

// open says whether rooms may be put on a pod. The table is locked.
func (t *Table) open(pod string) bool { return !t.cordoned[pod] && t.outbox.Has(pod) }

// heir returns the standby of a room that is on no pod, if it is among the candidates and could go
// on with the room. The table is locked.
func (t *Table) heir(r *room, candidates []placement.Candidate) (string, bool) {
	if !r.standby.Able() {
		return "", false
	}
	for _, c := range t.fill(candidates) {
		if c.Pod == r.standby.Pod {
			return c.Pod, true
		}
	}
	return "", false
}

// settle has a room be on a pod from now on. Its standby is no standby any more, and knows so from
// the Room if it is that pod. The table is locked.
func (t *Table) settle(r *room, pod string) {
	r.taken = Takeover{}
	switch {
	case r.standby.Pod != pod:
		t.unfollow(r)
	case r.standby.Able():
		r.taken = Takeover{From: r.standby.Follows, To: pod}
	}
	r.standby, r.leaves = standby{}, nil
	r.at, r.lost = Assignment{Pod: pod, Epoch: r.at.Epoch + 1}, time.Time{}
	r.delivery.restart()
	r.seen.restart(r.at.Epoch)
	t.handOver()
}

// relinquish has the pod close a room that was to give it to its standby. The table is locked.
func (t *Table) relinquish(r *room) {
	if r.leaves != nil {
		t.outbox.Send(r.leaves.pod, r.UID, removal(r.UID, 0, true))
		r.leaves = nil
	}
}

// on says whether a room is on a pod, or still has to be given up by it.
func (r *room) on(pod string) bool {
	return r.at.Pod == pod || r.leaves != nil && r.leaves.pod == pod
}

// loseStandby takes in that a pod is lost which follows rooms, or was to give them up. The table is
// locked.
func (t *Table) loseStandby(r *room, pod string, woken *wakes) {
	if r.leaves != nil && r.leaves.pod == pod {
		r.leaves, woken.pool = nil, r.Pool
	}
	if r.standby.Pod == pod {
		r.standby = standby{StandbyView: StandbyView{Sought: true}}
		woken.session(r.Name)
	}
}
