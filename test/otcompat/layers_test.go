//go:build e2e

package otcompat

import "testing"

// Each subscriber gets the layer and the frame rate that it prefers, from the beginning and when it
// changes its mind.
func TestPreferredResolutionAndFrameRate(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.do("publish('board', {canvas: [1280, 720]})")
	b.logs("streamCreated board of A")
	b.do("subscribe('board', 'small', {preferredResolution: {width: 320, height: 240}})")
	b.do("subscribe('board', 'large')")
	b.until("it gets what it prefers", "received('small').then(({width, frames}) => width === 320 && frames > 5)")
	b.until("it gets the best", "received('large').then(({width}) => width === 1280)")

	b.do("subscribers.large.setPreferredResolution({width: 640, height: 480})")
	b.do("subscribers.small.setPreferredResolution('auto')")
	b.until("it gets what it prefers now", "received('large').then(({width}) => width === 640)")
	b.until("it gets the best", "received('small').then(({width}) => width === 1280)")

	b.do("subscribers.large.restrictFrameRate(true)")
	b.until("it gets fewer pictures", "received('large').then(({rate}) => rate > 0 && rate <= 8)")
	b.do("subscribers.large.setPreferredFrameRate(30)")
	b.do("subscribers.large.restrictFrameRate(false)")
	b.until("it gets all pictures", "received('large').then(({rate}) => rate > 9)")
	a.do("publishers.board.setPreferredResolution({width: 640, height: 360})")
	b.until("the best has become smaller", "received('small').then(({width}) => width === 640)")
	for _, wrong := range []string{"setPreferredResolution({width: 0, height: 1})", "setPreferredResolution(7)", "setPreferredFrameRate(-1)"} {
		if got := value[string](b, "refusal(subscribers.large."+wrong+")"); got != "OT_INVALID_PARAMETER 1011" {
			t.Errorf("%s: %s", wrong, got)
		}
	}
}
