//go:build e2e

package conformance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// off is for what is muted from the start.
var off = false

func TestEveryKindOfStreamReachesThoseWhoAreThereAndThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	covers(t, "4.8b-audio-only", "4.8b-video-only", "4.8b-muted", "4.8b-screen", "4.8b-custom", "4.7-subscriber-offer", "4.11-identifiers",
		"5.3-streamCreated", "5.3-streamDestroyed-remote", "5.3-streamDestroyed-local", "5.2-unpublish", "9-24", "9-34", "2.4-unpublishVideo")
	reserve(t, 2)
	for _, publication := range []struct {
		name   string
		what   browser.Publication
		want   browser.Stream // as everybody sees it, without ids and sizes
		idKind string
	}{
		{
			"camera", browser.Publication{},
			browser.Stream{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: frameRate}, "CAM",
		},
		{
			"audio only", browser.Publication{VideoSource: false},
			browser.Stream{HasAudio: true, AudioActive: true}, "MIC",
		},
		{
			"video only", browser.Publication{AudioSource: false},
			browser.Stream{HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: frameRate}, "CAM",
		},
		{
			"a track of the application", browser.Publication{VideoSource: "canvas"},
			browser.Stream{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CUSTOM"}, "CUS",
		},
		{
			"screen", browser.Publication{VideoSource: "screen"},
			browser.Stream{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "SCREEN", FrameRate: frameRate}, "SCR",
		},
		{
			"screen without sound", browser.Publication{VideoSource: "screen", AudioSource: false},
			browser.Stream{HasVideo: true, VideoActive: true, TypeOfVideo: "SCREEN", FrameRate: frameRate}, "SCR",
		},
		{
			"muted microphone", browser.Publication{Audio: &off},
			browser.Stream{HasAudio: true, HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: frameRate}, "CAM",
		},
		{
			"muted camera", browser.Publication{Video: &off},
			browser.Stream{HasAudio: true, HasVideo: true, AudioActive: true, TypeOfVideo: "CAMERA", FrameRate: frameRate}, "CAM",
		},
	} {
		t.Run(publication.name, func(t *testing.T) {
			r := newRoom(t, nil)
			a := r.enter(t, "publisher", v1alpha1.RolePublisher)
			b := r.enter(t, "there", v1alpha1.RoleSubscriber)
			a.publish(publication.what)
			if prefix, suffix := "str_"+publication.idKind+"_", "_"+a.id(); !strings.HasPrefix(a.stream.StreamID, prefix) || !strings.HasSuffix(a.stream.StreamID, suffix) {
				t.Errorf("the stream's id is %q, want %s...%s", a.stream.StreamID, prefix, suffix)
			}
			a.getsOwn("streamCreated", nil)
			b.gets("streamCreated", about(a))
			late := b.another(r, "late", browser.JoinOptions{AutoSubscribe: true})
			if len(late.joined.Others) != 2 || late.joined.Others[0] != a.id() || late.joined.Others[1] != b.id() {
				t.Errorf("the late one was told of %v, want %v", late.joined.Others, []string{a.id(), b.id()})
			}
			for _, g := range []*guest{b, late} {
				g.gets("streamCreated", about(a))
				got, err := g.Stream(a.id())
				g.must(err)
				if got.StreamID != a.stream.StreamID || publication.want.HasVideo && got.Dimensions != a.stream.Dimensions {
					t.Errorf("%s sees %+v, published was %+v", g.Name, got, a.stream)
				}
				got.StreamID, got.Dimensions = "", ""
				if got != publication.want {
					t.Errorf("%s sees %+v, want %+v", g.Name, got, publication.want)
				}
				g.receives(a)
				media, err := g.Received(a.id())
				g.must(err)
				if !a.stream.HasAudio && media.Audio.Packets > 0 || !a.stream.HasVideo && media.Video.Packets > 0 {
					t.Errorf("%s gets a kind that is not published: %+v", g.Name, media)
				}
			}
			a.must(a.Unpublish())
			a.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == "unpublish" })
			for _, g := range []*guest{b, late} {
				g.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID && e.Reason == "unpublish" })
			}
			first := a.stream.StreamID
			var err error
			if a.stream, err = a.Republish(); err != nil || a.stream.StreamID == first {
				t.Fatalf("publishing again gave %+v, %v; the stream was %s before", a.stream, err, first)
			}
			b.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
			// The package has ended the application's track, which it can't make again.
			b.receivesKinds(a, a.stream.HasAudio, a.stream.HasVideo && publication.what.VideoSource != "canvas")
		})
	}
}

