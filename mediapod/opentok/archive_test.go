package opentok

import (
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestArchivesOnTheWire(t *testing.T) {
	for want, notification := range map[string]room.Notification{
		`{"jsonrpc":"2.0","method":"archiveStarted","params":{"id":"room~1","name":"daily"}}`: room.RecordingStarted{ID: "room~1", Name: "daily"},
		`{"jsonrpc":"2.0","method":"archiveStopped","params":{"id":"room~1","name":"daily"}}`: room.RecordingStopped{ID: "room~1", Name: "daily", Reason: reasons.RecordingStoppedByServer},
	} {
		got, err := encodeNotification(notification)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	for want, joined := range map[string]room.Joined{
		`"archive":{"id":"room","name":"daily"}`: {Recording: &room.Recording{ID: "room", Name: "daily"}},
		`"streams":[]}}`:                         {},
	} {
		got, err := jsonrpc.Encode(wireJoined(joined))
		if err != nil || !strings.Contains(string(got), want) || strings.Contains(string(got), "archive") != (joined.Recording != nil) {
			t.Errorf("got %s, %v, want in it %s", got, err, want)
		}
	}
}
