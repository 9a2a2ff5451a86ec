package openvidu

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

const ownSecret = "the password of tenant team"

// estate is a pod with rooms of two tenants. Everything that is the victim's has another name than
// in the room team.room.
type estate struct {
	*pod
	camera, micro *client // who is in the victim's room: a publisher, and a moderator
	stream        string  // that the first one publishes
	before        room.Snapshot
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{pod: newPod(t, signalling.DefaultLimits(), "A", "M:moderator", "N:moderator")}
	victim := room.Desired{UID: "uid-victim", Key: "victim.board", SessionID: "board", Tenant: "victim", Name: "board"}
	for name, role := range map[string]room.Role{"V": room.Publisher, "W": room.Moderator, "unused": room.Publisher} {
		victim.Connections = append(victim.Connections, room.Connection{
			UID: "uid-" + name, ID: "con_" + name, Token: sha256.Sum256([]byte("tok_" + name)), PrivateID: "rpc-" + name, Role: role, Record: true,
		})
	}
	e.rooms.Apply(victim)
	join := func(name string) *client {
		c := e.dialRoom("victim.board")
		c.call("joinRoom", joinParams("wss://host:4443?sessionId=victim.board&token=tok_"+name, "victim.board"))
		return c
	}
	e.camera = join("V")
	e.stream = e.camera.publish(cameraParams)
	e.micro = join("W")
	e.camera.notification() // the other one has joined
	e.before = e.victim()
	return e
}

func (e *estate) victim() room.Snapshot {
	e.t.Helper()
	snapshot, found := e.rooms.Snapshot("uid-victim")
	if !found {
		e.t.Fatal("the victim's room is gone")
	}
	return snapshot
}

// untouched checks that nothing has happened in the victim's room and that nobody there was told
// anything.
func (e *estate) untouched(what string) {
	e.t.Helper()
	if after := e.victim(); !reflect.DeepEqual(after, e.before) {
		e.t.Errorf("%s: the room was %+v\nand is %+v", what, e.before, after)
	}
	for _, c := range []*client{e.camera, e.micro} {
		c.request("echo", `{}`)
		if message := c.message(); message["error"] != nil || string(message["id"]) != fmt.Sprint(c.next-1) {
			e.t.Errorf("%s: the victim was told %s", what, show(message))
		}
	}
}

// intruders open sockets by the URL of a room of their own, and all but the stranger join it. Each
// is let in nowhere but there.
func (e *estate) intruders() map[string]*client {
	moderator := e.join("M")
	insider := e.dial(podhttp.HeaderSecretDigests, digestHeader(ownSecret))
	insider.call("joinRoom", secretParams(ownSecret, "false", "false"))
	recorder := e.dial(podhttp.HeaderSecretDigests, digestHeader(ownSecret))
	recorder.call("joinRoom", secretParams(ownSecret, "true", "false"))
	stranger := e.dial(podhttp.HeaderSecretDigests, digestHeader(ownSecret))
	return map[string]*client{"a moderator": moderator, "who has shown the secret": insider, "a recorder": recorder, "a stranger": stranger}
}

// foreign are names of everything that the victim's room has, each with what it is.
func (e *estate) foreign() map[string]string {
	return map[string]string{
		"room's key": "victim.board", "session id": "board", "room's UID": "uid-victim", "connection id": "con_V", "moderator's id": "con_W",
		"connection's UID": "uid-V", "stream id": e.stream, "private id": "rpc-V", "token": "tok_unused", "unused connection's id": "con_unused",
	}
}

