//go:build e2e

package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// connectionKeys are the members of every connection.
var connectionKeys = []string{
	"id", "object", "status", "connectionId", "sessionId", "createdAt", "type", "record", "role", "kurentoOptions", "customIceServers", "rtspUri",
	"adaptativeBitrate", "onlyPlayWithSubscribers", "networkCache", "serverData", "token", "activeAt", "location", "ip", "platform", "clientData", "publishers",
	"subscribers",
}

func TestConnectionsAndTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	Shows(t, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 53, 54, 55, 56, 57, 58)
	s := shared.session(t, "")
	path := "/sessions/" + s + "/connection"
	token := func(members string) string { return fmt.Sprintf(`{"session":%q,%s}`, s, members) }
	shared.all(t, []row{
		{"GET", "/sessions/NOT_EXISTS/connection", "", 404},
		{"GET", "/sessions/NOT_EXISTS/connection/X", "", 400},
		{"GET", path + "/X", "", 404},
		{"POST", "/tokens", "{}", 400},
		{"POST", "/tokens", `{"session":true}`, 400},
		{"POST", "/tokens", token(`"role":"NOT_EXISTS"`), 400},
		{"POST", "/tokens", token(`"data":999`), 400},
		{"POST", "/tokens", token(`"kurentoOptions":false`), 400},
		{"POST", "/tokens", token(`"kurentoOptions":{"allowedFilters":"GStreamerFilter"}`), 400},
		{"POST", "/tokens", token(`"kurentoOptions":{"allowedFilters":["GStreamerFilter",{}]}`), 400},
		{"POST", "/tokens", `{"session":"NOT_EXISTS"}`, 404},
		{"POST", path, `{"type":false}`, 400},
		{"POST", path, `{"type":"NOT_EXISTS"}`, 400},
		{"POST", path, `{"role":123}`, 400},
		{"POST", path, `{"data":true}`, 400},
		{"POST", path, `{"record":4000}`, 400},
		{"POST", path, `{"record":"true"}`, 400},
		{"POST", "/sessions/NOT_EXISTS/connection", `{"type":"WEBRTC","role":"PUBLISHER"}`, 404},
		{"POST", "/sessions/NOT_EXISTS/connection", `{"type":"IPCAM"}`, 404},
	})
	if got := shared.want(t, 200, "GET", path, ""); got.body != emptyList {
		t.Errorf("what was refused has left %s", got.body)
	}
}

func TestTokensAreConnections(t *testing.T) {
	t.Parallel()
	Shows(t, 52)
	s := shared.session(t, "")
	got := shared.want(t, 200, "POST", "/tokens", fmt.Sprintf(
		`{"session":%q,"role":"MODERATOR","data":"SERVER_DATA","kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["GStreamerFilter"]}}`, s))
	if want := []string{"id", "token", "createdAt", "connectionId", "session", "data", "role", "kurentoOptions"}; !slices.Equal(keys(t, got.body), want) {
		t.Errorf("the keys are %v, want %v", keys(t, got.body), want)
	}
	var token struct{ ID, Token, ConnectionID, Session, Data, Role string }
	got.decode(t, &token)
	if token.ID != token.Token || token.Session != s || token.Data != "SERVER_DATA" || token.Role != "MODERATOR" ||
		!strings.HasSuffix(got.body, `"kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["GStreamerFilter"]}}`) {
		t.Errorf("got %s", got.body)
	}
	var listed connections
	shared.want(t, 200, "GET", "/sessions/"+s+"/connection", "").decode(t, &listed)
	if len(listed.Content) != 1 || listed.Content[0].ID != token.ConnectionID || *listed.Content[0].Token != token.Token {
		t.Errorf("listed: %+v", listed)
	}
	plain := shared.want(t, 200, "POST", "/tokens", fmt.Sprintf(`{"session":%q,"record":false}`, s))
	if want := []string{"id", "token", "createdAt", "connectionId", "session", "data", "role"}; !slices.Equal(keys(t, plain.body), want) {
		t.Errorf("the keys are %v, want %v", keys(t, plain.body), want)
	}
}

// iceServer is a request for a connection with one ICE server.
func iceServer(url, more string) string {
	return fmt.Sprintf(`{"customIceServers":[{"url":%q%s}]}`, url, more)
}

// account is what turn servers need.
const account = `,"username":"usr","credential":"pass"`

func TestIceServersThatAreRefused(t *testing.T) {
	t.Parallel()
	Shows(t, 59, 60, 61, 62, 63, 64, 65, 66, 68, 69)
	path := "/sessions/" + shared.session(t, "") + "/connection"
	for _, c := range []struct{ url, more string }{
		{"bad-ice-server", ""}, {"turn:bad-ice-server", account}, {"bad-prefix:host", ""}, {"turn:hostname.com", ""}, {"turns:hostname.com", `,"username":"usr"`},
		{"stun:hostname.com", account}, {"stun:hostname.com", `,"username":"usr"`}, {"stuns:hostname.com", `,"credential":"pass"`},
		{"stun:hostname.com?transport=tcp", ""}, {"stuns:hostname.com?transport=udp", ""},
		{"turn:hostname.com?transport=invalid", account}, {"turn:hostname.com?transport=", account}, {"turn:hostname.com?=", account}, {"turn:hostname.com?", account},
		{"stun:hostname.com:-1", ""}, {"stun:hostname.com:99a99", ""}, {"stun:hostname.com:", ""}, {"stun:hostname.com:1:more", ""}, {"stun:hostname.com:0", ""},
		{"stun:hostname.com:65536", ""}, {"turnss:hostname.com", account}, {"stunss:hostname.com", ""}, {"anything:hostname.com", ""}, {":", ""}, {"", ""}, {"stun:", ""},
		{"stun::5555", ""}, {"stun:/hostname.com", ""}, {"stun:#hostname.com", ""}, {"stun:[notvalid:]:1000", ""}, {"stun:[1:2:3:4:5:6:7:8]junk:1000", ""},
		{"stun:1:2:3:4:5:6:7:8", ""}, {"turn:1:2:3:4:5:6:7:8", account}, {"turn:hostname.com", account + `,"staticAuthSecret":"secret"`},
	} {
		if got := shared.call(t, "POST", path, iceServer(c.url, c.more)); got.status != 400 {
			t.Errorf("%s%s: got %d %s", c.url, c.more, got.status, got.body)
		}
	}
	if got := shared.want(t, 200, "GET", path, ""); got.body != emptyList {
		t.Errorf("what was refused has left %s", got.body)
	}
}

