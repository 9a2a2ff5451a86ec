//go:build e2e

package e2e

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// openTokCall is a page whose user sends a camera and receives all others. It tells the longest
// time, in milliseconds, in which no new picture of any of them was decoded.
const openTokCall = `<!doctype html><title>call</title>
<script src="%s/v2/js/opentok.min.js"></script>
<div id="all"></div>
<script>
const session = OT.initSession(%q, %q), log = [], subscribers = [];
session.on('streamCreated', ({stream}) => subscribers.push(session.subscribe(stream, 'all', {insertMode: 'append'})));
for (const type of ['sessionReconnecting', 'sessionReconnected', 'sessionDisconnected', 'streamDestroyed', 'connectionDestroyed']) {
	session.on(type, ({reason}) => log.push(type + ' ' + reason));
}
session.connect(%q, (error) => {
	if (error) return log.push(String(error));
	const publisher = OT.initPublisher('all', {insertMode: 'append', resolution: '320x240', frameRate: 15});
	session.publish(publisher, (error) => error && log.push(String(error)));
});
let frames = 0, gap = 0, last = performance.now();
const watch = () => { gap = 0; last = performance.now(); return true; };
(async function look() {
	let decoded = 0;
	for (const subscriber of subscribers) {
		const report = await subscriber.getRtcStatsReport().catch(() => []); // it has none before it is connected
		report.forEach((one) => { if (one.type === 'inbound-rtp' && one.kind === 'video') decoded += one.framesDecoded; });
	}
	const now = performance.now();
	if (decoded > frames) {
		gap = Math.max(gap, now - last);
		last = now;
	}
	frames = decoded;
	setTimeout(look, 10);
})();
</script>`

// A call of the OpenTok library goes on at the standby as one of OpenVidu's does, and its
// application hears nothing.
func TestAnOpenTokCallGoesOnAtItsStandby(t *testing.T) {
	h := newHeadCount(t)
	token := openTokJWT(t, jwt.MapClaims{"session_id": h.sessionID, "role": "publisher", "scope": "session.connect", "initial_layout_class_list": ""})
	h.page = []byte(fmt.Sprintf(openTokCall, kube.GatewayURL, sampleKey, h.sessionID, token))
	site := httptest.NewServer(h)
	t.Cleanup(site.Close)
	pages := []*roomPage{
		{chromium(t, 0).Open(t, "one", site.URL, browser.Viewport{})}, {chromium(t, 1).Open(t, "two", site.URL, browser.Viewport{})},
	}
	for _, p := range pages {
		p.UseICEServers() // the library uses those of the Connection, which has none
	}
	advance := func() {
		for _, p := range pages {
			var before int
			if err := p.Evaluate("frames", &before); err != nil {
				t.Fatal(err)
			}
			p.is(t, 40*time.Second, "new pictures", fmt.Sprintf("frames > %d", before+15))
		}
	}
	advance()
	for range takeovers() {
		var session *v1alpha1.Session
		wait.For(t, time.Minute, "the session to be protected", func() (err error) {
			if session, _, err = h.connections(); err != nil || session == nil {
				return fmt.Errorf("no Session: %w", err)
			}
			if !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionProtected) {
				return fmt.Errorf("it is %+v", session.Status.Conditions)
			}
			return nil
		})
		var pod corev1.Pod
		if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: session.Status.PodName}, &pod); err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			if err := p.Evaluate("watch()", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := kube.KillPod(t.Context(), &pod); err != nil {
			t.Fatal(err)
		}
		wait.For(t, time.Minute, "the standby to have the session", func() error {
			now, _, err := h.connections()
			if err == nil && (now == nil || now.Status.PodName == pod.Name) {
				err = fmt.Errorf("it is %+v", now)
			}
			return err
		})
		advance()
		for _, p := range pages {
			var seen struct {
				Gap float64
				Log []string
			}
			if err := p.Evaluate("({Gap: gap, Log: log})", &seen); err != nil {
				t.Fatal(err)
			}
			t.Logf("GAP %s: no frame for %.0f ms", p.Name, seen.Gap)
			if seen.Gap > takeoverGap || len(seen.Log) > 0 {
				t.Errorf("%s: no frame for %.0f ms, and was told %q", p.Name, seen.Gap, seen.Log)
			}
		}
	}
}
