package control

import (
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// step is one thing that a message of the operator makes the pod do. Exactly one field but standby
// and the revision is set.
type step struct {
	configure *Config
	apply     *room.Desired
	// standby goes with apply: nil for none.
	standby *Standby
	remove  *removal
	ack     *acknowledgement
	follow  *following
	// synced says that the operator has sent everything that it knows.
	synced   bool
	revision uint64
}

// following is a room that the pod is to be the standby of, or no longer.
type following struct {
	uid     string
	primary Primary
	drop    bool
}

// removal is the end of a room. One that was asked for is confirmed.
type removal struct {
	uid               string
	reason            reasons.Reason
	silent, confirmed bool
}

// acknowledgement says that the operator has dealt with a room's events up to a sequence.
type acknowledgement struct {
	uid      string
	sequence uint64
}

// plan says what a message means, without doing any of it. The named rooms are those that the
// operator has sent on this stream so far; the present ones are those that the pod has. Messages
// that this version does not know mean nothing.
func plan(message *controlv1.OperatorMessage, named map[string]uint64, present []string) ([]step, error) {
	switch m := message.GetMessage().(type) {
	case *controlv1.OperatorMessage_Config:
		config, err := podConfig(m.Config)
		if err != nil {
			return nil, err
		}
		return []step{{configure: &config}}, nil
	case *controlv1.OperatorMessage_Room:
		desired, err := desiredRoom(m.Room)
		if err != nil {
			return nil, err
		}
		standby, err := roomStandby(m.Room.GetStandby())
		if err != nil {
			return nil, err
		}
		return []step{{apply: &desired, standby: standby, revision: m.Room.GetRevision()}}, nil
	case *controlv1.OperatorMessage_Standby:
		follow, err := toFollow(m.Standby)
		if err != nil {
			return nil, err
		}
		return []step{{follow: &follow}}, nil
	case *controlv1.OperatorMessage_RemoveRoom:
		reason := reasons.Reason(m.RemoveRoom.GetReason())
		if reason == "" {
			reason = reasons.SessionClosedByServer
		}
		return []step{{
			remove:   &removal{uid: m.RemoveRoom.GetUid(), reason: reason, silent: m.RemoveRoom.GetSilent(), confirmed: true},
			revision: m.RemoveRoom.GetRevision(),
		}}, nil
	case *controlv1.OperatorMessage_AckEvents:
		return []step{{ack: &acknowledgement{uid: m.AckEvents.GetUid(), sequence: m.AckEvents.GetSequence()}}}, nil
	case *controlv1.OperatorMessage_SnapshotEnd:
		var steps []step
		for _, uid := range present {
			if _, desired := named[uid]; !desired {
				steps = append(steps, step{remove: &removal{uid: uid, reason: reasons.SessionClosedByServer}})
			}
		}
		return append(steps, step{synced: true}), nil
	}
	return nil, nil
}
