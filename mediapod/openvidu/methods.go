package openvidu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// Bounds of parameters, in bytes where nothing else is said.
const (
	maxName            = 256
	maxToken           = 4096
	maxMetadata        = 65536
	maxPlatform        = 4096
	maxSDP             = 256 << 10
	maxCandidate       = 1024
	maxVideoDimensions = 1024
	maxPropertyValue   = 16 << 10
	maxFrameRate       = 1000
	maxSignal          = maxMessageText
	maxMessageText     = 1 << 20 // a message is not bigger
	quotedSignal       = 1000
	// maxEarlyCandidates is how many ICE candidates may come before the stream is published.
	maxEarlyCandidates = 64
)

// call is a request while it is handled.
type call struct {
	*conversation
	id             json.RawMessage
	params         params
	observedMethod string
	answered       bool
	code           int
}

// reply answers the request. It only queues, so it may be called with a room locked.
func (c *call) reply(result any) {
	c.answered = true
	c.client.Reply(c.result(c.id, result, c.private))
}

// method is how a request is handled. A handler that does not reply is answered with an empty
// result.
type method struct {
	handle func(context.Context, *call) error
	// anybody may call it, also without having joined.
	anybody bool
}

// methods are all that clients may call, but for ping, which does not wait for its turn.
var methods = map[string]method{
	"joinRoom":      {handle: joinRoom, anybody: true},
	"connect":       {handle: connect, anybody: true},
	"sessionStatus": {handle: sessionStatus, anybody: true},
	"closeSession":  {handle: closeSession},
	"leaveRoom":     {handle: leaveRoom},
	"echo":          {handle: echo},

	"publishVideo":            {handle: publishVideo},
	"unpublishVideo":          {handle: unpublishVideo},
	"prepareReceiveVideoFrom": {handle: prepareReceiveVideoFrom},
	"receiveVideoFrom":        {handle: receiveVideoFrom},
	"unsubscribeFromVideo":    {handle: unsubscribeFromVideo},
	"reconnectStream":         {handle: reconnectStream},
	"onIceCandidate":          {handle: onIceCandidate},
	"streamPropertyChanged":   {handle: changeStream},
	"videoData":               {handle: videoData},

	"sendMessage":     {handle: sendMessage},
	"forceDisconnect": {handle: forceDisconnect},
	"forceUnpublish":  {handle: forceUnpublish},

	// What a server without filters and speech to text answers (openvidu-rpc 2.13 to 2.16, 2.21).
	"applyFilter":                 {handle: unauthorized("Unable to apply filter")},
	"removeFilter":                {handle: unauthorized("Unable to remove filter")},
	"execFilterMethod":            {handle: unauthorized("Unable to execute filter method")},
	"addFilterEventListener":      {handle: unauthorized("Unable to add filter event listener")},
	"removeFilterEventListener":   {handle: unauthorized("Unable to remove filter event listener")},
	"subscribeToSpeechToText":     {handle: noSpeechToText},
	"unsubscribeFromSpeechToText": {handle: noSpeechToText},
}

// errorData is the data member that errors of some methods carry (openvidu-rpc 1.4).
var errorData = map[string]string{
	"reconnectStream":           "{}",
	"addFilterEventListener":    "{}",
	"removeFilterEventListener": "{}",
}

func joinRoom(_ context.Context, c *call) error {
	err := join(c)
	code := 0
	if err != nil {
		code = wireError(err, c.participant).Code
		c.joinFailed = true
		c.endGuessing()
	}
	c.frontEnd.observer.Joined(code, time.Since(c.client.Opened()))
	return err
}

