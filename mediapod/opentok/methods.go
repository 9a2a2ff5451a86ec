package opentok

import "context"

// Bounds of parameters, in bytes where nothing else is said.
const (
	maxName       = 256
	maxToken      = 4096
	maxPlatform   = 4096
	maxSDP        = 256 << 10
	maxCandidate  = 1024
	maxSignalType = 128
	maxSignalData = 8 << 10
	// maxStreams is how many streams a participant may send at once.
	maxStreams = 8
	// maxExcluded is how many streams may be left out of a mute of all.
	maxExcluded = 1000
	// maxFrameRate is in Hz, maxSide in pixels.
	maxFrameRate = 1000
	maxSide      = 1 << 16
)

// The methods by which a client comes.
const (
	methodConnect = "connect"
	methodResume  = "resume"
)

// method is how a request is handled. A handler that does not reply is answered with an empty
// result.
type method struct {
	handle func(context.Context, *call) error
	// anybody may call it, also without having joined.
	anybody bool
	// once says that it must not be done twice: a request that a lost media pod may have handled is
	// refused.
	once bool
}

// methods are all that clients may call, but for ping, which does not wait for its turn
// (opentok-rpc 2).
var methods = map[string]method{
	methodConnect: {handle: connect, anybody: true},
	methodResume:  {handle: resume, anybody: true},
	"leave":       {handle: leave},

	"publish":     {handle: publish},
	"renegotiate": {handle: renegotiate},
	"unpublish":   {handle: unpublish},
	"change":      {handle: change},

	"subscribe":   {handle: subscribe},
	"answer":      {handle: answer},
	"deliver":     {handle: deliver},
	"unsubscribe": {handle: unsubscribe},
	"candidate":   {handle: candidate},

	"signal":           {handle: signal, once: true},
	"forceDisconnect":  {handle: forceDisconnect},
	"forceUnpublish":   {handle: forceUnpublish},
	"forceMute":        {handle: forceMute},
	"forceMuteAll":     {handle: forceMuteAll},
	"disableForceMute": {handle: disableForceMute},
}