// An application that draws a slide sends nothing until it draws the next one, whatever it is
// asked.
func TestWhoComesWhileAPictureStandsStillSeesIt(t *testing.T) {
	t.Parallel()
	covers(t, "4.8b-custom")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "presenter", v1alpha1.RolePublisher)
	a.publish(browser.Publication{VideoSource: "canvas"})
	b := r.enter(t, "audience", v1alpha1.RoleSubscriber)
	b.receives(a)
	a.must(a.StandStill())
	seen := func(g *guest) int64 {
		media, err := g.Received(a.id())
		g.must(err)
		return media.Video.FramesDecoded
	}
	began, before := time.Now(), int64(0)
	wait.For(t, patience, "the picture to stand still for three seconds", func() error {
		if now := seen(b); now != before {
			began, before = time.Now(), now
		}
		if time.Since(began) < 3*time.Second {
			return fmt.Errorf("%d frames, the last one %v ago", before, time.Since(began))
		}
		return nil
	})
	late := r.enter(t, "late", v1alpha1.RoleSubscriber)
	late.gets("streamCreated", about(a))
	wait.For(t, patience, "who comes late to see the picture", func() error {
		if seen(late) == 0 {
			return errors.New("it has no frame")
		}
		return nil
	})
	if now := seen(b); now != before {
		t.Errorf("the picture has moved: %d frames more", now-before)
	}
}

func TestTwoOpenViduObjectsInOnePageSendCameraAndScreen(t *testing.T) {
	t.Parallel()
	covers(t, "4.8b-screen", "4.1-one-exchange", "4.2-who-offers")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "presenter", v1alpha1.RolePublisher)
	a.publish(browser.Publication{})
	screen := a.another(r, "screen", browser.JoinOptions{})
	screen.publish(browser.Publication{VideoSource: "screen", AudioSource: false})
	b := r.enter(t, "audience", v1alpha1.RolePublisher)
	for _, sender := range []*guest{a, screen} {
		b.gets("streamCreated", about(sender))
		b.receives(sender)
	}
	a.receives(screen)
	// The one that shares the screen leaves; the camera goes on.
	screen.must(screen.Leave())
	b.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == screen.stream.StreamID && e.Reason == "disconnect" })
	b.gets("connectionDestroyed", about(screen))
	b.receives(a)
	if n := b.count("streamDestroyed"); n != 1 {
		t.Errorf("%s saw %d streams end, want 1", b.Name, n)
	}
	var connections int
	b.must(b.Evaluate("window.probes.connections.length", &connections))
	if connections != 2 {
		t.Errorf("%s made %d peer connections for two streams", b.Name, connections)
	}
}

func TestLoopbackShowsWhatTheServerSendsBack(t *testing.T) {
	t.Parallel()
	covers(t, "4.8b-loopback", "4.5-publisher-answer", "9-33")
	reserve(t, 2)
	r := newRoom(t, nil)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	a := r.enter(t, "mirror", v1alpha1.RolePublisher)
	a.publish(browser.Publication{Loopback: true})
	request, response := a.answer("publishVideo")
	wantText(t, "the offer", string(request.Params), "a=sendrecv")
	wantText(t, "the answer", string(response.Result), "a=sendrecv")
	a.receives(a)
	b.receives(a)
	// It mutes and goes on as any other stream.
	a.must(a.MuteVideo(true))
	b.gets("streamPropertyChanged", func(e browser.Event) bool { return e.Property == "videoActive" && e.NewValue == "false" })
	var connections int
	a.must(a.Evaluate("window.probes.connections.length", &connections))
	if connections != 1 {
		t.Errorf("loopback took %d peer connections, want 1", connections)
	}
}

func TestClientsAskTheServerForNothingButTheSocket(t *testing.T) {
	t.Parallel()
	covers(t, "1.12-absent", "8.5-absent")
	reserve(t, 1)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	if strings.Contains(a.token, "edition=") || strings.Contains(a.token, "sendBrowserLogs=") {
		t.Error("the token asks for browser logs")
	}
	a.publish(browser.Publication{})
	a.must(a.Leave())
	a.answer("leaveRoom")
	var resources []string
	a.must(a.Evaluate("performance.getEntriesByType('resource').map(({ name }) => name)", &resources))
	_, site := sharedChromium(t)
	for _, resource := range resources {
		if !strings.HasPrefix(resource, site.URL) && !strings.HasPrefix(resource, "data:") && !strings.HasPrefix(resource, "ws") {
			t.Errorf("the page asked for %s", resource)
		}
	}
	for _, f := range a.page.Frames() {
		if f.Method == "masterNodeCrashedNotification" {
			t.Errorf("%s went over the socket", f.Method)
		}
	}
}

func TestSubscribersCanStopAndStartAgain(t *testing.T) {
	t.Parallel()
	covers(t, "2.7-unsubscribeFromVideo", "2.5-prepareReceiveVideoFrom", "2.6-receiveVideoFrom", "4.8-trickle")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
	a.publish(browser.Publication{})
	b.receives(a)
	for range 2 {
		b.must(b.Unsubscribe(a.id()))
		b.must(b.Subscribe(a.id()))
		b.receives(a)
	}
	if n := b.count("streamCreated"); n != 1 {
		t.Errorf("the stream was announced %d times", n)
	}
	b.undisturbed()
	a.undisturbed()
}

