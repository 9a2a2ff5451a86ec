package openvidu

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// This file holds what clients call about streams: to publish and to receive, and what they tell of
// their own.

func publishVideo(ctx context.Context, c *call) error {
	offer := c.params.text("sdpOffer", maxSDP)
	options := room.StreamOptions{
		Loopback: c.params.flag("doLoopback"),
		HasAudio: c.params.flag("hasAudio"),
		HasVideo: c.params.flag("hasVideo"),
	}
	if options.HasAudio {
		options.AudioActive = c.params.optionalFlag("audioActive", true)
	}
	if options.HasVideo {
		options.VideoActive = c.params.optionalFlag("videoActive", true)
		options.FrameRate = c.params.optionalInteger("frameRate", -1, maxFrameRate, -1)
		dimensions := c.params.optionalText("videoDimensions", maxVideoDimensions)
		checkDimensions(c, "videoDimensions", dimensions)
		options.VideoDimensions, _ = readDimensions(dimensions)
		options.TypeOfVideo = typeOfVideo(c)
	}
	if c.params.err != nil {
		return c.params.err
	}
	return c.publish(ctx, options, offer)
}

// publish publishes the one stream that a participant may have. Its candidates that came before,
// also those for an attempt that is refused now, are used up.
func (c *call) publish(ctx context.Context, options room.StreamOptions, offer string) error {
	p := c.participant
	request := room.PublishRequest{
		StreamID: newStreamID(options, p.ConnectionID()), Options: options, SDPOffer: offer, Candidates: c.early,
	}
	c.early = nil
	err := p.Publish(ctx, request, func(published room.Stream, answer string) {
		c.reply(publishResult{SDPAnswer: answer, ID: published.ID, Created: published.Created.UnixMilli()})
	})
	switch {
	case is[room.ForbiddenError](err):
		return noValidToken("Unable to publish video")
	case errors.Is(err, room.ErrTooManyStreams):
		return c.publishAgain(ctx, offer)
	}
	return offerRefused(err, p)
}

// publishAgain answers a client that publishes already. It may not know, since the pod before was
// lost before it answered.
func (c *call) publishAgain(ctx context.Context, offer string) error {
	if own, err := c.ownStream(); c.repeated && err == nil {
		return c.reconnectOwn(ctx, own, offer)
	}
	p := c.participant
	return refuse(codeUserAlreadyStreams, "User %s is already publishing in session %s", p.ConnectionID(), p.Room().SessionID())
}

// checkDimensions refuses what is not JSON: clients that join later would never get in with it.
func checkDimensions(c *call, name, dimensions string) {
	if dimensions != "" && !json.Valid([]byte(dimensions)) {
		c.params.wrong(name, "a string with a JSON object")
	}
}

func typeOfVideo(c *call) room.VideoType {
	const name = "typeOfVideo"
	if !c.params.has(name) {
		return room.Camera
	}
	switch value := c.params.text(name, maxName); value {
	case "CAMERA", "SCREEN", "CUSTOM":
		return room.VideoType(value)
	default:
		c.params.wrong(name, "CAMERA, SCREEN or CUSTOM")
		return ""
	}
}

// ownStream returns the id of the participant's one stream.
func (c *call) ownStream() (string, error) {
	streams, err := c.participant.Streams()
	if err != nil {
		return "", err
	}
	if len(streams) == 0 || streams[0].Created.IsZero() {
		return "", notStreaming(c.participant)
	}
	return streams[0].ID, nil
}

func unpublishVideo(_ context.Context, c *call) error {
	p := c.participant
	stream, err := c.ownStream()
	if err != nil {
		return err
	}
	if err := p.Unpublish(stream); is[room.NotFoundError](err) {
		return notStreaming(p)
	} else if err != nil {
		return err
	}
	return nil
}

// publisher returns the connection id of a stream's publisher.
func (c *call) publisher(stream string) (string, error) {
	p := c.participant
	if err := p.Alive(); err != nil {
		return "", err
	}
	return p.Room().Publisher(stream)
}

