package peer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// chromium is an offer as Chromium makes it for a simulcast publisher, shortened.
const chromium = `v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 7a1
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901ab
a=ice-options:trickle
a=fingerprint:sha-256 A2:C3:91:A4:82:96:07:C0:8F:21:FB:01:71:D6:3F:C4:EF:2B:52:C3:64:51:6A:F1:7C:16:87:BB:E5:57:85:E3
a=setup:actpass
a=mid:0
a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:7a1 a1
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=ssrc:11 cname:c
a=ssrc:11 msid:7a1 a1
m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 39 40 98 99
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901ab
a=ice-options:trickle
a=fingerprint:sha-256 A2:C3:91:A4:82:96:07:C0:8F:21:FB:01:71:D6:3F:C4:EF:2B:52:C3:64:51:6A:F1:7C:16:87:BB:E5:57:85:E3
a=setup:actpass
a=mid:1
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
a=sendonly
a=msid:7a1 v1
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
a=rtpmap:39 AV1/90000
a=rtpmap:40 rtx/90000
a=fmtp:40 apt=39
a=rtpmap:98 VP9/90000
a=fmtp:98 profile-id=0
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rid:rdiv4 send
a=rid:rdiv2 send
a=rid:rdiv1 send
a=simulcast:send rdiv4;rdiv2;rdiv1
`

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// without drops all lines with a prefix.
func without(text string, prefixes ...string) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) })
	}), "")
}

// videoFormats finds the formats of the video, in group 1 what is before them.
var videoFormats = regexp.MustCompile(`(m=video \d+ \S+ )[0-9 ]+`)

func TestTheCodecOfAnOffer(t *testing.T) {
	for name, c := range map[string]struct {
		order             string // of the formats; "" leaves them as they are
		forced, preferred string
		want              codec
		err               error
	}{
		"the first":                           {want: codec{"VP8", "", 96, 97}},
		"the forced one":                      {forced: "VP9", want: codec{"VP9", "profile-id=0", 98, 99}},
		"that of the connection before":       {preferred: "H264", want: codec{"H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", 102, 103}},
		"forced beats before":                 {forced: "VP8", preferred: "H264", want: codec{"VP8", "", 96, 97}},
		"one that is not offered":             {forced: "AV1", err: media.ErrForcedCodec},
		"before is not offered: again, first": {preferred: "AV1", want: codec{"VP8", "", 96, 97}},
		"what all decode, though not first":   {order: "102 103 98 99 96 97", want: codec{"VP8", "", 96, 97}},
		"before, though all decode another":   {order: "102 103 98 99 96 97", preferred: "VP9", want: codec{"VP9", "profile-id=0", 98, 99}},
		"the first, if not all decode any":    {order: "39 40 98 99 102 103", want: codec{"VP9", "profile-id=0", 98, 99}},
	} {
		offer := crlf(chromium)
		if c.order != "" {
			offer = videoFormats.ReplaceAllString(offer, "${1}"+c.order)
		}
		d, err := readOffer(offer, c.forced, c.preferred)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && d.line(sfu.Video).codecs[0] != c.want {
			t.Errorf("%s: %+v", name, d.line(sfu.Video).codecs)
		}
	}
}

func TestTheAnswerAcceptsAllLayers(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasAudio: true, HasVideo: true, MaxVideoKbps: 1200})
	answer, err := p.Answer(t.Context(), crlf(chromium))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a=group:BUNDLE 0 1", "a=setup:passive", "a=recvonly", "a=rtcp-mux",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "a=fmtp:97 apt=96",
		"a=rid:rdiv4 recv", "a=rid:rdiv2 recv", "a=rid:rdiv1 recv", "a=simulcast:recv rdiv4;rdiv2;rdiv1", "b=AS:1200", "b=TIAS:1200000", "a=fmtp:96 x-google-start-bitrate=1000",
		"a=rtcp-fb:96 transport-cc", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:111 transport-cc",
		"a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
		fmt.Sprintf("a=candidate:1 1 udp 1000000000 127.0.0.1 %d typ host", e.UDPPort()), "a=end-of-candidates",
	} {
		if !slices.Contains(strings.Split(answer, "\r\n"), want) {
			t.Errorf("no line %q in\n%s", want, answer)
		}
	}
	for _, no := range []string{"VP9", "H264", "AV1", "G722", "red/", "abs-send-time"} {
		if strings.Contains(answer, no) {
			t.Errorf("%q in\n%s", no, answer)
		}
	}
	if n := strings.Count(answer, "a=candidate:"); n != 1 {
		t.Errorf("%d candidates", n)
	}
}

