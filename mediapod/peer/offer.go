package peer

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

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

// transportCC is the number of the header extension for transport-wide sequence numbers in our
// offers.
const transportCC = 1

// firstMID names the first m-line of our offers.
const firstMID = "0"

// writeOffer describes what a subscriber is to get: one m-line for each stream, in the order given,
// with all codecs of its kind.
func writeOffer(local end, all []streams, codecs []codec) (string, error) {
	var mids []string
	for i := range all {
		mids = append(mids, strconv.Itoa(i))
	}
	session := local.session(mids).WithPropertyAttribute("extmap-allow-mixed")
	for i, s := range all {
		m := newMedia(s.kind, "sendonly")
		for _, c := range codecs {
			if c.kind() == s.kind {
				c.describe(m, c.feedback())
			}
		}
		m.WithValueAttribute("extmap", fmt.Sprintf("%d %s", transportCC, sdp.TransportCCURI))
		s.describe(m)
		local.add(session, m, mids[i], "actpass")
	}
	return marshal(session)
}

// writeAnswer describes what is taken of what a publisher offers, in the order of its m-lines, and
// the streams that it gets back; nil for none. Those of an m-line without an SSRC are not sent.
func writeAnswer(local end, lines []mediaLine, returned []streams, video bitrates) (string, error) {
	var mids []string
	for _, line := range lines {
		mids = append(mids, line.mid)
	}
	session := local.session(mids)
	for i, line := range lines {
		sends := returned != nil && returned[i].media != 0
		m := newMedia(line.kind, line.direction.answer(sends))
		line.codecs[0].describe(m, line.feedback)
		for _, uri := range receivedExtensions[line.kind] {
			if number := line.extensions()[uri]; number != 0 {
				m.WithValueAttribute("extmap", fmt.Sprintf("%d %s", number, uri))
			}
		}
		line.describeLayers(m)
		if sends {
			returned[i].describe(m)
		}
		if line.kind == sfu.Video {
			video.write(m)
		}
		// We answer passive, so that the client starts DTLS as soon as its ICE allows (RFC 8842,
		// section 5.3).
		local.add(session, m, line.mid, "passive")
	}
	return marshal(session)
}

// answer returns the direction of the answer to that of an offer (RFC 3264, section 6.1).
func (d direction) answer(sends bool) direction {
	switch {
	case d == "inactive":
		return d
	case d == "recvonly":
		return "sendonly"
	case sends:
		return "sendrecv"
	}
	return "recvonly"
}

// extensions are the numbers of the m-line's header extensions, by URI.
func (l *mediaLine) extensions() map[string]uint8 {
	return map[string]uint8{
		sdp.SDESMidURI: l.midExtension, sdp.SDESRTPStreamIDURI: l.rid, sdp.SDESRepairRTPStreamIDURI: l.repairedRID,
		sdp.TransportCCURI: l.transportCC, sdp.AudioLevelURI: l.audioLevel,
	}
}

// describeLayers accepts the layers of simulcast (RFC 8853, section 5.2).
func (l *mediaLine) describeLayers(m *sdp.MediaDescription) {
	if len(l.layers) == 0 {
		return
	}
	for _, rid := range l.layers {
		m.WithValueAttribute("rid", rid+" recv")
	}
	m.WithValueAttribute("simulcast", "recv "+strings.Join(l.layers, ";"))
}

// session begins a description with m-lines of the given mids, in one bundle (RFC 9143).
func (e end) session(mids []string) *sdp.SessionDescription {
	session := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: rand.Uint64() >> 1, SessionVersion: 1, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	return session.WithValueAttribute("group", "BUNDLE "+strings.Join(mids, " ")).
		WithValueAttribute("msid-semantic", "WMS *").
		WithValueAttribute("fingerprint", "sha-256 "+e.fingerprint)
}

// add ends an m-line with what describes the connection, and puts it into a description.
func (e end) add(session *sdp.SessionDescription, m *sdp.MediaDescription, mid, setup string) {
	m.WithValueAttribute("setup", setup).
		WithValueAttribute("mid", mid).
		WithValueAttribute("ice-ufrag", e.name).
		WithValueAttribute("ice-pwd", e.password)
	if len(session.MediaDescriptions) == 0 { // all others are bundled with it
		writeCandidates(m, e.addresses)
	}
	session.MediaDescriptions = append(session.MediaDescriptions, m)
}

func marshal(session *sdp.SessionDescription) (string, error) {
	raw, err := session.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing description: %w", err)
	}
	return string(raw), nil
}

// newMedia begins an m-line.
func newMedia(kind sfu.Kind, d direction) *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{Media: kindName(kind), Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "TLS", "RTP", "SAVPF"}},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	return m.WithPropertyAttribute(string(d)).WithPropertyAttribute("rtcp-mux").WithPropertyAttribute("rtcp-rsize")
}

// kindName is the name of a kind in SDP.
func kindName(kind sfu.Kind) string {
	if kind == sfu.Video {
		return "video"
	}
	return "audio"
}

// describe tells of the streams in their m-line.
func (s streams) describe(m *sdp.MediaDescription) {
	if s.rtx != 0 {
		m.WithValueAttribute("ssrc-group", fmt.Sprintf("FID %d %d", s.media, s.rtx))
	}
	name := kindName(s.kind)
	for _, ssrc := range []uint32{s.media, s.rtx} {
		if ssrc != 0 {
			m.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:stream", ssrc))
			m.WithValueAttribute("ssrc", fmt.Sprintf("%d msid:stream %s", ssrc, name))
		}
	}
	// The stream is the same for audio and video, by which browsers know that they belong together.
	m.WithValueAttribute("msid", "stream "+name)
}

// describe adds a codec to an m-line, with its RTCP feedback.
func (c codec) describe(m *sdp.MediaDescription, feedback []string) {
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
	for _, value := range feedback {
		m.WithValueAttribute("rtcp-fb", payload+" "+value)
	}
	if c.rtx != 0 {
		rtx := strconv.Itoa(int(c.rtx))
		m.MediaName.Formats = append(m.MediaName.Formats, rtx)
		m.WithValueAttribute("rtpmap", fmt.Sprintf("%s rtx/%d", rtx, c.clockRate()))
		m.WithValueAttribute("fmtp", rtx+" apt="+payload)
	}
}