func join(c *call) error {
	s := c.conversation
	tokenURL := c.params.text("token", maxToken)
	session := c.params.text("session", maxName)
	metadata := c.params.optionalText("metadata", maxMessageText)
	platform := c.params.optionalText("platform", maxPlatform)
	shown := readCredential(c)
	switch {
	case c.params.err != nil:
		return c.params.err
	case s.participant != nil:
		return refuse(codeExistingUser, "Unable to join session %s. This connection has joined a session already", session)
	case len(metadata) > maxMetadata:
		return refuse(codeMetadata, "Unable to join session %s. The metadata may have at most %d bytes", session, maxMetadata)
	case strings.Contains(metadata, metadataSeparator):
		// Others would take what follows for the server's.
		return refuse(codeMetadata, "Unable to join session %s. The metadata may not contain '%s'", session, metadataSeparator)
	case s.client.Unwelcome():
		return refuse(codeNoMediaNode, "There is no available Media Node where to initialize session '%s'", session)
	}
	if err := s.client.SpendJoin(); err != nil {
		return err
	}
	where, found := s.frontEnd.rooms.Lookup(session)
	if !found || !s.names(session) {
		return refuse(codeRoomNotFound, "Unable to join session. Session %s cannot be found", session)
	}
	client := room.Client{Metadata: metadata, Platform: platform}
	if address := s.client.Address(); address.IsValid() {
		client.Address = address.String()
	}
	claims, ignored := s.claims(session, shown)
	request := room.JoinRequest{Token: token.FromURL(tokenURL), Client: client, Claims: claims}
	err := where.Join(request, s.client, func(joined room.Joined) {
		s.joined(joined.Participant, joined.PrivateID)
		c.reply(s.frontEnd.joinResult(joined))
	})
	switch {
	case errors.Is(err, room.ErrToken) && ignored != nil:
		return ignored
	case errors.Is(err, room.ErrToken):
		return refuse(codeUnauthorized, "Unable to join session %s. Token %s is not valid", session, tokenURL)
	case errors.Is(err, room.ErrMetadata):
		return refuse(codeMetadata, "Unable to join session %s. The metadata of all who are in it may have at most %d bytes together", session, room.MaxMetadataBytes)
	case errors.Is(err, room.ErrClosed):
		return refuse(codeRoomClosed, "Unable to join the session. Session %s is closed", session)
	}
	return err
}

func (f *FrontEnd) joinResult(joined room.Joined) joinResult {
	result := joinResult{
		ID:          joined.Self.ConnectionID,
		FinalUserID: finalUserID(joined.Self.ConnectionID),
		Created:     joined.Self.Created.UnixMilli(),
		Metadata:    metadata(joined.Self),
		Value:       make([]participant, 0, len(joined.Others)),
		Session:     joined.SessionID,
		Version:     Version,
		// The server makes the offers to subscribers (openvidu-rpc 4.2).
		MediaServer: "mediasoup",
		Record:      joined.Record,
		Role:        roleNames[joined.Role],
		Life:        f.life,
	}
	for _, other := range joined.Others {
		result.Value = append(result.Value, wireParticipant(other))
	}
	for _, server := range joined.ICEServers {
		result.CustomICEServers = append(result.CustomICEServers, iceServer(server))
	}
	if len(result.CustomICEServers) == 0 {
		result.CustomICEServers = []iceServer{{URL: noSTUN}}
	}
	return result
}

// noSTUN is the ICE server of clients that are given no other: one that nobody can reach, since its
// name is in a domain that never exists (RFC 6761, section 6.4). They need none, because the media
// pod's candidates are in the SDP and the pod sees where they send from; but with an empty list
// openvidu-browser asks public servers (openvidu-rpc, trap 39). It must not be an address of media:
// Chromium takes every packet from the address of a STUN server for an answer of that server, and
// so loses those of the media pod (docs/adr/0017).
const noSTUN = "stun:stun.invalid"

// finalUserID stands for the reference's id of a browser session, of which there is none here. It
// only names a user in logs.
func finalUserID(connectionID string) string {
	sum := sha256.Sum256([]byte(connectionID))
	return strings.ToUpper(hex.EncodeToString(sum[:8]))
}

// sessionStatus tells a client that could not come back which life this is (openvidu-rpc 1.11).
// When it joined in another one, it tells its application that the media pod has crashed
// (nodeCrashed), on which applications join again; else that its own network was gone
// (networkDisconnect).
func sessionStatus(_ context.Context, c *call) error {
	c.reply(sessionStatusResult{Life: c.frontEnd.life})
	return nil
}

