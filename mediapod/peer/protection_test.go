package peer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// A standby that leaves is nothing that a receiver notices. After one that may have used indices,
// these are left out, and what comes then is decrypted.
func TestAnEngineGoesOnAlone(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both).(*Publication)
	source := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	source.publish(p)
	viewer, subscription := subscribe(t, e, p, clientOptions{})
	s := subscription.(*Subscription)
	more := func(what string) {
		t.Helper()
		video, audio := len(viewer.got(webrtc.RTPCodecTypeVideo)), len(viewer.got(webrtc.RTPCodecTypeAudio))
		source.sendUntil(what, func() bool {
			return len(viewer.got(webrtc.RTPCodecTypeVideo)) > video+20 && len(viewer.got(webrtc.RTPCodecTypeAudio)) > audio+20
		})
	}
	more("media")
	asked := e.Stats().KeyframeRequests
	p.GoOn(0)
	s.GoOn(0)
	more("media after the standby has left")
	viewer.continuous(webrtc.RTPCodecTypeVideo)
	viewer.continuous(webrtc.RTPCodecTypeAudio)
	if n := e.Stats().KeyframeRequests; n != asked {
		t.Errorf("%d key frames were asked for", n-asked)
	}
	const skip = 2 * transport.Block
	p.GoOn(skip)
	s.GoOn(skip)
	more("media after the standby was not heard")
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		packets, jumps := viewer.got(kind), 0
		for i := range packets[1:] {
			if jump := packets[i+1].SequenceNumber - packets[i].SequenceNumber; jump > skip {
				jumps++
			}
		}
		if jumps != 1 {
			t.Errorf("%v: %d jumps of the numbers", kind, jumps)
		}
	}
}

// What a room is protected by counts for the connections that are made from then on, and for those
// that adopt it. Their peers are told of it once.
func TestAProtectionCountsForNewConnections(t *testing.T) {
	first, second := newPair(t)
	by := &Protection{Permit: transport.NewPermit()}
	options := both
	options.Room = "room"
	var told []media.ICECandidate
	options.Trickle = func(candidate media.ICECandidate) { told = append(told, candidate) }
	publish := func() *Publication {
		p := first.NewPublication(options).(*Publication)
		newSource(t, 7, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8).publish(p)
		return p
	}
	before := publish()
	by.Addresses = slices.Clone(*second.addresses.Load())
	first.Protect("room", by)
	after := publish()
	first.Protect("room", nil)
	later := publish()
	if before.ProtectedBy(by) || !after.ProtectedBy(by) || later.ProtectedBy(by) {
		t.Errorf("protected before %v, then %v, later %v", before.ProtectedBy(by), after.ProtectedBy(by), later.ProtectedBy(by))
	}
	if after.ProtectedBy(nil) {
		t.Error("no protection is one")
	}
	for _, p := range []*Publication{before, after, later} {
		p.Announce(by)
	}
	if len(told) > 0 {
		t.Errorf("who knows of it, or is not protected, is told of %v", told)
	}
	for range 2 {
		before.Adopt(by)
		before.Announce(by)
	}
	want := fmt.Sprintf("candidate:1 1 udp %d 127.0.0.1 %d typ host", transport.Rank(1).Priority(false, 0), second.UDPPort())
	if !before.ProtectedBy(by) || len(told) == 0 || told[0].Candidate != want || told[0].SDPMid != "0" {
		t.Errorf("the publisher is told of %v, want %q first", told, want)
	}
	if n := len(by.after(0)); len(told) > 2*n {
		t.Errorf("it is told of %d candidates at %d addresses", len(told), n)
	}
}
