//go:build e2e

package otcompat

import (
	"testing"
	"time"
)

// An application that counts connections has the right number in each page, whatever makes clients
// leave, and the reason of each.
func TestHeadCount(t *testing.T) {
	w := newWorld(t)
	all := func(count int, users ...*user) {
		t.Helper()
		for _, u := range users {
			u.counts(count)
		}
	}
	m, a, b := w.connect("M"), w.connect("A"), w.connect("B")
	all(3, m, a, b)
	b.do("session.disconnect()")
	all(2, m, a)
	a.logs("connectionDestroyed B clientDisconnected")

	c := w.connect("C")
	all(3, m, a, c)
	m.do("session.forceDisconnect.promise(session.connections.find({data: 'C'}))")
	all(2, m, a)
	a.logs("connectionDestroyed C forceDisconnected")
	c.logs("sessionDisconnected forceDisconnected")

	d := w.connect("D")
	all(3, m, a, d)
	d.do("void (location.href = 'about:blank')")
	all(2, m, a)
	a.logs("connectionDestroyed D clientDisconnected")

	// E can't come back, and its network is what it was.
	e := w.connect("E")
	all(3, m, a, e)
	e.do("void (window.WebSocket = class { constructor() { setTimeout(() => this.onclose()); } close() {} })")
	w.rooms.SetReconnectWindow(2 * time.Second)
	w.sockets.cut()
	m.logs("sessionReconnected")
	a.logs("sessionReconnected")
	all(2, m, a)
	a.logs("connectionDestroyed E networkDisconnected")
	if got := value[int](e, "log.filter((line) => line.startsWith('connectionDestroyed')).length"); got != 0 {
		t.Errorf("E was told of %d that have left", got)
	}
}

