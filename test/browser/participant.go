package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Participant is an OpenVidu object in a tab (page/client.js), and what it sees of a room. It is
// the same in every browser.
type Participant struct {
	Tab
	// Name is what the test log calls it.
	Name string
	// client is the page's name of the object, empty for the first.
	client string
}

// Tab is what a Participant needs of a browser: a page and its JavaScript.
type Tab interface {
	// Evaluate runs a JavaScript expression, waits for its promise if it is one, and decodes what
	// it gives into result unless that is nil.
	Evaluate(expression string, result any) error
	// Console is what the page wrote to its console, the last lines of it.
	Console() string
	// Transports are the peer connections that the page has made, oldest first. Unless the test
	// says that it is about TCP or about ICE servers, it is an error at its end when one of them
	// goes over TCP, or was made with other ICE servers than the default ones.
	Transports() ([]Transport, error)
	UseTCP()
	UseICEServers()
	// Close ends the page without a word to it, as a user does who closes a tab. It may be called
	// again.
	Close()
}

// Event is one event of openvidu-browser, as the page recorded it.
type Event struct {
	// At is when, in milliseconds since 1970 by this machine's clock.
	At int64 `json:"at"`
	// Client tells the OpenVidu objects of a page apart.
	Client string `json:"client"`
	// On is what emitted it: session, publisher, or harness for what the page notes itself.
	On string `json:"on"`
	// Name and the rest are as in openvidu-rpc section 5.3; members that an event does not have are
	// empty.
	Name         string `json:"name"`
	Reason       string `json:"reason"`
	ConnectionID string `json:"connectionId"`
	StreamID     string `json:"streamId"`
	Type         string `json:"type"`
	Data         string `json:"data"` // id and name of a recording
	Property     string `json:"property"`
	NewValue     string `json:"newValue"`
	OldValue     string `json:"oldValue"`
	Message      string `json:"message"`
	// Exception is the name of an exception event: ICE_CONNECTION_FAILED, ...
	Exception string `json:"exception"`
}

// Time is when the event came.
func (e Event) Time() time.Time {
	return time.UnixMilli(e.At)
}

// Failure is an error as openvidu-browser gave it to the application.
type Failure struct {
	Code    int    `json:"code"`
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error implements error.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s (code %d, name %q)", f.Message, f.Code, f.Name)
}

// Joined is what a participant knows of the room when connect() has resolved.
type Joined struct {
	ConnectionID string   `json:"connectionId"`
	SessionID    string   `json:"sessionId"`
	Role         string   `json:"role"`
	Record       bool     `json:"record"`
	Data         string   `json:"data"`
	Others       []string `json:"others"`
}

// OpenParticipant opens the page of a site.
func (b *Browser) OpenParticipant(t testing.TB, site *Site, name string) *Participant {
	t.Helper()
	return participant(t, b.Open(t, name, site.URL, Viewport{}), name)
}

// OpenParticipantOn opens the page of a site on a screen of a given size or on a phone, and gives
// the page as well.
func (b *Browser) OpenParticipantOn(t testing.TB, site *Site, name string, viewport Viewport) (*Participant, *Page) {
	t.Helper()
	page := b.Open(t, name, site.URL, viewport)
	return participant(t, page, name), page
}

// participant writes what a participant has seen to the test log if the test fails.
func participant(t testing.TB, tab Tab, name string) *Participant {
	p := &Participant{Tab: tab, Name: name}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if page, ok := tab.(*Page); ok {
			for _, frame := range page.Frames() {
				t.Logf("%s %s %s", name, frame.At.Format("15:04:05.000"), frame)
			}
		}
		var events []Event
		if err := p.Evaluate("window.events", &events); err != nil {
			return // the page is gone, which may be the test's own doing
		}
		for _, event := range events {
			t.Logf("%s %s %+v", name, event.Time().Format("15:04:05.000"), event)
		}
	})
	return p
}

// Another is one more OpenVidu object in the same page.
func (p *Participant) Another(client string) *Participant {
	return &Participant{Tab: p.Tab, Name: p.Name + ", " + client, client: client}
}

// call runs a method of the page's client. An error of openvidu-browser is a *Failure.
func (p *Participant) call(method string, argument, result any) error {
	encoded := []byte("undefined")
	if argument != nil {
		var err error
		if encoded, err = json.Marshal(argument); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := p.Evaluate(fmt.Sprintf("harness.call(%q, %q, %s)", p.client, method, encoded), &raw); err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	var failed struct {
		Error *Failure `json:"error"`
	}
	if err := json.Unmarshal(raw, &failed); err == nil && failed.Error != nil {
		return failed.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(raw, result)
}

// Events are all that came so far to this OpenVidu object, in their order.
func (p *Participant) Events() ([]Event, error) {
	var events []Event
	if err := p.Evaluate("window.events", &events); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(events, func(e Event) bool { return e.Client != p.client }), nil
}
