//go:build e2e

package peer

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/browser"
)

// page has a publisher and subscribers in one tab, negotiated by hand.
const page = `<!doctype html><title>media</title><script>
const peers = {};
let configuration;
function configure(iceServers) {
	configuration = {iceServers};
	return true;
}
async function publish(name, width, height, encodings) {
	const pc = peers[name] = new RTCPeerConnection(configuration);
	const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width, height}});
	for (const track of stream.getTracks()) {
		const init = {direction: 'sendonly', streams: [stream]};
		if (track.kind === 'video' && encodings) init.sendEncodings = encodings;
		pc.addTransceiver(track, init);
	}
	await pc.setLocalDescription(await pc.createOffer());
	return pc.localDescription.sdp;
}
async function accept(name, sdp) {
	await peers[name].setRemoteDescription({type: 'answer', sdp});
	return true;
}
async function subscribe(name, sdp) {
	const pc = peers[name] = new RTCPeerConnection(configuration);
	const video = document.createElement('video');
	video.muted = true; video.autoplay = true; document.body.append(video);
	video.srcObject = new MediaStream();
	pc.ontrack = e => video.srcObject.addTrack(e.track);
	await pc.setRemoteDescription({type: 'offer', sdp});
	await pc.setLocalDescription(await pc.createAnswer());
	return pc.localDescription.sdp;
}
async function encodings(name, change) {
	const sender = peers[name].getSenders().find(s => s.track.kind === 'video');
	const parameters = sender.getParameters();
	for (const e of parameters.encodings) Object.assign(e, change[e.rid] || change['*'] || {});
	await sender.setParameters(parameters);
	return true;
}
async function mute(name, kind) {
	peers[name].getSenders().find(s => s.track.kind === kind).track.enabled = false;
	return true;
}
async function stats(name, type, kind) {
	const all = [];
	for (const s of (await peers[name].getStats()).values()) if (s.type === type && (!kind || s.kind === kind)) all.push(s);
	return all;
}
// watch measures the longest time between two frames that were decoded, and between two packets
// of sound: at least, and at most, since a page may look late. It goes on with the peer connection
// that takes the place of this one.
const watched = {};
function watch(name) {
	const now = performance.now(), state = watched[name] = {Video: 0, VideoAtMost: 0, Audio: 0, AudioAtMost: 0, Frames: 0};
	const last = {Video: {at: now, before: now}, Audio: {at: now, before: now}};
	let looked = now, asked;
	const look = (what, count, at) => {
		const {at: seen, before} = last[what];
		if (!count || count === last[what].count) return;
		if (what === 'Video') state.Frames += count > last[what].count ? count - last[what].count : 1;
		state[what] = Math.max(state[what], looked - seen);
		state[what + 'AtMost'] = Math.max(state[what + 'AtMost'], at - before);
		last[what] = {count, at, before: looked};
	};
	state.timer = setInterval(async () => {
		const pc = peers[name];
		if (asked === pc) return;
		asked = pc; // one that was closed meanwhile never answers
		const all = [...(await pc.getStats()).values()].filter(s => s.type === 'inbound-rtp');
		if (asked !== pc) return;
		const at = performance.now();
		for (const s of all) s.kind === 'video' ? look('Video', s.framesDecoded, at) : look('Audio', s.packetsReceived, at);
		looked = at;
		asked = null;
	}, 10);
	return true;
}
function frames(name) {
	return watched[name].Frames;
}
function gaps(name) {
	const {timer, ...found} = watched[name];
	clearInterval(timer);
	return {...found, State: peers[name].iceConnectionState};
}
function secured(name) {
	const {sender, receiver} = peers[name].getTransceivers()[0];
	return (sender.transport || receiver.transport).state;
}
function end(name) {
	peers[name].close();
	return true;
}
</script>`

// tab is a browser tab with peer connections to an engine.
type tab struct {
	t    *testing.T
	page browser.Tab
}

// serve serves the page on this machine.
func serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener)
}

func serveOn(t *testing.T, listener net.Listener) string {
	t.Helper()
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	}))
	_ = site.Listener.Close() // it has one already
	site.Listener = listener
	site.Start()
	t.Cleanup(site.Close)
	return site.URL
}