// connect takes a connection up again on this socket (openvidu-rpc 1.8).
func connect(_ context.Context, c *call) error {
	s := c.conversation
	private := c.params.text("sessionId", maxName)
	if s.participant != nil && private == s.private && s.participant.Alive() == nil {
		c.reply(map[string]string{"value": "reconnection successful"}) // it is here already
		return nil
	}
	if c.params.err != nil || s.participant != nil {
		return bare(codeReconnection, "reconnection error")
	}
	err := s.frontEnd.rooms.Resume(s.key, private, s.client, func(p *room.Participant) {
		s.joined(p, private)
		c.reply(map[string]string{"value": "reconnection successful"})
	})
	if err != nil {
		return bare(codeReconnection, "reconnection error")
	}
	return nil
}

func closeSession(_ context.Context, c *call) error {
	if err := c.participant.Leave(); err != nil {
		return err
	}
	c.reply(map[string]string{"value": "bye"})
	return nil
}

func leaveRoom(_ context.Context, c *call) error {
	return c.participant.Leave()
}

func echo(_ context.Context, c *call) error {
	return c.participant.Alive()
}

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
		return refuse(codeUserAlreadyStreams, "User %s is already publishing in session %s", p.ConnectionID(), p.Room().SessionID())
	}
	return offerRefused(err, p)
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

// publisher returns the connection id of a stream's publisher. It is the id of the subscription,
// too: a client receives one stream of each participant.
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
	offer, err := p.Subscribe(ctx, publisher, stream)
	if errors.Is(err, room.ErrSubscriptionEnded) {
		return refuse(codeMediaEndpoint, "%s: %v", doing, err)
	}
	if err != nil {
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
	return c.receive(ctx, publisher, stream, answer, false)
}

// receive takes the answer to the offer of prepareReceiveVideoFrom or, when forced, to that of
// forciblyReconnectSubscriber.
func (c *call) receive(ctx context.Context, publisher, stream, answer string, forced bool) error {
	p := c.participant
	err := p.Answer(ctx, publisher, answer, forced, func() { c.reply(struct{}{}) })
	if errors.Is(err, room.ErrNoOffer) {
		return refuse(codeMediaEndpoint, "User '%s' has no offer to answer for stream '%s': 'prepareReceiveVideoFrom' comes first",
			p.ConnectionID(), stream)
	}
	return mediaRefused(err, "Error generating SDP response for subscribing user "+p.ConnectionID())
}

func clientOffers(name string) *Error {
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
	switch {
	case !is[room.NotFoundError](err):
		return err
	case !p.Room().Has(publisher):
		return userNotFound(p, publisher)
	}
	return nil // it is not received
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
	return c.receive(ctx, publisher, stream, sdp, forced)
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
		return s.participant.AddSubscriberCandidate(owner, candidate)
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

func sendMessage(_ context.Context, c *call) error {
	message := c.params.text("message", maxSignal)
	if c.params.err != nil {
		return c.params.err
	}
	parsed, to, refused := parseSignal([]byte(message))
	if refused != nil {
		return refused
	}
	signal := room.Signal{Type: parsed.Type, Data: parsed.Data, Topic: withoutPrefix(parsed.Type)}
	if err := c.participant.Signal(to, signal); is[room.NotFoundError](err) {
		return signalToNobody()
	} else if err != nil {
		return err
	}
	return nil
}

func forceDisconnect(_ context.Context, c *call) error {
	connectionID := c.params.text("connectionId", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	err := c.participant.ForceDisconnect(connectionID, func() { c.reply(struct{}{}) })
	switch {
	case is[room.ForbiddenError](err):
		return noValidToken("Unable to force disconnect")
	case is[room.NotFoundError](err):
		return refuse(codeUserNotFound, "Connection not found when calling 'forceDisconnect'")
	}
	return err
}

func forceUnpublish(_ context.Context, c *call) error {
	streamID := c.params.text("streamId", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	err := p.ForceUnpublish(streamID, func() { c.reply(struct{}{}) })
	switch {
	case is[room.ForbiddenError](err):
		return noValidToken("Unable to force unpublish")
	case is[room.NotFoundError](err):
		return noSuchStream(p, streamID)
	}
	return err
}

func unauthorized(what string) func(context.Context, *call) error {
	return func(context.Context, *call) error {
		return noValidToken(what)
	}
}

func noSpeechToText(context.Context, *call) error {
	return refuse(codeWrongEdition, "Speech To Text requires OpenVidu Pro/Enterprise edition")
}
