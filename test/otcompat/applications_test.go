//go:build e2e

package otcompat

import (
	"slices"
	"testing"
)

// These tests do what the applications do that are published for OpenTok.js, each rebuilt from what
// it is for (docs/opentok-browser.md names them).

// A file that a page plays is published (Publish-Video), and so is a camera behind a filter
// (Stream-Filter).
func TestSourcesOfAPage(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do(`(async () => {
		const camera = await OT.getUserMedia({resolution: '320x240'});
		const played = window.played = Object.assign(document.createElement('video'), {srcObject: camera, muted: true});
		await played.play();
		const stream = played.captureStream();
		await publish('file', {videoSource: stream.getVideoTracks()[0], audioSource: stream.getAudioTracks()[0]});
		const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 240});
		const context = canvas.getContext('2d');
		context.filter = 'grayscale(1)';
		setInterval(() => context.drawImage(played, 0, 0), 50);
		await publish('filtered', {videoSource: canvas.captureStream(15).getVideoTracks()[0], audioSource: null});
		return true;
	})()`)
	b.logs("streamCreated file of A")
	b.logs("streamCreated filtered of A")
	b.do("subscribe('file')")
	b.do("subscribe('filtered')")
	b.until("it sees and hears the file", "received('file').then(({frames, sound}) => frames > 10 && sound > 10)")
	b.until("the file has colors", "(([r, g, b]) => Math.max(r, g, b) - Math.min(r, g, b) > 40)(color('file'))")
	b.until("what is filtered has none", "received('filtered').then(({frames}) => frames > 10 && (([r, g, b]) => Math.max(r, g, b) - Math.min(r, g, b) < 15)(color('filtered')))")
	if kinds := value[[]string](b, "['file', 'filtered'].map((name) => session.streams.find({name}).videoType)"); !slices.Equal(kinds, []string{"custom", "custom"}) {
		t.Errorf("they are %q", kinds)
	}
}

// Devices are chosen by what getDevices tells of them, and changed while they are published
// (Publish-Devices, Audio-Input-Device-Changed).
func TestDevices(t *testing.T) {
	w := newWorld(t)
	a := w.connect("A")
	a.do(`(async () => {
		const devices = await OT.getDevices();
		window.cameras = devices.filter(({kind}) => kind === 'videoInput');
		window.microphones = devices.filter(({kind}) => kind === 'audioInput');
		await publish('chosen', {videoSource: cameras[3].deviceId, audioSource: microphones[1].deviceId, resolution: '320x240'});
		publishers.chosen.on('audioInputDeviceChanged', ({device}) => log.push(microphones.findIndex(({deviceId}) => deviceId === device.deviceId) + ' ' + device.kind));
		publishers.chosen.on('audioLevelUpdated', ({audioLevel}) => { window.loudest = Math.max(window.loudest ?? 0, audioLevel); });
		return true;
	})()`)
	const chosen = "cameras.findIndex(({deviceId}) => deviceId === publishers.chosen.getVideoSource().deviceId)"
	if got := value[int](a, chosen); got != 3 {
		t.Errorf("it publishes camera %d", got)
	}
	a.until("it is heard", "window.loudest > 0.01")
	a.do("publishers.chosen.cycleVideo()")
	if got := value[int](a, chosen); got != 4 {
		t.Errorf("the next camera is %d", got)
	}
	a.do("publishers.chosen.setAudioSource(microphones[2].deviceId)")
	a.logs("2 audioInput")
	// It is unplugged.
	a.do("void publishers.chosen.getAudioSource().dispatchEvent(new Event('ended'))")
	a.until("another microphone takes its place", "log.filter((line) => line.endsWith(' audioInput')).length === 2 && publishers.chosen.getAudioSource().readyState === 'live'")
}