func openFirefox(t *testing.T) *tab {
	t.Helper()
	return openFirefoxAt(t, browser.Place{}, serve(t))
}

func openFirefoxAt(t *testing.T, place browser.Place, url string) *tab {
	t.Helper()
	f, err := browser.StartFirefoxAt(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return &tab{t: t, page: f.Open(t, "media", url)}
}

func openTab(t *testing.T) *tab {
	t.Helper()
	return openTabAt(t, browser.Place{}, serve(t))
}

func openTabAt(t *testing.T, place browser.Place, url string) *tab {
	t.Helper()
	b, err := browser.StartAt(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &tab{t: t, page: b.Open(t, "media", url, browser.Viewport{})}
}

// call calls a function of the page with arguments that are written as JSON.
func (b *tab) call(result any, function string, arguments ...any) {
	b.t.Helper()
	expression := function + "("
	for i, a := range arguments {
		raw, err := json.Marshal(a)
		if err != nil {
			b.t.Fatal(err)
		}
		if i > 0 {
			expression += ","
		}
		expression += string(raw)
	}
	if err := b.page.Evaluate(expression+")", result); err != nil {
		b.t.Fatal(err)
	}
}

// ladderOf are the encodings of openvidu-rpc 4.4 for a camera of HD size.
var ladderOf = []map[string]any{
	{"rid": "rdiv4", "scaleResolutionDownBy": 4, "scalabilityMode": "L1T1"},
	{"rid": "rdiv2", "scaleResolutionDownBy": 2, "scalabilityMode": "L1T1"},
	{"rid": "rdiv1", "scaleResolutionDownBy": 1, "scalabilityMode": "L1T1"},
}

func (b *tab) publish(p media.Publication, name string, width, height int, encodings any) {
	b.t.Helper()
	var offer string
	b.call(&offer, "publish", name, width, height, encodings)
	answer, err := p.Answer(b.t.Context(), offer)
	if err != nil {
		b.t.Fatal(err)
	}
	b.call(nil, "accept", name, answer)
	b.t.Cleanup(func() {
		if !b.t.Failed() {
			return
		}
		var sent []map[string]any
		b.call(&sent, "stats", name, "outbound-rtp", "video")
		for _, s := range sent { // a publisher of a busy computer stops layers by itself
			b.t.Log(s["rid"], s["targetBitrate"], s["frameWidth"], s["framesPerSecond"], s["qualityLimitationReason"], s["qualityLimitationDurations"])
		}
	})
}

func (b *tab) subscribe(e *Engine, p media.Publication, name string, options media.SubscriptionOptions) media.Subscription {
	b.t.Helper()
	s, offer, err := e.Subscribe(b.t.Context(), p, options)
	if err != nil {
		b.t.Fatal(err)
	}
	var answer string
	b.call(&answer, "subscribe", name, offer)
	if err := s.Answer(b.t.Context(), answer); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// received is the part of a subscriber's statistics of video that tests look at.
type received struct {
	FrameWidth        int     `json:"frameWidth"`
	FramesDecoded     int     `json:"framesDecoded"`
	FramesPerSecond   float64 `json:"framesPerSecond"`
	FreezeCount       int     `json:"freezeCount"`
	TotalFreezes      float64 `json:"totalFreezesDuration"`
	PLICount          int     `json:"pliCount"`
	NACKCount         int     `json:"nackCount"`
	BytesReceived     int     `json:"bytesReceived"`
	KeyFramesDecoded  int     `json:"keyFramesDecoded"`
	PacketsLost       int     `json:"packetsLost"`
	RetransmittedSeen int     `json:"retransmittedPacketsReceived"`
}

func (b *tab) video(name string) received {
	b.t.Helper()
	var all []received
	b.call(&all, "stats", name, "inbound-rtp", "video")
	if len(all) == 0 {
		return received{}
	}
	return all[0]
}

// until waits until a condition holds, for at most half a minute.
func (b *tab) until(what string, condition func() bool) time.Duration {
	b.t.Helper()
	begin := time.Now()
	for !condition() {
		if time.Since(begin) > 30*time.Second {
			b.t.Fatalf("never happened: %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(begin)
}

// during lets peers send and receive for a time: some things can only be said of a time.
func (b *tab) during(duration time.Duration) {
	b.t.Helper()
	<-time.After(duration)
}

func TestChromiumSwitchesLayersWithoutABreak(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	b := openTab(t)
	b.publish(p, "publisher", 1280, 720, ladderOf)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	width := func(want int) func() bool {
		return func() bool { return b.video("subscriber").FrameWidth == want }
	}
	t.Logf("best layer after %v", b.until("the best layer is shown", width(1280)))
	begin := b.video("subscriber")
	for range 3 {
		b.call(nil, "encodings", "publisher", map[string]any{"rdiv1": map[string]any{"active": false}})
		t.Logf("middle layer after %v", b.until("the middle layer is shown", width(640)))
		b.call(nil, "encodings", "publisher", map[string]any{"rdiv1": map[string]any{"active": true}})
		t.Logf("best layer after %v", b.until("the best layer is shown again", width(1280)))
	}
	end := b.video("subscriber")
	t.Logf("%+v, then %+v, %+v", begin, end, e.Stats())
	if end.PLICount > begin.PLICount {
		t.Errorf("the subscriber asked for %d keyframes: a change broke the picture", end.PLICount-begin.PLICount)
	}
}

func TestChromiumOnAPathOfChangingCapacity(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	b := openTab(t)
	b.publish(p, "publisher", 1280, 720, ladderOf)
	path := newBottleneck(t, e, nil)
	path.kbps.Store(5000)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	width := func(is func(int) bool) func() bool {
		return func() bool { return is(b.video("subscriber").FrameWidth) }
	}
	best := width(func(w int) bool { return w == 1280 })
	t.Logf("best layer after %v", b.until("the best layer is shown", best))
	b.during(5 * time.Second) // a busy computer's publisher stops its best layer by itself at times
	b.until("the best layer is shown", best)
	for range 2 {
		path.kbps.Store(500)
		t.Logf("lower layer after %v", b.until("a lower layer is shown", width(func(w int) bool { return w > 0 && w < 1280 })))
		before := b.video("subscriber")
		b.during(8 * time.Second)
		after := b.video("subscriber")
		t.Logf("%d frames, %d freezes of %v s in 8 s of little capacity, width %d", after.FramesDecoded-before.FramesDecoded,
			after.FreezeCount-before.FreezeCount, after.TotalFreezes-before.TotalFreezes, after.FrameWidth)
		if frozen := after.TotalFreezes - before.TotalFreezes; frozen > 2 || after.PLICount > before.PLICount {
			t.Errorf("frozen for %.1f s, %d keyframes asked for: the change broke the picture", frozen, after.PLICount-before.PLICount)
		}
		path.kbps.Store(5000)
		t.Logf("best layer after %v", b.until("the best layer is shown again", best))
	}
	t.Logf("%+v %+v", b.video("subscriber"), e.Stats())
}

func TestChromiumIsObserved(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasAudio: true, HasVideo: true, VideoDimensions: media.Dimensions{Width: 640, Height: 480}})
	speaking := func(want int64) func() bool { return func() bool { return e.Stats().Speaking == want } }
	b := openTab(t)
	b.publish(p, "publisher", 640, 480, nil)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("the picture is shown", func() bool { return b.video("subscriber").FrameWidth == 640 })
	b.until("the round trip is known", func() bool {
		r, ok := p.Reception()
		return ok && r.RoundTrip > 0
	})
	p.Reception()
	b.during(3 * time.Second)
	r, ok := p.Reception()
	t.Logf("%+v %v", r, ok)
	if !ok || r.Lost > 0.05 || r.RoundTrip <= 0 || r.RoundTrip > time.Second || r.VideoKbps == 0 || r.TargetKbps != 450 {
		t.Errorf("%+v %v", r, ok)
	}
	b.until("the publisher is heard", speaking(1))
	b.call(nil, "mute", "publisher", "audio")
	b.until("the publisher is not heard any more", speaking(0))
	b.call(nil, "mute", "publisher", "video")
	b.during(2 * time.Second)
	p.Reception()
	b.during(3 * time.Second)
	if r, ok = p.Reception(); !ok || r.VideoKbps != 0 {
		t.Errorf("muted: %+v %v", r, ok)
	}
}

func TestChromiumKeepsToItsLimit(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasAudio: true, HasVideo: true})
	b := openTab(t)
	b.publish(p, "publisher", 640, 480, nil)
	target := func() float64 {
		var all []struct {
			TargetBitrate float64 `json:"targetBitrate"`
		}
		b.call(&all, "stats", "publisher", "outbound-rtp", "video")
		if len(all) == 0 {
			return 0
		}
		return all[0].TargetBitrate / 1000
	}
	b.until("the publisher aims high", func() bool { return target() > 800 })
	// Only REMB can tell it now: its connection uses transport-wide feedback.
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{MaxVideoKbps: 300})
	b.until("it keeps to the limit of its only subscriber", func() bool { return target() <= 310 })
	b.subscribe(e, p, "other", media.SubscriptionOptions{})
	b.until("it aims high again for another one", func() bool { return target() > 500 })

	limited := e.NewPublication(media.PublicationOptions{HasAudio: true, HasVideo: true, MaxVideoKbps: 250})
	b.publish(limited, "publisher", 640, 480, nil)
	b.until("it sends", func() bool { return target() > 100 })
	b.during(5 * time.Second)
	if got := target(); got > 260 {
		t.Errorf("%v kbps with a limit of 250", got)
	}
}

func TestChromiumRepairsSimulcastLayers(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	b := openTab(t)
	var seen atomic.Int64
	newBottleneck(t, e, func(packet []byte) bool {
		// RTP of video, by its size: what goes up has no other large packets.
		return len(packet) > 400 && packet[0]&0xc0 == 0x80 && seen.Add(1)%40 == 7
	})
	b.publish(p, "publisher", 1280, 720, ladderOf)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("the best layer is shown", func() bool { return b.video("subscriber").FrameWidth == 1280 })
	before, begin := b.video("subscriber"), e.Stats()
	b.during(8 * time.Second)
	after, end := b.video("subscriber"), e.Stats()
	t.Logf("%d frames, %d freezes, %d NACKs to the publisher, %d keyframes asked for", after.FramesDecoded-before.FramesDecoded,
		after.FreezeCount-before.FreezeCount, end.NACKsSent-begin.NACKsSent, end.KeyframeRequests-begin.KeyframeRequests)
	p.Reception()
	b.during(3 * time.Second)
	if r, ok := p.Reception(); !ok || r.Lost > 0.01 {
		t.Errorf("%+v %v", r, ok)
	}
	if end.NACKsSent == begin.NACKsSent {
		t.Error("nothing was repaired: the test tests nothing")
	}
}

// ownAddress is an address of this machine that is not a loopback address, which Firefox does not
// send to.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	t.Fatal("this machine has loopback addresses only")
	return netip.Addr{}
}

