package peer

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// codec is a codec with its format parameters and the payload types that one peer gave to it.
type codec struct {
	name string // as in sfu.Codec
	fmtp string
	// payload is the payload type, rtx that of its retransmissions, 0 for none.
	payload, rtx uint8
}

// opus is what all audio is in. DTX is up to the sender.
var opus = codec{name: "opus", fmtp: "minptime=10;useinbandfec=1", payload: 111}

// videoCodecs are the codecs that a subscriber is offered when it is not known yet what the
// publisher will send.
var videoCodecs = []codec{
	{name: "VP8", payload: 96, rtx: 97},
	{name: "VP9", fmtp: "profile-id=0", payload: 98, rtx: 99},
	{name: "H264", fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", payload: 102, rtx: 103},
	{name: "H264", fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", payload: 104, rtx: 105},
}

func (c codec) kind() sfu.Kind {
	if c.name == opus.name {
		return sfu.Audio
	}
	return sfu.Video
}

func (c codec) clockRate() uint32 {
	if c.kind() == sfu.Audio {
		return 48_000
	}
	return 90_000
}

// offered returns the codec with the payload types of our own offers.
func (c codec) offered() codec {
	for _, known := range videoCodecs {
		if known.name == c.name {
			c.payload, c.rtx = known.payload, known.rtx
			return c
		}
	}
	return opus
}

// supportedVideo returns the name under which a video codec of an offer is supported; "" when it is
// not.
func supportedVideo(encoding, fmtp string) string {
	parameters := map[string]string{}
	for _, parameter := range strings.Split(strings.ToLower(fmtp), ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		parameters[key] = value
	}
	switch strings.ToUpper(encoding) {
	case "VP8":
		return "VP8"
	case "VP9": // RFC 9628, section 6.1: profile 0 is the default
		if profile := parameters["profile-id"]; profile == "" || profile == "0" {
			return "VP9"
		}
	case "H264": // RFC 6184, section 8.1: (constrained) baseline
		profile := parameters["profile-level-id"]
		if parameters["packetization-mode"] == "1" && (strings.HasPrefix(profile, "42e0") || strings.HasPrefix(profile, "4200")) {
			return "H264"
		}
	}
	return ""
}

// RTCP feedback (RFC 4585, RFC 5104; transport-cc:
// draft-holmer-rmcat-transport-wide-cc-extensions).
var (
	repairFeedback = []string{"nack", "nack pli", "ccm fir"}
	rateFeedback   = []string{webrtc.TypeRTCPFBGoogREMB, webrtc.TypeRTCPFBTransportCC}
)

// feedback lists the RTCP feedback for a codec, towards subscribers and from publishers alike.
func (c codec) feedback() []string {
	if c.kind() == sfu.Audio {
		return rateFeedback
	}
	return append(slices.Clone(repairFeedback), rateFeedback...)
}

// receivedExtensions are the header extensions that publishers may send, by kind. None of them is
// forwarded.
var receivedExtensions = [...][]string{
	sfu.Audio: {sdp.SDESMidURI, sdp.TransportCCURI, sdp.AudioLevelURI},
	sfu.Video: {sdp.SDESMidURI, sdp.TransportCCURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI},
}
