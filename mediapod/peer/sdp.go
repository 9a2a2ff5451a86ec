package peer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// Limits on session descriptions from clients. An offer of a browser has about 10 KB, and 200
// attributes per m-line.
const (
	maxSDPBytes     = 256 << 10
	maxSDPLines     = 9000
	maxLineBytes    = 4096
	maxMediaLines   = 8
	maxAttributes   = 1000 // per m-line, and beside them
	maxPayloadTypes = 128  // per m-line
	maxRIDs         = 16   // per m-line
	maxStreamLines  = 64   // per m-line, of those that tell of SSRCs
	maxTokenBytes   = 256
)

// description is what is used of a client's offer or answer.
type description struct {
	media []mediaLine // in the client's order; at most one of each kind
	// remote is the client's end of the connection.
	remote transport.Remote
}

// mediaLine is one m-line.
type mediaLine struct {
	kind sfu.Kind
	// codecs are those that both sides support; in a publisher's offer the one that was chosen.
	codecs []codec
	// layers are the rids of the simulcast layers that are accepted, from low to high; nil without
	// simulcast.
	layers []string
	mid    string
	// direction is what the client wants to do on this line.
	direction direction
	// feedback is the RTCP feedback for the first codec that both sides support.
	feedback []string
	// ssrc is that of the media that the client declares; 0 when it does not, or with simulcast.
	ssrc uint32

	// The numbers of header extensions, 0 for one that is not there: for the transport-wide
	// sequence number, the mid (RFC 9143), the rid and the rid of the repaired layer (RFC 8852),
	// and the level of the sound (RFC 6464).
	transportCC, midExtension, rid, repairedRID, audioLevel uint8
}

// direction is the direction of an m-line as one end sees it.
type direction string

func (d direction) receives() bool { return d == "sendrecv" || d == "recvonly" }

func (d *description) line(kind sfu.Kind) *mediaLine {
	for i := range d.media {
		if d.media[i].kind == kind {
			return &d.media[i]
		}
	}
	return nil
}

func badSDP(format string, args ...any) error {
	return fmt.Errorf("%w: %w", media.ErrSDP, fmt.Errorf(format, args...))
}

// parse reads a description within the limits.
func parse(text string) (*sdp.SessionDescription, error) {
	if len(text) > maxSDPBytes {
		return nil, badSDP("it has more than %d bytes", maxSDPBytes)
	}
	lines := 0
	for line := range strings.SplitSeq(text, "\n") { // before the parser makes much of them
		if lines++; lines > maxSDPLines || len(line) > maxLineBytes {
			return nil, badSDP("it has more than %d lines, or a line has more than %d bytes", maxSDPLines, maxLineBytes)
		}
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\r\n" // the parser insists on it
	}
	session := &sdp.SessionDescription{}
	if err := session.UnmarshalString(text); err != nil {
		return nil, badSDP("%w", err)
	}
	switch n := len(session.MediaDescriptions); {
	case n == 0:
		return nil, badSDP("it has no m-line")
	case n > maxMediaLines:
		return nil, badSDP("it has more than %d m-lines", maxMediaLines)
	}
	if err := checkAttributes(session.Attributes); err != nil {
		return nil, err
	}
	for _, m := range session.MediaDescriptions {
		if len(m.MediaName.Formats) > maxPayloadTypes {
			return nil, badSDP("an m-line has more than %d formats", maxPayloadTypes)
		}
		if err := checkAttributes(m.Attributes); err != nil {
			return nil, err
		}
	}
	return session, nil
}

// checkAttributes bounds what is looked through more than once.
func checkAttributes(all []sdp.Attribute) error {
	if len(all) > maxAttributes {
		return badSDP("it has more than %d attributes in one place", maxAttributes)
	}
	rids, streams := 0, 0
	for _, a := range all {
		switch a.Key {
		case "rid":
			rids++
		case "ssrc", "ssrc-group", "msid":
			streams++
		}
	}
	if rids > maxRIDs || streams > maxStreamLines {
		return badSDP("an m-line has more than %d rid lines or %d lines about SSRCs", maxRIDs, maxStreamLines)
	}
	return nil
}