func TestFirefoxSendsLayersAndGetsWhatItsPathCarries(t *testing.T) {
	own := ownAddress(t)
	e := newEngine(t, func(c *Config) { c.ListenIP = own })
	e.SetAdvertisedAddresses([]Address{{IP: own, UDPPort: e.UDPPort()}})
	p := e.NewPublication(both)
	b := openFirefox(t)
	b.publish(p, "publisher", 1280, 720, ladderOf)
	path := newBottleneck(t, e, nil)
	path.kbps.Store(8000)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("a picture is shown", func() bool { return b.video("subscriber").FrameWidth > 0 })
	b.during(8 * time.Second)
	widest := b.video("subscriber").FrameWidth
	r, ok := p.Reception()
	t.Logf("width %d, %+v %v", widest, r, ok)
	path.kbps.Store(int64(max(r.VideoKbps*2/3, 220)))
	t.Logf("lower layer after %v", b.until("a lower layer is shown", func() bool { return b.video("subscriber").FrameWidth < widest }))
	b.during(2 * time.Second)
	before := b.video("subscriber")
	b.during(8 * time.Second)
	after := b.video("subscriber")
	t.Logf("%d frames in 8 s of little capacity, frozen for %.1f s", after.FramesDecoded-before.FramesDecoded, after.TotalFreezes-before.TotalFreezes)
	if after.FramesDecoded-before.FramesDecoded < 40 {
		t.Error("the picture stands still")
	}
	path.kbps.Store(8000)
	t.Logf("best layer after %v", b.until("the best layer is shown again", func() bool { return b.video("subscriber").FrameWidth == widest }))
	t.Logf("%+v %+v", b.video("subscriber"), e.Stats())
}
