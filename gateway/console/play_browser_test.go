package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
)

// examplePlayback is of a recording with a film and with what each has sent.
func examplePlayback() *playback {
	o := exampleOverview()
	p := &playback{Viewer: o.Viewer, Recording: o.Recordings[1], Files: []recordedFile{
		{Name: "weekly~1.mp4", Type: "video/mp4", Bytes: 214_000_000, Duration: 3_725_000, Audio: true, Video: true},
		{Name: "grace.webm", Type: "video/webm", Who: "Grace Hopper", Bytes: 98_000_000, Offset: 12_400, Duration: 3_710_000, Audio: true, Video: true},
		{Name: "alan.webm", Type: "audio/webm", Who: "Alan Turing", Bytes: 14_000_000, Offset: 61_000, Duration: 3_600_000, Audio: true},
		{Name: "weekly~1.zip", Type: "application/zip", Bytes: 86_000_000},
	}}
	for i := range p.Files {
		p.Files[i].URL = filesPrefix + "acme/weekly-1/" + p.Files[i].Name + "?link=a.signed.token"
	}
	return p
}

// file answers with a film of a second, whichever file is asked for, with the headers that the
// console sets.
func (g *gatewayOfTests) file(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.URL.String())
	away := g.away
	g.mu.Unlock()
	policies.Set(w, r)
	w.Header().Set("Content-Security-Policy", filePolicy)
	if away || r.URL.Query().Get("link") == "" {
		refuse(w, errFiles)
		return
	}
	w.Header().Set("Content-Type", "video/webm")
	http.ServeFile(w, r, "testdata/second.webm")
}

func TestARecordingIsPlayed(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := signedIn(t, g, browser.Viewport{})
	click(t, page, `[data-testid="to-recordings"]`)
	eventually(t, page, says("view-recordings", "weekly~1"))
	click(t, page, `#recordings-content a[href$="weekly-1"]`)
	eventually(t, page, says("recording", "1:02:05")+" && "+says("recording", "What Grace Hopper sent")+" && "+says("recording", "starts at 0:12"))
	const player = `document.querySelector('[data-testid="player"]')`
	loaded := func(file string) string {
		return fmt.Sprintf("%s?.readyState >= 3 && new URL(%s.currentSrc).pathname.endsWith(%q)", player, player, file)
	}
	eventually(t, page, loaded("weekly~1.mp4"))
	evaluate(t, page, player+".muted = true, "+player+".play()", nil)
	eventually(t, page, player+".currentTime > 0.3")

	// Another link to the same file does not disturb who looks at it, and serves who comes then.
	g.set(func(g *gatewayOfTests) {
		p := *g.playback
		p.Files = slices.Clone(p.Files)
		for i := range p.Files {
			p.Files[i].URL += "-later"
		}
		p.Recording.Bytes = 3 << 20
		g.playback = &p
	})
	eventually(t, page, says("recording", "3.0 MiB")+" && "+player+".currentTime > 0.3 && "+loaded("weekly~1.mp4"))
	click(t, page, `#recording-content a[href$="grace.webm"]`)
	eventually(t, page, loaded("grace.webm")+` && document.querySelector('[aria-current="true"]')?.href.endsWith('grace.webm')`)
	var link string
	evaluate(t, page, player+".currentSrc", &link)
	if !strings.HasSuffix(link, "-later") {
		t.Errorf("a file that was chosen later is played from %s", link)
	}
	// What is no film is there to be kept.
	eventually(t, page, `document.querySelector('#recording-content a[download="weekly~1.zip"]')?.pathname.startsWith('/console/files/acme/weekly-1/')`)
	eventually(t, page, `!document.querySelector('#recording-content a[href$="weekly~1.zip"]')`)

	g.set(func(g *gatewayOfTests) { g.away = true })
	click(t, page, `#recording-content a[href$="alan.webm"]`)
	eventually(t, page, says("recording", "can’t be played"))

	g.set(func(g *gatewayOfTests) { g.playback.Files = nil })
	eventually(t, page, says("recording", "get recordings/files in acme")+" && !"+player)
	g.set(func(g *gatewayOfTests) { g.playback.Files = []recordedFile{} })
	eventually(t, page, says("recording", "no files yet"))
	g.set(func(g *gatewayOfTests) { g.playback, g.away = examplePlayback(), false })
	eventually(t, page, player+"?.readyState >= 3")
	evaluate(t, page, fmt.Sprintf("window.played = %s, played.loop = played.muted = true, played.play()", player), nil)
	click(t, page, `[data-testid="to-rooms"]`)
	eventually(t, page, "played.paused && !"+player)
	evaluate(t, page, `location.hash = '#/recording/acme/gone'`, nil)
	eventually(t, page, says("recording", "no such recording"))
	evaluate(t, page, `location.hash = '#/recording/acme/weekly-1'`, nil)
	eventually(t, page, player+"?.readyState >= 2")
	g.set(func(g *gatewayOfTests) { g.problem = errUnseen })
	eventually(t, page, says("recording", "mediarooms-console"))
	g.set(func(g *gatewayOfTests) { g.problem = nil })
	eventually(t, page, player+"?.readyState >= 2")
	click(t, page, `[data-testid="back-to-recordings"]`)
	eventually(t, page, says("view-recordings", "weekly~1"))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, asked := range g.asked {
		if strings.Contains(asked, secretOfTests) {
			t.Errorf("the password is in %s", asked)
		}
	}
}
