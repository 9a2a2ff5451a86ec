package openvidu

import (
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// A client is told for which of its peer connections a candidate is.
func TestACandidateIsTold(t *testing.T) {
	candidate := media.ICECandidate{Candidate: "candidate:1 1 udp 5 192.0.2.1 6 typ host", SDPMid: "0"}
	for want, n := range map[string]room.CandidateAdded{
		`{"jsonrpc":"2.0","method":"iceCandidate","params":{"senderConnectionId":"a","endpointName":"s","sdpMLineIndex":0,"sdpMid":"0","candidate":"candidate:1 1 udp 5 192.0.2.1 6 typ host"}}`: {
			ConnectionID: "a", StreamID: "s", RecipientID: "a", Candidate: candidate,
		},
		`{"jsonrpc":"2.0","method":"iceCandidate","params":{"senderConnectionId":"a","endpointName":"b_s","sdpMLineIndex":0,"sdpMid":"0","candidate":"candidate:1 1 udp 5 192.0.2.1 6 typ host"}}`: {
			ConnectionID: "a", StreamID: "s", SubscriptionID: "x", RecipientID: "b", Candidate: candidate,
		},
	} {
		got, err := encodeNotification(n)
		if err != nil || len(got) != 1 || string(got[0]) != want {
			t.Errorf("%+v is %s, %v, want %s", n, got, err, want)
		}
	}
}
