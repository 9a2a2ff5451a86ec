//go:build e2e

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestEveryMessageHasTheFormThatTheClientUnpacks(t *testing.T) {
	t.Parallel()
	covers(t, "1.3-response", "1.3-session-id", "1.3-notification", "1.4-suffix", "1.4-data", "9-2", "9-7", "9-9", "9-6")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RoleModerator), r.join(t, "b", v1alpha1.RolePublisher)
	stream := b.Publishes(media, camera).StreamID
	a.Receives(media, stream)
	b.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": "videoActive", "newValue": false, "reason": "publishVideo"})
	b.call("sendMessage", map[string]any{"message": `{"to":[],"type":"signal:x","data":"1"}`})
	b.call("echo", map[string]any{})
	for method, params := range map[string]map[string]any{
		"publishVideo":            {"sdpOffer": "none", "doLoopback": false, "hasAudio": true, "hasVideo": false},
		"forceUnpublish":          {"streamId": stream},
		"reconnectStream":         {"stream": "str_CAM_AAAA_con_Nobody", "sdpString": "none"},
		"addFilterEventListener":  {"streamId": stream, "eventType": "x"},
		"prepareReceiveVideoFrom": {"sender": "str_CAM_AAAA_con_Nobody", "reconnect": false},
		"applyFilter":             {"streamId": stream, "type": "x", "options": "{}"},
	} {
		var refusal *roomclient.Error
		if err := b.Call(t.Context(), method, params, nil); !errors.As(err, &refusal) {
			t.Fatalf("%s gave %v", method, err)
		}
		if end := fmt.Sprintf(". Code: %d", refusal.Code); !strings.HasSuffix(refusal.Message, end) {
			t.Errorf("the error of %s is %q, want it to end in %q", method, refusal.Message, end)
		}
		data := ""
		if method == "reconnectStream" || method == "addFilterEventListener" {
			data = `"{}"`
		}
		if string(refusal.Data) != data {
			t.Errorf("the error of %s has the data %s, want %s", method, refusal.Data, data)
		}
	}
	a.call("forceUnpublish", map[string]any{"streamId": stream})
	a.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
	b.Gets("participantEvicted", nil)

	for _, pair := range [][2]*member{{a, b}, {b, a}} {
		self, other := pair[0], pair[1]
		joined := false
		for _, message := range self.Messages() {
			var parsed map[string]any
			if err := json.Unmarshal(message.Raw, &parsed); err != nil {
				t.Fatal(err)
			}
			kind := strings.Join(slices.Sorted(maps.Keys(parsed)), ",")
			if parsed["jsonrpc"] != "2.0" || !slices.Contains([]string{"id,jsonrpc,result", "error,id,jsonrpc", "jsonrpc,method,params"}, kind) {
				t.Errorf("a message has the members %s: %s", kind, message.Raw)
			}
			if path := null("", parsed); path != "" {
				t.Errorf("%s is null in %s", path, message.Raw)
			}
			if strings.Contains(string(message.Raw), other.Joined.RPCSessionID) {
				t.Errorf("%s sees the private id of %s in %s", self.Name, other.Name, message.Raw)
			}
			joined = joined || message.Answers == "joinRoom"
			result, _ := parsed["result"].(map[string]any)
			if _, given := result["dest"]; given {
				t.Errorf("a result has dest: %s", message.Raw)
			}
			if result != nil && joined && message.Answers != "ping" && result["sessionId"] != self.Joined.RPCSessionID {
				t.Errorf("a result lacks the private id: %s", message.Raw)
			}
			if message.Notification != nil && strings.Contains(string(message.Raw), "sessionId") {
				t.Errorf("a notification has sessionId: %s", message.Raw)
			}
			if message.Answers != "joinRoom" && strings.Contains(string(message.Raw), `"role"`) {
				t.Errorf("there is a role in %s", message.Raw)
			}
		}
	}
}

// null returns the path of a member that is null, "" when there is none.
func null(path string, value any) string {
	switch v := value.(type) {
	case nil:
		return path
	case map[string]any:
		for name, member := range v {
			if found := null(path+"."+name, member); found != "" {
				return found
			}
		}
	case []any:
		for _, member := range v {
			if found := null(path+"[]", member); found != "" {
				return found
			}
		}
	}
	return ""
}

func TestIdsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	covers(t, "1.3-id", "9-1")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	for _, id := range []string{"0", "1700000000001", "-4", `"17"`, `"a text"`} {
		answer := m.answer(`{"jsonrpc":"2.0","method":"echo","params":{},"id":`+id+`}`, id)
		if answer["result"] == nil {
			t.Errorf("id %s was answered with %s", id, answer)
		}
	}
}

func TestMalformedMessagesAreAnsweredAndHarmNobody(t *testing.T) {
	t.Parallel()
	covers(t, "1.3-malformed", "1.2-frames", "9-8")
	r := newRoom(t, nil)
	other := r.join(t, "other", v1alpha1.RolePublisher)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	for name, c := range map[string]struct {
		text, id string
		code     int
	}{
		"no JSON":           {`hello`, "null", -32700},
		"nothing":           {``, "null", -32700},
		"half of it":        {`{"jsonrpc":"2.0","method":"echo"`, "null", -32700},
		"a batch":           {`[{"jsonrpc":"2.0","method":"echo","id":100}]`, "null", -32600},
		"another version":   {`{"jsonrpc":"1.0","method":"echo","id":101}`, "101", -32600},
		"no version":        {`{"method":"echo","id":102}`, "102", -32600},
		"no method":         {`{"jsonrpc":"2.0","id":103}`, "103", -32600},
		"a number's method": {`{"jsonrpc":"2.0","method":7,"id":104}`, "104", -32600},
		"an object's id":    {`{"jsonrpc":"2.0","method":"echo","id":{}}`, "null", -32600},
		"a very long id":    {`{"jsonrpc":"2.0","method":"echo","id":"` + strings.Repeat("x", 1000) + `"}`, "null", -32600},
		"a list as params":  {`{"jsonrpc":"2.0","method":"echo","params":[1],"id":105}`, "105", -32602},
		"very deep":         {`{"jsonrpc":"2.0","method":"echo","params":{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `},"id":106}`, "106", -32600},
	} {
		if failure := m.failure(m.answer(c.text, c.id)); failure.Code != c.code {
			t.Errorf("%s was answered with %v, want code %d", name, &failure, c.code)
		}
	}
	// Binary messages are ignored, and what has no id is not answered.
	for _, raw := range []string{`{"jsonrpc":"2.0","method":"echo","id":200}`, "\x00\xff"} {
		if err := m.SendBinary(t.Context(), []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	before := len(m.Messages())
	if err := m.Send(t.Context(), []byte(`{"jsonrpc":"2.0","method":"echo","params":{}}`)); err != nil {
		t.Fatal(err)
	}
	m.call("echo", map[string]any{})
	if after := m.Messages(); len(after) != before+1 {
		t.Errorf("a binary message or one without an id was answered: %s", after[before].Raw)
	}
	other.call("echo", map[string]any{})
	if told := other.Notifications(); len(told) != 1 {
		t.Errorf("the other was told %v, want the joining only", told)
	}
}

func TestAMessageMayHaveAMebibyteAndABiggerOneHarmsItsSenderOnly(t *testing.T) {
	t.Parallel()
	covers(t, "1.2-size")
	r := newRoom(t, nil)
	other := r.join(t, "other", v1alpha1.RolePublisher)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	message := func(size int, id string) string {
		frame := func(data string) string {
			return `{"jsonrpc":"2.0","method":"sendMessage","params":{"message":"{\"to\":[],\"type\":\"signal:big\",\"data\":\"` + data + `\"}"},"id":` + id + `}`
		}
		return frame(strings.Repeat("x", size-len(frame(""))))
	}
	const limit = 1 << 20
	if answer := m.answer(message(limit, "300"), "300"); answer["result"] == nil {
		t.Errorf("a message of 1 MiB was answered with %.300s", answer["error"])
	}
	got := other.Gets("sendMessage", map[string]any{"type": "signal:big"})
	if size := len(got["data"].(string)); size < limit-300 {
		t.Errorf("%d bytes came", size)
	}
	if failure := m.failure(m.answer(message(limit+1, "301"), "301")); failure.Code != -32600 {
		t.Errorf("a message of a byte more was answered with %v", &failure)
	}
	m.call("echo", map[string]any{})
	// Far too big: nobody reads that for the sake of an answer.
	_ = m.Send(t.Context(), []byte(message(6*limit, "302"))) // the server may close while it is written
	m.Ends(patience)
	other.call("echo", map[string]any{})
}

func TestRequestsAreAnsweredInTheirOrderAndPingDoesNotWait(t *testing.T) {
	t.Parallel()
	covers(t, "1.5-order", "7.6-ping", "7.6-request", "7.6-endpoint", "9-38")
	r := newRoom(t, nil)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RolePublisher)
	stream := a.Publishes(rawclient.NewMedia(t), camera).StreamID
	// The pod may have answered each request before the next one is sent, by a machine that is slow
	// at sending. Then there is nothing to overtake, and more are sent.
	round := 0
	wait.For(t, patience, "a ping to be answered before the requests that were sent before it", func() error {
		round++
		return overtakes(b, stream, round*10_000)
	})
}

// overtakes sends requests with a ping after every fourth, with ids from a number on. It checks
// that all are answered and requests in their order, and gives an error unless a ping was answered
// before the request that was sent just before it.
func overtakes(b *member, stream string, first int) error {
	b.T.Helper()
	const requests, pings = 40, 10
	firstPing := first + 1000
	before := len(b.Messages())
	for i := range requests {
		request := fmt.Sprintf(`{"jsonrpc":"2.0","method":"prepareReceiveVideoFrom","params":{"sender":%q,"reconnect":true},"id":%d}`, stream, first+i)
		if err := b.Send(b.T.Context(), []byte(request)); err != nil {
			b.T.Fatal(err)
		}
		if i%(requests/pings) != requests/pings-1 {
			continue
		}
		if err := b.Send(b.T.Context(), fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"ping","id":%d}`, firstPing+i)); err != nil {
			b.T.Fatal(err)
		}
	}
	b.answered(before, fmt.Sprint(first+requests-1))
	b.answered(before, fmt.Sprint(firstPing+requests-1))
	next, answered, overtook := first, 0, 0
	for _, message := range b.Messages()[before:] {
		var parsed struct {
			ID json.Number `json:"id"`
		}
		if err := json.Unmarshal(message.Raw, &parsed); err != nil {
			b.T.Fatal(err)
		}
		if message.Answers == "ping" || message.Notification != nil {
			continue
		}
		id, err := parsed.ID.Int64()
		switch {
		case err != nil:
			b.T.Fatal(err)
		case int(id) >= firstPing:
			answered++
			if int(id)-firstPing+first >= next { // the request sent just before it has no answer yet
				overtook++
			}
		case int(id) != next:
			b.T.Fatalf("request %d was answered, want %d", id, next)
		default:
			next++
		}
	}
	if next != first+requests || answered != pings {
		b.T.Fatalf("%d of %d requests and %d of %d pings were answered", next-first, requests, answered, pings)
	}
	if overtook == 0 {
		return errors.New("all pings waited for the requests before them")
	}
	return nil
}

