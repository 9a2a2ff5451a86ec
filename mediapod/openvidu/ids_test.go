package openvidu

import (
	"regexp"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestStreamIDs(t *testing.T) {
	for kind, options := range map[string]room.StreamOptions{
		"MIC": {HasAudio: true},
		"CAM": {HasVideo: true, TypeOfVideo: "CAMERA"},
		"SCR": {HasVideo: true, TypeOfVideo: "SCREEN"},
		"CUS": {HasVideo: true, TypeOfVideo: "CUSTOM"},
	} {
		got := newStreamID(options, "con_A123456789")
		if !regexp.MustCompile(`^str_` + kind + `_[A-Z][0-9A-Za-z]{3}_con_A123456789$`).MatchString(got) {
			t.Errorf("got %s", got)
		}
		if publisher := publisherOf(got); publisher != "con_A123456789" {
			t.Errorf("%s is of %s", got, publisher)
		}
	}
}

func TestConnectionIDs(t *testing.T) {
	if got := newConnectionID(); !regexp.MustCompile(`^con_[A-Z][0-9A-Za-z]{9}$`).MatchString(got) {
		t.Errorf("got %s", got)
	}
}
