package opentok

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

var (
	timePattern   = regexp.MustCompile(`"createdAt":\d{13}`)
	streamPattern = regexp.MustCompile(`str_([A-Z]{3})_[A-Za-z0-9]{4}_`)
	// furtherPattern is the connection id at the end of the id of a connection's further streams.
	furtherPattern = regexp.MustCompile(`con_[A-Z][A-Za-z0-9]{9}`)
)

// steady leaves out what is another one in each run.
func steady(text string) string {
	text = furtherPattern.ReplaceAllString(timePattern.ReplaceAllString(text, `"createdAt":0`), "con_further")
	return streamPattern.ReplaceAllString(text, `str_${1}_`)
}

const (
	connectionA = `{"id":"con_A","createdAt":0,"data":"data of A","streams":[]}`
	cameraOfA   = `{"id":"str_CAM_con_A","subscriptionId":"con_A","createdAt":0,"hasAudio":true,"hasVideo":true,"name":"Anna","initials":"A",` +
		`"videoType":"camera","frameRate":30,"videoDimensions":{"width":640,"height":480}}`
	screenOfA = `{"id":"str_SCR_con_further","subscriptionId":"str_SCR_con_further","createdAt":0,"hasAudio":false,"hasVideo":true,"name":"","initials":"","videoType":"screen"}`
)

// Who joins is told of the others and their streams, and they of it.
func TestConnect(t *testing.T) {
	w := newWorld(t, "A", "B:moderator")
	a := w.dial("/opentok", "A")
	if got := a.call("ping", `{"interval":5000}`); got != `{}` {
		t.Errorf("pong is %s", got)
	}
	got := steady(a.call("connect", `{"token":"wss://host/opentok?sessionId=team.room&token=tok_A","platform":"Chrome"}`))
	want := `{"sessionId":"room","reconnectionId":"private-A","role":"publisher","forceMute":false,` +
		`"iceServers":[{"urls":"turn:192.0.2.2","username":"user","credential":"secret"}],"connection":` + connectionA + `,"connections":[]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.publish(cameraParams)
	a.publish(screenParams)
	b := w.dial("/opentok", "B")
	got = steady(b.call("connect", `{"token":"?token=tok_B"}`))
	if !strings.HasSuffix(got, `"connections":[{"id":"con_A","createdAt":0,"data":"data of A","streams":[`+cameraOfA+`,`+screenOfA+`]}]}`) ||
		!strings.Contains(got, `"role":"moderator"`) {
		t.Errorf("got  %s", got)
	}
	a.expect(`connectionCreated {"id":"con_B","createdAt":0,"data":"data of B","streams":[]}`)
	b.call("leave", `{}`)
	a.expect(`connectionDestroyed {"connectionId":"con_B","reason":"clientDisconnected"}`)
	b.refused("publish", cameraParams, codeNotConnected, nameNotConnected)
}

func TestStreams(t *testing.T) {
	w := newWorld(t, "A", "B")
	a, b := w.join("A"), w.join("B")
	a.expect(`connectionCreated {"id":"con_B","createdAt":0,"data":"data of B","streams":[]}`)
	camera, screen := a.publish(cameraParams), a.publish(screenParams)
	b.expect(`streamCreated {"connectionId":"con_A","stream":`+cameraOfA+`}`, `streamCreated {"connectionId":"con_A","stream":`+screenOfA+`}`)

	for _, id := range []string{"small", "large"} {
		if got := b.call("subscribe", fmt.Sprintf(`{"subscriptionId":%q,"streamId":%q}`, id, camera)); !strings.Contains(got, `"sdpOffer":"offer `) {
			t.Errorf("got %s", got)
		}
		b.call("answer", fmt.Sprintf(`{"subscriptionId":%q,"sdpAnswer":"answer"}`, id))
		b.call("candidate", fmt.Sprintf(`{"subscriptionId":%q,"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}`, id))
	}
	if subscriptions := w.engine.Subscriptions(); len(subscriptions) != 2 {
		t.Errorf("%d subscriptions", len(subscriptions))
	}
	b.call("deliver", `{"subscriptionId":"small","audio":true,"video":false}`)
	b.call("unsubscribe", `{"subscriptionId":"large"}`)
	b.call("subscribe", fmt.Sprintf(`{"subscriptionId":"small","streamId":%q,"audio":false,"maxResolution":{"width":320,"height":180}}`, camera))
	if got := w.engine.Subscriptions()[0].Delivers(); got != (media.Delivery{NoAudio: true, MaxSize: media.Dimensions{Width: 320, Height: 180}}) {
		t.Errorf("delivers %+v", got)
	}

	for _, why := range []media.Pause{media.PathPause, media.NoPause} {
		w.engine.Subscriptions()[0].Pause(why)
		b.expect(fmt.Sprintf(`videoPaused {"streamId":"str_CAM_con_A","subscriptionId":"small","paused":%t}`, why != media.NoPause))
	}

	a.call("candidate", fmt.Sprintf(`{"streamId":%q,"candidate":""}`, camera))
	a.call("change", fmt.Sprintf(`{"streamId":%q,"audioActive":false}`, camera))
	a.call("change", fmt.Sprintf(`{"streamId":%q,"videoDimensions":{"width":320,"height":240}}`, camera))
	b.expect(`streamPropertyChanged {"connectionId":"con_A","streamId":"str_CAM_con_A","hasAudio":false}`,
		`streamPropertyChanged {"connectionId":"con_A","streamId":"str_CAM_con_A","videoDimensions":{"width":320,"height":240}}`)
	if got := a.call("renegotiate", fmt.Sprintf(`{"streamId":%q,"sdpOffer":"again"}`, camera)); got != `{"sdpAnswer":"answer to again"}` {
		t.Errorf("got %s", got)
	}
	a.call("unpublish", fmt.Sprintf(`{"streamId":%q}`, camera))
	b.expect(`streamDestroyed {"connectionId":"con_A","streamId":"str_CAM_con_A","reason":"clientDisconnected"}`)
	if next := a.publish(cameraParams); !strings.HasSuffix(next, "_con_A") || screen == next {
		t.Errorf("the next one is %s", next)
	}
	if got := b.ask("subscribe", fmt.Sprintf(`{"subscriptionId":"own","streamId":%q}`, b.publish(cameraParams))); got["error"] != nil {
		t.Errorf("receiving the own stream: %s", got["error"])
	}
}