// withNames are the methods that take a name of a room, session, connection or stream, or a secret
// of one: with %s where the name goes.
var withNames = map[string][]string{
	"connect":                 {`{"sessionId":%q,"reconnect":true}`},
	"prepareReceiveVideoFrom": {`{"sender":%q,"reconnect":false}`, `{"sender":%q,"reconnect":true}`},
	"receiveVideoFrom":        {`{"sender":%q,"sdpAnswer":"answer"}`},
	"unsubscribeFromVideo":    {`{"sender":%q}`},
	"reconnectStream":         {`{"stream":%q,"sdpString":"sdp"}`, `{"stream":%q,"sdpString":"sdp","forciblyReconnect":true}`},
	"onIceCandidate":          {`{"endpointName":%q,"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}`},
	"sendMessage":             {`{"message":"{\"to\":[%q],\"type\":\"signal:x\",\"data\":\"d\"}"}`},
	"forceDisconnect":         {`{"connectionId":%q}`},
	"forceUnpublish":          {`{"streamId":%q}`},

	"applyFilter":                 {`{"streamId":%q,"type":"x","options":"{}"}`},
	"removeFilter":                {`{"streamId":%q}`},
	"execFilterMethod":            {`{"streamId":%q,"method":"x","params":"{}"}`},
	"addFilterEventListener":      {`{"streamId":%q,"eventType":"x"}`},
	"removeFilterEventListener":   {`{"streamId":%q,"eventType":"x"}`},
	"subscribeToSpeechToText":     {`{"connectionId":%q,"lang":"en"}`},
	"unsubscribeFromSpeechToText": {`{"connectionId":%q}`},
}

// withoutNames act on what the socket's own participant is and has, whatever a client says: their
// names, if any, mean nothing.
var withoutNames = map[string]string{
	"publishVideo":          `{"sender":%[1]q,"streamId":%[1]q,"session":%[1]q,"sdpOffer":"offer","doLoopback":false,"hasAudio":true,"hasVideo":false,"audioActive":true}`,
	"streamPropertyChanged": `{"streamId":%[1]q,"connectionId":%[1]q,"property":"audioActive","newValue":false,"reason":"x"}`,
	"videoData":             `{"streamId":%[1]q,"height":1,"width":1,"videoActive":true,"audioActive":true}`,
	"echo":                  `{"sessionId":%[1]q,"session":%[1]q}`,
	"sessionStatus":         `{"sessionId":%[1]q,"session":%[1]q}`,
	"unpublishVideo":        `{"streamId":%[1]q,"sender":%[1]q}`,
	"leaveRoom":             `{"sessionId":%[1]q,"session":%[1]q,"connectionId":%[1]q}`,
	"closeSession":          `{"sessionId":%[1]q,"session":%[1]q}`,
}

func TestNoMethodReachesAnotherTenantsRoom(t *testing.T) {
	covered := slices.Sorted(maps.Keys(withNames))
	covered = slices.Sorted(slices.Values(append(slices.AppendSeq(covered, maps.Keys(withoutNames)), "joinRoom")))
	if all := slices.Sorted(maps.Keys(methods)); !slices.Equal(all, covered) {
		t.Fatalf("the methods are %v\nthis test covers %v", all, covered)
	}
	for method, forms := range withNames {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			for who, intruder := range e.intruders() {
				for what, name := range e.foreign() {
					for _, form := range forms {
						params := strings.ReplaceAll(form, `\"to\":[%q]`, `\"to\":[\"%s\"]`)
						request := fmt.Sprintf(params, name)
						intruder.request(method, request)
						if got := intruder.until(method); got["error"] == nil && method != "unsubscribeFromVideo" && method != "onIceCandidate" {
							t.Errorf("%s, %s %s: was answered %s", who, method, request, show(got))
						}
						e.untouched(who + " with a " + what + ": " + method)
					}
				}
			}
		})
	}
	for method, form := range withoutNames {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			for who, intruder := range e.intruders() {
				for what, name := range e.foreign() {
					intruder.request(method, fmt.Sprintf(form, name))
					intruder.until(method)
					e.untouched(who + " with a " + what + ": " + method)
				}
			}
		})
	}
}

// until returns the answer to the last request, whatever is told before it.
func (c *client) until(method string) map[string]json.RawMessage {
	c.t.Helper()
	for {
		message := c.message()
		if string(message["id"]) == fmt.Sprint(c.next-1) {
			return message
		}
		if message["id"] != nil {
			c.t.Fatalf("%s: got %s", method, show(message))
		}
	}
}

