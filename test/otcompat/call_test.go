//go:build e2e

package otcompat

import (
	"slices"
	"testing"
)

// Two see and hear each other.
func TestTwoWayCall(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do("publish('of A')")
	b.do("publish('of B')")
	b.until("it knows the stream", "session.streams.find({name: 'of A'}) !== undefined")
	a.until("it knows the stream", "session.streams.find({name: 'of B'}) !== undefined")
	a.do("subscribe('of B')")
	b.do("subscribe('of A')")
	for u, stream := range map[*user]string{a: "of B", b: "of A"} {
		u.until("it sees and hears", "received('"+stream+"').then(({frames, sound}) => frames > 10 && sound > 10)")
		u.until("it shows the video", "!subscribers['"+stream+"'].element.classList.contains('OT_loading')")
	}
	shape := value[[]string](b, `(({element}) => [...element.classList, element.querySelector('video').className])(subscribers['of A'])`)
	for _, class := range []string{"OT_root", "OT_subscriber", "OT_video-element"} {
		if !slices.Contains(shape, class) {
			t.Errorf("no class %s in %q", class, shape)
		}
	}

	// The publisher switches its video off and on.
	a.do("publishers['of A'].publishVideo(false)")
	b.logs("streamPropertyChanged of A hasVideo true false")
	b.logs("subscriber of A: videoDisabled publishVideo")
	a.do("publishers['of A'].publishVideo(true)")
	b.logs("streamPropertyChanged of A hasVideo false true")
	b.logs("subscriber of A: videoEnabled publishVideo")

	// The subscriber wants no video: none is sent to it.
	b.do("subscribers['of A'].subscribeToVideo(false)")
	b.logs("subscriber of A: videoDisabled subscribeToVideo")
	b.until("no video comes", "received('of A').then(async ({packets}) => { await new Promise((r) => setTimeout(r, 400)); return (await received('of A')).packets === packets; })")
	b.do("void received('of A').then(({frames}) => { window.before = frames; })")
	b.do("subscribers['of A'].subscribeToVideo(true)")
	b.until("video comes again", "received('of A').then(({frames}) => frames > window.before + 5)")

	b.do("session.unsubscribe(subscribers['of A'])")
	b.logs("subscriber of A: destroyed unsubscribed")
	a.do("session.unpublish(publishers['of A'])")
	a.logs("publisher of A: destroyed")
	b.logs("streamDestroyed of A clientDisconnected")
}

// A Firefox and a Chromium see and hear each other.
func TestCallWithFirefox(t *testing.T) {
	w := newWorldAt(t, ownAddress(t))
	a, b := w.openFirefox("A"), w.connect("B")
	a.do("connect()")
	a.do("publish('of A')")
	b.do("publish('of B')")
	b.until("it knows the stream", "session.streams.find({name: 'of A'}) !== undefined")
	a.until("it knows the stream", "session.streams.find({name: 'of B'}) !== undefined")
	a.do("subscribe('of B')")
	b.do("subscribe('of A')")
	a.until("it sees and hears", "received('of B').then(({frames, sound}) => frames > 10 && sound > 10)")
	b.until("it sees and hears", "received('of A').then(({frames, sound}) => frames > 10 && sound > 10)")
	a.do("publishers['of A'].publishAudio(false)")
	b.logs("streamPropertyChanged of A hasAudio true false")
	a.do("session.signal.promise({type: 'chat', data: 'hello'})")
	for _, u := range []*user{a, b} {
		u.logs("signal:chat hello from A")
	}
	b.do("session.disconnect()")
	a.logs("connectionDestroyed B clientDisconnected")
	a.counts(1)
}

// One connection sends several streams, and one stream is received several times, also by its own
// publisher.
func TestSeveralStreams(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do("publish('camera')")
	a.do("publish('board', {canvas: true})")
	b.logs("streamCreated camera of A")
	b.logs("streamCreated board of A")
	b.do("subscribe('camera', 'small')")
	b.do("subscribe('camera', 'large')")
	b.do("subscribe('board')")
	a.do("subscribe('camera', 'own', {testNetwork: true})")
	for u, all := range map[*user][]string{b: {"small", "large", "board"}, a: {"own"}} {
		for _, one := range all {
			u.until("it sees "+one, "received('"+one+"').then(({frames}) => frames > 5)")
		}
	}
	if got := value[int](b, "session.getSubscribersForStream(session.streams.find({name: 'camera'})).length"); got != 2 {
		t.Errorf("%d subscribers", got)
	}
	if got := value[string](b, "session.streams.find({name: 'board'}).videoType"); got != "custom" {
		t.Errorf("the board is %s", got)
	}
	a.do("publishers.camera.destroy()")
	b.logs("streamDestroyed camera clientDisconnected")
	b.until("the board goes on", "received('board').then(({frames}) => frames > 20)")
}

