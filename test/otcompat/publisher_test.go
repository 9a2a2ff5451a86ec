//go:build e2e

package otcompat

import (
	"strings"
	"testing"
)

// whitens has a media processor that makes a white picture of any, and keeps what it is told.
const whitens = `(() => {
	window.told = [];
	const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 120 });
	const context = canvas.getContext('2d');
	setInterval(() => { context.fillStyle = told.length % 2 ? 'white' : '#fefefe'; context.fillRect(0, 0, 160, 120); }, 50);
	window.connector = {
		async setTrack(track) { told.push(track.id); return canvas.captureStream(15).getVideoTracks()[0]; },
		async destroy() { told.push('destroyed'); },
	};
})()`

// Others see what a media processor makes of the picture, also of the next source, until it is
// taken away.
func TestMediaProcessors(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	if supported := value[bool](a, "OT.hasMediaProcessorSupport()"); !supported {
		t.Error("Chromium processes no media")
	}
	a.do(whitens)
	a.do("publish('board', {canvas: true})")
	b.logs("streamCreated board of A")
	b.do("subscribe('board')")
	const white = "Math.min(...color('board')) > 200"
	b.until("it sees the picture", "received('board').then(({frames}) => frames > 5 && Math.min(...color('board')) < 150)")
	a.do("void (window.source = publishers.board.getVideoSource().track)")
	a.do("publishers.board.setVideoMediaProcessorConnector(connector)")
	b.until("it sees what is made of it", white)

	a.do("void (window.next = Object.assign(document.createElement('canvas'), {width: 160, height: 120}))")
	a.do("void next.getContext('2d').fillRect(0, 0, 160, 120)")
	a.do("publishers.board.setVideoSource(next.captureStream(15).getVideoTracks()[0])")
	a.do("void setInterval(() => next.getContext('2d').fillRect(0, 0, 160, 120), 50)")
	if got := value[[]string](a, "told"); len(got) != 2 || got[0] == got[1] {
		t.Errorf("the processor was told %q", got)
	}
	if state := value[string](a, "source.readyState"); state != "ended" {
		t.Errorf("the source before is %s", state)
	}
	a.do("publishers.board.setVideoMediaProcessorConnector(null)")
	b.until("it sees the next picture", "Math.max(...color('board')) < 60")
	if got := value[string](a, "told.join()"); !strings.HasSuffix(got, ",destroyed") {
		t.Errorf("the processor was told %q", got)
	}
	for _, wrong := range []string{"setVideoMediaProcessorConnector({})", "setVideoMediaProcessorConnector({setTrack: async () => 1})", "setAudioMediaProcessorConnector(connector)"} {
		if got := value[string](a, "refusal(publishers.board."+wrong+")"); got != "OT_INVALID_PARAMETER 1011" {
			t.Errorf("%s: %s", wrong, got)
		}
	}
	a.do("publishers.board.setVideoMediaProcessorConnector(connector)")
	a.do("publishers.board.destroy()")
	if got := value[int](a, "told.filter((one) => one === 'destroyed').length"); got != 2 {
		t.Errorf("the processor was ended %d times", got)
	}
}