func TestSignals(t *testing.T) {
	w := newWorld(t, "A", "B")
	a, b := w.join("A"), w.join("B")
	a.told = nil
	a.call("signal", `{"type":"chat","data":"hello"}`)
	b.expect(`signal {"from":"con_A","type":"chat","data":"hello"}`)
	a.call("signal", `{"to":"con_A"}`)
	a.expect(`connectionCreated {"id":"con_B","createdAt":0,"data":"data of B","streams":[]}`,
		`signal {"from":"con_A","type":"chat","data":"hello"}`, `signal {"from":"con_A"}`)
	a.call("signal", `{"to":"con_B","data":"`+strings.Repeat("x", maxSignalData)+`"}`)
	b.expect(`signal {"from":"con_A","data":"` + strings.Repeat("x", maxSignalData) + `"}`)
	where, _ := w.rooms.Lookup("team.room")
	kind := "signal:news"
	if err := where.Signal(nil, room.Signal{Type: &kind}); err != nil {
		t.Fatal(err)
	}
	b.expect(`signal {"type":"news"}`)
	a.refused("signal", `{"to":"con_X"}`, codeInvalidParameter, nameNotFound)
	for _, params := range []string{
		`{"type":"a b"}`, `{"type":"signal:x"}`, `{"type":"` + strings.Repeat("x", maxSignalType+1) + `"}`, `{"type":7}`,
		`{"data":"` + strings.Repeat("x", maxSignalData+1) + `"}`, `{"data":{}}`, `{"to":["con_B"]}`,
	} {
		a.refused("signal", params, codeInvalidParameter, nameInvalidParameter)
	}
}