func TestUnknownMethodsAreAnswered(t *testing.T) {
	t.Parallel()
	covers(t, "1.5-unknown-method", "2.23-absent", "9-8")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RoleModerator)
	for _, method := range []string{
		"startRecording", "stopRecording", "listRecordings", "getRecording", "startBroadcast", "stopBroadcast", "getParticipants",
		"createToken", "customRequest", "customNotification", "roomClosed", "networkQualityLevelChanged", "setRole", "pull", "Ping", "JOINROOM",
	} {
		m.refused(method, map[string]any{"sessionId": r.name}, -32601, "Method not found: '"+method+"'")
	}
}

// everyMethod are the methods that need a participant, with good parameters.
var everyMethod = map[string]map[string]any{
	"leaveRoom": {}, "echo": {}, "unpublishVideo": {}, "closeSession": {},
	"publishVideo":                {"sdpOffer": "v=0", "doLoopback": false, "hasAudio": true, "hasVideo": false},
	"prepareReceiveVideoFrom":     {"sender": "str_CAM_AAAA_con_Nobody", "reconnect": false},
	"receiveVideoFrom":            {"sender": "str_CAM_AAAA_con_Nobody", "sdpAnswer": "v=0"},
	"unsubscribeFromVideo":        {"sender": "con_Nobody"},
	"reconnectStream":             {"stream": "str_CAM_AAAA_con_Nobody", "sdpString": "v=0"},
	"onIceCandidate":              {"endpointName": "con_Nobody", "candidate": "", "sdpMid": "0", "sdpMLineIndex": 0},
	"streamPropertyChanged":       {"streamId": "str_CAM_AAAA_con_Nobody", "property": "audioActive", "newValue": false, "reason": "publishAudio"},
	"videoData":                   {"height": 1, "width": 1, "videoActive": true, "audioActive": true},
	"sendMessage":                 {"message": `{"to":[],"type":"signal:x","data":""}`},
	"forceDisconnect":             {"connectionId": "con_Nobody"},
	"forceUnpublish":              {"streamId": "str_CAM_AAAA_con_Nobody"},
	"applyFilter":                 {"streamId": "str_CAM_AAAA_con_Nobody", "type": "x", "options": "{}"},
	"removeFilter":                {"streamId": "str_CAM_AAAA_con_Nobody"},
	"execFilterMethod":            {"streamId": "str_CAM_AAAA_con_Nobody", "method": "x", "params": "{}"},
	"addFilterEventListener":      {"streamId": "str_CAM_AAAA_con_Nobody", "eventType": "x"},
	"removeFilterEventListener":   {"streamId": "str_CAM_AAAA_con_Nobody", "eventType": "x"},
	"subscribeToSpeechToText":     {"connectionId": "con_Nobody", "lang": "en-US"},
	"unsubscribeFromSpeechToText": {"connectionId": "con_Nobody"},
}