func TestSignalsAndModeration(t *testing.T) {
	w := newWorld(t)
	m, a := w.connect("M"), w.connect("A")
	a.logs("connectionCreated M undefined 1")
	m.logs("connectionCreated A undefined 1")
	a.do("session.signal.promise({type: 'chat', data: 'hello'})")
	a.logged("signal:chat hello from A")
	m.logged("signal:chat hello from A")
	m.do("session.signal.promise({to: session.connections.find({data: 'A'}), data: 'to you'})")
	a.logged("signal to you from M")

	a.do("publish('of A')")
	m.logs("streamCreated of A of A")
	m.do("session.forceMuteStream(session.streams.find({name: 'of A'}))")
	a.logs("publisher of A: muteForced")
	m.logs("streamPropertyChanged of A hasAudio true false")
	a.do("publishers['of A'].publishAudio(true)")
	m.logs("streamPropertyChanged of A hasAudio false true")
	m.do("session.forceMuteAll([])")
	m.logs("muteForced true")
	a.logs("publisher of A: muteForced")
	m.do("session.disableForceMute()")
	a.logs("muteForced false")
	m.do("session.forceUnpublish.promise(session.streams.find({name: 'of A'}))")
	a.logs("publisher of A: streamDestroyed forceUnpublished")
	m.logs("streamDestroyed of A forceUnpublished")
}

// Clients hear of an archive, also who joins while it runs, but for the roles that are not told.
func TestArchivesAreToldOf(t *testing.T) {
	w := newWorld(t)
	a, s := w.connect("A"), w.connect("S")
	a.do("publish('board', {canvas: true})")
	w.records(false)
	a.logs("archiveStarted room~1 daily")
	late := w.connect("B")
	late.logs("archiveStarted room~1 daily")
	late.do("publish('board', {canvas: true})")
	for _, u := range []*user{a, late} {
		u.until("its publisher shows it", "document.querySelector('.OT_publisher .OT_archiving-on.OT_mode-on') !== null")
	}
	w.records(true)
	for _, u := range []*user{a, late} {
		u.logs("archiveStopped room~1 daily")
		u.until("its publisher shows it no more", "document.querySelector('.OT_publisher .OT_archiving-off.OT_mode-on') !== null")
	}
	a.do("session.signal.promise({type: 'chat', data: 'over'})")
	s.logs("signal:chat over from A")
	if heard := value[bool](s, "log.some((line) => line.startsWith('archive'))"); heard {
		t.Error("a subscriber has heard of the archive")
	}
}

// watchesSockets keeps the sockets that a page opens, and which answers and wishes for delivery it
// sends.
const watchesSockets = `(() => {
	window.sockets = [];
	window.sent = [];
	window.WebSocket = class extends WebSocket {
		constructor(url) { super(url); sockets.push(this); }
		send(text) {
			const { method } = JSON.parse(text);
			if (method === 'answer' || method === 'deliver') sent.push(method);
			super.send(text);
		}
	};
})()`

// What is not wanted of a stream is said again after each new offer: the media pod that makes it in
// the place of one that was lost may not know.
func TestWhatIsNotWantedIsSaidAgainAfterAnOffer(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.open("B")
	b.do(watchesSockets)
	b.do("connect()")
	a.do("publish('camera')")
	b.until("it knows the stream", "session.streams.find({name: 'camera'}) !== undefined")
	b.do("subscribe('camera', 'camera', {subscribeToVideo: false})")
	// Whoever answers an offer that is no longer good is made another one.
	b.do(`sockets.at(-1).send(JSON.stringify({jsonrpc: '2.0', id: 'late', method: 'answer',
		params: {subscriptionId: subscribers.camera.subscriptionId, sdpAnswer: 'late', renewed: true}}))`)
	b.until("it has answered and said it again", "sent.join() === 'answer,answer,answer,deliver'")
	b.until("it hears the other", "received('camera').then(({frames, sound}) => frames === 0 && sound > 10)")
}
