package browser

import (
	"errors"
	"strings"
	"testing"
)

// A page of a test that sets ICE servers, or whose media goes over TCP, is an error of the test,
// unless it says that it is about that.
func TestPagesThatDoNotUseMediaAsApplicationsDoAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		page Transport
		say  func(*transportCheck)
		want string
	}{
		"default servers, UDP":        {Transport{ICEServers: DefaultICEServers, State: "connected", Protocol: "udp"}, nil, ""},
		"no servers":                  {Transport{Protocol: "udp"}, nil, ""},
		"not connected yet":           {Transport{ICEServers: DefaultICEServers, State: "checking"}, nil, ""},
		"TCP":                         {Transport{State: "connected", Protocol: "tcp"}, nil, "goes over TCP"},
		"TCP, closed":                 {Transport{State: "closed", Protocol: "tcp"}, nil, "goes over TCP"},
		"TCP in a test about it":      {Transport{Protocol: "tcp"}, (*transportCheck).UseTCP, ""},
		"an empty list":               {Transport{ICEServers: []string{}, Protocol: "udp"}, nil, "ICE servers []"},
		"other servers":               {Transport{ICEServers: []string{"stun:a"}, Protocol: "udp"}, nil, "ICE servers [stun:a]"},
		"one more server":             {Transport{ICEServers: append([]string{"stun:a"}, DefaultICEServers...)}, nil, "ICE servers"},
		"servers in a test about TCP": {Transport{ICEServers: []string{"stun:a"}}, (*transportCheck).UseTCP, "ICE servers"},
		"servers in a test about it":  {Transport{ICEServers: []string{"stun:a"}}, (*transportCheck).UseICEServers, ""},
	} {
		check := &transportCheck{}
		if test.say != nil {
			test.say(check)
		}
		found := strings.Join(check.wrong([]Transport{test.page}), "\n")
		if (test.want == "") != (found == "") || !strings.Contains(found, test.want) {
			t.Errorf("%s: got %q, want %q", name, found, test.want)
		}
	}
}

// What was wrong with a page is told also when it was left before the end of the test, and once.
func TestWhatWasWrongWithAPageThatWasLeftIsTold(t *testing.T) {
	pages := [][]Transport{{{ICEServers: []string{"stun:a"}}}, {{ICEServers: []string{"stun:b"}}}}
	check := &transportCheck{}
	check.evaluate = func(_ string, result any) error {
		*result.(*[]Transport) = pages[0]
		return nil
	}
	within := settled
	settled = 0
	defer func() { settled = within }()
	check.leave(false) // loaded again
	pages = pages[1:]
	check.leave(true)
	check.evaluate = func(string, any) error { return errors.New("the page is gone") }
	check.leave(true)
	if len(check.left) != 2 || !strings.Contains(check.left[0], "stun:a") || !strings.Contains(check.left[1], "stun:b") {
		t.Errorf("got %q", check.left)
	}
}
