//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// seats is how many pages the tests may have open at once: each encodes and decodes video, on a
// small machine.
const seats = 4

// frameRate of what guests publish, in frames per second.
const frameRate = 15

// chromium is what the browser tests share. It starts with the first of them and ends with the
// suite.
var chromium struct {
	mu      sync.Mutex // guards site and process
	site    *browser.Site
	process *browser.Browser
	free    int
	freed   *sync.Cond
}

func init() {
	chromium.free, chromium.freed = seats, sync.NewCond(&sync.Mutex{})
}

// closeChromium ends what the browser tests share, if there is anything.
func closeChromium() {
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	if chromium.process != nil {
		chromium.process.Close()
	}
	if chromium.site != nil {
		_ = chromium.site.Close() // nobody is left to be served
	}
}

// sharedChromium is the browser in which most guests are tabs.
func sharedChromium(t *testing.T) (*browser.Browser, *browser.Site) {
	t.Helper()
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	var err error
	if chromium.site == nil {
		if chromium.site, err = browser.Serve(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if chromium.process == nil {
		if chromium.process, err = browser.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return chromium.process, chromium.site
}

// ownChromium is a browser of the test's own. Tabs of one browser share its camera, and with it the
// size of the picture.
func ownChromium(t *testing.T) (*browser.Browser, *browser.Site) {
	t.Helper()
	_, site := sharedChromium(t)
	process, err := browser.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Close)
	return process, site
}

// reserve lets the test go on when that many pages may be opened. A test calls it once, first of
// all.
func reserve(t *testing.T, pages int) {
	t.Helper()
	chromium.freed.L.Lock()
	defer chromium.freed.L.Unlock()
	for chromium.free < pages {
		chromium.freed.Wait()
	}
	chromium.free -= pages
	t.Cleanup(func() {
		chromium.freed.L.Lock()
		defer chromium.freed.L.Unlock()
		chromium.free += pages
		chromium.freed.Broadcast()
	})
}

// guest is a browser's tab in a room.
type guest struct {
	*browser.Participant
	t *testing.T
	// page is the tab.
	page *browser.Page
	// object is the name of the Connection that admits it.
	object string
	// token is that Connection's.
	token string
	// joined is what it was told.
	joined browser.Joined
	// stream is what it publishes.
	stream browser.Stream
	// exchanging is since when it has exchanged media with another; zero when that is not looked
	// at.
	exchanging time.Time
}

// open opens a tab with the token of a new Connection; change, unless nil, changes that first. It
// does not join yet.
func (r *room) open(t *testing.T, name string, change func(*v1alpha1.ConnectionSpec)) *guest {
	t.Helper()
	shared, site := sharedChromium(t)
	return r.openIn(t, shared, site, name, change)
}

// openIn is open in another browser.
func (r *room) openIn(t *testing.T, process *browser.Browser, site *browser.Site, name string, change func(*v1alpha1.ConnectionSpec)) *guest {
	t.Helper()
	connection := r.connection(t, change)
	participant, page := process.OpenParticipantOn(t, site, name, browser.Viewport{})
	return &guest{Participant: participant, t: t, page: page, object: connection.Name, token: connection.Status.Token}
}

// enter opens a tab and joins with a role. Streams are received as soon as they are announced.
func (r *room) enter(t *testing.T, name string, role v1alpha1.Role) *guest {
	t.Helper()
	g := r.open(t, name, func(spec *v1alpha1.ConnectionSpec) { spec.Role = role })
	g.join(browser.JoinOptions{AutoSubscribe: true})
	return g
}

// another joins with one more OpenVidu object in the same tab.
func (g *guest) another(r *room, name string, options browser.JoinOptions) *guest {
	g.t.Helper()
	connection := r.connection(g.t, nil)
	other := &guest{Participant: g.Another(name), t: g.t, page: g.page, object: connection.Name, token: connection.Status.Token}
	other.join(options)
	return other
}

// join calls Session.connect. The client's data is its name unless it says something else.
func (g *guest) join(options browser.JoinOptions) {
	g.t.Helper()
	if options.ClientData == "" {
		options.ClientData = g.Name
	}
	var err error
	if g.joined, err = g.JoinWith(g.token, options); err != nil {
		g.t.Fatalf("%s: connect: %v", g.Name, err)
	}
}

// id is the connection id.
func (g *guest) id() string { return g.joined.ConnectionID }

// publish sends something; the zero value is camera and microphone.
func (g *guest) publish(publication browser.Publication) {
	g.t.Helper()
	var err error
	if g.stream, err = g.PublishWith(publication); err != nil {
		g.t.Fatalf("%s: publish: %v", g.Name, err)
	}
}

// must ends the test when a call of a guest failed.
func (g *guest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%s: %v", g.Name, err)
	}
}

// failure is the error that openvidu-browser gave to the application; anything else ends the test.
func (g *guest) failure(err error) *browser.Failure {
	g.t.Helper()
	var failure *browser.Failure
	if !errors.As(err, &failure) {
		g.t.Fatalf("%s: got %v, want an error of openvidu-browser", g.Name, err)
	}
	return failure
}

// events of the guest so far.
func (g *guest) events() []browser.Event {
	g.t.Helper()
	events, err := g.Events()
	g.must(err)
	return events
}

// waits for an event that matches, also one that came already.
func (g *guest) waits(within time.Duration, what string, match func(browser.Event) bool) browser.Event {
	g.t.Helper()
	var found browser.Event
	wait.For(g.t, within, g.Name+" to get "+what, func() error {
		events, err := g.Events()
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(events, match); i >= 0 {
			found = events[i]
			return nil
		}
		return fmt.Errorf("it got %d other events", len(events))
	})
	return found
}

// gets waits for an event of the Session.
func (g *guest) gets(name string, match func(browser.Event) bool) browser.Event {
	g.t.Helper()
	return g.waits(patience, name, func(e browser.Event) bool { return e.On == "session" && e.Name == name && (match == nil || match(e)) })
}

// getsOwn waits for an event of the Publisher.
func (g *guest) getsOwn(name string, match func(browser.Event) bool) browser.Event {
	g.t.Helper()
	return g.waits(patience, name+" of its publisher",
		func(e browser.Event) bool { return e.On == "publisher" && e.Name == name && (match == nil || match(e)) })
}

// about matches events of a guest's connection.
func about(g *guest) func(browser.Event) bool {
	return func(e browser.Event) bool { return e.ConnectionID == g.id() }
}

// count is how many events of a name there are on the Session.
func (g *guest) count(name string) int {
	g.t.Helper()
	n := 0
	for _, e := range g.events() {
		if e.On == "session" && e.Name == name {
			n++
		}
	}
	return n
}

// never checks that no event of these names came to the Session.
func (g *guest) never(names ...string) {
	g.t.Helper()
	for _, e := range g.events() {
		// On a busy machine a stream may play only after 4 s, the package's bound.
		starting := e.Exception == "NO_STREAM_PLAYING_EVENT" && (g.exchanging.IsZero() || e.Time().Before(g.exchanging))
		if e.On == "session" && slices.Contains(names, e.Name) && !starting {
			g.t.Errorf("%s got %+v", g.Name, e)
		}
	}
}

// undisturbed checks that a guest saw nothing of what happened to others: nobody left, no stream
// ended, nothing was reconnected.
func (g *guest) undisturbed() {
	g.t.Helper()
	g.never("connectionDestroyed", "streamDestroyed", "sessionDisconnected", "reconnecting", "exception")
}

// receives waits until video, if the stream has it, and audio, if it has that, come from another.
func (g *guest) receives(other *guest) {
	g.t.Helper()
	g.receivesKinds(other, other.stream.HasAudio, other.stream.HasVideo)
}

// receivesKinds waits until so many more frames and packets came from another that its media flows.
func (g *guest) receivesKinds(other *guest, audio, video bool) {
	g.t.Helper()
	var before *browser.Media
	wait.For(g.t, 20*time.Second, g.Name+" to receive "+other.Name, func() error {
		now, err := g.Received(other.id())
		if err != nil {
			return err
		}
		if before == nil || now.Audio.Packets < before.Audio.Packets || now.Video.FramesDecoded < before.Video.FramesDecoded {
			before = &now // a first look, or another peer connection, which counts anew
		}
		if audio && now.Audio.Packets-before.Audio.Packets < 25 || video && now.Video.FramesDecoded-before.Video.FramesDecoded < frameRate/2 {
			return fmt.Errorf("at first %+v, then %+v", *before, now)
		}
		return nil
	})
}

// requests are the methods of the requests that a guest sent on its sockets, but for those that
// come by the clock.
func (g *guest) requests() []string {
	var methods []string
	for _, f := range g.page.Frames() {
		if f.Sent && !slices.Contains([]string{"ping", "onIceCandidate", "videoData"}, f.Method) {
			methods = append(methods, f.Method)
		}
	}
	return methods
}

// answer is the response to the last request of a method, and the request.
func (g *guest) answer(method string) (request, response browser.Frame) {
	g.t.Helper()
	wait.For(g.t, patience, g.Name+" to have an answer to "+method, func() error {
		frames := g.page.Frames()
		at := -1
		for i, f := range frames {
			if f.Sent && f.Method == method {
				at = i
			}
		}
		if at < 0 {
			return errors.New("it was not sent")
		}
		request = frames[at]
		for _, f := range frames[at:] {
			if !f.Sent && f.Method == "" && f.ID != nil && *f.ID == *request.ID {
				response = f
				return nil
			}
		}
		return errors.New("no answer")
	})
	return request, response
}

// wantText checks that a text has a part in it.
func wantText(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s is %q, want %q in it", what, text, part)
	}
}
