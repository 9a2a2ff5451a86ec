//go:build e2e

package otcompat

import "testing"

// The quality of a stream is told from the figures of the browser: real ones, and ones of a bad
// path.
func TestQuality(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	b.do(`(() => {
		window.lossy = false;
		const real = RTCPeerConnection.prototype.getStats;
		let lost = 0;
		RTCPeerConnection.prototype.getStats = async function () {
			const report = new Map(await real.call(this));
			for (const [id, one] of report) {
				if (one.type !== 'inbound-rtp' || one.kind !== 'video') continue;
				if (lossy) lost += one.packetsReceived;
				report.set(id, { ...one, packetsLost: lost, totalFreezesDuration: lossy ? one.totalFreezesDuration : 0 });
			}
			return report;
		};
	})()`)
	a.do("publish('camera')")
	b.logs("streamCreated camera of A")
	b.do("subscribe('camera')")
	b.do(`(() => {
		window.scores = [];
		const whole = (score) => Number.isInteger(score) && score >= 1 && score <= 5;
		subscribers.camera.on('qualityScoreChanged', ({qualityScore: {audioQualityScore: audio, videoQualityScore: video}}) => {
			scores.push({audio, video, whole: whole(audio ?? 1) && whole(video ?? 1)});
		});
		subscribers.camera.on('videoDisableWarning', () => log.push('warning'));
		subscribers.camera.on('videoDisableWarningLifted', () => log.push('lifted'));
	})()`)
	b.until("it has scores of both", "scores.every(({whole}) => whole) && scores.at(-1)?.audio > 0 && scores.at(-1)?.video > 2")
	b.do("lossy = true")
	b.logs("warning")
	b.until("the video is bad", "scores.some(({video}) => video === 1)")
	b.do("lossy = false")
	b.logs("lifted")
	b.do("subscribers.camera.subscribeToVideo(false)")
	b.until("there is no video to score", "scores.at(-1).video === undefined && scores.at(-1).audio > 0")
}

// The page is told how busy the processor is, and what limits what it sends, as the browser says.
func TestWhatLimitsAPublisher(t *testing.T) {
	w := newWorld(t)
	a := w.open("A")
	a.do(`(() => {
		window.PressureObserver = class { constructor(changed) { window.presses = changed; } async observe(source) { window.observed = source; } };
		window.limitation = 'none';
		const real = RTCPeerConnection.prototype.getStats;
		RTCPeerConnection.prototype.getStats = async function () {
			const report = new Map(await real.call(this));
			for (const [id, one] of report) {
				if (one.type === 'outbound-rtp' && one.kind === 'video') report.set(id, { ...one, qualityLimitationReason: limitation });
			}
			return report;
		};
		session.on('cpuPerformanceChanged', ({cpuPerformanceState}) => log.push('cpu ' + cpuPerformanceState));
		presses([{state: 'nominal'}, {state: 'serious'}]);
	})()`)
	a.logged("cpu serious")
	a.do("connect()")
	a.do("publish('board', {canvas: true})")
	a.do(`void publishers.board.on('videoQualityChanged', ({reason, statsContainer}) => log.push(reason + ' ' + [...statsContainer.rtcStatsReport.values()].some(({type}) => type === 'outbound-rtp')))`)
	a.do("void (limitation = 'bandwidth')")
	a.logs("bandwidth true")
	a.do("void (limitation = 'none')")
	a.logs("none true")
}
