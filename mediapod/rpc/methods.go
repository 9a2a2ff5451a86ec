package rpc

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
)

// call is a request while it is handled.
type call struct {
	socket         *socket
	id             json.RawMessage
	params         params
	observedMethod string
	answered       bool
	code           int
}

// reply answers the request. It only queues, so it may be called with a room locked.
func (c *call) reply(result any) {
	c.answered = true
	c.socket.answer(c.id, result, c.socket.private)
}

// method is how a request is handled. A handler that does not reply is answered with an empty result.
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
	"streamPropertyChanged":   {handle: streamPropertyChanged},
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
		code = wireError(err).Code
		c.socket.joinFailed = true
		c.socket.endGuessing()
	}
	c.socket.server.observer.Joined(code, time.Since(c.socket.handshake.opened))
	return err
}

func join(c *call) error {
	s := c.socket
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
	case strings.Contains(metadata, room.MetadataSeparator):
		// Others would take what follows for the server's.
		return refuse(codeMetadata, "Unable to join session %s. The metadata may not contain '%s'", session, room.MetadataSeparator)
	case s.handshake.refusal != nil:
		return s.handshake.refusal(session)
	}
	if over := s.allowance.join(); over != nil {
		return over
	}
	where, found := s.server.rooms.Lookup(session)
	if !found || !s.handshake.names(session) {
		return refuse(int(room.CodeRoomNotFound), "Unable to join session. Session %s cannot be found", session)
	}
	client := room.Client{Metadata: metadata, Platform: platform}
	if address := s.handshake.address; address.IsValid() {
		client.Address = address.String()
	}
	admission, ignored := s.admission(session, shown)
	request := room.JoinRequest{Token: token.FromURL(tokenURL), Client: client, Admission: admission}
	err := where.Join(request, s.out, func(joined room.Joined) {
		s.joined(joined.Participant, joined.RPCSessionID)
		c.reply(s.server.joinResult(joined))
	})
	switch {
	case errors.Is(err, room.ErrToken) && ignored != nil:
		return ignored
	case errors.Is(err, room.ErrToken):
		return refuse(int(room.CodeUnauthorized), "Unable to join session %s. Token %s is not valid", session, tokenURL)
	case errors.Is(err, room.ErrMetadata):
		return refuse(codeMetadata, "Unable to join session %s. The metadata of all who are in it may have at most %d bytes together", session, room.MaxMetadataBytes)
	case errors.Is(err, room.ErrClosed):
		return refuse(int(room.CodeRoomClosed), "Unable to join the session. Session %s is closed", session)
	}
	return err
}

func (s *Server) joinResult(joined room.Joined) joinResult {
	result := joinResult{
		ID:          joined.Self.ConnectionID,
		FinalUserID: finalUserID(joined.Self.ConnectionID),
		Created:     joined.Self.Created.UnixMilli(),
		Metadata:    joined.Self.Metadata,
		Value:       make([]participant, 0, len(joined.Others)),
		Session:     joined.SessionID,
		Version:     Version,
		// The server makes the offers to subscribers (openvidu-rpc 4.2).
		MediaServer: "mediasoup",
		Record:      joined.Record,
		Role:        string(joined.Role),
		Life:        s.life,
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

// noSTUN is the ICE server of clients that are given no other: one that nobody can reach, since its name is in a domain that never exists (RFC 6761,
// section 6.4). They need none, because the media pod's candidates are in the SDP and the pod sees where they send from; but with an empty list
// openvidu-browser asks public servers (openvidu-rpc, trap 39). It must not be an address of media: Chromium takes every packet from the address of a
// STUN server for an answer of that server, and so loses those of the media pod (docs/adr/0017).
const noSTUN = "stun:stun.invalid"

// finalUserID stands for the reference's id of a browser session, of which there is none here. It only names a user in logs.
func finalUserID(connectionID string) string {
	sum := sha256.Sum256([]byte(connectionID))
	return strings.ToUpper(hex.EncodeToString(sum[:8]))
}

// sessionStatus tells a client that could not come back which life this is (openvidu-rpc 1.11). When it joined in another one, it tells its application that the
// media pod has crashed (nodeCrashed), on which applications join again; else that its own network was gone (networkDisconnect).
func sessionStatus(_ context.Context, c *call) error {
	c.reply(sessionStatusResult{Life: c.socket.server.life})
	return nil
}

// connect takes a connection up again on this socket (openvidu-rpc 1.8).
func connect(_ context.Context, c *call) error {
	s := c.socket
	private := c.params.text("sessionId", maxName)
	if s.participant != nil && private == s.private && s.participant.Alive() == nil {
		c.reply(map[string]string{"value": "reconnection successful"}) // it is here already
		return nil
	}
	if c.params.err != nil || s.participant != nil {
		return bare(codeReconnection, "%v", room.ErrReconnection)
	}
	err := s.server.rooms.Reattach(s.handshake.key, private, s.out, func(p *room.Participant) {
		s.joined(p, private)
		c.reply(map[string]string{"value": "reconnection successful"})
	})
	if err != nil {
		return bare(codeReconnection, "%v", room.ErrReconnection)
	}
	return nil
}

func closeSession(_ context.Context, c *call) error {
	if err := c.socket.participant.Leave(); err != nil {
		return err
	}
	c.reply(map[string]string{"value": "bye"})
	return nil
}

func leaveRoom(_ context.Context, c *call) error {
	return c.socket.participant.Leave()
}

func echo(_ context.Context, c *call) error {
	return c.socket.participant.Alive()
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
		options.VideoDimensions = c.params.optionalText("videoDimensions", maxVideoDimensions)
		checkDimensions(c, "videoDimensions", options.VideoDimensions)
		options.TypeOfVideo = typeOfVideo(c)
	}
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.Publish(ctx, options, offer, func(published room.Stream, answer string) {
		c.reply(publishResult{SDPAnswer: answer, ID: published.ID, Created: published.Created.UnixMilli()})
	})
}

// checkDimensions refuses what is not JSON: clients that join later would never get in with it.
func checkDimensions(c *call, name, dimensions string) {
	if dimensions != "" && !json.Valid([]byte(dimensions)) {
		c.params.wrong(name, "a string with a JSON object")
	}
}

func typeOfVideo(c *call) string {
	const name = "typeOfVideo"
	if !c.params.has(name) {
		return "CAMERA"
	}
	switch value := c.params.text(name, maxName); value {
	case "CAMERA", "SCREEN", "CUSTOM":
		return value
	default:
		c.params.wrong(name, "CAMERA, SCREEN or CUSTOM")
		return ""
	}
}

func unpublishVideo(_ context.Context, c *call) error {
	return c.socket.participant.Unpublish()
}

func prepareReceiveVideoFrom(ctx context.Context, c *call) error {
	sender := c.params.text("sender", maxName)
	// What was received of that sender before is dropped either way.
	c.params.flag("reconnect")
	if c.params.err != nil {
		return c.params.err
	}
	offer, err := c.socket.participant.PrepareReceive(ctx, sender)
	if err != nil {
		return err
	}
	c.reply(map[string]string{"sdpOffer": offer})
	return nil
}

func receiveVideoFrom(ctx context.Context, c *call) error {
	sender := c.params.text("sender", maxName)
	if c.params.err == nil && c.params.has("sdpOffer") && !c.params.has("sdpAnswer") {
		return clientOffers("receiveVideoFrom")
	}
	answer := c.params.text("sdpAnswer", maxSDP)
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.Receive(ctx, sender, answer, func() { c.reply(struct{}{}) })
}

func clientOffers(name string) *Error {
	return refuse(codeOperationImpossible,
		"Operation not supported: this server makes the offers to subscribers, so '%s' takes the answer to that of 'prepareReceiveVideoFrom', not an offer", name)
}

func unsubscribeFromVideo(_ context.Context, c *call) error {
	sender := c.params.text("sender", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.Unsubscribe(sender)
}

// reconnectStream rebuilds the peer connection of a stream: of the client's own one, also when it does not know its id because the answer
// to publishVideo was lost, or of one that it receives.
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
	reconnected, err := c.socket.participant.ReconnectStream(ctx, stream, sdp, forced, func() { c.reply(struct{}{}) })
	if err != nil {
		return err
	}
	if reconnected != nil {
		c.reply(publishResult{
			SDPAnswer: reconnected.SDPAnswer,
			ID:        reconnected.Stream.ID,
			Created:   reconnected.Stream.Created.UnixMilli(),
		})
	}
	return nil
}

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
	return c.socket.participant.AddICECandidate(owner, candidate)
}

