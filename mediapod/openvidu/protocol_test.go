package openvidu

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

func TestJoinResultIsWhatTheClientNeeds(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B", "C", "T")
	a := p.dial()
	first := a.joinAs("A")
	if got := string(first["value"]); got != "[]" {
		t.Errorf("value is %s: the client hangs on null", got)
	}
	streamID := a.publish(cameraParams)
	p.join("B")
	c := p.dial()
	result := c.joinAs("C")

	for name, want := range map[string]string{
		"id": `"con_C"`, "session": `"room"`, "sessionId": `"rpc-C"`, "version": `"2.32.2"`, "mediaServer": `"mediasoup"`,
		"role": `"PUBLISHER"`, "record": "true", "metadata": `"client%/%server C"`, "videoSimulcast": "false",
		"customIceServers": `[{"url":"stun:stun.invalid"}]`,
	} {
		if got := string(result[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if !regexp.MustCompile(`^[0-9]{13}$`).Match(result["createdAt"]) {
		t.Errorf("createdAt is %s", result["createdAt"])
	}
	if result["dest"] != nil {
		t.Error("a member that the client must not get")
	}
	// Who could not come back asks a new socket for the life of the pod.
	if got := p.dial().call("sessionStatus", `{"sessionId":"room"}`); string(got["life"]) != string(result["life"]) || string(got["life"]) == "0" {
		t.Errorf("sessionStatus says life %s, joinRoom %s", got["life"], result["life"])
	}

	var value []map[string]json.RawMessage
	if err := json.Unmarshal(result["value"], &value); err != nil || len(value) != 2 {
		t.Fatalf("value is %s", result["value"])
	}
	if keys := slices.Sorted(maps.Keys(value[1])); !slices.Equal(keys, []string{"createdAt", "id", "metadata"}) {
		t.Errorf("an entry without a stream has %v: a role or empty streams break the client", keys)
	}
	var streams []map[string]json.RawMessage
	if err := json.Unmarshal(value[0]["streams"], &streams); err != nil || len(streams) != 1 {
		t.Fatalf("streams are %s", value[0]["streams"])
	}
	delete(streams[0], "createdAt")
	want := `{"audioActive":true,"filter":{},"frameRate":30,"hasAudio":true,"hasVideo":true,"id":"` + streamID +
		`","typeOfVideo":"CAMERA","videoActive":true,"videoDimensions":"{\"width\":640,\"height\":480}"}`
	if got := show(streams[0]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	if got := string(p.dial().joinAs("T")["customIceServers"]); got != `[{"url":"turn:192.0.2.2:3478","username":"user","credential":"secret"}]` {
		t.Errorf("customIceServers of its own: %s", got)
	}
}

func TestEveryMethodWorks(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B", "M:moderator")
	a, b := p.join("A"), p.join("B")
	a.notification() // B joined
	m := p.join("M")
	a.notification()
	b.notification()

	empty := func(c *client, method, params string) {
		t.Helper()
		if got := c.call(method, params); len(got) != 1 || got["sessionId"] == nil {
			t.Errorf("%s: got %v", method, show(got))
		}
	}
	for range 2 { // the second time after unpublishing
		published := a.call("publishVideo", cameraParams)
		stream := unquote(t, published["id"])
		if got := unquote(t, published["sdpAnswer"]); got != "answer to offer" || published["createdAt"] == nil {
			t.Errorf("got %s", show(published))
		}
		for _, other := range []*client{b, m} {
			if got := other.notification(); !strings.HasPrefix(got, `participantPublished {"id":"con_A","streams":[{"id":"`+stream) {
				t.Errorf("got %s", got)
			}
		}

		offer := b.call("prepareReceiveVideoFrom", fmt.Sprintf(`{"sender":%q,"reconnect":false}`, stream))
		if !strings.Contains(unquote(t, offer["sdpOffer"]), "audio+video") {
			t.Errorf("got %s", show(offer))
		}
		empty(b, "receiveVideoFrom", fmt.Sprintf(`{"sender":%q,"sdpAnswer":"answer"}`, stream))
		empty(a, "onIceCandidate", `{"endpointName":"con_A","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}`)
		empty(b, "onIceCandidate", `{"endpointName":"con_A","candidate":"","sdpMid":"0","sdpMLineIndex":0}`)
		empty(a, "videoData", `{"height":480,"width":640,"videoActive":true,"audioActive":true}`)

		again := a.call("reconnectStream", fmt.Sprintf(`{"stream":%q,"sdpString":"offer"}`, stream))
		if unquote(t, again["id"]) != stream || again["createdAt"] == nil || unquote(t, again["sdpAnswer"]) != "answer to offer" {
			t.Errorf("got %s", show(again))
		}
		a.call("reconnectStream", `{"sdpString":"offer"}`) // the answer to publishVideo was lost
		b.call("prepareReceiveVideoFrom", fmt.Sprintf(`{"sender":%q,"reconnect":true}`, stream))
		empty(b, "reconnectStream", fmt.Sprintf(`{"stream":%q,"sdpString":"answer","forciblyReconnect":false}`, stream))
		empty(b, "unsubscribeFromVideo", `{"sender":"con_A"}`)
		empty(b, "unsubscribeFromVideo", `{"sender":"con_A"}`)

		for value, wire := range map[string]string{
			`"property":"audioActive","newValue":false,"reason":"publishAudio"`: `"property":"audioActive","newValue":"false","reason":"publishAudio"`,
			`"property":"videoActive","newValue":true,"reason":"publishVideo"`:  `"property":"videoActive","newValue":"true","reason":"publishVideo"`,
			`"property":"videoDimensions","newValue":"{\"width\":1,\"height\":2}","reason":"deviceRotated"`: `"property":"videoDimensions",` +
				`"newValue":"\"{\\\"width\\\":1,\\\"height\\\":2}\"","reason":"deviceRotated"`,
			`"property":"videoTrack","newValue":{"label": "x<y"},"reason":"trackReplaced"`: `"property":"videoTrack","newValue":"{\"label\":\"x<y\"}","reason":"trackReplaced"`,
		} {
			empty(a, "streamPropertyChanged", `{"streamId":"ignored",`+value+`}`)
			for _, other := range []*client{b, m} {
				other.expect(fmt.Sprintf(`streamPropertyChanged {"connectionId":"con_A","streamId":"%s",%s}`, stream, wire))
			}
		}
		empty(a, "unpublishVideo", `{}`)
		b.expect(`participantUnpublished {"connectionId":"con_A","reason":"unpublish"}`)
		m.expect(`participantUnpublished {"connectionId":"con_A","reason":"unpublish"}`)
	}

	a.request("sendMessage", `{"message":"{\"to\":[],\"data\":\"hi <b>\",\"type\":\"signal:chat\"}"}`)
	for _, c := range []*client{a, b, m} {
		c.expect(`sendMessage {"data":"hi <b>","type":"signal:chat","from":"con_A"}`) // the sender as well, before its answer
	}
	a.answer()

	empty(a, "echo", `{}`)
	stream := b.publish(microphoneParams)
	if got := a.notification(); strings.Contains(got, "video") || !strings.Contains(got, "str_MIC_") {
		t.Errorf("got %s", got)
	}
	m.notification()
	empty(m, "forceUnpublish", fmt.Sprintf(`{"streamId":%q}`, stream))
	for _, c := range []*client{a, b, m} {
		c.expect(`participantUnpublished {"connectionId":"con_B","reason":"forceUnpublishByUser"}`)
	}

	m.request("forceDisconnect", `{"connectionId":"con_B"}`)
	m.expect(`participantLeft {"connectionId":"con_B","reason":"forceDisconnectByUser"}`)
	m.answer()
	b.expect(`participantEvicted {"connectionId":"con_B","reason":"forceDisconnectByUser"}`)
	a.expect(`participantLeft {"connectionId":"con_B","reason":"forceDisconnectByUser"}`)
	if got := b.refused("echo", `{}`); got.Code != 102 {
		t.Errorf("the evicted one got %+v", got)
	}

	empty(a, "leaveRoom", `{}`)
	m.expect(`participantLeft {"connectionId":"con_A","reason":"disconnect"}`)
	if got := m.call("closeSession", `{}`); unquote(t, got["value"]) != "bye" {
		t.Errorf("got %s", show(got))
	}
}

// Clients for mobiles write every parameter as a string.
func TestParametersMayBeStrings(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	a, b := p.join("A"), p.join("B")
	a.notification()
	stream := a.publish(`{"sdpOffer":"offer","doLoopback":"false","hasAudio":"true","hasVideo":"True","audioActive":"false",` +
		`"videoActive":"true","typeOfVideo":"CAMERA","frameRate":"30","videoDimensions":"{\"width\":640,\"height\":480}"}`)
	want := fmt.Sprintf(`"id":%q,"createdAt":`, stream)
	if got := b.notification(); !strings.Contains(got, want) ||
		!strings.Contains(got, `"hasAudio":true,"hasVideo":true,"audioActive":false,"videoActive":true,"typeOfVideo":"CAMERA","frameRate":30`) {
		t.Errorf("got %s", got)
	}
	a.call("onIceCandidate", `{"endpointName":"con_A","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":"0"}`)
	for _, wrong := range []string{`"many"`, `"1.5"`, `""`, `"-1"`, `"65536"`, `[]`} {
		refused := a.refused("onIceCandidate", `{"endpointName":"con_A","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":`+wrong+`}`)
		if refused.Code != -1 || !strings.Contains(refused.Message, "'sdpMLineIndex'") {
			t.Errorf("%s: got %+v", wrong, refused)
		}
	}
}

func TestErrorsAreTheReferences(t *testing.T) {
	const token = "wss://host?sessionId=team.room&token=tok_X"
	for name, c := range map[string]struct {
		as             string // joined as, "" is nobody
		method, params string
		code           int
		message        string // "" is any
		data           string
	}{
		"an unknown session":    {method: "joinRoom", params: joinParams(token, "other"), code: 202, message: "Unable to join session. Session other cannot be found. Code: 202"},
		"a wrong token":         {method: "joinRoom", params: joinParams(token, "team.room"), code: 401, message: "Unable to join session team.room. Token " + token + " is not valid. Code: 401"},
		"a bare token":          {method: "joinRoom", params: joinParams("tok_A", "team.room"), code: 401, message: "Unable to join session team.room. Token tok_A is not valid. Code: 401"},
		"no token":              {method: "joinRoom", params: joinParams("", "team.room"), code: 401, message: "Unable to join session team.room. Token  is not valid. Code: 401"},
		"a used token":          {as: "A", method: "joinRoom", params: joinParams(token, "team.room"), code: 104},
		"joining without token": {method: "joinRoom", params: `{"session":"room"}`, code: -1, message: "java.lang.RuntimeException:Request element 'token' is missing in RPC method 'joinRoom'. Check that it is given and is a string"},
		"a token of a number":   {method: "joinRoom", params: `{"token":7,"session":"room"}`, code: -1},
		"a huge token":          {method: "joinRoom", params: joinParams(strings.Repeat("x", maxToken+1), "team.room"), code: -1, message: "Request element 'token' of RPC method 'joinRoom' is too long: it may have at most 4096 bytes"},
		"wide metadata":         {method: "joinRoom", params: `{"token":"t","session":"team.room","metadata":"` + strings.Repeat("\U0001F600", maxMetadata/4+1) + `"}`, code: 500},
		"metadata of a server":  {method: "joinRoom", params: `{"token":"t","session":"team.room","metadata":"client%/%server"}`, code: 500},
		"metadata, escaped":     {method: "joinRoom", params: `{"token":"t","session":"team.room","metadata":"client\u0025/\u0025server"}`, code: 500},
		"huge metadata":         {method: "joinRoom", params: `{"token":"t","session":"team.room","metadata":"` + strings.Repeat("x", maxMetadata+1) + `"}`, code: 500},

		"connecting as nobody":        {method: "connect", params: `{"sessionId":"unknown","reconnect":true}`, code: 40007, message: "reconnection error"},
		"connecting without id":       {method: "connect", params: `{}`, code: 40007, message: "reconnection error"},
		"connecting what is here":     {as: "A", method: "connect", params: `{"sessionId":"rpc-A"}`},
		"connecting somebody else":    {as: "A", method: "connect", params: `{"sessionId":"rpc-M"}`, code: 40007, message: "reconnection error"},
		"preparing for nobody":        {as: "A", method: "prepareReceiveVideoFrom", params: `{"sender":"str_CAM_X123_con_X","reconnect":true}`, code: 102, message: "User 'con_X not found in session 'room'. Code: 102"},
		"dimensions that break joins": {as: "A", method: "publishVideo", params: strings.Replace(cameraParams, `"{\"width\"`, `"{width`, 1), code: -1},
		"a filter":                    {as: "A", method: "publishVideo", params: strings.Replace(cameraParams, `{`, `{"filter":{"type":"GStreamerFilter","options":{}},`, 1)},
		"a signal that is null":       {as: "A", method: "sendMessage", params: `{"message":"null"}`, code: 600, message: "Provided signal object 'null' has not a valid JSON format. Code: 600"},
		"anything before joining":     {method: "publishVideo", params: cameraParams, code: 803, message: "No connection found for participant with privateId null. Method 'Session.connect()' must be the first operation called in any session. Code: 803"},
		"an unknown method":           {as: "A", method: "sing", params: `{}`, code: -32601, message: "Method not found: 'sing'"},
		"an unknown method, unjoined": {method: "sing", params: `{}`, code: -32601},
		"sessionStatus":               {as: "A", method: "sessionStatus", params: `{"sessionId":"room"}`},
		"sessionStatus, unjoined":     {method: "sessionStatus", params: `{}`},

		"publishing as a subscriber":  {as: "S", method: "publishVideo", params: cameraParams, code: 401, message: "Unable to publish video. The user does not have a valid token. Code: 401"},
		"publishing without an offer": {as: "A", method: "publishVideo", params: `{"doLoopback":false,"hasAudio":true,"hasVideo":true}`, code: -1, message: "java.lang.RuntimeException:Request element 'sdpOffer' is missing in RPC method 'publishVideo'. Check that it is given and is a string"},
		"a malformed offer":           {as: "A", method: "publishVideo", params: `{"sdpOffer":"` + mediatest.Malformed + `","doLoopback":false,"hasAudio":true,"hasVideo":false}`, code: 302},
		"an unknown type of video":    {as: "A", method: "publishVideo", params: `{"sdpOffer":"o","doLoopback":false,"hasAudio":true,"hasVideo":true,"typeOfVideo":"FILM"}`, code: -1},
		"an engine that panics":       {as: "A", method: "publishVideo", params: `{"sdpOffer":"` + mediatest.Panics + `","doLoopback":false,"hasAudio":true,"hasVideo":false}`, code: 999, message: "Internal error. Code: 999"},
		"unpublishing nothing":        {as: "A", method: "unpublishVideo", params: `{}`, code: 105, message: "Participant 'con_A' is not streaming media. Code: 105"},

		"receiving of nobody":         {as: "A", method: "prepareReceiveVideoFrom", params: `{"sender":"str_CAM_X123_con_X","reconnect":false}`, code: 102},
		"receiving without reconnect": {as: "A", method: "prepareReceiveVideoFrom", params: `{"sender":"str_CAM_X123_con_X"}`, code: -1},
		"a client's offer":            {as: "A", method: "receiveVideoFrom", params: `{"sender":"str_CAM_X123_con_X","sdpOffer":"o"}`, code: 306},
		"receiving without SDP":       {as: "A", method: "receiveVideoFrom", params: `{"sender":"str_CAM_X123_con_X"}`, code: -1},
		"unsubscribing from nobody":   {as: "A", method: "unsubscribeFromVideo", params: `{"sender":"con_X"}`, code: 102, message: "User con_X not found in session room. Code: 102"},
		"reconnecting nothing":        {as: "A", method: "reconnectStream", params: `{"stream":"str_CAM_X123_con_X","sdpString":"o"}`, code: 105, message: "Stream 'str_CAM_X123_con_X' does not exist in Session 'room'. Code: 105", data: "{}"},
		"reconnecting by an offer":    {as: "A", method: "reconnectStream", params: `{"stream":"str_CAM_X123_con_X","sdpOffer":"o"}`, code: 306, data: "{}"},

		"a malformed candidate":       {as: "A", method: "onIceCandidate", params: `{"endpointName":"con_A","candidate":"` + mediatest.Malformed + `","sdpMid":"0","sdpMLineIndex":0}`, code: 0},
		"a huge candidate":            {as: "A", method: "onIceCandidate", params: `{"endpointName":"con_A","candidate":"` + strings.Repeat("x", maxCandidate+1) + `","sdpMid":"0","sdpMLineIndex":0}`, code: -1},
		"a candidate of m-line 65536": {as: "A", method: "onIceCandidate", params: `{"endpointName":"con_A","candidate":"","sdpMid":"0","sdpMLineIndex":65536}`, code: -1},
		"a candidate without m-line":  {as: "A", method: "onIceCandidate", params: `{"endpointName":"con_A","candidate":"","sdpMid":"0"}`, code: -1},

		"a signal that is not JSON":   {as: "A", method: "sendMessage", params: `{"message":"{"}`, code: 600, message: "Provided signal object '{' has not a valid JSON format. Code: 600"},
		"a signal to a number":        {as: "A", method: "sendMessage", params: `{"message":"{\"to\":7}"}`, code: 601},
		"a signal to nobody":          {as: "A", method: "sendMessage", params: `{"message":"{\"to\":[\"con_X\"]}"}`, code: 601, message: `Signal "to" field invalid format: some connectionId does not exist in this session. Code: 601`},
		"a signal without message":    {as: "A", method: "sendMessage", params: `{}`, code: -1},
		"a property without a stream": {as: "A", method: "streamPropertyChanged", params: `{"streamId":"s","property":"audioActive","newValue":true,"reason":"publishAudio"}`, code: 105},
		"a property without value":    {as: "A", method: "streamPropertyChanged", params: `{"streamId":"s","property":"audioActive","newValue":null,"reason":"publishAudio"}`, code: -1},
		"a mute that is no boolean":   {as: "A", method: "streamPropertyChanged", params: `{"streamId":"s","property":"audioActive","newValue":"maybe","reason":"publishAudio"}`, code: -1},

		"forcing without the role":          {as: "A", method: "forceDisconnect", params: `{"connectionId":"con_X"}`, code: 401, message: "Unable to force disconnect. The user does not have a valid token. Code: 401"},
		"forcing nobody":                    {as: "M", method: "forceDisconnect", params: `{"connectionId":"con_X"}`, code: 102, message: "Connection not found when calling 'forceDisconnect'. Code: 102"},
		"forcing a stream without the role": {as: "A", method: "forceUnpublish", params: `{"streamId":"s"}`, code: 401, message: "Unable to force unpublish. The user does not have a valid token. Code: 401"},
		"forcing an unknown stream":         {as: "M", method: "forceUnpublish", params: `{"streamId":"s"}`, code: 105},

		"applyFilter":                 {as: "M", method: "applyFilter", params: `{}`, code: 401, message: "Unable to apply filter. The user does not have a valid token. Code: 401"},
		"removeFilter":                {as: "M", method: "removeFilter", params: `{}`, code: 401},
		"execFilterMethod":            {as: "M", method: "execFilterMethod", params: `{}`, code: 401},
		"addFilterEventListener":      {as: "M", method: "addFilterEventListener", params: `{}`, code: 401, data: "{}"},
		"removeFilterEventListener":   {as: "M", method: "removeFilterEventListener", params: `{}`, code: 401, data: "{}"},
		"subscribeToSpeechToText":     {as: "A", method: "subscribeToSpeechToText", params: `{}`, code: 997, message: "Speech To Text requires OpenVidu Pro/Enterprise edition. Code: 997"},
		"unsubscribeFromSpeechToText": {as: "A", method: "unsubscribeFromSpeechToText", params: `{}`, code: 997},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, signalling.DefaultLimits(), "A", "S:subscriber", "M:moderator")
			client := p.dial()
			if c.as != "" {
				client.joinAs(c.as)
			}
			if c.code == 0 {
				client.call(c.method, c.params)
				return
			}
			got := client.refused(c.method, c.params)
			if got.Code != c.code || got.Data != c.data || (c.message != "" && got.Message != c.message) {
				t.Errorf("got  %+v\nwant %+v", got, jsonrpc.Error{Code: c.code, Message: c.message, Data: c.data})
			}
			if ends := strings.HasSuffix(got.Message, fmt.Sprintf(". Code: %d", got.Code)); ends != (c.code > 0 && c.code != codeReconnection) {
				t.Errorf("the end of %q", got.Message)
			}
			client.call("ping", `{}`) // the socket is as good as before
		})
	}
}

func TestARefusedJoinCanBeFollowedByAGoodOne(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A")
	a := p.dial()
	if got := a.refused("joinRoom", joinParams("tok_X", "team.room")); got.Code != 401 {
		t.Errorf("got %+v", got)
	}
	if got := a.refused("echo", `{}`); got.Code != 803 || !strings.HasPrefix(got.Message, "No session information found") {
		t.Errorf("got %+v", got)
	}
	a.joinAs("A")
	a.call("echo", `{}`) // comes after the join in every respect
	if good, bad := p.joins.of(0), p.joins.of(401); good != 1 || bad != 1 {
		t.Errorf("counted %d and %d", good, bad)
	}
	again := p.dial()
	url := "wss://host:4443?sessionId=team.room&token=tok_A"
	if got := again.refused("joinRoom", joinParams(url, "team.room")); got.Code != 401 {
		t.Errorf("the second use of a token: %+v", got)
	}
}

func TestMalformedMessagesAreAnsweredAndHarmNobody(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for name, c := range map[string]struct {
		raw, id string // of the answer
		code    int
	}{
		"no JSON":                       {raw: "hello", id: "null", code: jsonrpc.CodeParse},
		"half of JSON":                  {raw: `{"jsonrpc":"2.0","method":"echo","id":7`, id: "null", code: jsonrpc.CodeParse},
		"a batch":                       {raw: `[{"jsonrpc":"2.0","method":"echo","id":7}]`, id: "null", code: jsonrpc.CodeInvalidRequest},
		"an empty message":              {raw: "", id: "null", code: jsonrpc.CodeParse},
		"a null":                        {raw: "null", id: "null", code: jsonrpc.CodeInvalidRequest},
		"no version":                    {raw: `{"method":"echo","id":7}`, id: "7", code: jsonrpc.CodeInvalidRequest},
		"no method":                     {raw: `{"jsonrpc":"2.0","id":7}`, id: "7", code: jsonrpc.CodeInvalidRequest},
		"a method of a number":          {raw: `{"jsonrpc":"2.0","method":7,"id":"x"}`, id: `"x"`, code: jsonrpc.CodeInvalidRequest},
		"an id of an object":            {raw: `{"jsonrpc":"2.0","method":"echo","id":{}}`, id: "null", code: jsonrpc.CodeInvalidRequest},
		"a long id":                     {raw: `{"jsonrpc":"2.0","method":"echo","id":"` + strings.Repeat("x", 100) + `"}`, id: "null", code: jsonrpc.CodeInvalidRequest},
		"parameters in an array":        {raw: `{"jsonrpc":"2.0","method":"echo","params":[1],"id":7}`, id: "7", code: jsonrpc.CodeInvalidParams},
		"deep JSON":                     {raw: `{"jsonrpc":"2.0","method":"echo","params":{"x":` + deep + `},"id":7}`, id: "7", code: jsonrpc.CodeInvalidRequest},
		"a message above the limit":     {raw: `{"jsonrpc":"2.0","method":"echo","params":{"x":"` + strings.Repeat("x", 1<<20) + `"},"id":7}`, id: "7", code: jsonrpc.CodeInvalidRequest},
		"a big message without id":      {raw: strings.Repeat("x", 1<<20+1), id: "null", code: jsonrpc.CodeInvalidRequest},
		"brackets in strings are fine":  {raw: `{"jsonrpc":"2.0","method":"echo","params":{"x":"` + strings.Repeat("[{\\\"", 100) + `"},"id":7}`, id: "7"},
		"a request with no parameters":  {raw: `{"jsonrpc":"2.0","method":"echo","id":7}`, id: "7"},
		"a request with null for them":  {raw: `{"jsonrpc":"2.0","method":"echo","params":null,"id":7}`, id: "7"},
		"a request with a name as id":   {raw: `{"jsonrpc":"2.0","method":"echo","id":"x"}`, id: `"x"`},
		"a request with a negative id":  {raw: `{"jsonrpc":"2.0","method":"echo","id":-1}`, id: "-1"},
		"a request with the id of zero": {raw: `{"jsonrpc":"2.0","method":"echo","id":0}`, id: "0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, signalling.DefaultLimits(), "A", "B")
			a, b := p.join("A"), p.join("B")
			a.notification()
			a.send(c.raw)
			got := a.message()
			if string(got["id"]) != c.id {
				t.Errorf("the id is %s", got["id"])
			}
			if c.code == 0 {
				if got["result"] == nil {
					t.Errorf("got %s", show(got))
				}
			} else if refused := failure(t, got); refused.Code != c.code {
				t.Errorf("got %+v", refused)
			}
			a.call("echo", `{}`)
			b.call("echo", `{}`)
		})
	}
}

