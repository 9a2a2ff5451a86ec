package objects

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	names := map[string]string{}
	for _, id := range []string{
		"s", "S", "1", "-", "_", "_-_", "0session10", "123_session-1", "123-session-1", "a", "A", "a-", "-a", "a_", strings.Repeat("x", 63), strings.Repeat("x", 64),
		strings.Repeat("X", 64), digestedName("A"), digestedName("a"),
	} {
		for _, name := range Names(id) {
			if !label.MatchString(name) {
				t.Errorf("%q gives the name %q, which is no DNS label", id, name)
			}
			if other, found := names[name]; found {
				t.Errorf("%q and %q share the name %q", id, other, name)
			}
			names[name] = id
		}
	}
	if got := Names("demo")[0]; got != "demo" {
		t.Errorf("demo is called %q", got)
	}
}

func TestConnectionsHaveNamesOfTheirOwn(t *testing.T) {
	for _, session := range []string{"a", strings.Repeat("a", 63), strings.Repeat("a", 49) + "-" + strings.Repeat("b", 13)} {
		one, other := newName(session), newName(session)
		if one == other || !label.MatchString(one) || !strings.HasPrefix(one, session[:min(len(session), 49)]) {
			t.Errorf("Connections of %q are called %q and %q", session, one, other)
		}
	}
}
