package opentok

import (
	"encoding/json"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
)

// FuzzOpenTokRequest checks that whatever comes in is either a request whose parameters are within
// their bounds, or an error that can be answered.
func FuzzOpenTokRequest(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"ping","params":{"interval":5000},"id":0}`,
		`{"jsonrpc":"2.0","method":"publish","params":` + cameraParams + `,"id":"x"}`,
		`{"jsonrpc":"2.0","method":"change","params":{"streamId":"s","videoDimensions":{"width":1e999}},"id":1}`,
		`{"jsonrpc":"2.0","method":"signal","params":{"to":"con_A","type":"chat","data":"\ud800"},"id":2}`,
		`{"jsonrpc":"2.0","method":"forceMuteAll","params":{"excludedStreamIds":["a",null]},"id":3}`,
		`[]`, `null`, `{"id":{}}`, `{"id":1e999}`, strings.Repeat("[", 100), "\xff\xfe", `{"a":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s conversation
		incoming, err := s.Decode(data, true)
		if err != nil {
			encoded, failed := jsonrpc.EncodeError(json.RawMessage("null"), wireError(err))
			if failed != nil || !json.Valid(encoded) {
				t.Fatalf("answer %q: %v", encoded, failed)
			}
		}
		fields := content(incoming).Params
		read := func(limit int, read func(*params) int) {
			p := params{fields: fields}
			if got := read(&p); got > limit || p.failure() != nil && p.refused.Data != nameInvalidParameter {
				t.Fatalf("got %d above %d, %v", got, limit, p.failure())
			}
		}
		for name := range fields {
			read(10, func(p *params) int { return len(p.text(name, 10)) })
			read(3, func(p *params) int { return len(p.texts(name, 3)) })
			read(5, func(p *params) int { return p.optionalInteger(name, -5, 5, 0) })
		}
		read(maxName, func(p *params) int { return len(readOptions(p).Name) })
		read(maxSide, func(p *params) int {
			if size := readChange(p).VideoDimensions; size != nil {
				return max(size.Width, size.Height)
			}
			return 0
		})
	})
}
