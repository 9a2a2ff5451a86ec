package openvidu

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// scarce is a rate at which nothing comes again in the time of a test.
func scarce(burst int) signalling.Rate {
	return signalling.Rate{PerSecond: 1e-9, Burst: burst}
}

const wrongToken = "wss://host?sessionId=team.room&token=tok_X"

// Whoever goes over a limit is told which one; a neighbour on another socket, or at another
// address, is not affected.
func TestLimits(t *testing.T) {
	join := joinParams(wrongToken, "team.room")
	for name, c := range map[string]struct {
		limit func(*signalling.Limits)
		// over does what is too much, on a socket that has joined, and returns the answer.
		over func(t *testing.T, p *pod, a *client) jsonrpc.Error
		code int
		text string
		// all says that everybody at the address is affected.
		all bool
	}{
		"joins of a connection": {
			limit: func(l *signalling.Limits) { l.Socket.Joins = scarce(2) },
			over: func(_ *testing.T, p *pod, _ *client) jsonrpc.Error {
				c := p.dial()
				c.refused("joinRoom", join)
				c.refused("joinRoom", join)
				return c.refused("joinRoom", join)
			},
			code: 999, text: "Too many attempts to join: at most 1e-09 per second from one connection",
		},
		"joins of an address": {
			limit: func(l *signalling.Limits) { l.Address.Joins = scarce(3) },
			over: func(_ *testing.T, p *pod, _ *client) jsonrpc.Error {
				p.dial().refused("joinRoom", join)
				return p.dial().refused("joinRoom", join)
			},
			code: 999, text: "Too many attempts to join: at most 1e-09 per second from one address",
		},
		"metadata of an address": {
			limit: func(l *signalling.Limits) { l.Address.Metadata = scarce(100) },
			over: func(_ *testing.T, p *pod, _ *client) jsonrpc.Error {
				return p.dial().refused("joinRoom", strings.Replace(join, `"client"`, `"`+strings.Repeat("x", 100)+`"`, 1))
			},
			code: 999, text: "Too many bytes of metadata: at most 1e-09 per second from one address",
		},
		"messages of a connection": {
			limit: func(l *signalling.Limits) { l.Socket.Messages = scarce(4) },
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				a.call("echo", `{}`)
				a.call("ping", `{}`)
				return a.refused("echo", `{}`)
			},
			code: 999, text: "Too many messages: at most 1e-09 per second from one connection",
		},
		"messages of an address": {
			limit: func(l *signalling.Limits) { l.Address.Messages = scarce(4) },
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error { // two joins, without their pings
				a.call("echo", `{}`)
				a.call("echo", `{}`)
				a.call("ping", `{}`)
				return a.refused("echo", `{}`)
			},
			code: 999, text: "Too many messages: at most 1e-09 per second from one address", all: true,
		},
		"bytes of a connection": {
			limit: func(l *signalling.Limits) { l.Socket.Bytes = scarce(2000) },
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("sendMessage", `{"message":"`+strings.Repeat("x", 2000)+`"}`)
			},
			code: 999, text: "Too many bytes: at most 1e-09 per second from one connection",
		},
		"bytes of an address": {
			limit: func(l *signalling.Limits) { l.Address.Bytes = scarce(2000) },
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("sendMessage", `{"message":"`+strings.Repeat("x", 2000)+`"}`)
			},
			code: 999, text: "Too many bytes: at most 1e-09 per second from one address",
		},
		"the size of a message": {
			limit: func(l *signalling.Limits) { l.MessageBytes = 1000 },
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("sendMessage", `{"message":"`+strings.Repeat("x", 1000)+`"}`)
			},
			code: jsonrpc.CodeInvalidRequest, text: "Invalid request: a message may have at most 1000 bytes",
		},
		"the depth of JSON": {
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("echo", `{"x":`+strings.Repeat("[", jsonrpc.MaxDepth)+strings.Repeat("]", jsonrpc.MaxDepth)+`}`)
			},
			code: jsonrpc.CodeInvalidRequest, text: "Invalid request: JSON is nested deeper than 32",
		},
		"the depth of a signal": {
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("sendMessage", `{"message":"`+strings.Repeat("[", jsonrpc.MaxDepth+1)+`"}`)
			},
			code: 600, text: "Provided signal object has not a valid JSON format: it is nested deeper than 32. Code: 600",
		},
		"the size of a session description": {
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				return a.refused("publishVideo", strings.Replace(cameraParams, `"offer"`, `"`+strings.Repeat("x", maxSDP+1)+`"`, 1))
			},
			code: -1, text: "Request element 'sdpOffer' of RPC method 'publishVideo' is too long: it may have at most 262144 bytes",
		},
		"candidates before a stream": {
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				params := `{"endpointName":"con_A","candidate":"","sdpMid":"0","sdpMLineIndex":0}`
				for range 64 {
					a.call("onIceCandidate", params)
				}
				return a.refused("onIceCandidate", params)
			},
			code: 304, text: "Unable to add ICE candidate: more than 64 before the stream is published. Code: 304",
		},
		"candidates of a stream": {
			over: func(_ *testing.T, _ *pod, a *client) jsonrpc.Error {
				a.publish(cameraParams)
				params := `{"endpointName":"con_A","candidate":"","sdpMid":"0","sdpMLineIndex":0}`
				for range 256 {
					a.call("onIceCandidate", params)
				}
				return a.refused("onIceCandidate", params)
			},
			code: 304, text: "Unable to add ICE candidate: more than 256 for one peer connection. Code: 304",
		},
	} {
		t.Run(name, func(t *testing.T) {
			limits := signalling.DefaultLimits()
			if c.limit != nil {
				c.limit(&limits)
			}
			p := newPod(t, limits, "A", "B", "C")
			a, b := p.join("A"), p.join("B")
			a.notification()
			got := c.over(t, p, a)
			if c.code == 999 {
				c.text += ". Code: 999"
			}
			if got.Code != c.code || got.Message != c.text {
				t.Errorf("got  %d %s\nwant %d %s", got.Code, got.Message, c.code, c.text)
			}
			elsewhere := p.dial(podhttp.HeaderAddress, "192.0.2.2")
			elsewhere.joinAs("C")
			if !c.all {
				b.callThrough("echo", `{}`)
			}
			elsewhere.call("echo", `{}`)
		})
	}
}

