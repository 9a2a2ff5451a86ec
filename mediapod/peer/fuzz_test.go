package peer

import (
	"errors"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// checkInterpreted makes sure that what we answer to a client's description is SDP within the
// limits, and has nothing that was not understood.
func checkInterpreted(t *testing.T, d *description) {
	t.Helper()
	answer, err := writeAnswer(end{}, d.media, nil, publisherBitrates(0))
	if err != nil {
		t.Fatal(err)
	}
	session, err := parse(answer)
	if err != nil {
		t.Fatalf("%v in\n%s", err, answer)
	}
	if len(d.media) == 0 || len(d.media) > 2 || len(session.MediaDescriptions) != len(d.media) {
		t.Errorf("%d m-lines in\n%s", len(d.media), answer)
	}
	for i, line := range d.media {
		if len(line.codecs) == 0 || len(session.MediaDescriptions[i].MediaName.Formats) == 0 {
			t.Errorf("no codecs in\n%s", answer)
		}
	}
	if strings.Contains(answer, "m=application") {
		t.Errorf("left over in\n%s", answer)
	}
}

func FuzzOffer(f *testing.F) {
	f.Add(crlf(chromium), "")
	f.Add(crlf(without(chromium, "a=rid", "a=simulcast")), "VP9")
	f.Fuzz(func(t *testing.T, offer, forced string) {
		d, err := readOffer(offer, forced, "")
		if err != nil {
			if !errors.Is(err, media.ErrSDP) && !errors.Is(err, media.ErrForcedCodec) {
				t.Errorf("%v", err)
			}
			return
		}
		checkInterpreted(t, d)
	})
}

func FuzzAnswer(f *testing.F) {
	answer := strings.NewReplacer("a=setup:actpass", "a=setup:active", "a=sendonly", "a=recvonly").
		Replace(crlf(without(chromium, "a=rid", "a=simulcast", "a=ssrc", "a=msid")))
	f.Add(answer, true, true)
	f.Add(answer[:strings.Index(answer, "m=video")], true, false)
	f.Add(strings.Replace(answer, "m=video 9", "m=video 0", 1), true, true)
	f.Fuzz(func(t *testing.T, answer string, audio, video bool) {
		var offered []sfu.Kind
		if audio {
			offered = append(offered, sfu.Audio)
		}
		if video {
			offered = append(offered, sfu.Video)
		}
		d, err := readAnswer(answer, offered)
		if err != nil {
			if !errors.Is(err, media.ErrSDP) && !errors.Is(err, media.ErrCodecRejected) {
				t.Errorf("%v", err)
			}
			return
		}
		checkInterpreted(t, d)
		if n := len(d.media); n == 0 || n > len(offered) || d.media[0].kind != offered[0] {
			t.Errorf("%d m-lines, %d were offered", n, len(offered))
		}
	})
}

func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 2122260223 192.168.1.4 56143 typ host generation 0 ufrag abcd network-id 1", "0")
	f.Add("candidate:2 1 udp 1686052607 203.0.113.4 56143 typ srflx raddr 192.168.1.4 rport 56143 generation 0", "video")
	f.Add("candidate:3 1 tcp 1518280447 2001:db8::4 9 typ host tcptype active generation 0", "")
	f.Add("", "0")
	f.Fuzz(func(t *testing.T, candidate, mid string) {
		if err := checkCandidate(media.ICECandidate{Candidate: candidate, SDPMid: mid}); err != nil && !errors.Is(err, media.ErrCandidate) {
			t.Errorf("%v", err)
		}
	})
}
