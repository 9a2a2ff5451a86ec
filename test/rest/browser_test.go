//go:build e2e

package rest

import (
	"context"
	"slices"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
)

// The unmodified openvidu-browser takes the servers that REST was given for its peer connections.
func TestIceServersReachTheBrowser(t *testing.T) {
	t.Parallel()
	Shows(t, 75, 83)
	site, err := browser.Serve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() }) // nobody is left to be served
	process, err := browser.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Close)
	s := shared.session(t, "")
	// Nobody listens there, on this machine.
	const servers = `[{"url":"turn:127.0.0.1:9?transport=tcp","username":"usr","credential":"pass"},{"url":"stun:127.0.0.1:9"}]`
	c := shared.connection(t, s, `{"customIceServers":`+servers+`}`)
	if string(c.CustomIceServers) != servers {
		t.Errorf("REST shows %s", c.CustomIceServers)
	}
	page := process.OpenParticipant(t, site, "a")
	page.UseICEServers()
	if _, err := page.JoinWith(*c.Token, browser.JoinOptions{ClientData: "CLIENT_DATA"}); err != nil {
		t.Fatal(err)
	}
	if _, err := page.Publish("160x120"); err != nil {
		t.Fatal(err)
	}
	type server struct{ URLs, Username, Credential string }
	var used [][]server
	const configurations = `window.probes.connections.map((c) => c.getConfiguration().iceServers.map((s) => ` +
		`({urls: [s.urls].flat().join(), username: s.username ?? '', credential: s.credential ?? ''})))`
	if err := page.Evaluate(configurations, &used); err != nil {
		t.Fatal(err)
	}
	want := []server{{"turn:127.0.0.1:9?transport=tcp", "usr", "pass"}, {"stun:127.0.0.1:9", "", ""}}
	if len(used) != 1 || !slices.Equal(used[0], want) {
		t.Errorf("the browser uses %v, want %v", used, want)
	}
	now := shared.until(t, c, "the stream", func(c connection) bool { return len(c.Publishers) == 1 })
	if string(now.CustomIceServers) != servers || *now.Platform == "" || *now.ClientData == "" || *now.IP == "" || *now.Location != "unknown" {
		t.Errorf("REST shows %s", now.text)
	}
	if err := page.Leave(); err != nil {
		t.Error(err)
	}
}
