//go:build e2e

package otcompat

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
)

// bundleReact returns a script of the page of folder react, with the unmodified opentok-react.
func bundleReact(t *testing.T) []byte {
	t.Helper()
	if err := browser.InstallPackages(t.Context(), "react"); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "page.js")
	bundle := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "esbuild"), "page.jsx", "--bundle",
		"--define:process.env.NODE_ENV=\"production\"", "--log-level=warning", "--outfile="+script)
	bundle.Dir = "react"
	if output, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("bundling the page: %v\n%s", err, output)
	}
	content, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// An application of opentok-react renders a call, and what its properties say of the media holds.
func TestReact(t *testing.T) {
	w := newWorld(t)
	script := bundleReact(t)
	w.serves("/react", func(string) []byte {
		const head = `<!doctype html><title>A call</title><link rel="icon" href="data:,"><script src="/v2/js/opentok.min.js"></script>`
		return append([]byte(head+`<div id="call"></div><script type="module">`), append(script, "</script>"...)...)
	})
	a, b := w.openAt("A", "/react"), w.openAt("B", "/react")
	for _, u := range []*user{a, b} {
		u.logs("published")
		u.until("it has subscribed", "log.includes('subscribed')")
		u.until("it shows the other", `(document.querySelector('.OTSubscriberContainer.OT_subscriber video')
			?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 10`)
		u.until("it hears the other", `OT.subscribers.find().getRtcStatsReport().then((report) =>
			[...report.values()].some((one) => one.type === 'inbound-rtp' && one.kind === 'audio' && one.packetsReceived > 10))`)
		u.until("it shows itself", "document.querySelector('.OTPublisherContainer.OT_publisher video')?.videoWidth > 0")
	}
	a.do("call.setState({ video: false })")
	b.until("the video of A is off", "log.includes('videoDisabled publishVideo')")

	// The components go, and end what they began.
	a.do("call.setState({ mounted: false })")
	a.until("it has left", "OT.publishers.length() === 0 && OT.subscribers.length() === 0 && !document.querySelector('video')")
	b.until("it shows itself only", "document.querySelectorAll('video').length === 1 && document.querySelector('.OT_publisher video') !== null")
	for _, u := range []*user{a, b} {
		if failed := value[[]string](u, "log.filter((line) => line.includes(': '))"); len(failed) > 0 {
			t.Errorf("%s: %q", u.name, failed)
		}
	}
}
