//go:build e2e

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// flows waits until more packets come than did before.
func flows(t *testing.T, what string, packets func() int64) {
	t.Helper()
	before := packets()
	wait.For(t, patience, what, func() error {
		if now := packets(); now < before+10 {
			return fmt.Errorf("%d packets came", now-before)
		}
		return nil
	})
}

func TestRefusedPublishingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	covers(t, "2.3-errors", "2.3-rollback", "9-37", "6-106", "6-302", "6-406", "6-105", "2.4-errors", "2.10-errors")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	witness := r.join(t, "witness", v1alpha1.RoleSubscriber)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	notStreaming := "Participant '" + m.ID() + "' is not streaming media. Code: 105"
	m.refused("unpublishVideo", map[string]any{}, 105, notStreaming)
	m.refused("streamPropertyChanged", everyMethod["streamPropertyChanged"], 105, notStreaming)

	publisher := m.Offers(media, camera)
	bad := maps.Clone(publisher.Parameters())
	prefix := "Error generating SDP response for publishing user " + m.ID()
	for name, sdp := range map[string]string{
		"no SDP":          "hello",
		"empty":           "",
		"no media":        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
		"half a line":     publisher.Offer[:60],
		"a data channel":  regexp.MustCompile(`m=audio [0-9]+ \S+`).ReplaceAllString(publisher.Offer, "m=application 9 UDP/DTLS/SCTP"),
		"unknown codecs":  strings.ReplaceAll(publisher.Offer, "VP8/", "FOO/"),
		"too many m-line": publisher.Offer + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", 100),
	} {
		bad["sdpOffer"] = sdp
		t.Logf("publishing %s", name)
		if refusal := m.refusal("publishVideo", bad); refusal.Code != 302 || !strings.HasPrefix(refusal.Message, prefix) {
			t.Errorf("%s: %v, want 302 %q", name, refusal, prefix)
		}
	}
	filtered := m.Offers(media, camera)
	parameters := filtered.Parameters()
	parameters["filter"] = map[string]any{"type": "GStreamerFilter", "options": map[string]any{}}
	m.call("publishVideo", parameters) // a filter is ignored
	m.call("unpublishVideo", map[string]any{})
	stream := m.Publishes(media, camera).StreamID
	m.refused("publishVideo", publisher.Parameters(), 106, fmt.Sprintf("User %s is already publishing in session %s. Code: 106", m.ID(), r.name))
	flows(t, "the stream to be received", witness.Receives(media, stream).VideoPackets)
	told := 0
	for _, n := range witness.Notifications() {
		if n.Method == "participantPublished" {
			told++
		}
	}
	if told != 2 {
		t.Errorf("the witness was told of %d streams, want the two that did not fail", told)
	}
}

