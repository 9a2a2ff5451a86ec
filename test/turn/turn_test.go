//go:build e2e

package turn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// Browsers with the unmodified openvidu-browser, which reach nothing but a TURN server, publish and
// subscribe: one reaches it by UDP, and the other by TCP and with the next secret. Their call goes
// on when a standby takes the pod's place. Who has no valid credential gets nowhere.
func TestClientsThatReachATURNServerOnly(t *testing.T) {
	if _, err := browser.InstallPage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !network.Isolated(t) {
		return
	}
	w := newWorld(t)
	place := browser.Place{NetworkNamespace: w.relay.Namespace()}
	chromium, err := browser.StartAt(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chromium.Close)
	firefox, err := browser.StartFirefoxAt(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(firefox.Close)
	for name, test := range map[string]struct {
		secret string
		made   time.Time
	}{
		"wrong":   {"another secret", time.Now()},
		"expired": {w.secret, time.Now().AddDate(0, 0, -2)},
	} {
		t.Run(name, func(t *testing.T) {
			token := w.admit(name, test.made, slices.Concat(w.server("udp", test.secret), w.server("tcp", test.secret)))[0]
			c := chromium.OpenParticipant(t, w.site, "C")
			if err := c.Evaluate(watchGathering, nil); err != nil {
				t.Fatal(err)
			}
			u := join(t, c, token)
			u.publish()
			u.isRefused()
		})
	}
	t.Run("a call", func(t *testing.T) {
		tokens := w.admit("call", time.Now(), w.server("udp", w.secret), w.server("tcp", nextSecret))
		a := join(t, chromium.OpenParticipant(t, w.site, "A"), tokens[0])
		b := join(t, firefox.OpenParticipant(t, w.site, "B"), tokens[1])
		a.publish()
		b.publish()
		receive(t, a, b)
		a.goesOver("udp")
		b.goesOver("tcp")
		w.pod.stop()
		w.standby.becomes("call", controlv1.StandbyState_STANDBY_STATE_SERVING)
		receive(t, a, b)
	})
}

// user is a participant who has joined.
type user struct {
	*browser.Participant
	t  *testing.T
	id string
}

// join has a participant join with what the server gives it.
func join(t *testing.T, p *browser.Participant, token string) *user {
	t.Helper()
	p.UseICEServers()
	p.UseTCP()
	joined, err := p.Join(token, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Leave(); err != nil {
			t.Error(err)
		}
	})
	return &user{Participant: p, t: t, id: joined.ConnectionID}
}

func (u *user) publish() {
	u.t.Helper()
	if _, err := u.Publish("320x240"); err != nil {
		u.t.Fatal(err)
	}
}

// receive waits until two users get more frames and sound of each other.
func receive(t *testing.T, a, b *user) {
	t.Helper()
	received := func(u, from *user) browser.Media {
		t.Helper()
		got, err := u.Received(from.id)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := map[*user]browser.Media{a: received(a, b), b: received(b, a)}
	for u, from := range map[*user]*user{a: b, b: a} {
		wait.For(t, patience, u.Name+" to see and hear "+from.Name, func() error {
			got, begin := received(u, from), before[u]
			if got.Video.FramesDecoded < begin.Video.FramesDecoded+30 || got.Audio.Packets < begin.Audio.Packets+30 {
				return fmt.Errorf("got %+v, and %+v before", got, begin)
			}
			return nil
		})
	}
}

// goesOver checks that what is sent and what is received goes through the relay, and how the relay
// is reached. On a busy machine the client may have closed a peer connection and made another one.
func (u *user) goesOver(protocol string) {
	u.t.Helper()
	wait.For(u.t, patience, u.Name+" to use the relay over "+protocol, func() error {
		all, err := u.Transports()
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(transport browser.Transport) bool { return transport.State == "closed" })
		if len(all) != 2 {
			return fmt.Errorf("got %+v", all)
		}
		for _, transport := range all {
			if transport.Candidate != "relay" || transport.Protocol != protocol {
				err = errors.Join(err, fmt.Errorf("got %+v", transport))
			}
		}
		return err
	})
}

// watchGathering has a page keep what the gathering of its peer connections fails for.
const watchGathering = `window.refusals = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    this.addEventListener('icecandidateerror', ({ url, errorCode }) => window.refusals.push(errorCode + ' ' + url));
  }
}`

// isRefused waits until the gathering of candidates has ended: the TURN server has answered 401
// (Unauthorized) over each transport, there is no relayed candidate, and thus no path.
func (u *user) isRefused() {
	u.t.Helper()
	const state = `(({ iceGatheringState, iceConnectionState, localDescription: { sdp } }) =>
		({ iceGatheringState, iceConnectionState, sdp, refusals: window.refusals }))(window.probes.connections[0])`
	var got struct {
		IceGatheringState, IceConnectionState, SDP string
		Refusals                                   []string
	}
	wait.For(u.t, patience, "the TURN server to refuse "+u.Name, func() error {
		err := u.Evaluate(state, &got)
		if err == nil && got.IceGatheringState != "complete" {
			err = fmt.Errorf("got %+v", got)
		}
		return err
	})
	for _, protocol := range []string{"udp", "tcp"} {
		refused := func(said string) bool {
			return strings.HasPrefix(said, "401 ") && strings.HasSuffix(said, "?transport="+protocol)
		}
		if !slices.ContainsFunc(got.Refusals, refused) {
			u.t.Errorf("over %s the TURN server has said %v", protocol, got.Refusals)
		}
	}
	if strings.Contains(got.SDP, " typ relay") || got.IceConnectionState == "connected" || got.IceConnectionState == "completed" {
		u.t.Errorf("%s is %s, with %s", u.Name, got.IceConnectionState, got.SDP)
	}
}
