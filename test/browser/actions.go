package browser

import (
	"encoding/json"
	"fmt"
	"time"
)

// JoinOptions say how to join.
type JoinOptions struct {
	// ClientData is what the participant says of itself.
	ClientData string `json:"clientData,omitempty"`
	// AutoSubscribe receives streams of others as soon as they are announced.
	AutoSubscribe bool `json:"autoSubscribe"`
	// Advanced is for OpenVidu.setAdvancedConfiguration.
	Advanced map[string]any `json:"advanced,omitempty"`
}

// Join calls Session.connect with a token. Streams of others are received as soon as they are
// announced.
func (p *Participant) Join(token, clientData string) (Joined, error) {
	return p.JoinWith(token, JoinOptions{ClientData: clientData, AutoSubscribe: true})
}

// JoinWith calls Session.connect with a token.
func (p *Participant) JoinWith(token string, options JoinOptions) (Joined, error) {
	var joined Joined
	err := p.call("join", struct {
		Token string `json:"token"`
		JoinOptions
	}{token, options}, &joined)
	return joined, err
}

// Joined is what the participant knows of itself and of the others now.
func (p *Participant) Joined() (Joined, error) {
	var joined Joined
	err := p.call("joined", nil, &joined)
	return joined, err
}

// Publish sends the fake camera, WIDTHxHEIGHT, and microphone. It returns the stream's id.
func (p *Participant) Publish(resolution string) (string, error) {
	stream, err := p.PublishWith(Publication{Resolution: resolution})
	return stream.StreamID, err
}

// PublishWith sends something else.
func (p *Participant) PublishWith(publication Publication) (Stream, error) {
	camera := 1 // what the browser chooses by itself
	if page, ok := p.Tab.(*Page); ok && publication.VideoSource == nil {
		camera = page.camera
	}
	var stream Stream
	err := p.call("publish", struct {
		Publication
		Camera int `json:"camera"`
	}{publication, camera}, &stream)
	return stream, err
}

// Republish sends again what was sent before.
func (p *Participant) Republish() (Stream, error) {
	var stream Stream
	err := p.call("republish", nil, &stream)
	return stream, err
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

// Signals sends many signals to everybody at once, whose data are numbers from 0.
func (p *Participant) Signals(kind string, count int) error {
	return p.call("signals", map[string]any{"type": kind, "count": count}, nil)
}

// BigSignal sends a signal with that many bytes of data to everybody.
func (p *Participant) BigSignal(bytes int) error { return p.call("bigSignal", bytes, nil) }

// Listen adds a listener for one kind of signal. What it gets is an event named signal:KIND.
func (p *Participant) Listen(kind string) error { return p.call("listen", kind, nil) }

// MuteVideo stops or resumes the pictures of the published stream.
func (p *Participant) MuteVideo(muted bool) error {
	return p.call("mute", map[string]any{"video": muted}, nil)
}

// MuteAudio stops or resumes the sound of the published stream.
func (p *Participant) MuteAudio(muted bool) error {
	return p.call("mute", map[string]any{"audio": muted}, nil)
}

// ReplaceAudioTrack publishes another track of the microphone.
func (p *Participant) ReplaceAudioTrack() error {
	return p.call("replaceTrack", map[string]any{"kind": "audio"}, nil)
}

// ReplaceVideoTrack publishes a track that the page draws.
func (p *Participant) ReplaceVideoTrack(width, height int) error {
	return p.call("replaceTrack", map[string]any{"kind": "video", "width": width, "height": height}, nil)
}

// StandStill has the track that the page draws, and publishes, not be drawn any more.
func (p *Participant) StandStill() error { return p.call("standStill", nil, nil) }

// ResizeCapture changes the size of the camera's or screen's picture.
func (p *Participant) ResizeCapture(width, height int) error {
	return p.call("resizeCapture", map[string]any{"width": width, "height": height}, nil)
}

// ForceDisconnect throws a participant out.
func (p *Participant) ForceDisconnect(connectionID string) error {
	return p.call("forceDisconnect", connectionID, nil)
}

// ForceUnpublish ends the stream of a participant.
func (p *Participant) ForceUnpublish(connectionID string) error {
	return p.call("forceUnpublish", connectionID, nil)
}

// Filter calls a method of the package's Stream that is about filters, on the stream of a
// participant.
func (p *Participant) Filter(connectionID, method string, args ...any) error {
	return p.call("filter", map[string]any{"connectionId": connectionID, "method": method, "args": append([]any{}, args...)}, nil)
}

// SubscribeToSpeechToText asks for the words of a participant.
func (p *Participant) SubscribeToSpeechToText(connectionID, language string) error {
	return p.call("subscribeToSpeechToText", map[string]any{"connectionId": connectionID, "lang": language}, nil)
}

// UnsubscribeFromSpeechToText asks for them no more.
func (p *Participant) UnsubscribeFromSpeechToText(connectionID string) error {
	return p.call("unsubscribeFromSpeechToText", map[string]any{"connectionId": connectionID}, nil)
}

// ReconnectStream gives a participant's stream, or the own one, another peer connection.
func (p *Participant) ReconnectStream(connectionID string) error {
	return p.call("reconnect", connectionID, nil)
}

// Leave calls Session.disconnect.
func (p *Participant) Leave() error { return p.call("leave", nil, nil) }

// Stream is what is known of a participant's stream; its zero value when there is none.
func (p *Participant) Stream(connectionID string) (Stream, error) {
	var stream Stream
	err := p.call("stream", connectionID, &stream)
	return stream, err
}

// Received is what comes from the participant with a connection id.
func (p *Participant) Received(connectionID string) (Media, error) {
	var media Media
	err := p.call("received", connectionID, &media)
	return media, err
}

// FramesDecoded is how many video frames were decoded of each stream that is received, by its
// owner's connection id.
func (p *Participant) FramesDecoded() (map[string]int64, error) {
	frames := map[string]int64{}
	err := p.call("framesDecoded", nil, &frames)
	return frames, err
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

// DropSockets closes all sockets of the page; the package opens new ones at once.
func (p *Participant) DropSockets() error { return p.Evaluate("harness.dropSockets()", nil) }

// LoseSockets closes all sockets of the page and lets none be opened for a while. The package tries
// every 3 s.
func (p *Participant) LoseSockets(duration time.Duration) error {
	return p.Evaluate(fmt.Sprintf("harness.loseSockets(%d)", duration.Milliseconds()), nil)
}

// KillSockets loses all messages of the page's sockets in both directions from now on. They stay
// open, and new ones work.
func (p *Participant) KillSockets() error { return p.Evaluate("harness.killSockets()", nil) }

// MissCodecs lets the page be a browser without some video codecs: VP8, VP9, H264, AV1.
func (p *Participant) MissCodecs(names ...string) error {
	encoded, err := json.Marshal(append([]string{}, names...))
	if err != nil {
		return err
	}
	return p.Evaluate(fmt.Sprintf("window.probes.missingCodecs = %s", encoded), nil)
}

// PreferCodec lets the page be a browser that offers a video codec first: VP8, VP9, H264 or AV1.
func (p *Participant) PreferCodec(name string) error {
	return p.Evaluate(fmt.Sprintf("window.probes.favouriteCodec = %q", name), nil)
}

// UseUDPOnly lets peer connections that the page makes from now on know no TCP address of the
// server: who loses all UDP has no path any more.
func (p *Participant) UseUDPOnly() error { return p.Evaluate("window.probes.udpOnly = true", nil) }