func TestErrorsOfReceiving(t *testing.T) {
	t.Parallel()
	covers(t, "2.5-errors", "2.6-errors", "2.7-errors", "2.18-errors", "2.18-client-offers", "6-102", "6-105", "6-303", "6-306", "6-302", "9-10")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RolePublisher)
	nobody := "str_CAM_AAAA_con_Nobody1234"
	unknown := fmt.Sprintf("User 'con_Nobody1234 not found in session '%s'. Code: 102", r.name)
	silent := "str_CAM_AAAA_" + b.ID()
	notStreaming := fmt.Sprintf("User '%s not streaming media in session '%s'. Code: 105", b.ID(), r.name)

	a.refused("prepareReceiveVideoFrom", map[string]any{"sender": nobody, "reconnect": false}, 102, unknown)
	a.refused("prepareReceiveVideoFrom", map[string]any{"sender": silent, "reconnect": false}, 105, notStreaming)
	a.refused("receiveVideoFrom", map[string]any{"sender": nobody, "sdpAnswer": "v=0"}, 102, unknown)
	a.refused("receiveVideoFrom", map[string]any{"sender": silent, "sdpAnswer": "v=0"}, 105, notStreaming)
	a.refused("unsubscribeFromVideo", map[string]any{"sender": "con_Nobody1234"}, 102,
		fmt.Sprintf("User con_Nobody1234 not found in session %s. Code: 102", r.name))
	a.refused("reconnectStream", map[string]any{"stream": nobody, "sdpString": "v=0"}, 105,
		fmt.Sprintf("Stream '%s' does not exist in Session '%s'. Code: 105", nobody, r.name))
	if refusal := a.refusal("receiveVideoFrom", map[string]any{"sender": silent}); refusal.Code != -1 {
		t.Errorf("neither SDP: %v", refusal)
	}

	own := a.Publishes(media, camera).StreamID
	a.refused("prepareReceiveVideoFrom", map[string]any{"sender": own, "reconnect": false}, 105, "Can loopback only when publishing media. Code: 105")
	b.refused("receiveVideoFrom", map[string]any{"sender": own, "sdpAnswer": "v=0"}, 303, fmt.Sprintf(
		"User '%s' has no offer to answer for stream '%s': 'prepareReceiveVideoFrom' comes first. Code: 303", b.ID(), own))
	clientOffer := b.Offers(media, camera).Offer
	for method, params := range map[string]map[string]any{
		"receiveVideoFrom": {"sender": own, "sdpOffer": clientOffer},
		"reconnectStream":  {"stream": own, "sdpOffer": clientOffer, "forciblyReconnect": false},
	} {
		if refusal := b.refusal(method, params); refusal.Code != 306 || !strings.HasPrefix(refusal.Message, "Operation not supported") {
			t.Errorf("%s with an offer of the client: %v", method, refusal)
		}
	}
	// A bad answer costs the subscription, and another one works.
	b.call("prepareReceiveVideoFrom", map[string]any{"sender": own, "reconnect": false})
	if refusal := b.refusal("receiveVideoFrom", map[string]any{"sender": own, "sdpAnswer": "hello"}); refusal.Code != 302 {
		t.Errorf("a bad answer: %v", refusal)
	}
	flows(t, "b to receive a", b.Receives(media, own).VideoPackets)
}

func TestOffersToSubscribersHaveWhatIsAdvertised(t *testing.T) {
	t.Parallel()
	covers(t, "4.7-subscriber-offer", "4.8b-audio-only", "4.8b-video-only", "9-29", "9-34", "4.3-publisher-offer", "4.5-publisher-answer", "4.8b-muted", "4.8b-screen",
		"4.8b-custom", "4.11-identifiers", "2.5-prepareReceiveVideoFrom")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	watcher := r.join(t, "watcher", v1alpha1.RoleSubscriber)
	videoFirst, muted, screen, custom := camera, camera, camera, camera
	videoFirst.VideoFirst, muted.AudioMuted, muted.VideoMuted = true, true, true
	screen.TypeOfVideo, custom.TypeOfVideo = "SCREEN", "CUSTOM"
	for name, c := range map[string]struct {
		stream       roomclient.Stream
		kinds, form  string
		audio, video bool
	}{
		"audio only":  {roomclient.Stream{AudioPacketBytes: 40}, "audio", "str_MIC_", true, false},
		"video only":  {roomclient.Stream{VideoFrameRate: 20, Video: roomclient.Fixed(1, 100)}, "video", "str_CAM_", false, true},
		"both":        {camera, "audio video", "str_CAM_", true, true},
		"video first": {videoFirst, "audio video", "str_CAM_", true, true},
		"muted":       {muted, "audio video", "str_CAM_", true, true},
		"a screen":    {screen, "audio video", "str_SCR_", true, true},
		"a track":     {custom, "audio video", "str_CUS_", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := r.join(t, name, v1alpha1.RolePublisher)
			p := m.Offers(media, c.stream)
			answer := m.call("publishVideo", p.Parameters())
			stream, _ := answer["id"].(string)
			if !strings.HasPrefix(stream, c.form) || !strings.HasSuffix(stream, m.ID()) || !streamIDs.MatchString(stream) {
				t.Errorf("the stream is %s", stream)
			}
			sdp, _ := answer["sdpAnswer"].(string)
			if got, want := lines(sdp, "m=", "a=mid:"), lines(p.Offer, "m=", "a=mid:"); !slices.Equal(got, want) {
				t.Errorf("the answer has the lines %q, the offer %q", got, want)
			}
			if !strings.Contains(sdp, "a=recvonly") || strings.Contains(sdp, "a=sendrecv") {
				t.Errorf("the answer is not recvonly: %s", sdp)
			}
			m.Starts(p, sdp)
			told := watcher.Gets("participantPublished", map[string]any{"id": m.ID()})
			info := told["streams"].([]any)[0].(map[string]any)
			if info["hasAudio"] != c.audio || info["hasVideo"] != c.video {
				t.Errorf("the watcher was told %v", info)
			}
			for member, want := range map[string]any{"audioActive": name != "muted", "videoActive": name != "muted"} {
				kind := strings.TrimSuffix(member, "Active")
				if has := kind == "audio" && c.audio || kind == "video" && c.video; !has {
					want = nil
				}
				if info[member] != want {
					t.Errorf("%s is %v, want %v", member, info[member], want)
				}
			}
			prepared, _ := watcher.call("prepareReceiveVideoFrom", map[string]any{"sender": stream, "reconnect": false})["sdpOffer"].(string)
			kinds := lines(prepared, "m=")
			if slices.Sort(kinds); strings.Join(kinds, " ") != c.kinds {
				t.Errorf("the offer has %v, want %s", kinds, c.kinds)
			}
			if !strings.Contains(prepared, "a=candidate:") {
				t.Error("the offer has no candidates inside")
			}
			s := watcher.Receives(media, stream)
			if c.audio {
				flows(t, "audio to come", s.AudioPackets)
			}
			if c.video {
				flows(t, "video to come", s.VideoPackets)
			}
		})
	}
}