func TestNotificationsOfClientsAreNotAnswered(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	a, b := p.join("A"), p.join("B")
	a.notification()
	a.send(`{"jsonrpc":"2.0","method":"sendMessage","params":{"message":"{\"to\":[\"con_B\"],\"data\":\"x\"}"}}`)
	b.expect(`sendMessage {"data":"x","from":"con_A"}`)
	a.send(`{"jsonrpc":"2.0","method":"nonsense"}`)
	a.call("echo", `{}`) // the next message is its answer
}

func TestAClientIsForcedToReconnectAsASubscriber(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	a, b := p.join("A"), p.join("B")
	a.notification()
	stream := a.publish(cameraParams)
	b.notification()
	reconnect := func(forced string) string {
		return `{"stream":"` + stream + `","sdpString":"answer","forciblyReconnect":` + forced + `}`
	}
	b.call("prepareReceiveVideoFrom", `{"sender":"`+stream+`","reconnect":false}`)
	b.call("receiveVideoFrom", `{"sender":"`+stream+`","sdpAnswer":"answer"}`)
	if got := b.refused("reconnectStream", reconnect("false")); got.Code != 303 || got.Data != "{}" {
		t.Errorf("without an offer: %+v", got)
	}
	for _, subscription := range p.engine.Subscriptions() {
		subscription.Options.Outdated()
	}
	b.expect(`forciblyReconnectSubscriber {"connectionId":"con_A","streamId":"` + stream + `","sdpOffer":"offer 2 of audio+video"}`)
	if got := b.call("reconnectStream", reconnect("true")); len(got) != 1 {
		t.Errorf("got %s", show(got))
	}
	a.call("unpublishVideo", `{}`)
	b.notification()
	if got := b.refused("reconnectStream", reconnect("true")); got.Code != 105 || got.Data != "{}" {
		t.Errorf("a stream that has ended: %+v", got)
	}
}

func TestAClientIsToldThatItsOwnLimitKeepsItFromAVideo(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	a, b := p.join("A"), p.join("B")
	a.notification()
	stream := a.publish(cameraParams)
	b.notification()
	b.call("prepareReceiveVideoFrom", `{"sender":"`+stream+`","reconnect":false}`)
	b.call("receiveVideoFrom", `{"sender":"`+stream+`","sdpAnswer":"answer"}`)
	told := func(active string) string {
		return `streamPropertyChanged {"connectionId":"con_A","streamId":"` + stream +
			`","property":"videoActive","newValue":"` + active + `","reason":"videoMaxRecvBandwidth"}`
	}
	pause := func(why media.Pause) {
		for _, subscription := range p.engine.Subscriptions() {
			subscription.Pause(why)
		}
	}
	pause(media.LimitPause)
	b.expect(told("false"))
	pause(media.NoPause)
	b.expect(told("true"))
	pause(media.LimitPause)
	b.expect(told("false"))
	// A client that begins anew gets the video at first.
	b.request("prepareReceiveVideoFrom", `{"sender":"`+stream+`","reconnect":true}`)
	b.expect(told("true"))
	b.answer()
}
