//go:build e2e

package otcompat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serveExample serves a page of examples/opentok, with the values that its README says to replace.
func (w *world) serveExample(name string) {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", "opentok", name))
	if err != nil {
		w.t.Fatal(err)
	}
	text := string(content)
	for _, placeholder := range []string{"https://rooms.example.org/", `apiKey = ""`, `sessionID = ""`, `token = ""`} {
		if strings.Count(text, placeholder) != 1 {
			w.t.Fatalf("%s has %s %d times", name, placeholder, strings.Count(text, placeholder))
		}
	}
	w.serves("/"+name, func(user string) []byte {
		return []byte(strings.NewReplacer("https://rooms.example.org/", "/", `apiKey = ""`, `apiKey = "46000001"`,
			`sessionID = ""`, `sessionID = "room"`, `token = ""`, fmt.Sprintf(`token = %q`, user)).Replace(text))
	})
}

// The pages of examples/opentok do what their README says, all of them in one session.
func TestExamples(t *testing.T) {
	w := newWorld(t)
	w.serveExample("head-count.html")
	w.serveExample("two-way-call.html")
	first, second, third := w.openAt("M1", "/head-count.html"), w.openAt("M2", "/head-count.html"), w.openAt("M3", "/head-count.html")
	for _, u := range []*user{first, second, third} {
		u.counts(3)
	}
	third.do("void (location.href = 'about:blank')")
	first.counts(2)
	second.counts(2)

	a, b := w.openAt("A", "/two-way-call.html"), w.openAt("B", "/two-way-call.html")
	for _, u := range []*user{a, b} {
		u.until("it shows the other", "(document.querySelector('#others video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 10")
		u.until("it hears the other", `OT.subscribers.find().getRtcStatsReport().then((report) =>
			[...report.values()].some((one) => one.type === 'inbound-rtp' && one.kind === 'audio' && one.packetsReceived > 10))`)
		u.until("it shows itself", "(({videoWidth, clientWidth}) => videoWidth > 0 && clientWidth === 160)(document.querySelector('#own video'))")
	}
	first.counts(4)
	b.do("document.getElementById('leave').click()")
	b.until("it has left", "document.getElementById('message').textContent === 'The call has ended.' && !document.querySelector('video')")
	a.until("it shows nobody", "document.getElementById('others').childElementCount === 0 && document.querySelector('#own video') !== null")
	first.counts(3)
	second.counts(3)
}
