package session

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// action is one write of a pass. Actions are ordered.
type action struct {
	kind actionKind
	// reason is why, for the log and the Event.
	reason string
	// sent is what the pod is sent then; nil for what sends nothing.
	sent *sent
	// users are the Connections that are given up; nil for what gives up none.
	users []types.UID
	// candidates are the pods of which one may follow the room. Without any, keep has the one do so
	// still that does.
	candidates []placement.Candidate
	keep       bool
}

// comebackBound is how long the users of a room whose pod was lost stay in it while no other pod
// has a place for it. A pool that makes a pod for it needs some seconds, or more where a node is
// made as well.
const comebackBound = 2 * time.Minute

// sent is the desired state of a room, and whose Connections are in it.
type sent struct {
	room  *controlv1.Room
	names map[types.UID]types.NamespacedName
}

// plan is what to write, apart from the status, and when to look again; 0 is never.
type plan struct {
	actions []action
	again   time.Duration
}

type actionKind string

const (
	// addFinalizer makes a deletion wait until the room is closed.
	addFinalizer actionKind = "AddFinalizer"
	// unassign takes the room off a pod that is lost.
	unassign actionKind = "Unassign"
	// assign reserves capacity on a pod and sends it the room, or has the Session wait.
	assign actionKind = "Assign"
	// move puts a room without users on another pod than one that drains.
	move actionKind = "Move"
	// handOver puts a room on its standby, in agreement with a pod that drains.
	handOver actionKind = "HandOver"
	// protect has another pod follow the room, if there is one.
	protect actionKind = "Protect"
	// unprotect has no pod follow it.
	unprotect actionKind = "Unprotect"
	// send sends the room to the pod that it is on.
	send actionKind = "Send"
	// giveUp has the users be out whose room is on no pod.
	giveUp actionKind = "GiveUp"
	// release gives up what is held for a Session that is not accepted.
	release actionKind = "Release"
	// remove deletes the Session.
	remove actionKind = "Remove"
	// collect deletes the Session, and nobody is told.
	collect actionKind = "Collect"
)

// makePlan decides what to write, apart from the status. It is pure.
func makePlan(o observed) plan {
	var p plan
	if o.rival != nil {
		if o.room.Known {
			p.giveUp(o, "their Session is not accepted any more")
			p.add(release, "an older Session has this sessionID", nil)
		}
		return p
	}
	if !o.finalizing() {
		p.add(addFinalizer, "the room has to be closed before the Session goes", nil)
	}
	if emptied(o) {
		p.add(remove, "the last user has left and whenEmpty is Delete", nil)
		return p
	}
	if waste(o) {
		p.add(collect, "nobody has ever joined it, and it is old", nil)
		return p
	}
	p.place(o)
	return p
}

func (p *plan) add(kind actionKind, reason string, sent *sent) {
	p.actions = append(p.actions, action{kind: kind, reason: reason, sent: sent})
}

// giveUp has users be out who are in the room, if that is on no pod that lives.
func (p *plan) giveUp(o observed, reason string) {
	if o.hasPod() {
		return
	}
	var users []types.UID
	for _, c := range o.connections {
		if stateOf(o, c) == v1alpha1.ConnectionStateActive {
			users = append(users, c.UID)
		}
	}
	if users != nil {
		p.actions = append(p.actions, action{kind: giveUp, reason: reason, users: users})
	}
}

// hasPod says whether the room is on a pod that is not lost.
func (o observed) hasPod() bool { return o.room.Pod != "" && o.pod.State != fleet.Lost }

// place decides where the room is to be, and what its pod is sent.
func (p *plan) place(o observed) {
	hasPod := o.hasPod()
	if o.room.Pod != "" && !hasPod {
		p.add(unassign, "the media pod was lost", nil)
	}
	drains := o.pod.Draining && o.pod.State == fleet.Synced && !o.foreign && o.room.Leaves == ""
	if hasPod {
		p.protect(o)
	}
	switch {
	case hasPod && drains && o.standbyCouldServe():
		p.add(handOver, "the media pod drains and the standby can go on with the room", desiredRoom(o, true))
		p.keep(o) // for when it can't any more
	case hasPod && drains && count(o, v1alpha1.ConnectionStateActive) == 0 && len(o.candidates) > 0:
		p.add(move, "the media pod drains and nobody is in the room", desiredRoom(o, true))
		p.keep(o) // for when no other pod has room
	case hasPod:
		p.keep(o)
	case o.foreign && o.room.Known:
		p.giveUp(o, "the pool does not host their Session any more")
		p.add(release, "the pool does not host the Sessions of this namespace", nil)
	case o.foreign:
	case o.pool != nil:
		p.seek(o)
	case o.room.Known:
		p.giveUp(o, "the pool of their Session is gone")
		p.add(release, "the pool is gone", nil)
	}
}

// seek decides about a room that is on no pod. Who was in it when its pod was lost is sent along,
// until it took too long to find another.
func (p *plan) seek(o observed) {
	if lost := o.room.Lost; !lost.IsZero() && count(o, v1alpha1.ConnectionStateActive) > 0 {
		if p.again = lost.Add(comebackBound).Sub(o.now); p.again <= 0 {
			p.again = 0
			p.giveUp(o, "their media pod was lost, and no other one has taken the room")
			return // the next pass looks for a pod without them
		}
	}
	if o.standbyMayServe() {
		return // it is about to say so
	}
	p.add(assign, "the room is on no media pod", desiredRoom(o, true))
}

