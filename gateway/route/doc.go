// Package route is the single authority on which media pod a client's signalling WebSocket goes to,
// and carries it there.
//
//	client ── ws(s) /openvidu?sessionId=KEY ──> gateway ── wss, mutual TLS ──> media pod
//
// Clients of OpenTok's library come to /opentok, and reach media pods there. All else is the same.
//
// A KEY names one Session of the cluster (naming.RoutingKey). What Sessions and media pods there
// are comes from caches, never from a request to the API server, so that an outage of the API
// server touches nobody who joins, reconnects or talks.
//
//	KEY          media pod           first connection                          reconnection
//	known        usable, programmed  that pod                                  that pod
//	known        usable, not yet     that pod, once programmed or after 2 s    that pod, once programmed; held for up
//	             programmed                                                    to 8 s, then 503
//	known        none                held for up to 8 s, then any ready pod,   held for up to 8 s, then 503: the client
//	                                 which answers joinRoom with 204           comes again after 3 s
//	unknown      -                   held for up to 1 s, then any ready pod,   any ready pod, which answers connect
//	                                 which answers joinRoom with 202           with 40007
//	any          no pod at all       the gateway takes the WebSocket itself    503
//	none         -                   the gateway takes the WebSocket itself    any ready pod, likewise
//
// A client that the gateway has taken in gets answers to its pings. When it joins, the table is
// gone through once more, by the key in the token if there was none in the URL: then a pod goes on
// with the socket, or the answer is an error (OpenVidu's 204) and the client may call again
// (docs/adr/0062-the-gateway-takes-in-who-has-no-pod.md).
//
// The asymmetry is the client's: it hangs for ever on a refused first handshake, and loops hot on
// an accepted and then closed reconnection (openvidu-rpc 1.8). A reconnection that a pod refuses
// ends the client's session, so it reaches only a pod that has the room; the pod is told for how
// long it was held (docs/adr/0053). A Session that is unknown is waited for because another gateway
// may have handed out its token a moment ago.
//
// A client that has joined keeps its WebSocket when its media pod is lost (docs/adr/0055). The next
// one is looked for as for a reconnection, but for a Session that is unknown: that ends the
// WebSocket.
//
//	the next media pod   the client's WebSocket
//	takes it (101)       goes on there
//	503, not reached     is held, and tried again for up to 8 s in all; then it is ended
//	refuses (409)        is ended without a close frame: the client reconnects by itself, since it
//	                     has to send anew (docs/adr/0089)
package route
