package peer

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
	"mediarooms.dev/mediarooms/test/cost"
)

// hostileOffers are offers of the largest size that hide much work, as far as their lines allow.
func hostileOffers() map[string]string {
	const video = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n%sm=video 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n" +
		"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 AA\r\na=setup:actpass\r\na=sendonly\r\na=rtcp-mux\r\n"
	plain := fmt.Sprintf(video, "", "96 97") + "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
	// full adds lines until the description has its largest size, or so many lines.
	full := func(start string, most int, line func(i int) string) string {
		var b strings.Builder
		b.WriteString(start)
		for i := range most {
			next := line(i) + "\r\n"
			if b.Len()+len(next) > maxSDPBytes {
				break
			}
			b.WriteString(next)
		}
		return b.String()
	}
	same := func(text string) func(int) string { return func(int) string { return text } }
	fill := func(start, part string, bytes int) string {
		return start + strings.Repeat(part, max(bytes-len(start), 0)/len(part))
	}
	ids := func(bytes int) string {
		b := []byte("a=simulcast:send 0")
		for i := 1; len(b) < bytes-8; i++ {
			b = fmt.Appendf(b, ";%x", i)
		}
		return string(b)
	}
	numbers := func(from, to int) string {
		var all []string
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprint(i))
		}
		return strings.Join(all, " ")
	}
	var rids string
	for i := range maxRIDs {
		rids += fmt.Sprintf("a=rid:%x send\r\n", i)
	}
	half := (maxSDPBytes - 4096) / (maxAttributes - 50) // bytes of a line, for as many as there may be
	return map[string]string{
		"ids of layers, and attributes":        full(plain, 970, same("a=x:1 2")) + ids(maxSDPBytes-len(full(plain, 970, same("a=x:1 2")))-10),
		"as many ids as an attribute may have": full(plain+rids+ids(maxLineBytes)+"\r\n", 900, same(fill("a=x:", "1 ", half))),
		"rids":                                 full(plain+ids(maxLineBytes)+"\r\n", 900, same("a=rid:ab send")),
		"formats that repair each other": full(fmt.Sprintf(video, "", numbers(0, 128)), 128, func(i int) string {
			return fmt.Sprintf("a=rtpmap:%d rtx/90000\r\n", i) + fill(fmt.Sprintf("a=fmtp:%d ", i), "apt=1;", maxTokenBytes)
		}),
		"formats that may repair each other, at length": full(fmt.Sprintf(video, "", numbers(0, 124)), 62, func(i int) string {
			return fmt.Sprintf("a=rtpmap:%d VP8/90000\r\na=rtpmap:%d rtx/90000\r\n", i, 62+i) +
				fill(fmt.Sprintf("a=fmtp:%d ", 62+i), "x;", maxLineBytes-100)
		}),
		"formats with parameters": full(fmt.Sprintf(video, "", numbers(0, 128)), 128, func(i int) string {
			return fmt.Sprintf("a=rtpmap:%d VP8/90000\r\n", i) + fill(fmt.Sprintf("a=fmtp:%d ", i), ";a=1", maxTokenBytes)
		}),
		"one format, many times": full(fmt.Sprintf(video, "", strings.Repeat(" 96", 128)[1:]), 450,
			same("a=rtpmap:96 VP8/90000\r\n"+fill("a=fmtp:96 ", ";a=1", maxTokenBytes))),
		"feedback of a format":   full(plain, 900, same(fill("a=rtcp-fb:96 nack", " x", half))),
		"extensions":             full(plain, 900, same("a=extmap:3 "+strings.Repeat(" ", half)+"urn:ietf:params:rtp-hdrext:sdes:mid")),
		"streams":                full(plain, maxStreamLines-1, func(i int) string { return fmt.Sprintf("a=ssrc:%d cname:x", i) }),
		"too many streams":       full(plain, 990, func(i int) string { return fmt.Sprintf("a=ssrc:%d cname:x", i) }),
		"groups":                 full(fmt.Sprintf(video, full("", 900, same(fill("a=group:BUNDLE", " x", half))), "96")+"a=rtpmap:96 VP8/90000\r\n", 0, nil),
		"attributes beside":      fmt.Sprintf(video, full("", 1<<20, same("a=x"))[:maxSDPBytes-1000], "96"),
		"attributes":             full(plain, 1<<20, same("a=x")),
		"m-lines":                full(plain, 1<<20, same("m=video 9 RTP/AVP 0")),
		"bandwidths":             full(plain, 1<<20, same("b=AS:1")),
		"times":                  full("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n", 1<<20, same("t=0 0")),
		"a long attribute":       plain + fill("a=x:", "y", maxSDPBytes-len(plain)-2) + "\r\n",
		"a long list of formats": fmt.Sprintf(video, "", fill("96", " 97", maxSDPBytes-1000)),
		"nothing but a line":     fill("v=", "0", maxSDPBytes),
	}
}

