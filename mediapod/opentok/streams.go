package opentok

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// This file holds what clients call about streams: to publish and to subscribe, and what they tell
// of their own.

// publish starts a stream (opentok-rpc 2.4).
func publish(ctx context.Context, c *call) error {
	offer := c.params.text("sdpOffer", maxSDP)
	again := c.params.optionalFlag("again", false)
	options := readOptions(&c.params)
	if err := c.params.failure(); err != nil {
		return err
	}
	streams, err := c.participant.Streams()
	if err != nil {
		return err
	}
	if before, found := madeBy(offer, streams); found && (again || c.repeated) {
		return c.publishAgain(ctx, before, offer)
	}
	request := room.PublishRequest{
		StreamID: newStreamID(options, c.participant.ConnectionID(), streams, offer), Options: options, SDPOffer: offer, MaxStreams: maxStreams,
	}
	return c.participant.Publish(ctx, request, c.replyPublished)
}

// publishAgain answers a client whose stream is there, but which does not know, since its socket or
// the pod before was lost before it was answered.
func (c *call) publishAgain(ctx context.Context, stream, offer string) error {
	again, sdpAnswer, err := c.participant.Reconnect(ctx, stream, offer)
	if err != nil {
		return err
	}
	c.replyPublished(again, sdpAnswer)
	return nil
}

func (c *call) replyPublished(published room.Stream, sdpAnswer string) {
	c.reply(struct {
		ID        string `json:"streamId"`
		Created   int64  `json:"createdAt"`
		SDPAnswer string `json:"sdpAnswer"`
	}{published.ID, published.Created.UnixMilli(), sdpAnswer})
}

// readOptions reads what a stream is announced with.
func readOptions(p *params) room.StreamOptions {
	options := room.StreamOptions{
		HasAudio: p.flag("hasAudio"), HasVideo: p.flag("hasVideo"),
		Name: p.optionalText("name", maxName), Initials: p.optionalText("initials", maxName),
	}
	if options.HasAudio {
		options.AudioActive = p.optionalFlag("audioActive", true)
	}
	if options.HasVideo {
		options.VideoActive = p.optionalFlag("videoActive", true)
		options.FrameRate = p.optionalInteger("frameRate", -1, maxFrameRate, -1)
		options.TypeOfVideo = readVideoType(p)
		if dimensions := readDimensions(p, "videoDimensions"); dimensions != nil {
			options.VideoDimensions = *dimensions
		}
	}
	if !options.HasAudio && !options.HasVideo {
		p.wrong("hasVideo", `true where "hasAudio" is not`)
	}
	return options
}

// videoTypes are what a video shows, as clients of this protocol and rooms call it.
var videoTypes = map[string]room.VideoType{"camera": room.Camera, "screen": "SCREEN", "custom": "CUSTOM"}

func readVideoType(p *params) room.VideoType {
	name := p.optionalText("videoType", maxName)
	if name == "" {
		return room.Camera
	}
	kind, known := videoTypes[name]
	if !known {
		p.wrong("videoType", "camera, screen or custom")
	}
	return kind
}

// readDimensions returns the size of a video, nil when it is not told.
func readDimensions(p *params, name string) *media.Dimensions {
	if !p.has(name) {
		return nil
	}
	var fields map[string]json.RawMessage
	if !p.read(name, `an object with "width" and "height"`, &fields) {
		return nil
	}
	inner := params{fields: fields}
	size := media.Dimensions{
		Width: inner.optionalInteger("width", 0, maxSide, 0), Height: inner.optionalInteger("height", 0, maxSide, 0),
	}
	if inner.refused != nil {
		p.wrong(name, fmt.Sprintf(`an object with "width" and "height" from 0 to %d`, maxSide))
		return nil
	}
	return &size
}

