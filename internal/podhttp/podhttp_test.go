package podhttp

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What the gateway writes is what the media pod reads, whatever the client has sent.
func TestClientInHeaders(t *testing.T) {
	for name, c := range map[string]Client{
		"all":         {netip.MustParseAddr("2001:db8::1"), true, true, FormatSecretDigests([][]byte{[]byte("secret")}), 1500 * time.Millisecond, true, true, "1.resumption"},
		"an IPv4":     {Address: netip.MustParseAddr("192.0.2.1")},
		"shared":      {Address: netip.MustParseAddr("10.0.0.1"), SharedAddress: true},
		"it waits":    {Address: netip.MustParseAddr("192.0.2.1"), SessionWaiting: true},
		"it was held": {Address: netip.MustParseAddr("192.0.2.1"), Held: 7 * time.Second},
		"it is held":  {Holds: true, Address: netip.MustParseAddr("192.0.2.1")},
		"it is told":  {Tells: true, Address: netip.MustParseAddr("192.0.2.1")},
		"a tenant's":  {Address: netip.MustParseAddr("192.0.2.1"), SecretDigests: "salt:digest"},
	} {
		r := httptest.NewRequest(http.MethodGet, OpenViduPath, http.NoBody)
		Client{netip.MustParseAddr("203.0.113.1"), true, true, "forged:forged", time.Second, true, true, "forged"}.Write(r.Header)
		c.Write(r.Header)
		if got := ReadClient(r); got != c {
			t.Errorf("%s: wrote %+v, read %+v", name, c, got)
		}
	}
}

func TestClientWithoutHeaders(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[::ffff:192.0.2.1]:1234": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::1", "": "invalid IP", "@": "invalid IP",
	} {
		r := httptest.NewRequest(http.MethodGet, OpenViduPath, http.NoBody)
		r.RemoteAddr = peer
		Client{}.Write(r.Header)
		if len(r.Header) != 0 {
			t.Errorf("nothing is %v", r.Header)
		}
		if got := ReadClient(r); got.Address.String() != want || got.SharedAddress || got.SessionWaiting || got.SecretDigests != "" {
			t.Errorf("%q: got %+v", peer, got)
		}
	}
}

func TestPathsMatchTheirPatterns(t *testing.T) {
	for pattern, path := range map[string]func(key string) string{SignalPattern: SignalPath, MutePattern: MutePath} {
		for _, key := range []string{"demo", "acme.Demo_1-~", "a/b", "a%2Fb", "ä b"} {
			got := ""
			mux := http.NewServeMux()
			mux.HandleFunc("POST "+pattern, func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("key") })
			mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "https://pod:1"+path(key), http.NoBody))
			if got != key {
				t.Errorf("%s: %q arrives as %q", pattern, key, got)
			}
		}
	}
}

func TestSecretDigests(t *testing.T) {
	value := FormatSecretDigests([][]byte{[]byte("one"), []byte("two")})
	digests := ParseSecretDigests(value)
	for secret, want := range map[string]bool{"one": true, "two": true, "three": false, "": false, "One": false} {
		if digests.Match(secret) != want {
			t.Errorf("%q: got %t", secret, !want)
		}
	}
	if strings.Contains(value, "one") || FormatSecretDigests([][]byte{[]byte("one"), []byte("two")}) == value {
		t.Errorf("%q tells", value)
	}
	if got := FormatSecretDigests(nil); got != "" || len(ParseSecretDigests(got)) != 0 {
		t.Errorf("no secret is %q", got)
	}
	if ParseSecretDigests(FormatSecretDigests([][]byte{nil})).Match("") {
		t.Error("the empty secret counts")
	}
	own := NewSecretDigest([]byte("one"))
	if !own.Matches([]byte("one")) || own.Matches([]byte("two")) || (SecretDigest{}).Matches(nil) {
		t.Error("a digest matches the wrong secret")
	}
	for name, malformed := range map[string]string{
		"no colon": "00", "no hexadecimal": "zz:zz", "no salt": ":" + strings.Repeat("00", 32), "short": "00:00", "commas": strings.Repeat(",", 100),
	} {
		if got := ParseSecretDigests(malformed); len(got) != 0 {
			t.Errorf("%s: got %d digests", name, len(got))
		}
	}
	many := strings.Repeat(value+",", MaxSecretDigests)
	if got := ParseSecretDigests(many); len(got) != MaxSecretDigests {
		t.Errorf("got %d digests", len(got))
	}
}
