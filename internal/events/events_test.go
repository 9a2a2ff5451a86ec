package events

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

var (
	at     = time.UnixMilli(1700000000123)
	before = at.Add(-time.Second)
)

func user(id string) *controlv1.ParticipantIdentity {
	return &controlv1.ParticipantIdentity{ConnectionId: id}
}

func media(id, from string) *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: &controlv1.PublishedStream{StreamId: "s"}}
}

// The names are those that Webhooks ask for; each kind of the protocol has a constructor.
func TestNames(t *testing.T) {
	var names []string
	for _, event := range []*controlv1.RoomEvent{
		SessionCreated(at), SessionDestroyed(at, reasons.Disconnect), ParticipantJoined(at, user("A")), ParticipantLeft(at, user("A"), before, reasons.Disconnect),
		WebRTCConnectionCreated(at, media("A", "")), WebRTCConnectionDestroyed(at, media("A", ""), before, reasons.Unpublish), SignalSent(at, &controlv1.SignalSent{}),
		RecordingStatusChanged(at, &controlv1.RecordingStatusChanged{}),
	} {
		if event.GetTimeUnixMs() != at.UnixMilli() {
			t.Errorf("%v is of %d", event, event.GetTimeUnixMs())
		}
		names = append(names, Name(event))
	}
	want := []string{
		"sessionCreated", "sessionDestroyed", "participantJoined", "participantLeft", "webrtcConnectionCreated", "webrtcConnectionDestroyed", "signalSent",
		"recordingStatusChanged",
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	if kinds := (&controlv1.RoomEvent{}).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields().Len(); kinds != len(names) {
		t.Errorf("the protocol has %d kinds, of which %d are made here", kinds, len(names))
	}
	if got := Name(&controlv1.RoomEvent{}); got != "" {
		t.Errorf("one that is not known is called %q", got)
	}
}

func line(event *controlv1.RoomEvent) string {
	if left := event.GetParticipantLeft(); left != nil {
		return fmt.Sprintf("%s left, of %d: %s", left.GetParticipant().GetConnectionId(), left.GetJoinedUnixMs(), left.GetReason())
	}
	ended := event.GetWebrtcConnectionDestroyed()
	return fmt.Sprintf("%s<%s ended, of %d: %s", ended.GetConnection().GetConnectionId(), ended.GetConnection().GetReceivingFrom(), ended.GetCreatedUnixMs(), ended.GetReason())
}

func TestWhatIsOpenEndsInOrder(t *testing.T) {
	open := make(Open)
	for i, event := range []*controlv1.RoomEvent{
		SessionCreated(at),
		ParticipantJoined(time.UnixMilli(1), user("A")), WebRTCConnectionCreated(time.UnixMilli(2), media("A", "")),
		ParticipantJoined(time.UnixMilli(3), user("B")), WebRTCConnectionCreated(time.UnixMilli(4), media("B", "")),
		WebRTCConnectionCreated(time.UnixMilli(5), media("B", "A")), WebRTCConnectionCreated(time.UnixMilli(6), media("A", "B")),
		ParticipantJoined(time.UnixMilli(7), user("C")), ParticipantLeft(at, user("C"), at, reasons.Disconnect),
		WebRTCConnectionCreated(time.UnixMilli(8), media("gone", "")), SignalSent(at, &controlv1.SignalSent{}),
		WebRTCConnectionCreated(time.UnixMilli(9), media("C", "A")), WebRTCConnectionDestroyed(at, media("C", "A"), at, reasons.Unsubscribe),
	} {
		event.Sequence = uint64(i + 1)
		open.Apply(event)
	}
	var sequences []uint64
	for _, event := range open.Events() {
		sequences = append(sequences, event.GetSequence())
	}
	if !slices.Equal(sequences, []uint64{2, 3, 4, 5, 6, 7, 10}) {
		t.Errorf("open are %v", sequences)
	}
	var got []string
	for _, event := range open.Endings(at, reasons.NodeCrashed) {
		if event.GetTimeUnixMs() != at.UnixMilli() {
			t.Errorf("%v is of %d", event, event.GetTimeUnixMs())
		}
		got = append(got, line(event))
	}
	want := []string{
		"B<A ended, of 5: nodeCrashed", "A<B ended, of 6: nodeCrashed", "A< ended, of 2: nodeCrashed", "A left, of 1: nodeCrashed",
		"B< ended, of 4: nodeCrashed", "B left, of 3: nodeCrashed", "gone< ended, of 8: nodeCrashed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVideoDimensions(t *testing.T) {
	if got := VideoDimensions(640, 480); got != `{"width":640,"height":480}` {
		t.Errorf("got %s", got)
	}
	if got := VideoDimensions(0, 0); got != "" {
		t.Errorf("what is not known is %s", got)
	}
	for text, want := range map[string][2]int{
		VideoDimensions(640, 480): {640, 480}, VideoDimensions(0, 0): {}, `{"width":-1,"height":480}`: {}, `{"width":"x"}`: {}, "x": {},
	} {
		if width, height := ParseVideoDimensions(text); width != want[0] || height != want[1] {
			t.Errorf("%q is %d by %d", text, width, height)
		}
	}
}
