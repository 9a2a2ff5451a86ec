package relay

import (
	"encoding/json"
	"testing"
)

func idOf(text string) string {
	var e envelope
	e.begin()
	mask := [4]byte{1, 2, 3, 4}
	masked := []byte(text)
	for i := range masked {
		masked[i] ^= mask[(i+3)%4]
	}
	half := len(text) / 2
	e.take(masked[:half], mask, 3)
	e.take(masked[half:], mask, uint64(half+3))
	return string(e.id)
}

func TestIDs(t *testing.T) {
	for text, want := range map[string]string{
		`{"jsonrpc":"2.0","method":"ping","params":{"id":7,"a":[{"id":8}]},"id":12}`:               "12",
		`{"id":1,"jsonrpc":"2.0","result":{"value":"}\",\"id\":5"}}`:                               "1",
		`{ "jsonrpc" : "2.0" , "id" : "a b\"c" , "method":"x" }`:                                   `"a b\"c"`,
		`{"jsonrpc":"2.0","method":"participantLeft","params":{"connectionId":"id","reason":"x"}}`: "",
		`{"id":null,"error":{}}`:       "",
		`{"a":"id","b":[1,2,{"c":3}]}`: "",
		`[{"id":1}]`:                   "",
		`{"id":{"id":4}}`:              "",
		`"id":5`:                       "",
		``:                             "",
		`}}}]]]{"id":9}`:               "",
		`{"id":1,"id":2}`:              "2",
		"{\"id\":3\n}":                 "3",
		`{"id":"` + string(make([]byte, 70)) + `"}`: "",
	} {
		if got := idOf(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func FuzzID(f *testing.F) {
	f.Add(`{"jsonrpc":"2.0","params":{"id":7,"a":["\\"]},"id":12}`)
	f.Fuzz(func(t *testing.T, text string) {
		got := idOf(text)
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &members) != nil || len(text) > 200 {
			return // anything goes
		}
		if want := string(members["id"]); got != "" && want != "" && got != want && want[0] != '{' && want[0] != '[' {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	})
}