func TestIceServersThatAreTaken(t *testing.T) {
	t.Parallel()
	Shows(t, 67, 68, 69)
	s := shared.session(t, "")
	shown := func(body string) string { return string(shared.connection(t, s, body).CustomIceServers) }
	const two = `[{"url":"turn:hostname.com","username":"usr","credential":"pass"},{"url":"stun:1.2.3.4:1234"}]`
	if got := shown(`{"customIceServers":` + two + `}`); got != two {
		t.Errorf("got %s, want %s", got, two)
	}
	var stuns, turns []string
	for _, host := range []string{
		"hostname.com", "hostname.com:9999", "1.2.3.4", "1.2.3.4:1234", "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]:4321",
	} {
		stuns = append(stuns, `{"url":"stun:`+host+`"}`, `{"url":"stuns:`+host+`"}`)
		for _, form := range []string{"turn:" + host, "turns:" + host, "turn:" + host + "?transport=tcp", "turns:" + host + "?transport=udp"} {
			turns = append(turns, `{"url":"`+form+`"`+account+`}`)
		}
	}
	for servers := range slices.Chunk(append(stuns, turns...), 12) {
		want := "[" + strings.Join(servers, ",") + "]"
		if got := shown(`{"customIceServers":` + want + `}`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	secret := shown(iceServer("turn:hostname.com", `,"staticAuthSecret":"very-secret"`))
	if strings.Contains(secret, "very-secret") || !strings.Contains(secret, `"username":"`) || !strings.Contains(secret, `"credential":"`) {
		t.Errorf("got %s", secret)
	}
}

func TestPendingConnections(t *testing.T) {
	t.Parallel()
	Shows(t, 42, 70, 71, 72, 73)
	s := shared.session(t, "")
	path := "/sessions/" + s + "/connection"
	if got := shared.want(t, 200, "GET", path, ""); got.body != emptyList {
		t.Errorf("a new session has %s", got.body)
	}
	const options = `{"videoMaxRecvBandwidth":1000,"videoMinRecvBandwidth":300,"videoMaxSendBandwidth":777,"videoMinSendBandwidth":0,"allowedFilters":["GStreamerFilter"]}`
	moderator := shared.connection(t, s, `{"type":"WEBRTC","role":"MODERATOR","data":"SERVER_SIDE_DATA","record":false,"kurentoOptions":`+options+`}`)
	if got := keys(t, moderator.text); !slices.Equal(got, connectionKeys) {
		t.Errorf("the keys are %v, want %v", got, connectionKeys)
	}
	if moderator.Status != "pending" || *moderator.Role != "MODERATOR" || moderator.ServerData != "SERVER_SIDE_DATA" || moderator.Record ||
		string(moderator.KurentoOptions) != options || moderator.ID != moderator.ConnectionID || moderator.SessionID != s ||
		!strings.HasSuffix(moderator.text, `"activeAt":null,"location":null,"ip":null,"platform":null,"clientData":null,"publishers":null,"subscribers":null}`) {
		t.Errorf("got %s", moderator.text)
	}
	if _, room, _ := strings.Cut(kube.GatewayURL, "://"); !strings.HasPrefix(*moderator.Token, "ws://"+room+"?sessionId=") {
		t.Errorf("the token is for another gateway than %s: %s", kube.GatewayURL, strings.Split(*moderator.Token, "?")[0])
	}
	publisher := shared.connection(t, s, "{}")
	if *publisher.Role != "PUBLISHER" || !publisher.Record || publisher.ServerData != "" || string(publisher.KurentoOptions) != "null" ||
		string(publisher.CustomIceServers) != "[]" || publisher.Type != "WEBRTC" {
		t.Errorf("got %s", publisher.text)
	}
	want := `{"numberOfElements":2,"content":[` + moderator.text + "," + publisher.text + `]}`
	for _, query := range []string{"", "?pendingConnections=true"} {
		if got := shared.want(t, 200, "GET", path+query, ""); got.body != want {
			t.Errorf("listed: got %s\nwant %s", got.body, want)
		}
	}
	if got := shared.want(t, 200, "GET", path+"?pendingConnections=false", ""); got.body != emptyList {
		t.Errorf("listed without those that are pending: got %s", got.body)
	}
	for _, created := range []connection{moderator, publisher} {
		if got := shared.read(t, s, created.ID); got.text != created.text {
			t.Errorf("read: got %s\nwant %s", got.text, created.text)
		}
	}
}