func TestStreamPropertyChangedReachesEverybodyWithItsReason(t *testing.T) {
	t.Parallel()
	covers(t, "2.10-audioActive", "2.10-videoActive", "2.10-videoDimensions", "2.10-tracks", "3.7-activity", "3.7-videoDimensions", "3.7-tracks",
		"3.7-recipients", "5.5-publishAudio", "5.5-publishVideo", "5.5-trackReplaced", "9-22", "2.19-videoData")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	a.publish(browser.Publication{})
	b.receives(a)
	for _, step := range []struct {
		name   string
		act    func() error
		events []string // what both get about it, in any order: property reason newValue
	}{
		{"mute audio", func() error { return a.MuteAudio(true) }, []string{"audioActive publishAudio false"}},
		{"unmute audio", func() error { return a.MuteAudio(false) }, []string{"audioActive publishAudio true"}},
		{"mute video", func() error { return a.MuteVideo(true) }, []string{"videoActive publishVideo false"}},
		{"unmute video", func() error { return a.MuteVideo(false) }, []string{"videoActive publishVideo true"}},
		{"replace video", func() error { return a.ReplaceVideoTrack(400, 300) }, []string{
			`videoDimensions trackReplaced {"width":400,"height":300}`, "videoTrack trackReplaced {"}},
		{"replace audio", a.ReplaceAudioTrack, []string{"audioTrack trackReplaced {"}},
	} {
		before := map[*guest]int{a: len(properties(a)), b: len(properties(b))}
		a.must(step.act())
		for _, g := range []*guest{a, b} {
			wait.For(t, patience, g.Name+" to be told: "+step.name, func() error {
				got := properties(g)[before[g]:]
				for _, want := range step.events {
					if !containsPrefix(got, want) {
						return fmt.Errorf("got %q, want %q", got, step.events)
					}
				}
				if len(got) != len(step.events) {
					return fmt.Errorf("got %q, want %q only", got, step.events)
				}
				return nil
			})
		}
		b.receives(a)
	}
	// Who comes later sees the last state.
	late := b.another(r, "late", browser.JoinOptions{})
	seen, err := late.Stream(a.id())
	late.must(err)
	if seen.Dimensions != `{"width":400,"height":300}` || !seen.AudioActive || !seen.VideoActive {
		t.Errorf("a late joiner sees %+v", seen)
	}
}

// properties are the guest's events streamPropertyChanged on its Session: property, reason and new
// value.
func properties(g *guest) []string {
	var changes []string
	for _, e := range g.events() {
		if e.On == "session" && e.Name == "streamPropertyChanged" {
			changes = append(changes, e.Property+" "+e.Reason+" "+e.NewValue)
		}
	}
	return changes
}

func containsPrefix(texts []string, prefix string) bool {
	for _, text := range texts {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func TestResizingTheSharedScreenIsTold(t *testing.T) {
	t.Parallel()
	covers(t, "5.5-screenResized", "2.10-videoDimensions")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "presenter", v1alpha1.RolePublisher)
	b := r.enter(t, "audience", v1alpha1.RoleSubscriber)
	a.publish(browser.Publication{VideoSource: "screen", AudioSource: false})
	b.receives(a)
	// Which size it gets is the browser's own affair.
	a.must(a.ResizeCapture(480, 270))
	resized := a.gets("streamPropertyChanged", func(e browser.Event) bool { return e.Reason == "screenResized" })
	if resized.NewValue == a.stream.Dimensions || resized.Property != "videoDimensions" {
		t.Errorf("the size was %s and changed by %+v", a.stream.Dimensions, resized)
	}
	b.gets("streamPropertyChanged", func(e browser.Event) bool {
		return e.Property == "videoDimensions" && e.Reason == "screenResized" && e.NewValue == resized.NewValue &&
			e.OldValue == a.stream.Dimensions && e.StreamID == a.stream.StreamID
	})
	b.receives(a)
}

func TestRotatingAPhoneIsTold(t *testing.T) {
	t.Parallel()
	covers(t, "5.5-deviceRotated")
	reserve(t, 2)
	r := newRoom(t, nil)
	own, site := ownChromium(t)
	connection := r.connection(t, nil)
	participant, page := own.OpenParticipantOn(t, site, "phone", browser.Viewport{Width: 390, Height: 844, Phone: true})
	a := &guest{Participant: participant, t: t, page: page, object: connection.Name, token: connection.Status.Token}
	a.join(browser.JoinOptions{AutoSubscribe: true})
	b := r.enter(t, "other", v1alpha1.RoleSubscriber)
	a.publish(browser.Publication{})
	b.receives(a)
	// A phone's camera turns its picture with the phone; the fake one has to be told.
	a.must(a.ResizeCapture(240, 320))
	a.must(a.page.Rotate())
	for _, g := range []*guest{a, b} {
		g.gets("streamPropertyChanged", func(e browser.Event) bool {
			return e.Property == "videoDimensions" && e.Reason == "deviceRotated" && e.NewValue == `{"width":240,"height":320}`
		})
	}
	b.receives(a)
}
