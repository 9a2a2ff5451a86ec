//go:build e2e

package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// networkLost is the reason of whoever did not come back in time.
const networkLost = "networkDisconnect"

// exchange lets two guests send to each other.
func exchange(a, b *guest) {
	a.t.Helper()
	a.publish(browser.Publication{})
	b.publish(browser.Publication{})
	a.receives(b)
	b.receives(a)
	a.exchanging, b.exchanging = time.Now(), time.Now()
}

// comesBack waits until a guest has reconnected that often.
func (g *guest) comesBack(times int) {
	g.t.Helper()
	wait.For(g.t, 2*patience, g.Name+" to reconnect", func() error {
		if n := g.count("reconnected"); n != times {
			return fmt.Errorf("reconnected %d times of %d", n, times)
		}
		return nil
	})
	if n := g.count("reconnecting"); n != times {
		g.t.Errorf("%s was reconnecting %d times and reconnected %d times", g.Name, n, times)
	}
	g.never("sessionDisconnected", "connectionDestroyed", "streamDestroyed")
}

// after are the methods of the requests that a guest sent on its last socket.
func (g *guest) after() []string {
	frames := g.page.Frames()
	var methods []string
	for _, f := range frames {
		if f.Sent && f.Socket == frames[len(frames)-1].Socket && !slices.Contains([]string{"ping", "onIceCandidate", "videoData"}, f.Method) {
			methods = append(methods, f.Method)
		}
	}
	return methods
}

