package control

import (
	"context"
	"fmt"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
)

// Standbys are the rooms that this pod shares with others. Its methods are safe for concurrent use.
type Standbys interface {
	// Protect sets the standby of a room that this pod serves, nil for none.
	Protect(room string, by *Standby)
	// Follow has this pod be the standby of a room, and Unfollow no longer. Keep ends it for all
	// that are not named, and that it has not taken over.
	Follow(room string, primary Primary)
	Unfollow(room string)
	Keep(named map[string]bool)
	// IsLostTo says whether another pod, by its UID, has taken a room over from this one.
	IsLostTo(room, pod string) bool
	// GiveUp lets a room go that another pod may serve by now, whose clients find it there. It
	// says whether that is so.
	GiveUp(room string) bool
	// Serve has this pod take a room over that it is the standby of, before it is made here. It
	// returns in bounded time. Served says that the room is made.
	Serve(ctx context.Context, room string)
	Served(room string)
	// Followed are the rooms that this pod is the standby of, Status how far it is.
	Followed() []string
	Status(room string) StandbyStatus
	// Changed has an element whenever TakeChanged has a room to name whose status has changed.
	Changed() <-chan struct{}
	TakeChanged() []string
}

// Standby is the pod that goes on with a room when this one is lost.
type Standby struct {
	PodUID     string
	Advertised []Address
	Secret     []byte
}

// Primary is the pod that serves a room which this pod is the standby of.
type Primary struct {
	PodUID, Address string
	Secret          []byte
}

// StandbyState is how far this pod is the standby of a room.
type StandbyState int

// The states of a standby.
const (
	NoStandby StandbyState = iota
	StandbyBehind
	StandbyReady
	StandbyServing
)

// StandbyStatus is the state, and for StandbyServing why and since when.
type StandbyStatus struct {
	State     StandbyState
	Cause     string
	TakenOver time.Time
}

// secretBytes is how long a secret is that a standby shows.
const secretBytes = 32

func roomStandby(message *controlv1.RoomStandby) (*Standby, error) {
	if message == nil {
		return nil, nil
	}
	standby := &Standby{PodUID: message.GetPodUid(), Secret: message.GetSecret()}
	var err error
	if standby.Advertised, err = addresses(message.GetAdvertised()); err != nil {
		return nil, err
	}
	if standby.PodUID == "" || len(standby.Secret) != secretBytes {
		return nil, fmt.Errorf("standby %q with a secret of %d bytes: %w", standby.PodUID, len(standby.Secret), errInvalid)
	}
	return standby, nil
}

func toFollow(message *controlv1.Standby) (following, error) {
	follow := following{
		uid: message.GetUid(), drop: message.GetDrop(),
		primary: Primary{PodUID: message.GetPodUid(), Address: message.GetAddress(), Secret: message.GetSecret()},
	}
	p := follow.primary
	if follow.uid == "" || !follow.drop && (p.PodUID == "" || p.Address == "" || len(p.Secret) != secretBytes) {
		return follow, fmt.Errorf("standby of room %q on pod %q at %q: %w", follow.uid, p.PodUID, p.Address, errInvalid)
	}
	return follow, nil
}

// follow has the pod be a standby, or no longer. The server is locked.
func (st *stream) follow(what following) {
	standbys := st.server.standbys
	switch {
	case standbys == nil:
	case what.drop:
		standbys.Unfollow(what.uid)
	default:
		st.followed[what.uid] = true
		standbys.Follow(what.uid, what.primary)
	}
}

// remove ends a room. The server is locked.
func (st *stream) remove(what removal) {
	rooms, standbys := st.server.rooms, st.server.standbys
	switch {
	case !what.confirmed && standbys != nil && standbys.GiveUp(what.uid):
		// The operator does not name it, since its standby has told that it serves it.
		st.server.log.Info("Letting a room go that its standby may serve", "room", what.uid)
	case what.silent:
		rooms.RemoveSilently(what.uid, what.reason)
	default:
		rooms.Remove(what.uid, what.reason)
	}
	delete(st.named, what.uid)
	if standbys != nil {
		standbys.Protect(what.uid, nil)
	}
	st.reports.forget(what.uid)
}

// apply makes a room be as desired, after it was taken over where this pod is its standby. The
// server is locked.
func (st *stream) apply(what step) {
	standbys := st.server.standbys
	if standbys != nil && what.standby != nil && standbys.IsLostTo(what.apply.UID, what.standby.PodUID) {
		st.server.log.Info("Ignoring a room that its standby has taken over", "room", what.apply.UID)
		return
	}
	if standbys != nil {
		standbys.Serve(st.grpc.Context(), what.apply.UID)
	}
	st.server.rooms.Apply(*what.apply)
	if standbys != nil {
		standbys.Served(what.apply.UID)
		standbys.Protect(what.apply.UID, what.standby)
	}
}

// standbysChanged is Standbys.Changed; nil without standbys.
func (s *Server) standbysChanged() <-chan struct{} {
	if s.standbys == nil {
		return nil
	}
	return s.standbys.Changed()
}

// queueStandbys queues the status of standbys: of all, or of those that have changed.
func (st *stream) queueStandbys(all bool) {
	standbys := st.server.standbys
	if standbys == nil {
		return
	}
	uids := standbys.TakeChanged()
	if all {
		uids = standbys.Followed()
	}
	for _, uid := range uids {
		status := standbys.Status(uid)
		if status.State == NoStandby {
			continue
		}
		st.unsent = append(st.unsent, &controlv1.PodMessage{Message: &controlv1.PodMessage_Standby{Standby: &controlv1.StandbyStatus{
			Uid: uid, State: controlv1.StandbyState(status.State), Cause: status.Cause, TakenOverUnixMs: events.UnixMilli(status.TakenOver),
		}}})
	}
}