func prepareReceiveVideoFrom(ctx context.Context, c *call) error {
	stream := c.params.text("sender", maxName)
	// What was received of that sender before is dropped either way.
	c.params.flag("reconnect")
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	publisher, err := c.publisher(stream)
	if err != nil {
		return err
	}
	if publisher == p.ConnectionID() {
		return refuse(codeUserNotStreaming, "Can loopback only when publishing media")
	}
	const doing = "Unable to create subscriber endpoint"
	offer, err := p.Subscribe(ctx, room.LastingID(stream, publisher), stream)
	switch {
	case is[room.ForbiddenError](err):
		return noValidToken(doing)
	case errors.Is(err, room.ErrSubscriptionEnded):
		return refuse(codeMediaEndpoint, "%s: %v", doing, err)
	case err != nil:
		return mediaRefused(err, doing)
	}
	c.reply(map[string]string{"sdpOffer": offer})
	return nil
}

func receiveVideoFrom(ctx context.Context, c *call) error {
	stream := c.params.text("sender", maxName)
	if c.params.err == nil && c.params.has("sdpOffer") && !c.params.has("sdpAnswer") {
		return clientOffers("receiveVideoFrom")
	}
	answer := c.params.text("sdpAnswer", maxSDP)
	if c.params.err != nil {
		return c.params.err
	}
	publisher, err := c.publisher(stream)
	if err != nil {
		return err
	}
	return c.receive(ctx, room.LastingID(stream, publisher), stream, answer, false)
}

// receive takes the answer to the offer of prepareReceiveVideoFrom or, when forced, to that of
// forciblyReconnectSubscriber.
func (c *call) receive(ctx context.Context, subscription, stream, answer string, forced bool) error {
	p := c.participant
	reply := func() { c.reply(struct{}{}) }
	err := p.Answer(ctx, subscription, answer, forced, reply)
	if errors.Is(err, room.ErrNoOffer) && !forced {
		err = p.Resubscribe(subscription, stream, reply)
	}
	if errors.Is(err, room.ErrNoOffer) {
		return refuse(codeMediaEndpoint, "User '%s' has no offer to answer for stream '%s': 'prepareReceiveVideoFrom' comes first",
			p.ConnectionID(), stream)
	}
	return mediaRefused(err, "Error generating SDP response for subscribing user "+p.ConnectionID())
}

func clientOffers(name string) *jsonrpc.Error {
	return refuse(codeOperationImpossible,
		"Operation not supported: this server makes the offers to subscribers, so '%s' takes the answer to that of 'prepareReceiveVideoFrom', not an offer", name)
}

