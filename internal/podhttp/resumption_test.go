package podhttp

import (
	"strings"
	"testing"
	"time"
)

func TestResumption(t *testing.T) {
	for _, r := range []Resumption{{PrivateID: "abc"}, {Socket: "s.1"}, {PrivateID: "a.b/c\r\nü", PingInterval: 5 * time.Second}} {
		text := r.Text()
		if got, ok := ParseResumption(text); !ok || got != r {
			t.Errorf("%q is read as %+v", text, got)
		}
		if strings.ContainsAny(text, "\r\n /") {
			t.Errorf("%q is no value of a header", text)
		}
	}
	for _, id := range []string{"", "7", `"a b"`} {
		text, requestID := ParseMessage(Resumption{PrivateID: "abc"}.Message([]byte(id)))
		if text != (Resumption{PrivateID: "abc"}).Text() || string(requestID) != id {
			t.Errorf("the message with %q is read as %q, %q", id, text, requestID)
		}
	}
	for _, text := range []string{"", "1", "1.", "1.0.", "1.0..", "1.0.%", "1.0..%", "1.0.YWJj.YWJj", "1.0..YWJj.YWJj", "2.0.YWJj", "1.-1.YWJj", "1.0.YWJj.", "1.0." + strings.Repeat("YWJj", MaxResumption)} {
		if got, ok := ParseResumption(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
