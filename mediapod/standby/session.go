package standby

import (
	"context"
	"time"

	"mediarooms.dev/mediarooms/internal/grpcstream"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

// wantInterval is how often a room is asked for that the other pod does not let follow: it may not
// have been told yet.
const wantInterval = 500 * time.Millisecond

// session is one stream to the pod that is followed. All of it belongs to the follower's goroutine.
type session struct {
	follower *follower
	stream   standbyv1.Standby_FollowClient
	acks     *lease.Acks
	wanted   map[string]*followed // what was asked for, by uid
	refused  map[string]time.Time // what was refused, and when
}

// run follows until the stream ends, or is of no use any more.
func (s *session) run(ctx context.Context) error {
	messages, failed := grpcstream.Receive(s.stream.Context(), s.stream.Recv)
	claiming := time.NewTicker(claimInterval)
	defer claiming.Stop()
	for {
		if err := s.ask(); err != nil {
			return err
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err = <-failed:
		case message := <-messages:
			err = s.take(message)
		case room := <-s.follower.askedFor:
			err = s.send(&standbyv1.StandbyMessage{Message: &standbyv1.StandbyMessage_HandOver{
				HandOver: &standbyv1.HandOver{Uid: room.uid},
			}})
		case relayed := <-s.follower.relayed:
			err = s.send(&standbyv1.StandbyMessage{Message: &standbyv1.StandbyMessage_Relay{Relay: relayed}})
		case <-s.follower.wake:
		case now := <-claiming.C:
			s.follower.decide(now)
			if s.acks.Over(now) {
				err = errSilent
			}
		}
		if err != nil {
			return err
		}
		if len(s.wanted) == 0 && s.follower.isEmpty() {
			return errIdle
		}
	}
}

func (s *session) send(message *standbyv1.StandbyMessage) error { return s.stream.Send(message) }

// ask asks for the rooms that were not asked for yet, and gives up those that are not wanted any
// more.
func (s *session) ask() error {
	now := time.Now()
	rooms := s.follower.all()
	wanted := make(map[string]*followed, len(rooms))
	for _, r := range rooms {
		wanted[r.uid] = r
	}
	for uid, r := range s.wanted {
		if wanted[uid] == r {
			continue
		}
		delete(s.wanted, uid)
		if r.owned() {
			continue
		}
		if err := s.want(&standbyv1.Want{Uid: uid, Drop: true}); err != nil {
			return err
		}
	}
	for uid, r := range wanted {
		if s.wanted[uid] != nil || now.Sub(s.refused[uid]) < wantInterval || r.owned() {
			continue
		}
		s.wanted[uid] = r
		if err := s.want(&standbyv1.Want{Uid: uid, Secret: r.secret, Port: int32(s.follower.engine.config.ControlPort())}); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) want(want *standbyv1.Want) error {
	return s.send(&standbyv1.StandbyMessage{Message: &standbyv1.StandbyMessage_Want{Want: want}})
}

// take takes in what the other pod says.
func (s *session) take(message *standbyv1.PrimaryMessage) error {
	switch m := message.GetMessage().(type) {
	case *standbyv1.PrimaryMessage_Media:
		if r := s.wanted[m.Media.GetUid()]; r != nil {
			r.take(m.Media)
		}
	case *standbyv1.PrimaryMessage_Complete:
		if r := s.wanted[m.Complete.GetUid()]; r != nil {
			r.complete(s.acks)
		}
	case *standbyv1.PrimaryMessage_Beat:
		return s.beat(m.Beat.GetNumber())
	case *standbyv1.PrimaryMessage_HandedOver:
		if r := s.wanted[m.HandedOver.GetUid()]; r != nil {
			r.handedOver()
		}
	case *standbyv1.PrimaryMessage_Refused:
		return s.takeRefused(m.Refused)
	}
	return nil
}

// beat acknowledges everything that has come.
func (s *session) beat(number uint64) error {
	if !s.acks.Heard(number, time.Now()) {
		return errSilent
	}
	for _, r := range s.wanted {
		r.acknowledged()
	}
	return s.send(&standbyv1.StandbyMessage{Message: &standbyv1.StandbyMessage_Ack{Ack: &standbyv1.Ack{Number: number}}})
}

// takeRefused gives a room up that is not to be followed, and agrees to that.
func (s *session) takeRefused(refused *standbyv1.Refused) error {
	uid := refused.GetUid()
	r := s.wanted[uid]
	if r == nil {
		return nil
	}
	s.follower.engine.config.Log.V(1).Info("A room is not followed", "room", uid, "reason", refused.GetReason())
	delete(s.wanted, uid)
	s.refused[uid] = time.Now()
	if r.owned() {
		return nil
	}
	r.restart()
	return s.want(&standbyv1.Want{Uid: uid, Drop: true})
}
