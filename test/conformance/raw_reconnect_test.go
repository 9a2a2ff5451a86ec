//go:build e2e

package conformance

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
)

// The server's timers (openvidu-rpc 7.6), and how far a test may see them late on a small machine.
const (
	window   = 10 * time.Second
	watchdog = 15 * time.Second
	disposal = 10 * time.Second
	late     = 5 * time.Second
)

// again opens another socket as a client does that has lost its own: connect is for the caller to
// send.
func (m *member) again() *member {
	m.T.Helper()
	n := dialWith(m.T, m.Name, roomclient.Options{Token: m.token, Reconnect: true, Silent: true})
	n.Joined, n.connection = m.Joined, m.connection
	return n
}

// back opens another socket and takes the connection up again.
func (m *member) back() *member {
	m.T.Helper()
	n := m.again()
	result := n.call("connect", map[string]any{"sessionId": m.Joined.RPCSessionID, "reconnect": true})
	if len(result) != 2 || result["value"] != "reconnection successful" || result["sessionId"] != m.Joined.RPCSessionID {
		m.T.Errorf("%s: connect gave %v", m.Name, result)
	}
	if err := n.KeepAlive(m.T.Context()); err != nil {
		m.T.Fatalf("%s: %v", m.Name, err)
	}
	return n
}

// notBack tries to resume the connection, which must be refused, and returns the life of the pod
// that refuses (openvidu-rpc 1.11).
func (m *member) notBack() int64 {
	m.T.Helper()
	again := m.again()
	again.refused("connect", map[string]any{"sessionId": m.Joined.RPCSessionID, "reconnect": true}, 40007, "reconnection error")
	life, given := again.call("sessionStatus", map[string]any{"sessionId": m.Joined.Session})["life"].(float64)
	if !given {
		m.T.Errorf("%s: sessionStatus gives no life", m.Name)
	}
	return int64(life)
}

func TestABlipIsSeenByNobody(t *testing.T) {
	t.Parallel()
	covers(t, "A-blip", "1.8-connect", "1.8-media", "1.7-buffer", "9-15", "9-17", "7.2-reconnection", "7.6-retry", "2.17-connect", "1.9-4104", "9-20")
	s, a, b, c := threeClients(t)
	media := rawclient.NewMedia(t)
	stream := a.Publishes(media, camera).StreamID
	subscriber := b.Receives(media, stream)
	// b sends something, too: its stream goes on while its socket is away.
	own := b.Publishes(media, camera).StreamID
	watcher := c.Receives(media, own)
	s.forget()

	b.CloseWith(4104, "Connection closed for reconnection")
	s.exit(b)
	flows(t, "media of b's subscription without a socket", subscriber.VideoPackets)
	flows(t, "media of b's stream without a socket", watcher.VideoPackets)
	s.step("a mutes and signals, d joins, publishes and leaves, while b is away", func() {
		a.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": "videoActive", "newValue": false, "reason": "publishVideo"})
		a.call("sendMessage", signal(t, []string{b.ID()}, "signal:private", "for b"))
		d := s.enter("d", v1alpha1.RolePublisher)
		d.Publishes(media, roomclient.Stream{AudioPacketBytes: 40})
		s.exit(d)
		d.call("leaveRoom", map[string]any{})
	})
	var back *member
	s.step("b is back", func() {
		back = b.back()
		s.members, s.present = append(s.members, back), append(s.present, back)
	})
	s.golden("blip")
	flows(t, "media of b's subscription", subscriber.VideoPackets)
	flows(t, "media of b's stream", watcher.VideoPackets)
	back.call("streamPropertyChanged", map[string]any{"streamId": own, "property": "audioActive", "newValue": false, "reason": "publishAudio"})
	c.Gets("streamPropertyChanged", map[string]any{"connectionId": b.ID(), "streamId": own})

	// Another socket takes over while the old one is still open, whose end then means nothing.
	third := back.back()
	back.Ends(patience)
	fourth := third.back()
	third.Close()
	told := len(c.Notifications())
	select {
	case <-fourth.Done():
		t.Errorf("the socket has ended: %v", fourth.Err())
	case <-time.After(window + late):
	}
	fourth.call("sendMessage", signal(t, []string{c.ID()}, "signal:still", "here"))
	c.Gets("sendMessage", map[string]any{"data": "here"})
	if now := c.Notifications(); len(now) != told+1 {
		t.Errorf("c was told %v", now[told:])
	}
}

