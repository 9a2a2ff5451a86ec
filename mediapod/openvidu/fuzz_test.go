package openvidu

import (
	"encoding/json"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
)

// FuzzDecode checks that whatever comes in is either a request that can be handled or an error that
// can be answered.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"ping","params":{"interval":5000},"id":0}`,
		`{"jsonrpc":"2.0","method":"leaveRoom","params":{},"id":"x"}`,
		`{"jsonrpc":"2.0","method":"onIceCandidate","params":{"endpointName":"con_A","candidate":"","sdpMid":"0","sdpMLineIndex":0},"id":12}`,
		`{"jsonrpc":"2.0","method":"sendMessage","params":{"message":"{\"to\":[],\"data\":\"[{\",\"type\":\"signal:x\"}"},"id":3}`,
		`[]`, `null`, `{"id":{}}`, `{"id":"\u0000"}`, `{"id":1e999}`, strings.Repeat("[", 100), "\xff\xfe", `{"a":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, refused := jsonrpc.Decode(data)
		if refused == nil && request.Method == "" {
			t.Fatal("a request without a method")
		}
		id := request.ID
		if id == nil {
			id = json.RawMessage("null")
		}
		var answer []byte
		var err error
		if refused != nil {
			answer, err = jsonrpc.EncodeError(id, refused)
		} else {
			answer, err = encodeResult(id, struct{}{}, "private")
		}
		if err != nil || !json.Valid(answer) {
			t.Fatalf("answer %q: %v", answer, err)
		}
		// Reading parameters never panics, whatever they are.
		p := params{method: request.Method, fields: request.Params}
		for name := range request.Params {
			_ = p.text(name, 10)
			p.err = nil
			_ = p.flag(name)
			p.err = nil
			if n := p.integer(name, -5, 5); n < -5 || n > 5 {
				t.Fatalf("integer %d", n)
			}
			_ = compact(request.Params[name])
		}
		if id := jsonrpc.TrailingID(data); id != nil && !json.Valid(id) {
			t.Fatalf("trailing id %q", id)
		}
	})
}