// decodedByAll is the video codec that every browser decodes: RFC 7742, section 5, wants H264 too,
// which builds without its licence leave out.
const decodedByAll = "VP8"

// readOffer reads the offer of a publisher and chooses its video codec: the forced one, else the
// preferred one (that of its previous connection) when it is there, else the one that everybody
// decodes, else the first that is supported.
func readOffer(text, forced, preferred string) (*description, error) {
	session, err := parse(text)
	if err != nil {
		return nil, err
	}
	// We answer passive, so that the client starts DTLS as soon as its ICE allows (RFC 8842,
	// section 5.3).
	return interpret(session, []string{"actpass", "active"}, func(m *sdp.MediaDescription, kind sfu.Kind) ([]codec, error) {
		codecs := supported(m, kind)
		if kind == sfu.Video && forced != "" {
			codecs = slices.DeleteFunc(codecs, func(c codec) bool { return c.name != forced })
			if len(codecs) == 0 {
				return nil, fmt.Errorf("%w: %s", media.ErrForcedCodec, forced)
			}
		}
		if len(codecs) == 0 {
			return nil, badSDP("it has no supported %s codec", m.MediaName.Media)
		}
		for _, name := range []string{preferred, decodedByAll} {
			if i := slices.IndexFunc(codecs, func(c codec) bool { return c.name == name }); i >= 0 {
				return codecs[i : i+1], nil
			}
		}
		return codecs[:1], nil
	})
}

// readAnswer reads the answer of a subscriber. The kinds are those that it was offered. The answer
// may reject all m-lines but the first, which has what describes the connection (RFC 9143, section
// 7.3): who can't decode the video hears the sound.
func readAnswer(text string, offered []sfu.Kind) (*description, error) {
	session, err := parse(text)
	if err != nil {
		return nil, err
	}
	if len(session.MediaDescriptions) != len(offered) {
		return nil, badSDP("it has %d m-lines, the offer has %d", len(session.MediaDescriptions), len(offered))
	}
	taken := session.MediaDescriptions[:0]
	for i, m := range session.MediaDescriptions {
		if kind, ok := kindOf(m); !ok || kind != offered[i] {
			return nil, badSDP("m-line %d is not of the kind that was offered", i)
		}
		_, inactive := m.Attribute("inactive")
		if m.MediaName.Port.Value != 0 && !inactive && len(supported(m, offered[i])) > 0 {
			taken = append(taken, m)
		} else if i == 0 {
			return nil, fmt.Errorf("%w: %s", media.ErrCodecRejected, m.MediaName.Media)
		}
	}
	session.MediaDescriptions = taken
	return interpret(session, []string{"active", "passive"}, func(m *sdp.MediaDescription, kind sfu.Kind) ([]codec, error) {
		return supported(m, kind), nil
	})
}

func kindOf(m *sdp.MediaDescription) (sfu.Kind, bool) {
	switch m.MediaName.Media {
	case "audio":
		return sfu.Audio, true
	case "video":
		return sfu.Video, true
	}
	return 0, false
}

// supported lists the codecs of an m-line that we support, in its order.
func supported(m *sdp.MediaDescription, kind sfu.Kind) []codec {
	encodings, fmtps := map[string]string{}, map[string]string{}
	for _, a := range m.Attributes {
		payload, value, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "rtpmap":
			encodings[payload] = value
		case "fmtp":
			fmtps[payload] = value
		}
	}
	repairs := map[string]uint8{} // by what they repair (RFC 4588, section 8.6)
	for _, format := range m.MediaName.Formats {
		payload, err := strconv.ParseUint(format, 10, 7)
		if err != nil || !strings.EqualFold(encodings[format], "rtx/90000") || len(fmtps[format]) > maxTokenBytes {
			continue
		}
		for _, parameter := range strings.Split(fmtps[format], ";") {
			if of, ok := strings.CutPrefix(parameter, "apt="); ok {
				repairs[of] = uint8(payload)
			}
		}
	}
	var codecs []codec
	for _, format := range m.MediaName.Formats {
		payload, err := strconv.ParseUint(format, 10, 7)
		if err != nil || len(fmtps[format]) > maxTokenBytes {
			continue
		}
		c := codec{fmtp: fmtps[format], payload: uint8(payload), rtx: repairs[format]}
		name, rate, _ := strings.Cut(encodings[format], "/")
		delete(encodings, format) // a format counts once
		switch {
		case kind == sfu.Audio && strings.EqualFold(name, opus.name) && rate == "48000/2":
			c.name = opus.name
		case kind == sfu.Video && rate == "90000":
			c.name = supportedVideo(name, c.fmtp)
		}
		if c.name != "" {
			codecs = append(codecs, c)
		}
	}
	return codecs
}