func TestWhoDoesNotComeBackWithinTheWindowIsEvicted(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-window", "7.6-window", "5.1-networkDisconnect", "1.8-refused", "1.9-4104", "1.9-4102", "6-40007", "9-13", "1.11-life", "2.22-sessionStatus")
	r := newRoom(t, nil)
	witness := r.join(t, "witness", v1alpha1.RoleSubscriber)
	ends := map[string]struct {
		end    func(*member)
		window time.Duration
	}{
		"killed":       {func(m *member) { m.Close() }, window},
		"gone away":    {func(m *member) { m.CloseWith(websocket.StatusGoingAway, "") }, time.Second},
		"reconnecting": {func(m *member) { m.CloseWith(4104, "Connection closed for reconnection") }, window},
		"rude":         {func(m *member) { m.CloseWith(4102, "Connection closed by client") }, window},
	}
	members := map[string]*member{}
	for name := range ends {
		members[name] = r.join(t, name, v1alpha1.RolePublisher)
	}
	polite := r.join(t, "polite", v1alpha1.RolePublisher)
	if err := polite.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, m := range members {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			ends[name].end(m)
			witness.GetsWithin(ends[name].window+late, "participantLeft", map[string]any{"connectionId": m.ID(), "reason": "networkDisconnect"})
			if took := time.Since(start); took < ends[name].window-500*time.Millisecond {
				t.Errorf("it was evicted after %v", took)
			}
			if life := m.notBack(); life != m.Joined.Life {
				t.Errorf("the pod, which has lived on, has life %d, and at the join had %d", life, m.Joined.Life)
			}
			m.again().refused("joinRoom", m.JoinParameters(), 401, "Unable to join session "+r.name+". Token "+m.token+" is not valid. Code: 401")
		})
	}
	t.Cleanup(func() { // after the subtests
		left := map[string]int{}
		for _, n := range witness.Notifications() {
			if n.Method == "participantLeft" {
				left[string(n.Params)]++
			}
		}
		want := `{"connectionId":"` + polite.ID() + `","reason":"disconnect"}`
		if left[want] != 1 || len(left) != 1+len(ends) {
			t.Errorf("the witness was told of %v, want %s once", left, want)
		}
	})
}

func TestAClientThatFallsSilentLosesItsSocketAndThenItsPlace(t *testing.T) {
	t.Parallel()
	covers(t, "1.6-watchdog", "1.7-silent", "7.6-watchdog", "1.9-1000")
	r := newRoom(t, nil)
	witness := r.join(t, "witness", v1alpha1.RoleSubscriber)
	m := dialWith(t, "silent", roomclient.Options{Token: r.token(t, v1alpha1.RolePublisher), Silent: true})
	m.call("ping", map[string]any{"interval": 5000})
	m.Joins()
	start := time.Now()
	m.Ends(watchdog + late)
	err := m.Err()
	var closing websocket.CloseError
	if !errors.As(err, &closing) || closing.Code != websocket.StatusNormalClosure || closing.Reason != "Close for not receive ping from client" {
		t.Errorf("the socket ended with %v", err)
	}
	if took := time.Since(start); took < watchdog-time.Second {
		t.Errorf("the socket was closed after %v", took)
	}
	witness.GetsWithin(window+late, "participantLeft", map[string]any{"connectionId": m.ID(), "reason": "networkDisconnect"})
	if took := time.Since(start); took < watchdog+window-time.Second {
		t.Errorf("it was evicted after %v", took)
	}
	m.notBack()
}

