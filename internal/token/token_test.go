package token

import (
	"bytes"
	"regexp"
	"testing"
)

var key = bytes.Repeat([]byte{7}, MinKeySize)

func TestIdentifiersHaveTheFormatsThatClientsKnow(t *testing.T) {
	for name, c := range map[string]struct{ got, pattern string }{
		"token":          {Derive(key, "u1", 0), `^tok_[A-Z][0-9A-Za-z]{23}$`},
		"connection id":  {ConnectionID("u1"), `^con_[A-Z][0-9A-Za-z]{9}$`},
		"rpc session id": {RPCSessionID(key, "u1"), `^[A-Z][0-9A-Za-z]{25}$`},
	} {
		if !regexp.MustCompile(c.pattern).MatchString(c.got) {
			t.Errorf("%s %q does not match %s", name, c.got, c.pattern)
		}
	}
}

func TestTokensDifferByKeyObjectAndRotation(t *testing.T) {
	other := bytes.Repeat([]byte{8}, MinKeySize)
	seen := map[string]string{}
	for name, token := range map[string]string{
		"first":          Derive(key, "u1", 0),
		"another object": Derive(key, "u2", 0),
		"rotated":        Derive(key, "u1", 1),
		"another key":    Derive(other, "u1", 0),
	} {
		if twin, ok := seen[token]; ok {
			t.Errorf("%s and %s have the same token", name, twin)
		}
		seen[token] = name
	}
	first, second := Derive(key, "u1", 0), Derive(key, "u1", 0)
	if first != second {
		t.Error("the same Connection got two tokens")
	}
}

func TestTokenURL(t *testing.T) {
	token := Derive(key, "u1", 0)
	written := URL("wss://rooms.example.org:4443", "team.room", token)
	if want := "wss://rooms.example.org:4443?sessionId=team.room&token=" + token; written != want {
		t.Errorf("got %s, want %s", written, want)
	}
	for raw, want := range map[string]string{
		written: token,
		"ws://other:1/path?token=" + token + "&x=1": token,
		"":                         "",
		token:                      "",
		"wss://h?sessionId=s":      "",
		"wss://h?%zz&token=tok_A;": "",
	} {
		if got := FromURL(raw); got != want {
			t.Errorf("FromURL(%q) = %q, want %q", raw, got, want)
		}
	}
}