// Sound keeps its two channels, and its level is shown where there is no video (Stereo-Audio).
func TestStereo(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do(`(() => {
		const context = window.context = new AudioContext(), sides = context.createChannelMerger(2), out = context.createMediaStreamDestination();
		const tone = new OscillatorNode(context, {frequency: 440});
		tone.connect(sides, 0, 0);
		sides.connect(out);
		tone.start();
		return publish('left', {audioSource: out.stream.getAudioTracks()[0], videoSource: null, enableStereo: true});
	})()`)
	b.logs("streamCreated left of A")
	b.do("subscribe('left')")
	b.do(`(() => {
		const context = new AudioContext(), sides = context.createChannelSplitter(2);
		context.createMediaStreamSource(OT.subscribers.find().element.querySelector('video').srcObject).connect(sides);
		window.loudness = [0, 1].map((side) => {
			const analyser = context.createAnalyser(), samples = new Float32Array(analyser.fftSize);
			sides.connect(analyser, side);
			return () => { analyser.getFloatTimeDomainData(samples); return Math.max(...samples); };
		});
	})()`)
	b.until("it hears the left side only", "(([left, right]) => left > 0.3 && right < left / 10)(loudness.map((side) => side()))")
	b.until("it shows the level", `(([meter]) => meter.clientWidth > 0.2 * meter.parentElement.clientWidth)(
		document.querySelectorAll('.OT_subscriber.OT_audio-only .OT_audio-level-meter__value'))`)
}

// A screen is shared beside the camera, and ends when the browser says so (Screen-Sharing).
func TestScreenBesideCamera(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	if supported := value[bool](a, "OT.checkScreenSharingCapability().then(({supported}) => supported)"); !supported {
		t.Error("screens can not be shared")
	}
	a.do("publish('camera', {resolution: '320x240'})")
	a.do("publish('screen', {videoSource: 'screen', audioSource: null})")
	b.logs("streamCreated camera of A")
	b.logs("streamCreated screen of A")
	b.do("subscribe('screen')")
	b.do("subscribe('camera')")
	b.until("it sees both", "Promise.all(['screen', 'camera'].map(received)).then((all) => all.every(({frames}) => frames > 0))")
	if got := value[string](b, "session.streams.find({name: 'screen'}).videoType"); got != "screen" {
		t.Errorf("the screen is %s", got)
	}
	if mirrored := value[bool](a, "publishers.screen.element.classList.contains('OT_mirrored') || !publishers.camera.element.classList.contains('OT_mirrored')"); mirrored {
		t.Error("the screen is mirrored, or the camera is not")
	}
	a.do("void publishers.screen.getVideoSource().track.dispatchEvent(new Event('ended'))")
	a.logs("publisher screen: streamDestroyed mediaStopped")
	b.logs("streamDestroyed screen clientDisconnected")
	b.until("the camera goes on", "received('camera').then(({frames}) => frames > 20)")
}

// A session whose application wants no events of connections has none, and all others.
func TestConnectionEventsAreSuppressed(t *testing.T) {
	w := newWorld(t)
	b, q := w.connect("B"), w.open("Q")
	q.do("connect()")
	b.do("publish('board', {canvas: true})")
	q.logs("streamCreated board of B")
	b.do("session.signal.promise({type: 'chat', data: 'bye'})")
	q.logs("signal:chat bye from B")
	if got := value[string](q, "session.connections.all().map(({data}) => data).sort().join()"); got != "B,Q" {
		t.Errorf("it knows the connections %s", got)
	}
	b.do("session.disconnect()")
	q.logs("streamDestroyed board clientDisconnected")
	q.until("it knows of the end", "session.connections.length() === 1")
	if told := value[bool](q, "log.some((line) => line.startsWith('connection'))"); told {
		t.Error("it was told of connections")
	}
}

