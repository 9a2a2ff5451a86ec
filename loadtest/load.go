// Package loadtest is the single authority on playing a load to a Mediarooms installation and on
// what is told of it: rooms of participants that join by the real protocol, send and receive media,
// and leave. How one of them behaves on the wire is package roomclient's.
package loadtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Load says what is played.
type Load struct {
	// Rooms is how many rooms there are, all alike.
	Rooms int
	// Publishers send in each room; Subscribers only receive. Every subscriber receives everybody
	// that publishes in the room.
	Publishers, Subscribers int
	// Mutual lets publishers receive each other, as in a conference.
	Mutual bool
	// Impaired of the subscribers of each room, the first ones, use Setup.Impaired.
	Impaired int
	// Stream is what each publisher sends.
	Stream roomclient.Stream
	// Ramp is the time over which participants join: the publishers of all rooms first, then the
	// others.
	Ramp time.Duration
	// Stay, unless 0, is how long a subscriber stays on average, between half and one and a half of
	// it. Then it leaves, and another one joins in its place.
	Stay time.Duration
	// Patience is how long a participant may take to join; 15 s when 0.
	Patience time.Duration
}

// joinsAtATime bounds how many participants join at a time. Most of a join is waiting, for up to
// half a second of it for a keyframe that is shared: with fewer, joins would wait for each other,
// and more of them would come right after a keyframe.
const joinsAtATime = 64

// Validate tells what is wrong with a load.
func (l Load) Validate() error {
	switch {
	case l.Rooms < 1 || l.Publishers < 0 || l.Subscribers < 0 || l.Publishers+l.Subscribers < 1:
		return errors.New("a load has at least one room with one participant")
	case l.Impaired < 0 || l.Impaired > l.Subscribers:
		return fmt.Errorf("%d impaired subscribers of %d", l.Impaired, l.Subscribers)
	case l.Ramp < 0 || l.Stay < 0 || l.Patience < 0:
		return errors.New("times can't be negative")
	case len(l.Stream.Video) == 0 && l.Stream.AudioPacketBytes == 0:
		return errors.New("a publisher sends audio, video or both")
	case len(l.Stream.Video) > 0 && (l.Stream.VideoFrameRate < 1 || l.Stream.VideoFrameRate > 120):
		return fmt.Errorf("%d frames a second, want 1 to 120", l.Stream.VideoFrameRate)
	}
	return nil
}

// Target is what the load is played to. It is used concurrently.
type Target interface {
	// Admit returns how the next participant gets into a room, rooms being numbered from 0. Each
	// answer is for one participant.
	Admit(ctx context.Context, room int, publishes bool) (roomclient.Options, error)
	// Left tells that a participant has left, by the options that admitted it.
	Left(room int, options roomclient.Options)
	// Close removes what Admit has made. It is called when all participants have left.
	Close(ctx context.Context) error
}

// Setup is a load and where it is played.
type Setup struct {
	Load   Load
	Target Target
	// Media makes the peer connections, Impaired those of Load.Impaired.
	Media, Impaired *roomclient.Media
}

// Simulcast is what a browser sends with openvidu-browser's simulcast: three layers, of a quarter,
// a half and all of the width and height; kbps is the bitrate of the highest.
func Simulcast(kbps int) []roomclient.Layer {
	return []roomclient.Layer{
		{RID: "rdiv4", Width: 320, Height: 180, Kbps: max(kbps/15, 30)},
		{RID: "rdiv2", Width: 640, Height: 360, Kbps: max(kbps/4, 60)},
		{RID: "rdiv1", Width: 1280, Height: 720, Kbps: kbps},
	}
}