// Who does not slow down is sent away, also when some of what it sends is still taken, and one line
// of the log says why, however often it comes back.
func TestAFloodEndsTheSocket(t *testing.T) {
	for name, c := range map[string]struct {
		size     int
		interval time.Duration
	}{
		"many messages":  {size: 1, interval: time.Millisecond},
		"large messages": {size: 200 << 10, interval: 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, signalling.DefaultLimits())
				message := []byte(`{"jsonrpc":"2.0","method":"echo","params":{"x":"` + strings.Repeat("x", c.size) + `"}}`)
				for range 2 {
					a := p.dial()
					for begun := time.Now(); a.ws.Write(t.Context(), websocket.MessageText, message) == nil; time.Sleep(c.interval) {
						if time.Since(begun) > time.Minute {
							t.Fatal("nobody sends it away")
						}
					}
					if got := websocket.CloseStatus(<-a.ended); got != websocket.StatusPolicyViolation {
						t.Errorf("closed with %d", got)
					}
					p.dial().call("ping", `{}`) // nobody else is
				}
				if lines := p.log.with("Closing the socket of a client"); len(lines) != 1 || !strings.Contains(lines[0], "too many messages") {
					t.Errorf("the log says %q", lines)
				}
			})
		})
	}
}

// What is refused now and then does not add up to a flood.
func TestARefusalNowAndThenEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := signalling.DefaultLimits()
		limits.Socket.Messages = signalling.Rate{PerSecond: 1, Burst: 2}
		p := newPod(t, limits, "A")
		a := p.join("A")
		for range 3000 {
			time.Sleep(2 * time.Second)
			a.call("ping", `{}`)
			a.call("ping", `{}`)
			a.refused("ping", `{}`)
		}
	})
}