// What fails is told by OT, too, and a user who allows no camera is told why there is none.
func TestFailuresAreTold(t *testing.T) {
	w := newWorld(t)
	a := w.open("A")
	a.do("void OT.on('exception', ({code, title, target}) => log.push(`exception ${code} ${title} ${target === session}`))")
	a.do("refusal(session.connect.promise('wrong'))")
	a.logs("exception 1004 OT_AUTHENTICATION_ERROR true")
	a.do("void (navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); })")
	for _, prevents := range []bool{false, true} {
		a.do(`(() => {
			const publisher = window.denied = OT.initPublisher('camera', {insertMode: 'append'}, (error) => log.push('callback ' + error.name));
			publisher.on('accessDenied', (event) => { log.push('accessDenied'); if (` + map[bool]string{false: "false", true: "true"}[prevents] + `) event.preventDefault(); });
		})()`)
		a.logged("accessDenied", "callback OT_USER_MEDIA_ACCESS_DENIED")
		if shown := value[bool](a, "denied.element.querySelector('.OT_message') !== null"); shown == prevents {
			t.Errorf("prevented %v, and the message is shown: %v", prevents, shown)
		}
	}
}

// Publishers and subscribers are where the application wants them, and stay when it prevents that
// they go.
func TestPlacesInThePage(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do("publish('board', {canvas: true})")
	b.logs("streamCreated board of A")
	shape := func(how string) string {
		b.do(`(() => {
			const place = 'place' + OT.subscribers.length();
			document.getElementById('camera').innerHTML = '<p id="' + place + '"></p>';
			return new Promise((resolve, reject) => {
				window.placed = session.subscribe(session.streams.find({name: 'board'}), ` + how + `, (error) => (error ? reject(error) : resolve(true)));
			});
		})()`)
		return value[string](b, `[...document.getElementById('camera').children].map(({id, className}) => id === placed.id && className.includes('OT_subscriber') ?
			(id.startsWith('place') ? 'widget in place' : 'widget') : id.replace(/\d/, '')).join()`)
	}
	for how, want := range map[string]string{
		"place, {width: 320, height: '50%'}":                             "widget in place",
		"place, {insertMode: 'before'}":                                  "widget,place",
		"document.getElementById(place), {insertMode: 'after'}":          "place,widget",
		"document.getElementById('camera'), {insertMode: 'append'}":      "place,widget",
		"undefined, {insertDefaultUI: false}":                            "place",
		"place, {insertMode: 'replace', preferredResolution: undefined}": "widget in place",
	} {
		if got := shape(how); got != want {
			t.Errorf("%s: %s, want %s", how, got, want)
		}
	}
	if got := value[string](b, "OT.subscribers.where(({element}) => element?.style.width === '320px' && element.style.height === '50%').length + ' ' + OT.subscribers.where(({element}) => !element).length"); got != "1 1" {
		t.Errorf("of a size and without default UI: %s", got)
	}
	b.until("nothing loads any more", "document.querySelectorAll('.OT_subscriber.OT_loading').length === 0")

	// Both applications keep what would go by default, and the publisher is published again.
	b.do("void session.on('streamDestroyed', (event) => event.preventDefault())")
	a.do("void publishers.board.on('streamDestroyed', (event) => event.preventDefault())")
	a.do("session.unpublish(publishers.board)")
	a.logs("publisher board: streamDestroyed clientDisconnected")
	b.logs("streamDestroyed board clientDisconnected")
	if kept := value[int](b, "OT.subscribers.length()"); kept != 6 {
		t.Errorf("%d subscribers are there", kept)
	}
	a.do("session.publish.promise(publishers.board)")
	b.logs("streamCreated board of A")
	if got := value[int](a, "document.querySelectorAll('.OT_publisher').length"); got != 1 {
		t.Errorf("%d publishers are shown", got)
	}
	figures := value[string](a, "new Promise((resolve) => publishers.board.getStats((error, all) => resolve(error?.name ?? `${all.length} ${typeof all[0].stats.video.bytesSent}`)))")
	if figures != "1 number" {
		t.Errorf("the statistics are %s", figures)
	}
}