const (
	upper        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newStreamID makes the id of a new stream, in the form that all ids of streams have: with a
// capital letter and three more characters, which are a mark of its offer. The first stream of a
// connection ends in the connection's id. Each of the others ends in a connection id of its own,
// which is that of the participant that clients of OpenVidu see send it.
func newStreamID(options room.StreamOptions, connectionID string, beside []room.Stream, offer string) string {
	kind, end := "MIC", "_"+connectionID
	if options.HasVideo {
		kind = string(options.TypeOfVideo)[:3]
	}
	if slices.ContainsFunc(beside, func(s room.Stream) bool { return strings.HasSuffix(s.ID, end) }) {
		random := make([]byte, 10)
		_, _ = rand.Read(random) // it never fails (it ends the process instead)
		end = "_con_" + spell(random)
	}
	return "str_" + kind + "_" + mark(offer) + end
}

// mark returns what the ids of streams have of the offer that they were made by. No two offers of a
// client are the same (RFC 8839, section 5.4: ice-ufrag and ice-pwd are random).
func mark(offer string) string {
	sum := sha256.Sum256([]byte(offer))
	return spell(sum[:4])
}

// madeBy returns the id of the stream that was made by an offer, and announced.
func madeBy(offer string, streams []room.Stream) (string, bool) {
	for _, s := range streams {
		if parts := strings.SplitN(s.ID, "_", 4); len(parts) == 4 && parts[2] == mark(offer) && !s.Created.IsZero() {
			return s.ID, true
		}
	}
	return "", false
}

// spell writes bytes as letters and digits, of which the first is a capital letter.
func spell(bytes []byte) string {
	text := []byte{upper[int(bytes[0])%len(upper)]}
	for _, b := range bytes[1:] {
		text = append(text, alphanumeric[int(b)%len(alphanumeric)])
	}
	return string(text)
}

// renegotiate gives a stream of the client's another peer connection (opentok-rpc 2.5).
func renegotiate(ctx context.Context, c *call) error {
	stream := c.params.text("streamId", maxName)
	offer := c.params.text("sdpOffer", maxSDP)
	if err := c.params.failure(); err != nil {
		return err
	}
	_, sdpAnswer, err := c.participant.Reconnect(ctx, stream, offer)
	if err != nil {
		return err
	}
	c.reply(map[string]string{"sdpAnswer": sdpAnswer})
	return nil
}

func unpublish(_ context.Context, c *call) error {
	stream := c.params.text("streamId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.Unpublish(stream)
}

// change tells others of a change of a stream of the client's (opentok-rpc 2.7).
func change(_ context.Context, c *call) error {
	stream := c.params.text("streamId", maxName)
	changed := readChange(&c.params)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.ChangeStream(stream, changed)
}

// readChange reads the one property that has changed. The reason is for clients of OpenVidu, which
// are always told one.
func readChange(p *params) (changed room.StreamChange) {
	const audio, video = "audioActive", "videoActive"
	count := 0
	changed.Reason = "publishProperty"
	if p.has(audio) {
		active := p.flag(audio)
		changed.AudioActive = &active
		count++
	}
	if p.has(video) {
		active := p.flag(video)
		changed.VideoActive = &active
		count++
	}
	if changed.VideoDimensions = readDimensions(p, "videoDimensions"); changed.VideoDimensions != nil {
		changed.Reason = "trackReplaced"
		count++
	}
	if count != 1 {
		p.wrong(audio, `given alone, or "videoActive" or "videoDimensions" is`)
	}
	return changed
}

// subscribe makes the offer by which a stream is received (opentok-rpc 2.8).
func subscribe(ctx context.Context, c *call) error {
	subscription := c.params.text("subscriptionId", maxName)
	stream := c.params.text("streamId", maxName)
	delivery := readDelivery(&c.params)
	if err := c.params.failure(); err != nil {
		return err
	}
	offer, err := c.participant.Subscribe(ctx, subscription, stream)
	if err != nil {
		return err
	}
	if delivery != (media.Delivery{}) {
		if err := c.participant.Deliver(subscription, delivery); err != nil {
			return err
		}
	}
	c.reply(map[string]string{"sdpOffer": offer})
	return nil
}

// answer takes the answer to the offer of subscribe or, when it is renewed, of subscriptionRenewed
// (opentok-rpc 2.9).
func answer(ctx context.Context, c *call) error {
	subscription := c.params.text("subscriptionId", maxName)
	sdpAnswer := c.params.text("sdpAnswer", maxSDP)
	renewed := c.params.optionalFlag("renewed", false)
	stream := c.params.optionalText("streamId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	err := c.participant.Answer(ctx, subscription, sdpAnswer, renewed, c.done)
	if errors.Is(err, room.ErrNoOffer) && !renewed && stream != "" {
		err = c.participant.Resubscribe(subscription, stream, c.done)
	}
	return err
}

// deliver says what of a stream is sent to the client (opentok-rpc 2.10).
func deliver(_ context.Context, c *call) error {
	subscription := c.params.text("subscriptionId", maxName)
	for _, kind := range []string{"audio", "video"} {
		c.params.flag(kind)
	}
	delivery := readDelivery(&c.params)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.Deliver(subscription, delivery)
}

// readDelivery reads what of a stream is wanted; what is not said is.
func readDelivery(p *params) media.Delivery {
	delivery := media.Delivery{
		NoAudio: !p.optionalFlag("audio", true), NoVideo: !p.optionalFlag("video", true),
		MaxFrameRate: p.optionalInteger("maxFrameRate", 0, maxFrameRate, 0),
	}
	if size := readDimensions(p, "maxResolution"); size != nil {
		delivery.MaxSize = *size
	}
	return delivery
}

func unsubscribe(_ context.Context, c *call) error {
	subscription := c.params.text("subscriptionId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.Unsubscribe(subscription)
}

// candidate takes an ICE candidate for a stream of the client's or a subscription. One for a peer
// connection that is gone is dropped, since clients send them late (opentok-rpc 2.12).
func candidate(_ context.Context, c *call) error {
	stream := c.params.optionalText("streamId", maxName)
	subscription := c.params.optionalText("subscriptionId", maxName)
	if (stream == "") == (subscription == "") {
		c.params.wrong("streamId", `given, or "subscriptionId" is`)
	}
	found := media.ICECandidate{
		Candidate: c.params.optionalText("candidate", maxCandidate), SDPMid: c.params.optionalText("sdpMid", maxName),
		SDPMLineIndex: uint16(c.params.optionalInteger("sdpMLineIndex", 0, 1<<16-1, 0)),
	}
	if err := c.params.failure(); err != nil {
		return err
	}
	var err error
	if stream != "" {
		err = c.participant.AddPublisherCandidate(stream, found)
	} else {
		err = c.participant.AddSubscriberCandidate(subscription, found)
	}
	if is[room.NotFoundError](err) {
		return nil
	}
	return err
}