// streamPropertyChanged passes on what a publisher tells of its stream; the stream is always its own one (openvidu-rpc 2.10).
func streamPropertyChanged(_ context.Context, c *call) error {
	c.params.text("streamId", maxName)
	change := room.PropertyChange{
		Property: c.params.text("property", maxName),
		Reason:   c.params.text("reason", maxName),
	}
	if !c.params.has("newValue") {
		c.params.wrong("newValue", "a JSON value")
	}
	change.NewValue = compact(c.params.fields["newValue"])
	c.params.bound("newValue", len(change.NewValue), maxPropertyValue)
	switch change.Property {
	case "audioActive":
		change.AudioActive = activity(c, &change)
	case "videoActive":
		change.VideoActive = activity(c, &change)
	case "videoDimensions":
		dimensions := c.params.text("newValue", maxVideoDimensions)
		checkDimensions(c, "newValue", dimensions)
		change.VideoDimensions = &dimensions
	}
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.ChangeStream(change)
}

// activity reads a boolean, also in the form of a string, and sets it as others are told: "true" or "false".
func activity(c *call, change *room.PropertyChange) *bool {
	change.NewValue = strings.Trim(change.NewValue, `"`)
	active := change.NewValue == "true"
	if !active && change.NewValue != "false" {
		c.params.wrong("newValue", "a boolean")
	}
	return &active
}

// videoData is what a publisher measures of itself. Nobody asks for it here, but the client wants an answer.
func videoData(_ context.Context, c *call) error {
	const most = 1 << 20
	c.params.optionalInteger("height", 0, most, 0)
	c.params.optionalInteger("width", 0, most, 0)
	c.params.optionalFlag("videoActive", false)
	c.params.optionalFlag("audioActive", false)
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.Alive()
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
	return c.socket.participant.Signal(to, room.Signal{Type: parsed.Type, Data: parsed.Data})
}

func forceDisconnect(_ context.Context, c *call) error {
	connectionID := c.params.text("connectionId", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.ForceDisconnect(connectionID, func() { c.reply(struct{}{}) })
}

func forceUnpublish(_ context.Context, c *call) error {
	streamID := c.params.text("streamId", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	return c.socket.participant.ForceUnpublish(streamID, func() { c.reply(struct{}{}) })
}

func unauthorized(what string) func(context.Context, *call) error {
	return func(context.Context, *call) error {
		return refuse(int(room.CodeUnauthorized), "%s. The user does not have a valid token", what)
	}
}

func noSpeechToText(context.Context, *call) error {
	return refuse(codeWrongEdition, "Speech To Text requires OpenVidu Pro/Enterprise edition")
}