func TestNobodyJoinsAnotherTenantsRoom(t *testing.T) {
	const params = `{"token":%q,"session":%q,"platform":"x","sdkVersion":"2.32.2","metadata":"","secret":%q,"recorder":%t,"stt":%t}`
	ownURL, foreignURL := "wss://host:4443?sessionId=team.room&token=tok_A", "wss://host:4443?sessionId=victim.board&token=tok_unused"
	for name, c := range map[string]struct {
		url, token, session string
		digests             string
	}{
		"its own secret":                            {"team.room", "x", "victim.board", ownSecret},
		"its own secret and token":                  {"team.room", ownURL, "victim.board", ownSecret},
		"its own token":                             {"team.room", ownURL, "victim.board", ""},
		"its own token, by the other's URL":         {"victim.board", ownURL, "victim.board", ""},
		"its own secret on a URL without a room":    {"", "x", "victim.board", ownSecret},
		"its own secret on a URL of no room":        {"nobody", "x", "victim.board", ownSecret},
		"the other's token, on a socket of its own": {"team.room", foreignURL, "victim.board", ""},
		"the other's token, for its own room":       {"team.room", foreignURL, "team.room", ""},
		"the other's session id":                    {"team.room", "x", "board", ownSecret},
		"the other room's UID":                      {"team.room", "x", "uid-victim", ownSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			for _, as := range [][2]bool{{false, false}, {true, false}, {false, true}} {
				var headers []string
				secret := ""
				if c.digests != "" {
					headers, secret = []string{podhttp.HeaderSecretDigests, digestHeader(c.digests)}, c.digests
				}
				intruder := e.dialRoom(c.url, headers...)
				intruder.request("joinRoom", fmt.Sprintf(params, c.token, c.session, secret, as[0], as[1]))
				refused := failure(t, intruder.answer())
				if refused.Code != http.StatusUnauthorized && refused.Code != codeRoomNotFound {
					t.Errorf("got %+v", refused)
				}
				e.untouched("who joins with " + name)
			}
		})
	}
}

// A socket that a URL without a room has opened, as that of a client for phones, may join by a
// token.
func TestASocketWithoutARoomJoinsByToken(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A")
	c := p.dialRoom("")
	if result := c.joinAs("A"); unquote(t, result["id"]) != "con_A" {
		t.Errorf("got %s", result["id"])
	}
	again := p.dialRoom("")
	again.call("connect", `{"sessionId":"rpc-A","reconnect":true}`)
}

func TestTheServersSignalsStayInTheRoomThatTheyName(t *testing.T) {
	e := newEstate(t)
	own := e.join("A")
	for _, name := range e.foreign() {
		if got := e.post("team.room", fmt.Sprintf(`{"to":[%q],"type":"x","data":"y"}`, name)); got != http.StatusNotAcceptable {
			t.Errorf("to %s: %d", name, got)
		}
		if got := e.post("team.room", fmt.Sprintf(`{"session":%[1]q,"key":%[1]q,"type":"x","data":"y"}`, name)); got != http.StatusNoContent {
			t.Errorf("with another key %s: %d", name, got)
		}
		own.notification()
		e.untouched("a signal of the server with " + name)
	}
}

// What a client may not know of, another one's header, counts for the socket that it came with
// only.
func TestHeadersCountForTheirSocketOnly(t *testing.T) {
	e := newEstate(t)
	waiting := e.dialRoom("victim.board", podhttp.HeaderSession, podhttp.SessionWaiting)
	waiting.refused("joinRoom", joinParams("wss://host?sessionId=victim.board&token=tok_unused", "victim.board"))
	_ = e.dialRoom("team.room", podhttp.HeaderSecretDigests, digestHeader(ownSecret))
	stranger := e.dialRoom("team.room")
	if refused := stranger.refused("joinRoom", secretParams(ownSecret, "true", "false")); refused.Code != http.StatusUnauthorized {
		t.Errorf("a secret that another socket was told of: %+v", refused)
	}
	e.untouched("headers")
}