func TestBeforeJoinRoomNothingButPingAndConnectIsServed(t *testing.T) {
	t.Parallel()
	covers(t, "1.5-before-join", "6-803", "2.20-echo")
	r := newRoom(t, nil)
	m := dial(t, "a", r.token(t, v1alpha1.RolePublisher))
	const rest = " for participant with privateId null. Method 'Session.connect()' must be the first operation called in any session. Code: 803"
	for method, params := range everyMethod {
		m.refused(method, params, 803, "No connection found"+rest)
	}
	parameters := m.JoinParameters()
	parameters["token"] = "no token"
	m.refused("joinRoom", parameters, 401, "Unable to join session "+r.name+". Token no token is not valid. Code: 401")
	m.refused("echo", map[string]any{}, 803, "No session information found"+rest)
	m.Joins()
	m.call("echo", map[string]any{})
}

func TestParametersThatAreMissingOrWrongAreNamed(t *testing.T) {
	t.Parallel()
	covers(t, "1.5-parameters", "6--1", "2.8-errors", "2.10-errors")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RoleModerator)
	optional := map[string][]string{ // those whose absence is no error, or another one
		"videoData": {"height", "width", "videoActive", "audioActive"}, "reconnectStream": {"stream"},
		"applyFilter": {"streamId", "type", "options"}, "removeFilter": {"streamId"}, "execFilterMethod": {"streamId", "method", "params"},
		"addFilterEventListener": {"streamId", "eventType"}, "removeFilterEventListener": {"streamId", "eventType"},
		"subscribeToSpeechToText": {"connectionId", "lang"}, "unsubscribeFromSpeechToText": {"connectionId"},
	}
	for method, params := range everyMethod {
		for name := range params {
			if slices.Contains(optional[method], name) {
				continue
			}
			for kind, change := range map[string]func(map[string]any){
				"missing": func(p map[string]any) { delete(p, name) },
				"null":    func(p map[string]any) { p[name] = nil },
				"a list":  func(p map[string]any) { p[name] = []int{1} },
			} {
				if kind == "a list" && name == "newValue" {
					continue // is passed on when the property is not known to be of a kind
				}
				changed := maps.Clone(params)
				change(changed)
				var refusal *roomclient.Error
				err := m.Call(t.Context(), method, changed, nil)
				want := "java.lang.RuntimeException:Request element '" + name + "' is missing in RPC method '" + method + "'. Check that "
				if !errors.As(err, &refusal) || refusal.Code != -1 || !strings.HasPrefix(refusal.Message, want) {
					t.Errorf("%s of %s %s: %v, want -1 %q", name, method, kind, err, want)
				}
			}
		}
	}
}

func TestWhoHasLeftIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	covers(t, "1.5-gone", "9-8", "6-102")
	r := newRoom(t, nil)
	a, b := r.join(t, "a", v1alpha1.RoleModerator), r.join(t, "b", v1alpha1.RoleModerator)
	a.call("leaveRoom", map[string]any{})
	b.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
	b.Gets("participantEvicted", nil)
	for _, m := range []*member{a, b} {
		for method, params := range everyMethod {
			err := m.Call(t.Context(), method, params, nil)
			var refusal *roomclient.Error
			if !errors.As(err, &refusal) {
				t.Errorf("%s of %s, who has left, gave %v", method, m.Name, err)
				continue
			}
			want := fmt.Sprintf("User %s not found in session %s. Code: 102", m.ID(), r.name)
			if answeredAlike := strings.Contains(method, "Filter") || strings.Contains(method, "SpeechToText"); !answeredAlike && refusal.Message != want {
				t.Errorf("%s of %s, who has left, gave %v, want %q", method, m.Name, err, want)
			}
		}
		m.refused("joinRoom", m.JoinParameters(), 104,
			fmt.Sprintf("Unable to join session %s. This connection has joined a session already. Code: 104", r.name))
		if pong := m.call("ping", nil); pong["value"] != "pong" {
			t.Errorf("ping gave %v", pong)
		}
	}
}

func TestSocketsOfAnyOriginWithAnyQueryAreTaken(t *testing.T) {
	t.Parallel()
	covers(t, "1.2-path", "6-104")
	r := newRoom(t, nil)
	for _, origin := range []string{"", "https://elsewhere.example", "null"} {
		m := dialWith(t, "a", roomclient.Options{
			Token: r.token(t, v1alpha1.RolePublisher), Header: http.Header{"Origin": {origin}}, Query: "&reconnect=true&a=b&%zz=;",
		})
		m.Joins()
		m.refused("joinRoom", m.JoinParameters(), 104,
			fmt.Sprintf("Unable to join session %s. This connection has joined a session already. Code: 104", r.name))
	}
}

func TestAFloodHarmsTheFloodingClientOnly(t *testing.T) {
	t.Parallel()
	covers(t, "6-999")
	r := newRoom(t, nil)
	other := r.join(t, "other", v1alpha1.RolePublisher)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	const burst = 2600
	before := len(m.Messages())
	for i := range burst {
		if err := m.Send(t.Context(), fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"ping","id":%d}`, 10000+i)); err != nil {
			t.Fatal(err)
		}
	}
	m.answered(before, fmt.Sprint(10000+burst-1))
	refusals := map[string]int{}
	for _, message := range m.Messages()[before:] {
		if message.Err != nil {
			refusals[message.Err.Error()]++
		}
	}
	const tooMany = "error 999: Too many messages: at most 200 per second from one connection. Code: 999"
	if refusals[tooMany] == 0 || len(refusals) != 1 {
		t.Errorf("of %d messages at once these were refused: %v, want %q", burst, refusals, tooMany)
	}
	thief := dial(t, "thief", r.token(t, v1alpha1.RolePublisher))
	parameters := thief.JoinParameters()
	parameters["token"] = "wrong"
	refusals = map[string]int{}
	for range 20 {
		refusals[thief.refusal("joinRoom", parameters).Error()]++
	}
	const tooOften = "error 999: Too many attempts to join: at most 1 per second from one connection. Code: 999"
	wrong := fmt.Sprintf("error 401: Unable to join session %s. Token wrong is not valid. Code: 401", r.name)
	if refusals[tooOften] == 0 || refusals[wrong] < 10 || len(refusals) != 2 {
		t.Errorf("20 attempts to join were refused with %v, want %q and %q", refusals, wrong, tooOften)
	}
	other.call("echo", map[string]any{})
	other.call("sendMessage", map[string]any{"message": `{"to":[],"type":"signal:x","data":""}`})
}