func TestALostSocketComesBackAndNobodyNotices(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-window", "1.7-buffer", "1.8-connect", "1.8-media", "1.9-4104", "2.17-connect", "7.2-reconnection", "7.6-retry", "9-15", "9-17", "A-blip",
		"8.1-off")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "dropped", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	c := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	exchange(a, b)
	c.receives(a)
	b.must(b.Watch(a.id()))
	a.must(a.Watch(b.id()))

	// At once: the new socket comes while the old one is being closed.
	a.must(a.DropSockets())
	a.comesBack(1)
	if got := a.after(); !slices.Equal(got, []string{"connect"}) {
		t.Errorf("after the first drop it sent %q, want connect only", got)
	}
	// A path that is dead without anybody knowing: the package finds out by its ping.
	a.must(a.KillSockets())
	a.comesBack(2)
	// Away for a while; what happens meanwhile is told afterwards, in its order.
	a.must(a.LoseSockets(2 * time.Second))
	a.gets("reconnecting", nil)
	b.must(b.MuteAudio(true))
	b.must(b.Signal("first", "1"))
	c.must(c.Signal("second", "2"))
	b.must(b.MuteAudio(false))
	a.comesBack(3)
	wantSignals(a, []string{`signal:first "1" from ` + b.id(), `signal:second "2" from ` + c.id()})
	wait.For(t, patience, "the one who came back to know what was muted", func() error {
		if got := properties(a); !slices.Equal(got, []string{"audioActive publishAudio false", "audioActive publishAudio true"}) {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	// Media went on all the time, in both directions.
	for g, other := range map[*guest]*guest{a: b, b: a} {
		gaps, err := g.Gaps(other.id())
		g.must(err)
		t.Logf("%s from %s: no frame for at most %.0f ms, no audio for at most %.0f ms", g.Name, other.Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
		if gaps.VideoMilliseconds > 2500 || gaps.AudioMilliseconds > 2500 {
			t.Errorf("%s from %s: media stopped: %+v", g.Name, other.Name, gaps)
		}
	}
	for _, g := range []*guest{b, c} {
		g.undisturbed()
		g.never("networkQualityLevelChanged") // the pool does not ask for it
		g.receives(a)
	}
	a.receives(b)
	var connections int
	a.must(a.Evaluate("window.probes.connections.length", &connections))
	if connections != 2 {
		t.Errorf("it made %d peer connections, want the 2 from before", connections)
	}
}

func TestForcedMediaReconnectionRebuildsEveryStream(t *testing.T) {
	t.Parallel()
	covers(t, "2.18-publisher", "2.18-subscriber", "9-28", "9-30", "9-31", "9-32", "9-36", "A-blip")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.open(t, "dropped", nil)
	a.join(browser.JoinOptions{AutoSubscribe: true, Advanced: map[string]any{"forceMediaReconnectionAfterNetworkDrop": true}})
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	exchange(a, b)
	for times := 1; times <= 2; times++ {
		a.must(a.DropSockets())
		a.comesBack(times)
		wait.For(t, patience, "both streams to be rebuilt", func() error {
			got := a.after()
			if want := []string{"connect", "prepareReceiveVideoFrom", "reconnectStream", "reconnectStream"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				return fmt.Errorf("it sent %q", got)
			}
			return nil
		})
		var prepared struct {
			Reconnect bool `json:"reconnect"`
		}
		request, _ := a.answer("prepareReceiveVideoFrom")
		if err := json.Unmarshal(request.Params, &prepared); err != nil || !prepared.Reconnect {
			t.Errorf("prepareReceiveVideoFrom was sent with %s", request.Params)
		}
		a.receives(b)
		b.receives(a)
		if now, err := a.Stream(a.id()); err != nil || now.StreamID != a.stream.StreamID {
			t.Errorf("the stream is %+v now (%v), it was %s", now, err, a.stream.StreamID)
		}
	}
	b.undisturbed()
	a.never("exception")
}

func TestStreamReconnectGivesAStreamAnotherPeerConnection(t *testing.T) {
	t.Parallel()
	covers(t, "2.18-publisher", "2.18-subscriber", "4.1-one-exchange", "9-30", "9-31", "9-32")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	b := r.enter(t, "b", v1alpha1.RolePublisher)
	exchange(a, b)
	for range 2 {
		a.must(a.ReconnectStream(a.id()))
		_, response := a.answer("reconnectStream")
		var again struct {
			ID        string `json:"id"`
			CreatedAt int64  `json:"createdAt"`
			SDPAnswer string `json:"sdpAnswer"`
		}
		if err := json.Unmarshal(response.Result, &again); err != nil || again.ID != a.stream.StreamID || again.CreatedAt == 0 || again.SDPAnswer == "" {
			t.Errorf("reconnecting the publisher was answered with %+v, %v", again, err)
		}
		b.receives(a)
		a.must(a.ReconnectStream(b.id()))
		a.receives(b)
	}
	for _, g := range []*guest{a, b} {
		g.undisturbed()
	}
}

func TestALostMediaPathIsRebuilt(t *testing.T) {
	t.Parallel()
	covers(t, "2.20-echo", "7.6-ice-grace", "7.6-echo", "2.18-publisher", "9-30")
	reserve(t, 2)
	// Another candidate, that of the next standby, would come by trickling, by TCP too.
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.Standby = v1alpha1.StandbyNone })
	a := r.enter(t, "cut", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	a.must(a.UseUDPOnly()) // else it goes over to TCP in place of noticing
	a.must(a.page.LosePackets(0))
	exchange(a, b)
	a.must(a.page.LosePackets(100))
	a.waits(3*patience, "the exception that its media path is gone", func(e browser.Event) bool {
		return e.Name == "exception" && (e.Exception == "ICE_CONNECTION_DISCONNECTED" || e.Exception == "ICE_CONNECTION_FAILED")
	})
	// The browser does not promise to cut every path of the page, so it may be one stream that is
	// rebuilt, or both.
	wait.For(t, 2*patience, "a stream to be rebuilt", func() error {
		if got := a.requests(); !slices.Contains(got, "echo") || !slices.Contains(got, "reconnectStream") {
			return fmt.Errorf("it sent %q", got)
		}
		return nil
	})
	a.answer("reconnectStream")
	a.must(a.page.LosePackets(0))
	b.receives(a)
	a.receives(b)
	b.undisturbed()
	a.never("reconnecting", "connectionDestroyed", "streamDestroyed", "sessionDisconnected")
}

func TestWhenSocketAndMediaAreLostBothComeBack(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-window", "1.8-connect", "2.18-publisher", "2.18-subscriber", "7.6-retry")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "cut", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	a.page.UseTCP() // that is for when all UDP is lost
	a.must(a.page.LosePackets(0))
	exchange(a, b)
	a.must(a.page.LosePackets(100))
	a.must(a.LoseSockets(4 * time.Second))
	a.gets("reconnecting", nil)
	a.comesBack(1)
	a.must(a.page.LosePackets(0))
	b.receives(a)
	a.receives(b)
	b.undisturbed()
}

func TestWhoDoesNotComeBackInTimeIsEvictedAndTold(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-window", "1.8-refused", "5.1-networkDisconnect", "6-40007", "7.6-window", "5.3-sessionDisconnected", "5.3-streamDestroyed-remote")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "lost", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	exchange(a, b)
	lost := time.Now()
	a.must(a.LoseSockets(14 * time.Second))
	left := b.waits(2*patience, "connectionDestroyed", func(e browser.Event) bool {
		return e.Name == "connectionDestroyed" && e.ConnectionID == a.id()
	})
	if after := left.Time().Sub(lost); left.Reason != networkLost || after < 9*time.Second || after > 14*time.Second {
		t.Errorf("%s was told %q after %v, want %s after 10 s", b.Name, left.Reason, after, networkLost)
	}
	b.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID && e.Reason == networkLost })
	a.waits(2*patience, "sessionDisconnected", func(e browser.Event) bool { return e.Name == "sessionDisconnected" && e.Reason == networkLost })
	a.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == networkLost })
	_, response := a.answer("connect")
	if response.Error == nil || response.Error.Code != 40007 || response.Error.Message != "reconnection error" {
		t.Errorf("connect was answered with %+v", response.Error)
	}
	if n := a.count("reconnected"); n != 0 {
		t.Errorf("it reconnected %d times", n)
	}
	wantDisconnected(t, a, networkLost)
	b.never("reconnecting", "sessionDisconnected", "exception")
}

