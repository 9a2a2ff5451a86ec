// Package relay is the single authority on how a client's WebSocket is carried to its media pod,
// and outlives it.
//
//	client <-- frames as they are --> relay <-- the same, and binary messages for the gateway --> media pod
//
// Frames pass one by one, unchanged: fragments, pings, pongs and close frames with their codes. The
// far ends do what they do without a gateway between them; only so does a media pod know by a pong
// what the client has received.
//
// A media pod that has told the relay a resumption, by its handshake or in a binary message, may be
// replaced. The message may name a request: it counts once the client has the answer to that. The
// pod is replaced when its side ends without a close frame, or with the code 1012, or when it is
// silent and the room is on another one. The client does not notice:
//
//   - What the client sends waits, within bounds; beyond them the client can't send.
//   - A request that was not answered is sent once more, in a binary message: the media pod knows
//     then that the lost one may have handled it. The relay reads of JSON-RPC the id, no more.
//     Binary messages of clients, which no protocol has, do not pass.
//   - Pings of the next media pod have an ordinal number before their payload, which is cut off the
//     pongs. A pong to the media pod before is dropped.
//
// Where that is impossible the client's socket ends as when there is no gateway between: without a
// close frame.
package relay
