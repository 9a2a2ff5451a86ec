package openvidu

import (
	"crypto/rand"
	"math/big"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// The connection ids of those who are hidden.
const (
	recorderID     = "RECORDER"
	speechToTextID = "SPEECH_TO_TEXT"
)

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newStreamID makes the id of a new stream: str_CAM_Q7ab_con_... (openvidu-rpc 4.11).
func newStreamID(options room.StreamOptions, connectionID string) string {
	kind := "MIC"
	if options.HasVideo && len(options.TypeOfVideo) >= 3 {
		kind = string(options.TypeOfVideo[:3])
	}
	return "str_" + kind + "_" + pick(upper) + pick(alnum) + pick(alnum) + pick(alnum) + "_" + connectionID
}

// publisherOf returns the connection id in the id of a stream.
func publisherOf(streamID string) string {
	return streamID[max(0, strings.LastIndex(streamID, "con_")):]
}

// newConnectionID makes the id of a participant that has no Connection (openvidu-rpc 4.11).
func newConnectionID() string {
	id := "con_" + pick(upper)
	for range 9 {
		id += pick(alnum)
	}
	return id
}

func pick(alphabet string) string {
	// crypto/rand never fails (it ends the process instead).
	i, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
	return alphabet[i.Int64() : i.Int64()+1]
}
