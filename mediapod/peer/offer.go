package peer

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/pion/sdp/v3"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// streams are the SSRCs of what a subscriber gets of one kind.
type streams struct {
	kind       sfu.Kind
	media, rtx uint32
}

// newStreams numbers the streams of one connection; audio is not sent again.
func newStreams(kinds []sfu.Kind) []streams {
	used := map[uint32]bool{0: true}
	number := func() uint32 {
		for {
			if n := rand.Uint32(); !used[n] {
				used[n] = true
				return n
			}
		}
	}
	var all []streams
	for _, kind := range kinds {
		s := streams{kind: kind, media: number()}
		if kind == sfu.Video {
			s.rtx = number()
		}
		all = append(all, s)
	}
	return all
}

// end is our end of a connection, for its description.
type end struct {
	name, password string // of ICE
	fingerprint    string // of the certificate, by SHA-256
	addresses      []Address
}

// transportCC is the number of the header extension for transport-wide sequence numbers in our offers.
const transportCC = 1

// writeOffer describes what a subscriber is to get: one m-line for each stream, in the order given, with all codecs of its kind.
func writeOffer(local end, all []streams, codecs []codec) (string, error) {
	session := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: rand.Uint64() >> 1, SessionVersion: 1, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	group := "BUNDLE"
	for i := range all {
		group += " " + strconv.Itoa(i)
	}
	session.WithValueAttribute("group", group).
		WithValueAttribute("msid-semantic", "WMS *").
		WithValueAttribute("fingerprint", "sha-256 "+local.fingerprint).
		WithPropertyAttribute("extmap-allow-mixed")
	for i, s := range all {
		m := s.describe(codecs)
		m.WithValueAttribute("setup", "actpass").
			WithValueAttribute("mid", strconv.Itoa(i)).
			WithValueAttribute("ice-ufrag", local.name).
			WithValueAttribute("ice-pwd", local.password)
		if i == 0 { // all others are bundled with it
			writeCandidates(m, local.addresses)
		}
		session.MediaDescriptions = append(session.MediaDescriptions, m)
	}
	raw, err := session.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing offer: %w", err)
	}
	return string(raw), nil
}

// describe writes the m-line of a stream.
func (s streams) describe(codecs []codec) *sdp.MediaDescription {
	name := "audio"
	if s.kind == sfu.Video {
		name = "video"
	}
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{Media: name, Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "TLS", "RTP", "SAVPF"}},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	m.WithPropertyAttribute("sendonly").WithPropertyAttribute("rtcp-mux").WithPropertyAttribute("rtcp-rsize")
	for _, c := range codecs {
		if c.kind() == s.kind {
			c.describe(m)
		}
	}
	m.WithValueAttribute("extmap", fmt.Sprintf("%d %s", transportCC, sdp.TransportCCURI))
	if s.rtx != 0 {
		m.WithValueAttribute("ssrc-group", fmt.Sprintf("FID %d %d", s.media, s.rtx))
	}
	for _, ssrc := range []uint32{s.media, s.rtx} {
		if ssrc != 0 {
			m.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:stream", ssrc))
			m.WithValueAttribute("ssrc", fmt.Sprintf("%d msid:stream %s", ssrc, name))
		}
	}
	// The stream is the same for audio and video, by which browsers know that they belong together.
	return m.WithValueAttribute("msid", "stream "+name)
}

// describe adds a codec to an m-line.
func (c codec) describe(m *sdp.MediaDescription) {
	payload := strconv.Itoa(int(c.payload))
	rtpmap := fmt.Sprintf("%s %s/%d", payload, c.name, c.clockRate())
	if c.kind() == sfu.Audio {
		rtpmap += "/2"
	}
	m.MediaName.Formats = append(m.MediaName.Formats, payload)
	m.WithValueAttribute("rtpmap", rtpmap)
	if c.fmtp != "" {
		m.WithValueAttribute("fmtp", payload+" "+c.fmtp)
	}
	for _, f := range c.feedback() {
		value := payload + " " + f.Type
		if f.Parameter != "" {
			value += " " + f.Parameter
		}
		m.WithValueAttribute("rtcp-fb", value)
	}
	if c.rtx != 0 {
		rtx := strconv.Itoa(int(c.rtx))
		m.MediaName.Formats = append(m.MediaName.Formats, rtx)
		m.WithValueAttribute("rtpmap", fmt.Sprintf("%s rtx/%d", rtx, c.clockRate()))
		m.WithValueAttribute("fmtp", rtx+" apt="+payload)
	}
}