func TestModeration(t *testing.T) {
	w := newWorld(t, "A", "B", "M:moderator")
	a, b, m := w.join("A"), w.join("B"), w.join("M")
	camera := a.publish(cameraParams)
	a.told, b.told = nil, nil
	stream := fmt.Sprintf(`{"streamId":%q}`, camera)
	b.refused("forceUnpublish", stream, codeForceUnpublish, namePermission)
	b.refused("forceDisconnect", `{"connectionId":"con_A"}`, codeForceDisconnect, namePermission)
	b.refused("forceMute", stream, codeSecurity, namePermission)
	b.refused("forceMuteAll", `{}`, codeSecurity, namePermission)
	b.refused("disableForceMute", `{}`, codeSecurity, namePermission)
	m.refused("forceUnpublish", `{"streamId":"none"}`, codeInvalidStream, nameStreamNotFound)
	m.refused("forceDisconnect", `{"connectionId":"con_X"}`, codeInvalidParameter, nameNotFound)

	m.call("forceMute", stream)
	m.call("forceMuteAll", fmt.Sprintf(`{"excludedStreamIds":[%q]}`, camera))
	m.call("disableForceMute", `{}`)
	m.call("forceUnpublish", stream)
	a.expect(`muteForced {"streamId":"str_CAM_con_A"}`, `forceMuteChanged {"active":true}`, `forceMuteChanged {"active":false}`,
		`streamDestroyed {"connectionId":"con_A","streamId":"str_CAM_con_A","reason":"forceUnpublished"}`)
	m.call("forceDisconnect", `{"connectionId":"con_A"}`)
	a.expect(`disconnected {"connectionId":"con_A","reason":"forceDisconnected"}`)
}

// A client that lost its socket comes back on another one, and is told what it missed.
func TestReconnection(t *testing.T) {
	w := newWorld(t, "A", "B")
	a, b := w.join("A"), w.join("B")
	b.publish(cameraParams)
	a.call("ping", `{}`)
	a.told = nil
	if err := a.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	b.call("signal", `{"to":"con_A","data":"missed"}`)
	again := w.dial("/opentok", "A")
	again.refused("resume", `{"reconnectionId":"private-X"}`, codeNotConnected, nameNotConnected)
	again.refused("signal", `{}`, codeNotConnected, nameNotConnected)
	if got := again.call("resume", `{"reconnectionId":"private-A"}`); got != `{"awaitsMedia":false}` {
		t.Errorf("got %s", got)
	}
	again.refused("resume", `{"reconnectionId":"private-A"}`, codeInvalidParameter, nameInvalidParameter)
	again.refused("connect", `{"token":"?token=tok_A"}`, codeInvalidParameter, nameInvalidParameter)
	for {
		if len(again.told) == 0 {
			again.told = append(again.told, notification(again.message()))
		}
		last := again.told[0]
		again.told = again.told[1:]
		if last == `signal {"from":"con_B","data":"missed"}` {
			break
		}
	}
	again.call("publish", cameraParams)
}

func TestWhoIsNotLetIn(t *testing.T) {
	w := newWorld(t, "A")
	a := w.dial("/opentok", "A")
	a.refused("publish", cameraParams, codeNotConnected, nameNotConnected)
	a.refused("connect", `{}`, codeInvalidParameter, nameInvalidParameter)
	a.refused("connect", `{"token":"tok_A"}`, codeAuthentication, nameAuthentication)
	a.refused("connect", `{"token":"?token=tok_X"}`, codeAuthentication, nameAuthentication)
	a.call("connect", `{"token":"?token=tok_A"}`)
	second := w.dial("/opentok", "second")
	second.refused("connect", `{"token":"?token=tok_A"}`, codeAuthentication, nameAuthentication)
	ws, _, err := websocket.Dial(t.Context(), w.url+"/opentok?sessionId=other", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	(&client{t: t, name: "other", ws: ws}).refused("connect", `{"token":"?token=tok_A"}`, codeInvalidSession, nameInvalidSession)
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, "A", "S:subscriber", "P")
	a, s, p := w.join("A"), w.join("S"), w.join("P")
	camera := a.publish(cameraParams)
	s.refused("publish", cameraParams, codePublish, namePermission)
	a.refused("joinRoom", `{}`, -32601, "")
	a.refused("subscribe", `{"subscriptionId":"x","streamId":"none"}`, codeInvalidStream, nameStreamNotFound)
	a.refused("unpublish", `{"streamId":"none"}`, codeInvalidStream, nameStreamNotFound)
	a.refused("answer", `{"subscriptionId":"x","sdpAnswer":"answer"}`, codeInvalidParameter, nameInvalidParameter)
	a.refused("unsubscribe", `{"subscriptionId":"x"}`, codeInvalidParameter, nameNotFound)
	a.refused("deliver", `{"subscriptionId":"x","audio":true,"video":true}`, codeInvalidParameter, nameNotFound)
	a.call("candidate", `{"subscriptionId":"x","candidate":"late"}`)
	a.refused("publish", `{"sdpOffer":"malformed","hasAudio":true,"hasVideo":false}`, codePeerConnection, nameRemoteDescription)
	p.refused("publish", `{"sdpOffer":"panics","hasAudio":true,"hasVideo":false}`, codeInternal, nameUnexpected)
	a.refused("renegotiate", fmt.Sprintf(`{"streamId":%q,"sdpOffer":"malformed"}`, camera), codePeerConnection, nameRemoteDescription)
	for method, all := range map[string][]string{
		"publish": {
			`{}`, `{"sdpOffer":"offer","hasAudio":false,"hasVideo":false}`, `{"sdpOffer":"","hasAudio":true,"hasVideo":true}`,
			`{"sdpOffer":"offer","hasAudio":"true","hasVideo":true}`, `{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"videoType":"ipcam"}`,
			`{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"name":"` + strings.Repeat("x", maxName+1) + `"}`,
			`{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"videoDimensions":{"width":-1}}`,
			`{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"videoDimensions":[1]}`,
			`{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"frameRate":1e9}`,
		},
		"change":    {`{"streamId":"x"}`, `{"streamId":"x","audioActive":true,"videoActive":true}`, `{"streamId":"x","audioActive":1}`},
		"candidate": {`{}`, `{"streamId":"x","subscriptionId":"x"}`, `{"streamId":"x","sdpMLineIndex":-1}`},
		"deliver": {
			`{"subscriptionId":"x"}`, `{"subscriptionId":"x","audio":true}`, `{"subscriptionId":"x","audio":true,"video":true,"maxResolution":7}`,
			`{"subscriptionId":"x","audio":true,"video":true,"maxFrameRate":-1}`,
		},
		"forceMuteAll": {`{"excludedStreamIds":"x"}`, `{"excludedStreamIds":["` + strings.Repeat("x", maxName+1) + `"]}`},
		"ping":         {`{"interval":-1}`, `{"interval":"5"}`},
	} {
		for _, params := range all {
			a.refused(method, params, codeInvalidParameter, nameInvalidParameter)
		}
	}
	for range maxStreams - 1 {
		a.publish(screenParams)
	}
	a.refused("publish", screenParams, codePublish, nameStreamCreate)
}

