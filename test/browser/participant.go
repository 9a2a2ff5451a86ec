package browser

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// Participant is a tab with openvidu-browser in it (page/page.js), and what it sees of a room. It is the same in every browser.
type Participant struct {
	Tab
	// Name is what the test log calls it.
	Name string
}

// Tab is what a Participant needs of a browser: a page and its JavaScript.
type Tab interface {
	// Evaluate runs a JavaScript expression, waits for its promise if it is one, and decodes what it gives into result
	// unless that is nil.
	Evaluate(expression string, result any) error
	// Console is what the page wrote to its console, the last lines of it.
	Console() string
	// Close ends the page without a word to it, as a user does who closes a tab. It may be called again.
	Close()
}

// Event is one event of openvidu-browser, as the page recorded it.
type Event struct {
	// At is when, in milliseconds since 1970 by this machine's clock.
	At int64 `json:"at"`
	// On is what emitted it: session, publisher, or harness for what the page notes itself.
	On string `json:"on"`
	// Name and the rest are as in openvidu-rpc section 5.3; members that an event does not have are empty.
	Name         string `json:"name"`
	Reason       string `json:"reason"`
	ConnectionID string `json:"connectionId"`
	StreamID     string `json:"streamId"`
	Type         string `json:"type"`
	Data         string `json:"data"`
	Property     string `json:"property"`
	NewValue     string `json:"newValue"`
	Message      string `json:"message"`
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
	Data         string   `json:"data"`
	Others       []string `json:"others"`
}

// Media is what is sent or received of one stream, from the browser's statistics. A figure is 0 as long as the
// browser does not report it.
type Media struct {
	// Subscribed says whether there is a receiving peer connection.
	Subscribed bool   `json:"subscribed"`
	ICEState   string `json:"iceState"`
	Video      struct {
		FramesDecoded int64  `json:"framesDecoded"`
		FramesEncoded int64  `json:"framesEncoded"`
		Width         int    `json:"width"`
		Height        int    `json:"height"`
		Packets       int64  `json:"packets"`
		Bytes         int64  `json:"bytes"`
		Lost          int64  `json:"lost"`
		Codec         string `json:"codec"`
	} `json:"video"`
	Audio struct {
		Packets int64 `json:"packets"`
		Bytes   int64 `json:"bytes"`
		// Energy is totalAudioEnergy of the decoded audio (W3C webrtc-stats).
		Energy  float64 `json:"energy"`
		Samples int64   `json:"samples"`
		Codec   string  `json:"codec"`
	} `json:"audio"`
}

// Gaps are the longest times in which nothing new came.
type Gaps struct {
	VideoMilliseconds float64 `json:"videoMs"`
	AudioMilliseconds float64 `json:"audioMs"`
}

// OpenParticipant opens the page of a site.
func (b *Browser) OpenParticipant(t testing.TB, site *Site, name string) *Participant {
	t.Helper()
	return participant(t, b.Open(t, name, site.URL, Viewport{}), name)
}

// participant writes what a participant has seen to the test log if the test fails.
func participant(t testing.TB, tab Tab, name string) *Participant {
	p := &Participant{Tab: tab, Name: name}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if events, err := p.Events(); err == nil {
			for _, event := range events {
				t.Logf("%s %s %+v", name, event.Time().Format("15:04:05.000"), event)
			}
		}
	})
	return p
}

// call runs a function of the page's harness. An error of openvidu-browser is a *Failure.
func (p *Participant) call(function string, argument, result any) error {
	encoded := []byte("undefined")
	if argument != nil {
		var err error
		if encoded, err = json.Marshal(argument); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := p.Evaluate(fmt.Sprintf("harness.%s(%s)", function, encoded), &raw); err != nil {
		return err
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

// Join calls Session.connect with a token. Streams of others are received as soon as they are announced.
func (p *Participant) Join(token, clientData string) (Joined, error) {
	var joined Joined
	err := p.call("join", map[string]any{"token": token, "clientData": clientData}, &joined)
	return joined, err
}

// Publish sends the fake camera, WIDTHxHEIGHT, and microphone. It returns the stream's id.
func (p *Participant) Publish(resolution string) (string, error) {
	var published struct {
		StreamID string `json:"streamId"`
	}
	err := p.call("publish", map[string]any{"resolution": resolution}, &published)
	return published.StreamID, err
}

// Unpublish stops sending.
func (p *Participant) Unpublish() error { return p.call("unpublish", nil, nil) }

// Subscribe receives the stream of a participant.
func (p *Participant) Subscribe(connectionID string) error {
	return p.call("subscribe", connectionID, nil)
}

// Unsubscribe stops receiving it.
func (p *Participant) Unsubscribe(connectionID string) error {
	return p.call("unsubscribe", connectionID, nil)
}

// Signal sends a signal; to no connection ids is to everybody.
func (p *Participant) Signal(kind, data string, to ...string) error {
	return p.call("signal", map[string]any{"type": kind, "data": data, "to": append([]string{}, to...)}, nil)
}

// MuteVideo stops or resumes the pictures of the published stream.
func (p *Participant) MuteVideo(muted bool) error {
	return p.call("mute", map[string]any{"video": muted}, nil)
}

// Leave calls Session.disconnect.
func (p *Participant) Leave() error { return p.call("leave", nil, nil) }

// Received is what comes from the participant with a connection id.
func (p *Participant) Received(connectionID string) (Media, error) {
	var media Media
	err := p.call("received", connectionID, &media)
	return media, err
}

// Sent is what the participant's own publisher sends.
func (p *Participant) Sent() (Media, error) {
	var media Media
	err := p.call("sent", nil, &media)
	return media, err
}

// Watch starts to measure the gaps in what comes from a participant.
func (p *Participant) Watch(connectionID string) error {
	return p.call("watch", connectionID, nil)
}

// Gaps ends the measurement.
func (p *Participant) Gaps(connectionID string) (Gaps, error) {
	var gaps Gaps
	err := p.call("gaps", connectionID, &gaps)
	return gaps, err
}

// Events are all that came so far, in their order.
func (p *Participant) Events() ([]Event, error) {
	var events []Event
	err := p.Evaluate("window.events", &events)
	return events, err
}