func TestWhoeverClosesReloadsOrCrashesLeavesAfterTheWindow(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-window", "5.1-networkDisconnect", "7.6-window", "5.3-connectionDestroyed")
	reserve(t, 4)
	r := newRoom(t, nil)
	witness := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	reloaded := r.enter(t, "reloaded", v1alpha1.RolePublisher)
	closed := r.enter(t, "closed", v1alpha1.RolePublisher)
	crashed := r.enter(t, "crashed", v1alpha1.RolePublisher)
	gone := map[*guest]time.Time{}
	for g, leave := range map[*guest]func(){
		reloaded: func() { reloaded.must(reloaded.page.Reload()) }, closed: closed.Close, crashed: func() { crashed.page.Crash() },
	} {
		g.publish(browser.Publication{})
		witness.receives(g)
		gone[g] = time.Now()
		leave()
	}
	// The user who has reloaded joins again at once, as somebody new. Chromium closes sockets with
	// 1001 when a page goes, also when that crashes.
	again := reloaded.another(r, "again", browser.JoinOptions{AutoSubscribe: true})
	again.publish(browser.Publication{})
	witness.receives(again)
	for g, since := range gone {
		left := witness.waits(2*patience, "connectionDestroyed of "+g.Name, func(e browser.Event) bool {
			return e.Name == "connectionDestroyed" && e.ConnectionID == g.id()
		})
		if after := left.Time().Sub(since); left.Reason != networkLost || after < 900*time.Millisecond || after > 7*time.Second {
			t.Errorf("%s left with %q after %v, want %s after 1 s", g.Name, left.Reason, after, networkLost)
		}
		wantDisconnected(t, g, networkLost)
	}
	witness.receives(again)
	if n := witness.count("connectionDestroyed"); n != 3 {
		t.Errorf("the witness saw %d leave, want 3", n)
	}
}

func TestAfterAShortSleepALaptopGoesOnAndAfterALongOneItIsTold(t *testing.T) {
	t.Parallel()
	covers(t, "1.6-watchdog", "1.7-silent", "5.1-networkDisconnect", "7.6-watchdog")
	reserve(t, 3)
	r := newRoom(t, nil)
	laptop, site := ownChromium(t)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	a := r.openIn(t, laptop, site, "laptop", nil)
	a.join(browser.JoinOptions{AutoSubscribe: true})
	exchange(a, b)
	sleep := func(during func()) {
		t.Helper()
		a.must(laptop.Suspend())
		during()
		a.must(laptop.Resume())
	}

	sleep(func() { <-time.After(6 * time.Second) })
	a.receives(b)
	b.receives(a)
	b.undisturbed()
	a.never("sessionDisconnected", "connectionDestroyed", "streamDestroyed")

	asleep := time.Now()
	sleep(func() {
		left := b.waits(4*patience, "connectionDestroyed", func(e browser.Event) bool { return e.Name == "connectionDestroyed" })
		// 15 s and 10 s after the last ping, which was up to 5 s before.
		if after := left.Time().Sub(asleep); left.Reason != networkLost || after < 19*time.Second || after > 30*time.Second {
			t.Errorf("it left with %q after %v, want %s after about 25 s", left.Reason, after, networkLost)
		}
	})
	a.waits(2*patience, "sessionDisconnected", func(e browser.Event) bool { return e.Name == "sessionDisconnected" && e.Reason == networkLost })
	wantDisconnected(t, a, networkLost)
	b.never("sessionDisconnected", "reconnecting")
}