func TestWorkIsBoundedBySize(t *testing.T) {
	bounded := func(what string, bytes int, read func()) {
		t.Helper()
		if ratio := cost.Ratio(bytes, read); ratio > cost.Most {
			t.Errorf("%s: %d bytes cost %.0f times a copy of them", what, bytes, ratio)
		}
	}
	for name, offer := range hostileOffers() {
		bounded("an offer with "+name, len(offer), func() { _, _ = readOffer(offer, "", "VP8") })
		answer := strings.NewReplacer("a=setup:actpass", "a=setup:active", "a=sendonly", "a=recvonly").Replace(offer)
		bounded("an answer with "+name, len(answer), func() { _, _ = readAnswer(answer, []sfu.Kind{sfu.Video}) })
	}
	video := mediaLine{
		kind: sfu.Video, codecs: []codec{{name: "VP8", payload: 96, rtx: 97}}, layers: []string{"x"},
		mid: "0", midExtension: 5, rid: 2, transportCC: 3, repairedRID: 4,
	}
	d := newDemultiplexer([]mediaLine{video}, func(encoding, uint32) receiver { return receiver{take: discard} })
	defer d.close()
	for name, packet := range hostileRTP(t) {
		for _, payload := range []byte{95, 96, 97} {
			packet[1] = payload
			now := time.Now()
			bounded(fmt.Sprintf("RTP of type %d with %s", payload, name), len(packet), func() { d.receive(packet, now) })
		}
	}
}

// hostileRTP are packets of the largest size.
func hostileRTP(t testing.TB) map[string][]byte {
	t.Helper()
	packets := map[string][]byte{"no extensions": make([]byte, packetBytes)}
	packets["no extensions"][0] = 0x80
	for name, extension := range map[string]struct {
		profile uint16
		element []byte
	}{
		"elements of one byte":   {0xbede, []byte{0x10, 0}},
		"elements of two bytes":  {0x1000, []byte{1, 0}},
		"padding":                {0xbede, []byte{0}},
		"its number many times":  {0xbede, []byte{0x31, 0, 1}},
		"its number in the last": {0xbede, []byte{0x50, 0}},
	} {
		raw := make([]byte, 12, packetBytes)
		raw[0] = 0x90
		raw = binary.BigEndian.AppendUint16(raw, extension.profile)
		words := (packetBytes - 16 - 4) / 4
		raw = binary.BigEndian.AppendUint16(raw, uint16(words))
		for len(raw)+len(extension.element) <= 16+4*words-3 {
			raw = append(raw, extension.element...)
		}
		raw = append(raw, 0x31, 0, 1)
		packets["extensions: "+name] = raw[: packetBytes-4 : packetBytes]
	}
	contributors := make([]byte, packetBytes)
	contributors[0] = 0x8f
	packets["contributors"] = contributors
	for name, packet := range packets {
		var header rtp.Header
		if _, err := header.Unmarshal(packet); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return packets
}

// Jumps of the transport-wide numbers cost what a report of the numbers between them does, ten
// times a second at most.
func TestFeedbackOnJumpingNumbersIsBounded(t *testing.T) {
	f := newFeedback(3)
	packet := []byte{0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 3<<4 | 1, 0, 0, 0, 0x10, 1}
	now := time.Now()
	number := uint16(0)
	const packets = 64 << 10 / 22
	ratio := cost.Ratio(22*packets, func() {
		for i := range packets {
			number += 32_000
			binary.BigEndian.PutUint16(packet[17:], number)
			now = now.Add(time.Millisecond)
			recordRaw(f, packet, now)
			if i%100 == 0 {
				for range f.due(now) {
					continue
				}
			}
		}
	})
	if ratio > cost.Most {
		t.Errorf("they cost %.0f times a copy", ratio)
	}
}
