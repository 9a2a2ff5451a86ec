// Package podhttp is the single authority on the HTTP between gateway and media pod: which requests
// a media pod serves to gateways, and what a gateway tells in their headers about the client.
//
//	gateway -- GET OpenViduPath or OpenTokPath, upgraded to a client's WebSocket, with the headers of Client --> media pod
//	gateway -- POST SignalPath: what a server says to a room ---------------------------------->
//	gateway -- POST MutePath: a Mute, what a server wants of the audio in a room -------------->
//
// A gateway that Holds outlives the media pod with the client's WebSocket. On that socket, text is
// between client and media pod, and binary messages are between media pod and gateway: see
// Resumption, and ClientGone of a gateway that Tells.
package podhttp

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// OpenViduPath is where clients open WebSockets of the OpenVidu protocol, at the gateway and at a
// media pod.
const OpenViduPath = "/openvidu"

// OpenTokPath is where clients open WebSockets of the protocol for OpenTok.js applications.
const OpenTokPath = "/opentok"

// SignalPattern is where a media pod takes signals of the server, as a pattern of http.ServeMux.
// {key} is the routing key of the room.
const SignalPattern = "/rooms/{key}/signal"

// SignalPath returns where a media pod takes signals for the room with a routing key, escaped.
func SignalPath(key string) string { return "/rooms/" + url.PathEscape(key) + "/signal" }

// MutePattern is where a media pod takes wishes of the server for mute, as a pattern of
// http.ServeMux. {key} is the routing key of the room.
const MutePattern = "/rooms/{key}/mute"

// MutePath returns where a media pod takes wishes for mute in the room with a routing key, escaped.
func MutePath(key string) string { return "/rooms/" + url.PathEscape(key) + "/mute" }

// MaxExcluded bounds Mute.Excluded.
const MaxExcluded = 1000

// Mute is what a server wants of the audio in a room, as the JSON of a request.
type Mute struct {
	// Stream is the one stream that is to be muted. Without it, the wish is about all.
	Stream string `json:"stream,omitempty"`
	// All says whether all streams are to be muted, those to come as well, or no longer.
	All bool `json:"all,omitempty"`
	// Excluded are streams that are there and not to be muted with all.
	Excluded []string `json:"excluded,omitempty"`
}

// Headers about the client. A gateway passes none of them on from the client itself.
const (
	// HeaderAddress is the client's IP address.
	HeaderAddress = "X-Real-IP"
	// HeaderSharedAddress is "true" when others may have this address, too: it may be that of a
	// proxy of which the gateway was not told.
	HeaderSharedAddress = "X-Mediarooms-Shared-Address"
	// HeaderSession is SessionWaiting for a client whose Session is known and has no media pod.
	HeaderSession = "X-Mediarooms-Session"
	// HeaderSecretDigests lets the media pod recognise the secrets of the tenant whose room it is:
	// see FormatSecretDigests. Without it nobody joins by a secret.
	HeaderSecretDigests = "X-Mediarooms-Secret-Digests"
	// HeaderHeld is for how many milliseconds the gateway has held the handshake.
	HeaderHeld = "X-Mediarooms-Held"
	// HeaderHolds is "true" when the gateway can keep the client's WebSocket while its media pod is
	// replaced.
	HeaderHolds = "X-Mediarooms-Holds"
	// HeaderTells is "true" when the gateway says ClientGone.
	HeaderTells = "X-Mediarooms-Tells"
	// HeaderResume is a value of Resumption. In a request: the client was on another media pod, or
	// on another socket of this one, and knows nothing of the change. In the answer to a gateway
	// that holds: what it is resumed by until the media pod says something else.
	HeaderResume = "X-Mediarooms-Resume"

	// SessionWaiting is the only value of HeaderSession.
	SessionWaiting = "waiting"
)

// ClientGone is the binary message of a gateway that Tells, before it ends a WebSocket whose client
// has ended its connection without a close frame. A WebSocket that ends without either has lost the
// gateway, and perhaps not the client.
const ClientGone = "gone"

// Client is what a gateway tells about the client of a WebSocket.
type Client struct {
	// Address is the client's; the zero Addr when it is not known.
	Address netip.Addr
	// SharedAddress says that others may have the same address.
	SharedAddress bool
	// SessionWaiting says that the Session is known and has no media pod.
	SessionWaiting bool
	// SecretDigests is a value of FormatSecretDigests.
	SecretDigests string
	// Held is for how long the gateway has held the handshake; 0 when it has not.
	Held time.Duration
	// Holds says that the gateway can keep the client's WebSocket while its media pod is replaced.
	Holds bool
	// Tells says that the gateway says ClientGone.
	Tells bool
	// Resume is the text of a Resumption when this replaces a socket that the media pod has lost;
	// else "".
	Resume string
}

// Write puts the client into the headers of a request, in place of what they say.
func (c Client) Write(header http.Header) {
	set := func(name, value string) {
		header.Del(name)
		if value != "" {
			header.Set(name, value)
		}
	}
	set(HeaderAddress, "")
	if c.Address.IsValid() {
		set(HeaderAddress, c.Address.String())
	}
	set(HeaderSharedAddress, "")
	if c.SharedAddress {
		set(HeaderSharedAddress, "true")
	}
	set(HeaderSession, "")
	if c.SessionWaiting {
		set(HeaderSession, SessionWaiting)
	}
	set(HeaderSecretDigests, c.SecretDigests)
	set(HeaderHeld, "")
	if held := c.Held.Milliseconds(); held > 0 {
		set(HeaderHeld, strconv.FormatInt(held, 10))
	}
	set(HeaderHolds, "")
	if c.Holds {
		set(HeaderHolds, "true")
	}
	set(HeaderTells, "")
	if c.Tells {
		set(HeaderTells, "true")
	}
	set(HeaderResume, c.Resume)
}

// ReadClient returns the client of a request. Its address is the peer's own when the request has
// none.
func ReadClient(r *http.Request) Client {
	return Client{
		Address:        address(r),
		SharedAddress:  r.Header.Get(HeaderSharedAddress) == "true",
		SessionWaiting: r.Header.Get(HeaderSession) == SessionWaiting,
		SecretDigests:  r.Header.Get(HeaderSecretDigests),
		Held:           held(r),
		Holds:          r.Header.Get(HeaderHolds) == "true",
		Tells:          r.Header.Get(HeaderTells) == "true",
		Resume:         r.Header.Get(HeaderResume),
	}
}

func held(r *http.Request) time.Duration {
	milliseconds, err := strconv.ParseInt(r.Header.Get(HeaderHeld), 10, 32)
	if err != nil {
		return 0
	}
	return max(0, time.Duration(milliseconds)*time.Millisecond)
}

func address(r *http.Request) netip.Addr {
	if told, err := netip.ParseAddr(r.Header.Get(HeaderAddress)); err == nil {
		return told.Unmap()
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