func TestTheSocketIsClosedSomeTimeAfterLeavingOrEviction(t *testing.T) {
	t.Parallel()
	covers(t, "7.6-disposal", "1.9-1000", "9-13", "2.17-closeSession")
	r := newRoom(t, nil)
	moderator := r.join(t, "moderator", v1alpha1.RoleModerator)
	for name, out := range map[string]func(*member){
		"left":    func(m *member) { m.call("leaveRoom", map[string]any{}) },
		"evicted": func(m *member) { moderator.call("forceDisconnect", map[string]any{"connectionId": m.ID()}) },
		"closed": func(m *member) {
			if result := m.call("closeSession", nil); result["value"] != "bye" {
				t.Errorf("closeSession gave %v", result)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := r.join(t, name, v1alpha1.RolePublisher)
			start := time.Now()
			out(m)
			moderator.Gets("participantLeft", map[string]any{"connectionId": m.ID()})
			m.notBack()
			m.Ends(disposal + late)
			err := m.Err()
			var closing websocket.CloseError
			if !errors.As(err, &closing) || closing.Code != websocket.StatusNormalClosure || closing.Reason != "" {
				t.Errorf("the socket ended with %v", err)
			}
			if took := time.Since(start); took < disposal-time.Second {
				t.Errorf("the socket was closed after %v", took)
			}
		})
	}
}

func TestConnectIsRefusedToThoseWhoAreNotInARoom(t *testing.T) {
	t.Parallel()
	covers(t, "1.8-refused", "6-40007", "1.4-suffix")
	s, a, b, c := threeClients(t)
	for name, params := range map[string]any{
		"an unknown id": map[string]any{"sessionId": "Anything1234567890123456789", "reconnect": true},
		"an empty id":   map[string]any{"sessionId": "", "reconnect": true},
		"no id":         map[string]any{"reconnect": true},
		"nothing":       nil,
		"a number":      map[string]any{"sessionId": 7, "reconnect": true},
		"a public id":   map[string]any{"sessionId": a.ID(), "reconnect": true},
		"the room's id": map[string]any{"sessionId": s.room.name, "reconnect": true},
	} {
		t.Logf("connect with %s", name)
		a.again().refused("connect", params, 40007, "reconnection error")
	}
	a.refused("connect", map[string]any{"sessionId": b.Joined.RPCSessionID, "reconnect": true}, 40007, "reconnection error")

	// Whoever was thrown out while away is told so by the refusal.
	b.Close()
	s.exit(b)
	a.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
	b.notBack()
	c.Close()
	s.deleteConnection(c)
	a.Gets("participantLeft", map[string]any{"connectionId": c.ID(), "reason": "forceDisconnectByServer"})
	c.notBack()
}

func TestAPublisherThatLostTheAnswerGoesOn(t *testing.T) {
	t.Parallel()
	covers(t, "9-16", "2.18-publisher")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	witness := r.join(t, "witness", v1alpha1.RoleSubscriber)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	m.call("publishVideo", m.Offers(media, camera).Parameters())
	m.Close()
	told := witness.Gets("participantPublished", map[string]any{"id": m.ID()})
	stream := told["streams"].([]any)[0].(map[string]any)["id"].(string)
	back := m.back()
	p := back.Offers(media, camera)
	answer := back.call("reconnectStream", map[string]any{"sdpString": p.Offer})
	if answer["id"] != stream {
		t.Errorf("reconnectStream gave %v, want the stream %s", answer["id"], stream)
	}
	back.Starts(p, answer["sdpAnswer"].(string))
	flows(t, "media", witness.Receives(media, stream).VideoPackets)
}

func TestWhatIsMissedWhileAwayKeepsItsOrderAndTheSecretIsNobodyElses(t *testing.T) {
	t.Parallel()
	covers(t, "1.7-buffer", "1.3-session-id")
	r := newRoom(t, nil)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RolePublisher)
	b.Close()
	for _, data := range []string{"1", "2", "3", "4", "5"} {
		a.call("sendMessage", signal(t, []string{}, "signal:x", data))
	}
	back := b.back()
	back.Gets("sendMessage", map[string]any{"data": "5"})
	var got []string
	for i, message := range back.Messages() {
		if i == 0 && message.Answers != "connect" {
			t.Errorf("the first message is %s, want the answer to connect", message.Raw)
		}
		if message.Notification != nil {
			got = append(got, string(message.Notification.Params))
		}
	}
	all := strings.Join(got, "")
	for _, data := range []string{"1", "2", "3", "4", "5"} {
		_, rest, found := strings.Cut(all, `"data":"`+data+`"`)
		if !found {
			t.Errorf("signal %s is missing or out of order in %v", data, got)
		}
		all = rest
	}
}