// lines returns the first word after each prefix in an SDP, in the SDP's order.
func lines(sdp string, prefixes ...string) []string {
	var found []string
	for line := range strings.Lines(sdp) {
		for _, prefix := range prefixes {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
				word, _, _ := strings.Cut(rest, " ")
				found = append(found, word)
			}
		}
	}
	return found
}

func TestUnsubscribingStopsTheMediaAndSubscribingAgainWorks(t *testing.T) {
	t.Parallel()
	covers(t, "2.7-unsubscribeFromVideo", "9-36", "9-10", "2.6-receiveVideoFrom")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	stream := a.Publishes(media, camera).StreamID
	b.call("unsubscribeFromVideo", map[string]any{"sender": a.ID()}) // there is no subscription yet
	for _, reconnect := range []bool{true, false, true} {
		// What was there before, if anything, is dropped without a word.
		b.call("prepareReceiveVideoFrom", map[string]any{"sender": stream, "reconnect": reconnect})
	}
	first := b.Receives(media, stream)
	flows(t, "media", first.VideoPackets)
	second := b.resubscribe(media, stream)
	flows(t, "media by the second peer connection", second.VideoPackets)
	b.call("unsubscribeFromVideo", map[string]any{"sender": a.ID()})
	wait.For(t, 2*patience, "the peer connection to end", func() error {
		select {
		case <-second.Ended():
			return nil
		default:
			return fmt.Errorf("%d packets came", second.VideoPackets())
		}
	})
	flows(t, "media after subscribing again", b.Receives(media, stream).VideoPackets)
}