func TestTheLayersOfAnOffer(t *testing.T) {
	rids := "a=rid:rdiv4 send\na=rid:rdiv2 send\na=rid:rdiv1 send\na=simulcast:send rdiv4;rdiv2;rdiv1\n"
	for name, c := range map[string]struct {
		lines string
		want  []string
	}{
		"three":                      {rids, []string{"rdiv4", "rdiv2", "rdiv1"}},
		"one":                        {"a=rid:rdiv1 send\na=simulcast:send rdiv1\n", []string{"rdiv1"}},
		"none":                       {"", nil},
		"with restrictions":          {"a=rid:l send pt=96;max-width=320\na=rid:h send\na=simulcast:send l;h\n", []string{"l", "h"}},
		"paused, and an alternative": {"a=rid:l send\na=rid:m send\na=rid:h send\na=simulcast:send ~l;h,m\n", []string{"l", "h"}},
		"both directions":            {"a=rid:l send\na=rid:h send\na=rid:x recv\na=simulcast:recv x send l;h\n", []string{"l", "h"}},
		"to receive only":            {"a=rid:l recv\na=simulcast:recv l\n", nil},
		"without rid lines":          {"a=simulcast:send l;h\n", nil},
		"rid lines alone":            {"a=rid:l send\na=rid:h send\n", nil},
		"the same twice":             {"a=rid:l send\na=simulcast:send l;l\n", []string{"l"}},
		"bad names":                  {"a=rid:l send\na=rid:\u00fc send\na=simulcast:send l;\u00fc;;~\n", []string{"l"}},
		"six": {"a=rid:1 send\na=rid:2 send\na=rid:3 send\na=rid:4 send\na=rid:5 send\na=rid:6 send\na=simulcast:send 1;2;3;4;5;6\n",
			[]string{"3", "4", "5", "6"}},
	} {
		d, err := readOffer(crlf(strings.Replace(chromium, rids, c.lines, 1)), "", "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := d.line(sfu.Video).layers; !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		answer, err := writeAnswer(end{}, d.media, nil, bitrates{})
		if err != nil || strings.Contains(answer, "a=simulcast") != (c.want != nil) {
			t.Errorf("%s: %v in\n%s", name, err, answer)
		}
	}
}

func TestTheAnswerMirrorsTheOrderOfTheOffer(t *testing.T) {
	audio := strings.Index(chromium, "m=audio")
	video := strings.Index(chromium, "m=video")
	swapped := chromium[:audio] + chromium[video:] + chromium[audio:video]
	e := newEngine(t)
	answer, err := e.NewPublication(both).Answer(t.Context(), crlf(swapped))
	if err != nil {
		t.Fatal(err)
	}
	var session sdp.SessionDescription
	if err := session.UnmarshalString(answer); err != nil {
		t.Fatal(err)
	}
	if m := session.MediaDescriptions; len(m) != 2 || m[0].MediaName.Media != "video" || m[1].MediaName.Media != "audio" {
		t.Errorf("answer is\n%s", answer)
	}
}

func TestABadOfferIsAnErrorAndNothingElse(t *testing.T) {
	replace := func(from, to string) string { return strings.ReplaceAll(chromium, from, to) }
	offers := map[string]string{
		"nothing":                      "",
		"no SDP":                       "hello",
		"a session without media":      chromium[:strings.Index(chromium, "m=audio")],
		"too long":                     chromium + strings.Repeat("a=x\n", maxSDPBytes/4),
		"too many m-lines":             chromium + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 0\n", maxMediaLines),
		"too many attributes":          chromium + strings.Repeat("a=x\n", maxAttributes),
		"too many formats":             replace("98 99\n", "98 99"+strings.Repeat(" 100", maxPayloadTypes)+"\n"),
		"two videos":                   chromium + chromium[strings.Index(chromium, "m=video"):],
		"a data channel":               chromium + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n",
		"a rejected m-line":            replace("m=audio 9", "m=audio 0"),
		"no mid":                       without(chromium, "a=mid:"),
		"an empty mid":                 replace("a=mid:0", "a=mid:"),
		"the same mid twice":           replace("a=mid:1", "a=mid:0"),
		"no bundle":                    without(chromium, "a=group"),
		"a bundle of one":              replace("BUNDLE 0 1", "BUNDLE 0"),
		"no ICE user":                  without(chromium, "a=ice-ufrag"),
		"a short ICE user":             replace("a=ice-ufrag:abcd", "a=ice-ufrag:ab"),
		"no ICE password":              without(chromium, "a=ice-pwd"),
		"a long ICE password":          replace("a=ice-pwd:", "a=ice-pwd:"+strings.Repeat("x", maxTokenBytes)),
		"no fingerprint":               without(chromium, "a=fingerprint"),
		"an empty fingerprint":         replace("a=fingerprint:sha-256 ", "a=fingerprint:"),
		"no setup":                     without(chromium, "a=setup"),
		"an unknown setup":             replace("a=setup:actpass", "a=setup:holdconn"),
		"no DTLS":                      replace("UDP/TLS/RTP/SAVPF", "RTP/AVPF"),
		"no codec of ours in audio":    without(chromium, "a=rtpmap:111"),
		"no codec of ours in video":    without(chromium, "a=rtpmap:96", "a=rtpmap:102", "a=rtpmap:98"),
		"VP9 of another profile":       replace("profile-id=0", "profile-id=2") + "",
		"a port that is not a number":  replace("m=audio 9", "m=audio x"),
		"a payload type out of range":  replace("111", "4711"),
		"binary":                       "\x00\xff\x00",
		"an m-line without formats":    replace("m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 39 40 98 99", "m=video 9 UDP/TLS/RTP/SAVPF"),
		"a setup that leaves us alone": replace("a=setup:actpass", "a=setup:passive"),
		"a long attribute":             chromium + "a=x:" + strings.Repeat("y", maxLineBytes) + "\n",
		"a long attribute beside":      replace("a=extmap-allow-mixed", "a=extmap-allow-mixed:"+strings.Repeat("y", maxLineBytes)),
		"too many attributes beside":   replace("a=extmap-allow-mixed\n", strings.Repeat("a=x\n", maxAttributes)),
		"too many rids":                chromium + strings.Repeat("a=rid:x send\n", maxRIDs+1),
		"too many streams":             chromium + strings.Repeat("a=ssrc:1 cname:c\n", maxStreamLines),
		"too many lines":               chromium + strings.Repeat("b=AS:1\n", maxSDPLines),
		"a fingerprint by SHA-1":       replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
		"a fingerprint by MD5":         replace("a=fingerprint:sha-256 ", "a=fingerprint:MD5 "),
		"a fingerprint by nothing":     replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-3 "),
	}
	offers["VP9 of another profile"] = without(offers["VP9 of another profile"], "a=rtpmap:96", "a=rtpmap:102")
	e := newEngine(t)
	p := e.NewPublication(both)
	for name, offer := range offers {
		if _, err := p.Answer(t.Context(), crlf(offer)); !errors.Is(err, media.ErrSDP) {
			t.Errorf("%s: %v", name, err)
		}
		if n := e.Stats().PublishingConnections; n != 0 {
			t.Fatalf("%s: %d connections are left", name, n)
		}
	}
	if _, err := p.Answer(t.Context(), crlf(chromium)); err != nil {
		t.Errorf("a good offer after all the bad ones: %v", err)
	}
}

func TestABadAnswerIsAnErrorAndNothingElse(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	c := newClient(t, clientOptions{})
	s, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	c.must(err)
	good := c.answer(offer)
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"nothing":             {"", media.ErrSDP},
		"fewer m-lines":       {good[:strings.Index(good, "m=video")], media.ErrSDP},
		"another order":       {strings.NewReplacer("m=audio", "m=video", "m=video", "m=audio").Replace(good), media.ErrSDP},
		"no ICE":              {strings.ReplaceAll(good, "a=ice-pwd", "a=x"), media.ErrSDP},
		"rejected audio":      {strings.ReplaceAll(good, "m=audio 9", "m=audio 0"), media.ErrCodecRejected},
		"inactive media":      {strings.ReplaceAll(good, "a=recvonly", "a=inactive"), media.ErrCodecRejected},
		"only unknown codecs": {strings.ReplaceAll(good, "opus/48000", "speex/8000"), media.ErrCodecRejected},
	} {
		if err := s.Answer(t.Context(), c.answer); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.must(s.Answer(t.Context(), good))
	c.waitConnected()
	if err := s.Answer(t.Context(), good); !errors.Is(err, media.ErrSDP) {
		t.Errorf("a second answer: %v", err)
	}
}

func TestCandidates(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s, _, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for candidate, ok := range map[string]bool{
		"": true,
		"candidate:1 1 udp 2122260223 192.168.1.4 56143 typ host generation 0 ufrag abcd network-id 1":        true,
		"candidate:1 1 udp 2122260223 5c1b1a4b-2f4f-4b6b-8a52-d8d7a7c1a3a1.local 56143 typ host":              true,
		"candidate:2 1 udp 1686052607 203.0.113.4 56143 typ srflx raddr 192.168.1.4 rport 56143 generation 0": true,
		"candidate:3 1 tcp 1518280447 192.168.1.4 9 typ host tcptype active generation 0":                     true,
		"candidate:4 1 udp 41885439 198.51.100.7 50000 typ relay raddr 203.0.113.4 rport 1":                   true,
		"candidate:5 1 udp 2122262783 2001:db8::4 56143 typ host":                                             true,
		"candidate:":          false,
		"hello":               false,
		"candidate:1 1 udp x": false,
		"candidate:1 1 udp 1 1.2.3.4 99999 typ host": false,
		"candidate:1 1 udp 1 1.2.3.4 5 typ nothing":  false,
		strings.Repeat("x", 2000):                    false,
		"\x00\xff":                                   false,
	} {
		for _, err := range []error{
			p.AddICECandidate(media.ICECandidate{Candidate: candidate, SDPMid: "0"}),
			s.AddICECandidate(media.ICECandidate{Candidate: candidate, SDPMid: "0"}),
		} {
			if ok && err != nil || !ok && !errors.Is(err, media.ErrCandidate) {
				t.Errorf("%.80q: %v", candidate, err)
			}
		}
	}
}

// TestMangledOffers gives the engine offers in which lines are missing, doubled, moved or damaged:
// whatever comes of it, nothing breaks, and a good offer works afterwards.
func TestMangledOffers(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	random := rand.New(rand.NewPCG(1, 2))
	good := slices.Collect(strings.Lines(crlf(chromium)))
	answered := 0
	for range 400 {
		lines := slices.Clone(good)
		for range 1 + random.IntN(3) {
			i, j := random.IntN(len(lines)), random.IntN(len(lines))
			switch random.IntN(4) {
			case 0:
				lines = slices.Delete(lines, i, i+1)
			case 1:
				lines = slices.Insert(lines, j, lines[i])
			case 2:
				lines[i], lines[j] = lines[j], lines[i]
			case 3:
				line := []byte(lines[i])
				line[random.IntN(len(line))] = byte(random.IntN(256))
				lines[i] = string(line)
			}
		}
		_, err := p.Answer(t.Context(), strings.Join(lines, ""))
		if err == nil {
			answered++
		} else if !errors.Is(err, media.ErrSDP) {
			t.Errorf("%v", err)
		}
	}
	if answered < 50 {
		t.Errorf("only %d of them were answered: the test tests little", answered)
	}
	if n := e.Stats().PublishingConnections; n > 1 {
		t.Errorf("%d connections are left", n)
	}
	if _, err := p.Answer(t.Context(), crlf(chromium)); err != nil {
		t.Error(err)
	}
}