// Each reason of a room has a word that applications know.
func TestReasons(t *testing.T) {
	for _, reason := range reasons.Leaving() {
		if leavingReason(reason) == "" || streamReason(reason) != leavingReason(reason) {
			t.Errorf("%s: got %q, %q", reason, leavingReason(reason), streamReason(reason))
		}
	}
	for reason, want := range map[reasons.Reason]string{
		reasons.Disconnect: "clientDisconnected", reasons.ForceDisconnectByServer: "forceDisconnected",
		reasons.SessionClosedByServer: "forceDisconnected", reasons.NetworkDisconnect: "networkDisconnected", reasons.NodeCrashed: "networkDisconnected",
		reasons.Unpublish: "clientDisconnected", reasons.ForceUnpublishByUser: "forceUnpublished", reasons.ForceUnpublishByServer: "forceUnpublished",
	} {
		if got := streamReason(reason); got != want {
			t.Errorf("%s: got %q, want %q", reason, got, want)
		}
	}
}

// A client that is not heard any more leaves because of its network.
func TestNetworkDisconnected(t *testing.T) {
	w := newWorld(t, "A", "B")
	w.rooms.SetReconnectWindow(time.Millisecond)
	a, b := w.join("A"), w.join("B")
	b.publish(cameraParams)
	a.told = nil
	if err := b.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	for !strings.HasPrefix(strings.Join(a.told, ""), "connectionDestroyed") {
		a.told = []string{notification(a.message())}
	}
	a.expect(`connectionDestroyed {"connectionId":"con_B","reason":"networkDisconnected"}`)
}

// Ids of streams have the form that the Kubernetes API and REST know.
func TestStreamIDs(t *testing.T) {
	form := regexp.MustCompile(`^str_(CAM|SCR|MIC)_[A-Z][0-9A-Za-z]{3}_con_(A|[A-Z][0-9A-Za-z]{9})$`)
	screen := room.StreamOptions{HasVideo: true, TypeOfVideo: "SCREEN"}
	for range 100 {
		first := newStreamID(room.StreamOptions{HasAudio: true}, "con_A", nil, "offer")
		second := newStreamID(screen, "con_A", []room.Stream{{ID: first}}, "another")
		if !form.MatchString(first) || !form.MatchString(second) || strings.HasSuffix(second, "_con_A") || !strings.HasSuffix(first, "_con_A") {
			t.Errorf("got %s, %s", first, second)
		}
	}
}
