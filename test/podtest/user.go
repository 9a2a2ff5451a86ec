package podtest

import (
	"context"
	"errors"
	"fmt"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// Address and Platform are what every client says of itself.
const (
	Address  = "192.0.2.7"
	Platform = "Test 1.0"
)

var errNobody = errors.New("there is no such participant")

// user is a client in a room. As a room.Sink it does nothing with what it is told.
type user struct {
	participant *room.Participant
	room        *room.Room
}

func (*user) Notify(room.Notification)     {}
func (*user) Release() []room.Notification { return nil }
func (*user) Finish()                      {}
func (*user) Move()                        {}

// Join has the user of a pending Connection come in.
func (p *Pod) Join(connection, clientData string) error {
	p.mu.Lock()
	key := ""
	for _, desired := range p.record.desired {
		for _, c := range desired.GetConnections() {
			if c.GetUid() == connection {
				key = desired.GetKey()
			}
		}
	}
	rooms := p.rooms
	p.mu.Unlock()
	joined, known := rooms.Lookup(key)
	if !known {
		return fmt.Errorf("joining as %s: the pod has no room %q", connection, key)
	}
	u := &user{room: joined}
	client := room.Client{Metadata: clientData, Address: Address, Platform: Platform}
	request := room.JoinRequest{Token: p.config.Token(connection), Client: client}
	if err := joined.Join(request, u, func(j room.Joined) { u.participant = j.Participant }); err != nil {
		return fmt.Errorf("joining as %s: %w", connection, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[connection] = u
	return nil
}

// Return has a user come back who was in the room on another pod.
func (p *Pod) Return(connection string) error {
	p.mu.Lock()
	key, private := "", ""
	for _, desired := range p.record.desired {
		for _, c := range desired.GetConnections() {
			if c.GetUid() == connection {
				key, private = desired.GetKey(), c.GetRpcSessionId()
			}
		}
	}
	rooms := p.rooms
	p.mu.Unlock()
	u := &user{}
	err := rooms.Resume(key, private, u, func(r room.Resumed) { u.participant, u.room = r.Participant, r.Participant.Room() })
	if err != nil {
		return fmt.Errorf("coming back as %s: %w", connection, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[connection] = u
	return nil
}

// Leave has a user go by itself, be thrown out by a moderator, or lose its network for good.
func (p *Pod) Leave(connection string, reason reasons.Reason) error {
	u, err := p.user(connection)
	if err != nil {
		return err
	}
	switch reason {
	case reasons.Disconnect:
		return u.participant.Leave()
	case reasons.NetworkDisconnect:
		p.mu.Lock()
		p.rooms.SetReconnectWindow(0)
		p.mu.Unlock()
		u.participant.Suspend(u)
		return nil
	case reasons.ForceDisconnectByUser:
		moderator := &user{}
		claims := room.Claims{ConnectionID: "con_moderator", Role: room.Moderator, Privileged: true, Hidden: true}
		if err := u.room.Join(room.JoinRequest{Claims: &claims}, moderator, func(j room.Joined) { moderator.participant = j.Participant }); err != nil {
			return fmt.Errorf("joining as a moderator: %w", err)
		}
		if err := moderator.participant.ForceDisconnect(u.participant.ConnectionID(), func() {}); err != nil {
			return err
		}
		return moderator.participant.Leave()
	}
	return fmt.Errorf("a user does not leave because of %q", reason)
}

// Publish has a user send a stream.
func (p *Pod) Publish(connection, streamID string) error {
	u, err := p.user(connection)
	if err != nil {
		return err
	}
	options := room.StreamOptions{
		HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: room.Camera, FrameRate: 30,
		VideoDimensions: media.Dimensions{Width: 640, Height: 480},
	}
	request := room.PublishRequest{StreamID: streamID, Options: options, SDPOffer: "offer", MaxStreams: 16}
	if err := u.participant.Publish(context.Background(), request, func(room.Stream, string) {}); err != nil {
		return fmt.Errorf("publishing %s: %w", streamID, err)
	}
	return nil
}

// Signal has a user send a message to itself.
func (p *Pod) Signal(connection string) error {
	u, err := p.user(connection)
	if err != nil {
		return err
	}
	return u.participant.Signal([]string{u.participant.ConnectionID()}, room.Signal{})
}

func (p *Pod) user(connection string) (*user, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, known := p.users[connection]
	if !known {
		return nil, fmt.Errorf("finding %s: %w", connection, errNobody)
	}
	return u, nil
}