func unsubscribeFromVideo(_ context.Context, c *call) error {
	publisher := c.params.text("sender", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	err := p.Unsubscribe(publisher)
	if !is[room.NotFoundError](err) {
		return err
	}
	subscription := subscriptionTo(p.Room(), publisher)
	switch {
	case subscription != publisher:
		err = p.Unsubscribe(subscription)
	case !p.Room().Has(publisher):
		return userNotFound(p, publisher)
	}
	if is[room.NotFoundError](err) {
		return nil // it is not received
	}
	return err
}

// reconnectStream rebuilds the peer connection of a stream: of the client's own one, also when it
// does not know its id because the answer to publishVideo was lost, or of one that it receives.
func reconnectStream(ctx context.Context, c *call) error {
	stream := c.params.optionalText("stream", maxName)
	if c.params.err == nil && c.params.has("sdpOffer") && !c.params.has("sdpString") {
		return clientOffers("reconnectStream")
	}
	sdp := c.params.text("sdpString", maxSDP)
	forced := c.params.optionalFlag("forciblyReconnect", false)
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	if own, err := c.ownStream(); err == nil && (stream == "" || stream == own) {
		return c.reconnectOwn(ctx, own, sdp)
	}
	publisher, err := c.publisher(stream)
	if is[room.NotFoundError](err) {
		return noSuchStream(p, stream)
	}
	if err != nil {
		return err
	}
	return c.receive(ctx, room.LastingID(stream, publisher), stream, sdp, forced)
}

func (c *call) reconnectOwn(ctx context.Context, stream, offer string) error {
	p := c.participant
	again, answer, err := p.Reconnect(ctx, stream, offer)
	if is[room.NotFoundError](err) {
		return noSuchStream(p, stream)
	}
	if err != nil {
		return offerRefused(err, p)
	}
	c.reply(publishResult{SDPAnswer: answer, ID: again.ID, Created: again.Created.UnixMilli()})
	return nil
}

// onIceCandidate takes a candidate for what the client publishes, when the endpoint is named like
// itself, or receives of the participant that it is named like. One for a peer connection that is
// gone is dropped, since clients send them late; one for a publication to come is kept.
func onIceCandidate(_ context.Context, c *call) error {
	owner := c.params.text("endpointName", maxName)
	candidate := media.ICECandidate{
		Candidate:     c.params.text("candidate", maxCandidate),
		SDPMid:        c.params.text("sdpMid", maxName),
		SDPMLineIndex: uint16(c.params.integer("sdpMLineIndex", 0, 1<<16-1)),
	}
	if c.params.err != nil {
		return c.params.err
	}
	const doing = "Unable to add ICE candidate"
	err := c.addCandidate(owner, candidate)
	switch {
	case is[room.NotFoundError](err):
		return nil
	case is[room.LimitError](err):
		return refuse(codeMediaCandidate, "%s: %v", doing, err)
	}
	return mediaRefused(err, doing)
}

func (c *call) addCandidate(owner string, candidate media.ICECandidate) error {
	s := c.conversation
	if owner != s.participant.ConnectionID() {
		err := s.participant.AddSubscriberCandidate(owner, candidate)
		if is[room.NotFoundError](err) {
			err = s.participant.AddSubscriberCandidate(subscriptionTo(s.participant.Room(), owner), candidate)
		}
		return err
	}
	streams, err := s.participant.Streams()
	switch {
	case err != nil:
		return err
	case len(streams) > 0:
		return s.participant.AddPublisherCandidate(streams[0].ID, candidate)
	case len(s.early) == maxEarlyCandidates:
		return refuse(codeMediaCandidate, "Unable to add ICE candidate: more than %d before the stream is published", maxEarlyCandidates)
	}
	s.early = append(s.early, candidate)
	return nil
}

// changeStream passes on what a publisher tells of its stream; the stream is always its own one
// (openvidu-rpc 2.10).
func changeStream(_ context.Context, c *call) error {
	c.params.text("streamId", maxName)
	property := c.params.text("property", maxName)
	change := room.StreamChange{Reason: c.params.text("reason", maxName)}
	if !c.params.has("newValue") {
		c.params.wrong("newValue", "a JSON value")
	}
	value := compact(c.params.fields["newValue"])
	c.params.bound("newValue", len(value), maxPropertyValue)
	switch property {
	case "audioActive":
		change.AudioActive = activity(c, value)
	case "videoActive":
		change.VideoActive = activity(c, value)
	case "videoDimensions":
		text := c.params.text("newValue", maxVideoDimensions)
		checkDimensions(c, "newValue", text)
		if dimensions, known := readDimensions(text); known {
			change.VideoDimensions = &dimensions
			break
		}
		fallthrough
	default:
		change.Property, change.Value = property, value
	}
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	stream, err := c.ownStream()
	if err != nil {
		return err
	}
	if err = p.ChangeStream(stream, change); is[room.NotFoundError](err) {
		return notStreaming(p)
	}
	return err
}

// activity reads a boolean, also in the form of a string.
func activity(c *call, value string) *bool {
	value = strings.Trim(value, `"`)
	active := value == "true"
	if !active && value != "false" {
		c.params.wrong("newValue", "a boolean")
	}
	return &active
}

// videoData is what a publisher measures of itself. Nobody asks for it here, but the client wants
// an answer.
func videoData(_ context.Context, c *call) error {
	const most = 1 << 20
	c.params.optionalInteger("height", 0, most, 0)
	c.params.optionalInteger("width", 0, most, 0)
	c.params.optionalFlag("videoActive", false)
	c.params.optionalFlag("audioActive", false)
	if c.params.err != nil {
		return c.params.err
	}
	return c.participant.Alive()
}