// keep decides whether the pod that the room is on is sent it.
func (p *plan) keep(o observed) {
	last := o.room.Sending
	var reason string
	expire := last.At.Add(desired.Period)
	switch {
	case last.Generation < o.session.Generation:
		reason = "the media pod was not sent this generation"
	case last.Outdated:
		reason = "what the media pod was sent is outdated"
	case !proto.Equal(last.Standby, roomStandby(o, false)):
		reason = "what the media pod was sent of the standby is outdated"
	case !proto.Equal(&controlv1.Room{Recordings: last.Recordings}, &controlv1.Room{Recordings: roomRecordings(o)}):
		reason = "what the media pod was sent of recordings is outdated"
	case !o.now.Before(expire):
		reason = "the credentials that the media pod was sent expire"
	default:
		p.again = expire.Sub(o.now)
		return
	}
	if p.again = last.After; p.again == 0 {
		p.add(send, reason, desiredRoom(o, false))
	}
}

// overPeriod is how long pods are told of who has left.
const overPeriod = 10 * time.Minute

// desiredRoom returns the room as it is to be: with who holds a place, and who has just left. Those
// hold none any more, but the pod keeps knowing about them for overPeriod: a status that is lost
// can be rebuilt. A Session may keep thousands who have left. Of who
// is in the room the pod is told what is known, unless it has told of them itself. elsewhere says
// that the room is for another pod than the one that it is on.
func desiredRoom(o observed, elsewhere bool) *sent {
	state := func(c *v1alpha1.Connection) v1alpha1.ConnectionState { return stateOf(o, c) }
	in := desired.Input{
		Session: o.session, Media: o.media, State: state, Identity: o.identity, Keys: o.keys, Begun: o.begun,
		DefaultNamespace: o.defaultNamespace, Now: o.now,
		Presence: func(c *v1alpha1.Connection) *controlv1.Presence {
			if o.room.Held[c.UID] && !elsewhere {
				return nil
			}
			return participant.Presence(c.Status, o.room.Seen[c.UID])
		},
	}
	if o.pool != nil {
		in.IceServers, in.Bandwidth = o.pool.Spec.IceServers, o.pool.Spec.Bandwidth
	}
	in.Standby = roomStandby(o, elsewhere)
	in.Recordings, in.Recorded = roomRecordings(o), recorded(o)
	in.ForceMute = o.room.ForceMute
	names := make(map[types.UID]types.NamespacedName, len(o.connections))
	for _, c := range o.connections {
		if c.Spec.Type != v1alpha1.ConnectionTypeIPCam && (o.room.Admitted[c.UID] || state(c) != v1alpha1.ConnectionStatePending) && !over(o, c) {
			in.Connections = append(in.Connections, c)
			names[c.UID] = client.ObjectKeyFromObject(c)
		}
	}
	return &sent{desired.Room(in), names}
}

// over says that somebody has left a while ago, or never came in time, and that status says so.
func over(o observed, c *v1alpha1.Connection) bool {
	ended := c.Status.DisconnectedTime
	return c.Status.State == v1alpha1.ConnectionStateDisconnected &&
		(hasExpired(c) || ended != nil && o.now.Sub(ended.Time) >= overPeriod)
}

// hasExpired says that the token of a Connection has expired before anybody has used it.
func hasExpired(c *v1alpha1.Connection) bool {
	return c.Status.DisconnectReason == string(reasons.TokenExpired)
}

// emptied says whether the last user has left a Session that is to be deleted then: there was one,
// and there is none. Who is being put out is still there: their end has a reason of its own. A
// Session that is recorded stays until that has stopped (openvidu-rest 6.8).
func emptied(o observed) bool {
	if o.session.Spec.WhenEmpty != v1alpha1.WhenEmptyDelete || count(o, v1alpha1.ConnectionStateActive) > 0 || recorded(o) {
		return false
	}
	if leavingActive(o) {
		return false
	}
	return somebodyLeft(o) || o.session.Status.ActiveConnections > 0 || o.room.Visited
}

// somebodyLeft says whether somebody was in the room, and has left: who never came has not.
func somebodyLeft(o observed) bool {
	return slices.ContainsFunc(o.connections, func(c *v1alpha1.Connection) bool {
		return stateOf(o, c) == v1alpha1.ConnectionStateDisconnected && !hasExpired(c)
	})
}

// leavingActive says whether somebody who is in the room is being put out.
func leavingActive(o observed) bool {
	for _, c := range o.leaving {
		if stateOf(o, c) == v1alpha1.ConnectionStateActive {
			return true
		}
	}
	return false
}

// count returns how many Connections are in a state.
func count(o observed, state v1alpha1.ConnectionState) int {
	n := 0
	for _, c := range o.connections {
		if stateOf(o, c) == state {
			n++
		}
	}
	return n
}

// stateOf returns how far a Connection has come.
func stateOf(o observed, c *v1alpha1.Connection) v1alpha1.ConnectionState {
	return participant.State(c.Status.State, o.room.Seen[c.UID])
}
