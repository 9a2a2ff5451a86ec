package browser

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/wait"
)

// transportWatch is what each page runs first.
//
//go:embed transports.js
var transportWatch string

// DefaultICEServers are what clients are given whose Connection and pool name none (docs/adr/0017).
var DefaultICEServers = []string{"stun:stun.invalid"}

// settled is how long a peer connection may take to find back to UDP, after a cut for instance.
var settled = 10 * time.Second

// Transport is what is known of a peer connection of a page.
type Transport struct {
	// ICEServers are the URLs that it was made with; nil when it was made without the member
	// iceServers.
	ICEServers []string `json:"iceServers"`
	// State is its iceConnectionState, "closed" once the page has closed it.
	State string `json:"state"`
	// Protocol is udp or tcp, that of a relay when there is one, empty as long as nothing was sent
	// over it. It is the last one of a connection that is closed; empty when that was over TCP for
	// too short a time to find UDP.
	Protocol string `json:"protocol"`
	// Candidate is the type of the local candidate: host, srflx, prflx, or relay.
	Candidate string `json:"candidate"`
	// Reached are the server's addresses from which a check was answered, such as udp
	// 192.0.2.1:20000.
	Reached []string `json:"reached"`
}

// transportCheck sees to it that the pages of tests use media as applications do: with the ICE
// servers that the server gives, and over UDP. A test fails at its end, or when it leaves a page,
// for each peer connection that does not.
type transportCheck struct {
	evaluate func(expression string, result any) error

	mu      sync.Mutex // guards the fields below
	tcp     bool       // the test is about TCP
	servers bool       // the test is about ICE servers
	gone    bool       // the page can't be asked any more, by the test's own doing
	left    []string   // what was wrong with what the test has left
}

// UseTCP says that the test is about media over TCP: it is not an error.
func (c *transportCheck) UseTCP() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tcp = true
}

// UseICEServers says that the test is about ICE servers: its page may set them.
func (c *transportCheck) UseICEServers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = true
}

// Transports returns the peer connections that the page has made, oldest first.
func (c *transportCheck) Transports() ([]Transport, error) {
	var all []Transport
	err := c.evaluate("window.transports?.() ?? []", &all)
	return all, err
}

// leave checks what is there before the page goes: for good, or to be loaded again.
func (c *transportCheck) leave(forGood bool) {
	c.mu.Lock()
	gone := c.gone
	c.gone = gone || forGood
	c.mu.Unlock()
	if gone {
		return
	}
	found := c.problems()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = append(c.left, found...)
}

// report fails the test for what is wrong.
func (c *transportCheck) report(t testing.TB, name string) {
	t.Helper()
	c.leave(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, problem := range c.left {
		t.Errorf("%s: %s", name, problem)
	}
}

// problems says what is wrong now. A connection that is on TCP has a while to find back to UDP.
func (c *transportCheck) problems() []string {
	var found []string
	_ = wait.Poll(context.Background(), settled, func() error { // found says what the error does
		all, err := c.Transports()
		if err != nil {
			found = []string{err.Error()}
			return nil
		}
		if found = c.wrong(all); slices.ContainsFunc(all, c.mayChange) {
			return errors.New(found[0])
		}
		return nil
	})
	return found
}

// mayChange says whether a connection that goes over TCP may still find back to UDP.
func (c *transportCheck) mayChange(transport Transport) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return transport.Protocol == "tcp" && transport.State != "closed" && !c.tcp
}

func (c *transportCheck) wrong(all []Transport) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for i, transport := range all {
		if transport.Protocol == "tcp" && !c.tcp {
			found = append(found, fmt.Sprintf("peer connection %d of %d (%s) goes over TCP", i+1, len(all), transport.State))
		}
		if transport.ICEServers != nil && !c.servers && !slices.Equal(transport.ICEServers, DefaultICEServers) {
			found = append(found, fmt.Sprintf("peer connection %d of %d was made with the ICE servers [%s]: only tests about ICE servers set them",
				i+1, len(all), strings.Join(transport.ICEServers, " ")))
		}
	}
	return found
}