// interpret makes a description of what is understood of the client's, with the codecs that choose
// returns. setups are the DTLS roles that the client may ask for.
func interpret(
	session *sdp.SessionDescription, setups []string, choose func(*sdp.MediaDescription, sfu.Kind) ([]codec, error),
) (*description, error) {
	d := &description{}
	for _, m := range session.MediaDescriptions {
		kind, ok := kindOf(m)
		if !ok {
			return nil, badSDP("m-line %q is neither audio nor video", clip(m.MediaName.Media))
		}
		if d.line(kind) != nil {
			return nil, badSDP("it has more than one %s m-line", m.MediaName.Media)
		}
		if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
			return nil, badSDP("its %s m-line is rejected", m.MediaName.Media)
		}
		codecs, err := choose(m, kind)
		if err != nil {
			return nil, err
		}
		line, err := interpretMedia(m, kind, codecs)
		if err != nil {
			return nil, err
		}
		d.media = append(d.media, line)
		remote, err := remoteEnd(session, m, setups)
		if err != nil {
			return nil, err
		}
		if len(d.media) == 1 { // all others are bundled with it
			d.remote = remote
		}
	}
	if len(d.media) == 2 {
		if err := checkBundle(session, []string{d.media[0].mid, d.media[1].mid}); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// transportAttributes must be there for each m-line, in it or for the whole session.
var transportAttributes = []string{"ice-ufrag", "ice-pwd", "fingerprint", "setup"}

// remoteEnd reads the client's end of the connection of an m-line.
func remoteEnd(session *sdp.SessionDescription, m *sdp.MediaDescription, setups []string) (transport.Remote, error) {
	values := map[string]string{}
	for _, key := range transportAttributes {
		value, ok := m.Attribute(key)
		if !ok {
			value, ok = session.Attribute(key)
		}
		if !ok || !validTransport(key, value) {
			return transport.Remote{}, badSDP("an m-line has no valid %s", key)
		}
		values[key] = value
	}
	setup := values["setup"]
	if !slices.Contains(setups, setup) {
		return transport.Remote{}, badSDP("an m-line has no valid setup")
	}
	r := transport.Remote{Name: values["ice-ufrag"], Password: values["ice-pwd"], Passive: setup == "passive"}
	r.Hash, r.Fingerprint, _ = strings.Cut(values["fingerprint"], " ")
	return r, nil
}

// extension returns the number of a header extension, 0 when the m-line does not have it in
// one-byte form (RFC 8285, section 4.2).
func extension(m *sdp.MediaDescription, uri string) uint8 {
	for _, a := range m.Attributes {
		number, rest, _ := strings.Cut(a.Value, " ")
		if a.Key != "extmap" || strings.TrimSpace(rest) != uri {
			continue
		}
		number, _, _ = strings.Cut(number, "/") // the direction
		if n, err := strconv.ParseUint(number, 10, 4); err == nil && n > 0 && n < 15 {
			return uint8(n)
		}
	}
	return 0
}

// checkBundle makes sure that both m-lines use one transport (RFC 9143).
func checkBundle(session *sdp.SessionDescription, mids []string) error {
	if mids[0] == mids[1] {
		return badSDP("two m-lines have the mid %q", clip(mids[0]))
	}
	for _, a := range session.Attributes {
		if a.Key != "group" {
			continue
		}
		members := strings.Fields(a.Value)
		if len(members) > 0 && members[0] == "BUNDLE" && slices.Contains(members, mids[0]) && slices.Contains(members, mids[1]) {
			return nil
		}
	}
	return badSDP("its m-lines are not bundled")
}

// interpretMedia reads an m-line.
func interpretMedia(m *sdp.MediaDescription, kind sfu.Kind, codecs []codec) (mediaLine, error) {
	if !slices.Contains(m.MediaName.Protos, "TLS") {
		return mediaLine{}, badSDP("its media is not protected by DTLS")
	}
	line := mediaLine{
		kind: kind, codecs: codecs, layers: simulcast(m), direction: directionOf(m), feedback: agreedFeedback(m, codecs[0]),
		transportCC:  extension(m, sdp.TransportCCURI),
		midExtension: extension(m, sdp.SDESMidURI),
		rid:          extension(m, sdp.SDESRTPStreamIDURI),
		repairedRID:  extension(m, sdp.SDESRepairRTPStreamIDURI),
		audioLevel:   extension(m, sdp.AudioLevelURI),
	}
	var ok bool
	if line.mid, ok = m.Attribute("mid"); !ok || !token(line.mid) {
		return mediaLine{}, badSDP("an m-line has no valid mid")
	}
	if line.layers == nil {
		line.ssrc = declaredSSRC(m)
	}
	return line, nil
}

// directionOf returns the direction of an m-line (RFC 8866, section 6.7).
func directionOf(m *sdp.MediaDescription) direction {
	for _, d := range []direction{"sendrecv", "sendonly", "recvonly", "inactive"} {
		if _, ok := m.Attribute(string(d)); ok {
			return d
		}
	}
	return "sendrecv"
}

// agreedFeedback lists the RTCP feedback for a codec that an m-line has, and we do, in its order
// and words.
func agreedFeedback(m *sdp.MediaDescription, c codec) []string {
	var agreed []string
	for _, a := range m.Attributes {
		payload, value, _ := strings.Cut(a.Value, " ")
		if a.Key == "rtcp-fb" && (payload == "*" || payload == strconv.Itoa(int(c.payload))) &&
			slices.Contains(c.feedback(), value) && !slices.Contains(agreed, value) {
			agreed = append(agreed, value)
		}
	}
	return agreed
}

// declaredSSRC returns the SSRC of the media of an m-line, which is named before that of its
// retransmissions (RFC 5576, section 4.2); 0 when none is declared.
func declaredSSRC(m *sdp.MediaDescription) uint32 {
	first := func(key, prefix string) uint32 {
		for _, a := range m.Attributes {
			value, ok := strings.CutPrefix(a.Value, prefix)
			if a.Key != key || !ok {
				continue
			}
			value, _, _ = strings.Cut(value, " ")
			if n, err := strconv.ParseUint(value, 10, 32); err == nil {
				return uint32(n)
			}
		}
		return 0
	}
	if ssrc := first("ssrc-group", "FID "); ssrc != 0 {
		return ssrc
	}
	return first("ssrc", "")
}

// simulcast returns the rids of the layers that a client offers to send, in its order, which
// OpenVidu's client lists from low to high (openvidu-rpc 4.4); nil without simulcast. Of
// alternatives the first is taken, and of more layers than there may be the best (RFC 8853, section
// 5.1).
func simulcast(m *sdp.MediaDescription) []string {
	value, _ := m.Attribute("simulcast")
	fields := strings.Fields(value)
	at := slices.Index(fields, "send")
	if at < 0 || at+1 >= len(fields) {
		return nil
	}
	offered := sendRIDs(m)
	var rids []string
	for alternatives := range strings.SplitSeq(fields[at+1], ";") {
		first, _, _ := strings.Cut(alternatives, ",")
		if id := strings.TrimPrefix(first, "~"); offered[id] {
			rids = append(rids, id)
			delete(offered, id) // once
		}
	}
	return rids[max(0, len(rids)-layers.Max):]
}

// sendRIDs are the valid rids of the a=rid lines for the direction send (RFC 8851, section 4).
func sendRIDs(m *sdp.MediaDescription) map[string]bool {
	rids := map[string]bool{}
	for _, a := range m.Attributes {
		if a.Key != "rid" {
			continue
		}
		if fields := strings.Fields(a.Value); len(fields) >= 2 && fields[1] == "send" && validRID(fields[0]) {
			rids[fields[0]] = true
		}
	}
	return rids
}

// maxRIDBytes is what fits into a header extension of one-byte form (RFC 8285, section 4.2).
const maxRIDBytes = 16

func validRID(id string) bool {
	if id == "" || len(id) > maxRIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func validTransport(key, value string) bool {
	switch key {
	case "ice-ufrag":
		return len(value) >= 4 && token(value)
	case "ice-pwd":
		return len(value) >= 22 && token(value)
	case "setup":
		return token(value)
	}
	algorithm, digits, ok := strings.Cut(value, " ")
	return ok && slices.Contains(fingerprintHashes, strings.ToLower(algorithm)) && token(digits)
}

// fingerprintHashes are the hash functions by which a client may name its certificate (RFC 8122,
// section 5): those that nobody finds a second certificate for.
var fingerprintHashes = []string{"sha-256", "sha-384", "sha-512"}

// token reports whether a value is one word of printable ASCII, and not too long.
func token(value string) bool {
	if value == "" || len(value) > maxTokenBytes {
		return false
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// clip shortens what a client sent for an error message.
func clip(value string) string {
	if len(value) > 32 {
		return value[:32]
	}
	return value
}

// Address is where peers reach the engine.
type Address struct {
	// IP is an IPv4 or IPv6 address.
	IP netip.Addr
	// UDPPort and TCPPort are the ports as seen from outside; 0 is none.
	UDPPort, TCPPort uint16
	// Rank is that of the process which has the address, as this engine's peers are told.
	Rank transport.Rank
}

// bitrates are what a publisher is told about its video, in kbps.
type bitrates struct {
	max   int // 0 is no limit
	start int // where its estimate starts; 0 leaves that to the browser
}

// startVideoKbps is what Chromium may send before it has measured anything. By itself it starts so
// low that it shrinks a picture of HD size for its first ten seconds.
const startVideoKbps = 1000

// publisherBitrates returns what a publisher with the given limit is told.
func publisherBitrates(maxVideoKbps int) bitrates {
	b := bitrates{max: maxVideoKbps, start: startVideoKbps}
	if b.max > 0 {
		b.start = min(b.start, b.max)
	}
	return b
}

// write puts the bitrates into a video m-line: the limit as RFC 8866, section 5.8, and RFC 3890
// say, the start as a format parameter that is libwebrtc's own and ignored by others.
func (b bitrates) write(m *sdp.MediaDescription) {
	if b.max > 0 {
		m.Bandwidth = []sdp.Bandwidth{
			{Type: "AS", Bandwidth: uint64(b.max)},
			{Type: "TIAS", Bandwidth: uint64(b.max) * 1000},
		}
	}
	if b.start == 0 || len(m.MediaName.Formats) == 0 {
		return
	}
	media, start := m.MediaName.Formats[0], fmt.Sprintf("x-google-start-bitrate=%d", b.start)
	for i := range m.Attributes {
		if a := &m.Attributes[i]; a.Key == "fmtp" && strings.HasPrefix(a.Value, media+" ") {
			a.Value += ";" + start
			return
		}
	}
	m.WithValueAttribute("fmtp", media+" "+start)
}

// writeCandidates puts our candidates into an m-line.
func writeCandidates(m *sdp.MediaDescription, addresses []Address) {
	for _, candidate := range candidates(addresses) {
		m.WithValueAttribute("candidate", candidate)
	}
	m.WithPropertyAttribute("end-of-candidates")
}

// candidates lists host candidates (RFC 8445, section 5.1.2, and RFC 6544, section 4.2): UDP before
// TCP, and addresses in the order given, but those of the highest rank first: Firefox checks in
// that order, and when the first address is nominated it may never check those after it.
func candidates(addresses []Address) []string {
	const component = 1
	addresses = slices.SortedStableFunc(slices.Values(addresses), func(a, b Address) int { return int(b.Rank) - int(a.Rank) })
	var udp, tcp []string
	for i, a := range addresses {
		if a.UDPPort != 0 {
			udp = append(udp, fmt.Sprintf("%d %d udp %d %s %d typ host", i+1, component, a.Rank.Priority(false, i), a.IP, a.UDPPort))
		}
		if a.TCPPort != 0 {
			tcp = append(tcp, fmt.Sprintf("%d %d tcp %d %s %d typ host tcptype passive",
				len(addresses)+i+1, component, a.Rank.Priority(true, i), a.IP, a.TCPPort))
		}
	}
	return append(udp, tcp...)
}
