package openvidu

import (
	"testing"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestRecordingsOnTheWire(t *testing.T) {
	for want, notification := range map[string]room.Notification{
		`{"jsonrpc":"2.0","method":"recordingStarted","params":{"id":"room~1","name":"daily"}}`:                                     room.RecordingStarted{ID: "room~1", Name: "daily"},
		`{"jsonrpc":"2.0","method":"recordingStopped","params":{"id":"room~1","name":"daily","reason":"recordingStoppedByServer"}}`: room.RecordingStopped{ID: "room~1", Name: "daily", Reason: reasons.RecordingStoppedByServer},
	} {
		got, err := encodeNotification(notification)
		if err != nil || len(got) != 1 || string(got[0]) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	f := &FrontEnd{}
	if got := f.joinResult(room.Joined{}); got.RecordingID != "" || got.RecordingName != "" {
		t.Errorf("a room that is not recorded says %+v", got)
	}
	if got := f.joinResult(room.Joined{Recording: &room.Recording{ID: "room", Name: "daily"}}); got.RecordingID != "room" || got.RecordingName != "daily" {
		t.Errorf("a room that is recorded says %+v", got)
	}
}
