package openvidu

import (
	"context"
	"encoding/json"
	"time"

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
	repeated       bool
	params         params
	observedMethod string
	answered       bool
	code           int
	after          func() // is called after the answer; nil for nothing
}

// reply answers the request. It only queues, so it may be called with a room locked.
func (c *call) reply(result any) {
	c.answered = true
	c.client.Reply(c.result(c.id, result, c.private))
}

// replyLater answers the request after a while. Other requests are answered meanwhile.
func (c *call) replyLater(result any, after time.Duration) {
	c.answered = true
	answer := c.result(c.id, result, c.private)
	time.AfterFunc(after, func() { c.client.Reply(answer) })
}

// method is how a request is handled. A handler that does not reply is answered with an empty
// result.
type method struct {
	handle func(context.Context, *call) error
	// anybody may call it, also without having joined.
	anybody bool
	// once says that it must not be done twice: a request that a lost media pod may have handled is
	// refused. Of the others the second call has no effect but an error or a second notification of
	// the same.
	once bool
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

	"sendMessage":     {handle: sendMessage, once: true},
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
	p := c.participant
	err := p.Signal(to, signal)
	if is[room.NotFoundError](err) {
		err = p.Signal(behind(p.Room(), to), signal)
	}
	if is[room.NotFoundError](err) {
		return signalToNobody()
	}
	return err
}

func forceDisconnect(_ context.Context, c *call) error {
	connectionID := c.params.text("connectionId", maxName)
	if c.params.err != nil {
		return c.params.err
	}
	p := c.participant
	reply := func() { c.reply(struct{}{}) }
	err := p.ForceDisconnect(connectionID, reply)
	if one, stands := standIns(p.Room())[connectionID]; stands && is[room.NotFoundError](err) {
		err = p.ForceUnpublish(one.streamID, reply)
	}
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