// The order of events is what applications rely on.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	a := w.connect("A")
	a.logged("sessionConnected A", "callback", "connectionCreated A undefined 1")
	a.do("publish('first')")
	a.logged("publisher first: accessAllowed", "publisher first: streamCreated")
	b := w.connect("B")
	b.logged("sessionConnected B", "callback", "connectionCreated B undefined 1", "connectionCreated A undefined 1", "streamCreated first of A")
	a.logged("connectionCreated B undefined 1")
	b.do("subscribe('first')")
	b.logged("subscriber first: connected", "subscriber first: videoElementCreated")
	a.do("session.disconnect()")
	a.logged("publisher first: streamDestroyed clientDisconnected", "publisher first: destroyed", "sessionDisconnected clientDisconnected")
	b.logged("streamDestroyed first clientDisconnected", "subscriber first: destroyed clientDisconnected", "connectionDestroyed A clientDisconnected")
	if got := value[bool](a, "session.connection === undefined && session.capabilities === undefined && !session.isConnected()"); !got {
		t.Error("A still has a connection")
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.open("S")
	for expression, want := range map[string]string{
		"session.connect.promise('wrong')":                                 "OT_AUTHENTICATION_ERROR 1004",
		"session.connect.promise()":                                        "OT_INVALID_PARAMETER 1011",
		"session.signal.promise({data: 'x'})":                              "OT_NOT_CONNECTED 1010",
		"session.publish.promise(OT.initPublisher())":                      "OT_NOT_CONNECTED 1010",
		"OT.initPublisher.promise('nowhere')":                              "OT_INVALID_PARAMETER 1011",
		"OT.initPublisher.promise({audioSource: null, videoSource: null})": "OT_NO_VALID_CONSTRAINTS 1500",
	} {
		if got := value[string](s, "refusal("+expression+")"); got != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
	s.do("connect()")
	for expression, want := range map[string]string{
		"session.connect.promise('S')":                           "OT_INVALID_PARAMETER 1011",
		"session.publish.promise(OT.initPublisher())":            "OT_PERMISSION_DENIED 1500",
		"session.signal.promise({type: 'a b'})":                  "OT_INVALID_PARAMETER 1011",
		"session.signal.promise({data: 'x'.repeat(8193)})":       "OT_INVALID_PARAMETER 1011",
		"session.signal.promise({to: {connectionId: 'con_X'}})":  "OT_NOT_FOUND 1011",
		"session.subscribe.promise({})":                          "OT_INVALID_PARAMETER 1011",
		"session.forceDisconnect.promise(session.connection)":    "OT_PERMISSION_DENIED 1520",
		"session.forceMuteAll([])":                               "OT_PERMISSION_DENIED 1009",
		"session.forceUnpublish.promise('none')":                 "OT_PERMISSION_DENIED 1530",
		"session.setEncryptionSecret('secret')":                  "OT_NOT_SUPPORTED 2000",
		"OT.initPublisher.promise({videoFilter: {}})":            "OT_NOT_SUPPORTED 2000",
		"OT.initPublisher().applyVideoFilter({})":                "OT_NOT_SUPPORTED 2000",
		"OT.initPublisher().setVideoMediaProcessorConnector({})": "OT_INVALID_PARAMETER 1011",
	} {
		if got := value[string](s, "refusal("+expression+")"); got != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
}

// Whoever only publishes is seen by others, and may not receive, itself neither.
func TestPublisherOnly(t *testing.T) {
	w := newWorld(t)
	a, p := w.connect("A"), w.connect("P")
	if got := value[string](p, "JSON.stringify(session.capabilities)"); got != `{"publish":1,"subscribe":0,"forceDisconnect":0,"forceUnpublish":0,"forceMute":0}` {
		t.Errorf("it may %s", got)
	}
	a.do("publish('board of A', {canvas: true})")
	p.do("publish('board of P', {canvas: true})")
	a.logs("streamCreated board of P of P")
	a.do("subscribe('board of P')")
	a.until("it sees it", "received('board of P').then(({frames}) => frames > 5)")
	p.logs("streamCreated board of A of A")
	for _, stream := range []string{"subscribe('board of A')", "subscribe('board of P', 'own', {testNetwork: true})"} {
		if got := value[string](p, "refusal("+stream+")"); got != "OT_PERMISSION_DENIED 1009" {
			t.Errorf("%s: %s", stream, got)
		}
	}
	// The media pod refuses it, too.
	p.do("void (session.capabilities = {...session.capabilities, subscribe: 1})")
	if got := value[string](p, "refusal(subscribe('board of A'))"); got != "OT_PERMISSION_DENIED 1009" {
		t.Errorf("the media pod says %s", got)
	}
}

// A client that lost its socket comes back, and the others notice nothing.
func TestReconnection(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect("A"), w.connect("B")
	a.logs("connectionCreated B undefined 1")
	b.logs("connectionCreated A undefined 1")
	w.sockets.cut()
	a.do("session.signal.promise({type: 'late', data: 'x'})")
	a.logged("sessionReconnecting", "sessionReconnected", "signal:late x from A")
	b.logged("sessionReconnecting", "sessionReconnected", "signal:late x from A")
}

// What is published while the socket is lost is published once the client is back, and what was
// being published then is so once.
func TestPublishingWaitsForTheWayBack(t *testing.T) {
	w := newWorld(t)
	a, b := w.open("A"), w.connect("B")
	a.do(`void (window.RealWebSocket = WebSocket)`)
	// The socket takes a publish, and is lost before the answer comes.
	a.do(`void (window.WebSocket = class extends RealWebSocket {
		send(text) { super.send(text); if (JSON.parse(text).method === 'publish') { this.onmessage = null; window.lose = () => this.close(); } }
	})`)
	a.do("connect()")
	a.until("it has connected", "connectionCount > 0")
	a.do("void publish('first', {canvas: true})")
	b.logs("streamCreated first of A")
	// There is no way back for a while.
	a.do(`void (window.WebSocket = class { constructor() { setTimeout(() => this.onclose()); } close() {} })`)
	a.do("lose()")
	a.logs("sessionReconnecting")
	a.do("void publish('second', {canvas: true})")
	a.until("it has captured", "publishers.second.accessAllowed")
	if published := value[bool](a, "log.some((line) => line.endsWith('streamCreated'))"); published {
		t.Error("it is published without a socket")
	}
	a.do("void (window.WebSocket = RealWebSocket)")
	a.logs("sessionReconnected")
	a.logs("publisher first: streamCreated")
	b.logs("streamCreated second of A")
	for _, name := range []string{"first", "second"} {
		b.do("subscribe('" + name + "')")
		b.until("it sees "+name, "received('"+name+"').then(({frames}) => frames > 5)")
	}
	a.until("it has published both", "session.isConnected() && publishers.first.stream && publishers.second.stream !== undefined")
	if streams := value[int](b, "log.filter((line) => line.startsWith('streamCreated')).length"); streams != 2 {
		t.Errorf("B was told of %d streams", streams)
	}
}