func TestCandidatesAreTakenWheneverTheyCome(t *testing.T) {
	t.Parallel()
	covers(t, "2.8-onIceCandidate", "2.8-errors", "4.8-trickle", "9-28", "6-304")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	candidates := []string{"", "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host", "candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
		"candidate:3 1 udp 2130706431 8d1c4c2e-1111-2222-3333-444455556666.local 9 typ host"}
	trickle := func(m *member, owner string) {
		for _, candidate := range candidates {
			m.call("onIceCandidate", map[string]any{"endpointName": owner, "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0})
		}
	}
	trickle(a, a.ID()) // before the offer
	publisher := a.Publishes(media, camera)
	trickle(a, a.ID())
	trickle(b, a.ID()) // before the request
	b.call("prepareReceiveVideoFrom", map[string]any{"sender": publisher.StreamID, "reconnect": false})
	trickle(b, a.ID()) // between the two requests
	subscriber := b.Receives(media, publisher.StreamID)
	trickle(b, a.ID())
	trickle(b, "con_Nobody1234") // useless, but answered
	a.republish(media, publisher.StreamID)
	trickle(a, a.ID())
	flows(t, "media", subscriber.VideoPackets)

	// What is no candidate at all, and too many of them, are refused; the stream does not suffer.
	nonsense := map[string]any{"endpointName": a.ID(), "candidate": "candidate:hello", "sdpMid": "0", "sdpMLineIndex": 0}
	if refusal := a.refusal("onIceCandidate", nonsense); refusal.Code != 304 {
		t.Errorf("nonsense was refused with %v", refusal)
	}
	good := map[string]any{"endpointName": a.ID(), "candidate": candidates[1], "sdpMid": "0", "sdpMLineIndex": 0}
	refused := false
	for range 300 {
		if err := a.Call(t.Context(), "onIceCandidate", good, nil); err != nil {
			refused = true
			break
		}
	}
	if !refused {
		t.Error("300 candidates were taken")
	}
	flows(t, "media", subscriber.VideoPackets)
	a.call("unpublishVideo", map[string]any{})
	trickle(a, a.ID()) // late
	trickle(b, a.ID())
}

func TestJoinersSeeTheCurrentStateOfStreams(t *testing.T) {
	t.Parallel()
	covers(t, "9-24", "2.10-audioActive", "2.10-videoActive", "2.10-videoDimensions", "2.1-value", "9-3")
	r := newRoom(t, nil)
	idle := r.join(t, "idle", v1alpha1.RolePublisher)
	a := r.join(t, "a", v1alpha1.RolePublisher)
	stream := a.Publishes(rawclient.NewMedia(t), camera).StreamID
	for property, value := range map[string]any{"audioActive": false, "videoActive": false, "videoDimensions": `{"width":1,"height":2}`} {
		a.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": property, "newValue": value, "reason": "publishAudio"})
	}
	late := dial(t, "late", r.token(t, v1alpha1.RoleSubscriber))
	value, _ := late.call("joinRoom", late.JoinParameters())["value"].([]any)
	if len(value) != 2 {
		t.Fatalf("value is %v", value)
	}
	first, second := value[0].(map[string]any), value[1].(map[string]any)
	if _, given := first["streams"]; given || first["id"] != idle.ID() {
		t.Errorf("the first entry is %v, want that of who joined first, without streams", first)
	}
	streams, _ := second["streams"].([]any)
	if len(streams) != 1 {
		t.Fatalf("the second entry is %v", second)
	}
	info := streams[0].(map[string]any)
	delete(info, "createdAt")
	want := map[string]any{
		"id": stream, "hasAudio": true, "hasVideo": true, "audioActive": false, "videoActive": false, "typeOfVideo": "CAMERA", "frameRate": float64(-1),
		"videoDimensions": `{"width":1,"height":2}`, "filter": map[string]any{},
	}
	got, _ := json.Marshal(info)
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) {
		t.Errorf("the stream is %s, want %s", got, wanted)
	}
}

func TestAPublishersReconnectionIsSilentForItsSubscribers(t *testing.T) {
	t.Parallel()
	covers(t, "2.18-publisher", "2.18-subscriber", "9-30", "9-31", "9-32", "9-16", "7.6-ice-grace", "4.1-one-exchange")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	before := a.Publishes(media, camera)
	subscriber := b.Receives(media, before.StreamID)
	flows(t, "media", subscriber.VideoPackets)
	told := len(b.Notifications())
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	a.call("echo", map[string]any{})
	after := a.republish(media, before.StreamID)
	if after.StreamID != before.StreamID {
		t.Errorf("the stream is %s, it was %s", after.StreamID, before.StreamID)
	}
	flows(t, "media after the publisher's reconnection", subscriber.VideoPackets)
	flows(t, "audio after the publisher's reconnection", subscriber.AudioPackets)

	// Who does not know its stream's id, since the answer was lost, gives none.
	p := a.Offers(media, camera)
	answer := a.call("reconnectStream", map[string]any{"sdpString": p.Offer})
	if answer["id"] != before.StreamID || answer["createdAt"] == nil || answer["sdpAnswer"] == nil {
		t.Errorf("reconnectStream without a stream gave %v", answer)
	}
	a.Starts(p, answer["sdpAnswer"].(string))
	flows(t, "media after that", subscriber.VideoPackets)

	if err := subscriber.Close(); err != nil {
		t.Fatal(err)
	}
	flows(t, "media by another peer connection", b.resubscribe(media, before.StreamID).VideoPackets)
	if now := b.Notifications(); len(now) != told {
		t.Errorf("b was told %v", now[told:])
	}
}

func TestLoopbackComesBackOnTheSamePeerConnection(t *testing.T) {
	t.Parallel()
	covers(t, "9-33", "4.5-publisher-answer", "4.8b-loopback")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	loop := camera
	loop.Loopback = true
	p := m.Publishes(rawclient.NewMedia(t), loop)
	flows(t, "the own video", p.VideoPackets)
	flows(t, "the own audio", p.AudioPackets)
}

func TestForcedCodecs(t *testing.T) {
	t.Parallel()
	covers(t, "4.9-forced-codec", "4.9-transcoding", "6-800", "2.3-errors")
	both, err := roomclient.NewMedia(nil, roomclient.VP8, roomclient.H264)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		transcode bool
		media     *roomclient.Media
		codec     string // in the answer, "" when it is refused
	}{
		"an offer with it":                              {false, both, "H264"},
		"an offer without it":                           {false, rawclient.NewMedia(t), ""},
		"an offer without it where transcoding is said": {true, rawclient.NewMedia(t), "VP8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, func(spec *v1alpha1.SessionSpec) {
				spec.ForcedVideoCodec, spec.AllowTranscoding = v1alpha1.ForcedVideoCodecH264, c.transcode
			})
			m := r.join(t, "a", v1alpha1.RolePublisher)
			p := m.Offers(c.media, camera)
			if c.codec == "" {
				want := fmt.Sprintf("Error forcing codec: 'H264', for PARTICIPANT: '%s' in Session: '%s'. Is publishing: 'true'. ", m.ID(), r.name)
				if refusal := m.refusal("publishVideo", p.Parameters()); refusal.Code != 800 || !strings.HasPrefix(refusal.Message, want) {
					t.Errorf("publishing gave %v, want 800 %q", refusal, want)
				}
				return
			}
			answer, _ := m.call("publishVideo", p.Parameters())["sdpAnswer"].(string)
			for _, codec := range regexp.MustCompile(`a=rtpmap:\d+ (\w+)/90000`).FindAllStringSubmatch(answer, -1) {
				if codec[1] != c.codec && codec[1] != "rtx" {
					t.Errorf("the answer has %s, want %s only", codec[1], c.codec)
				}
			}
			if !strings.Contains(answer, " "+c.codec+"/90000") {
				t.Errorf("the answer lacks %s: %s", c.codec, answer)
			}
		})
	}
}

func TestForceUnpublishOfAnUnknownStreamIsAnswered(t *testing.T) {
	t.Parallel()
	covers(t, "2.12-errors", "2.11-errors", "9-43", "6-102", "6-105")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RoleModerator)
	start := time.Now()
	m.refused("forceUnpublish", map[string]any{"streamId": "str_CAM_AAAA_" + m.ID()}, 105,
		fmt.Sprintf("Stream 'str_CAM_AAAA_%s' does not exist in Session '%s'. Code: 105", m.ID(), r.name))
	m.refused("forceDisconnect", map[string]any{"connectionId": "con_Nobody1234"}, 102, "Connection not found when calling 'forceDisconnect'. Code: 102")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the answers took %v", took)
	}
}
