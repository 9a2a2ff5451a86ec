// Package opentok is the single authority on OpenTok's REST API: its paths, status codes and JSON,
// and on how the bearer of a connect token gets a place in a room (opentok-rest).
//
//	server library ── REST token ──────> endpoint table ── objects ── JSON
//	client library ── connect token ──> join ── Session, Connection ── URL of the WebSocket
//
// A session id needs no store: its form says which project made it, and a Session object is made
// when somebody joins. So a session without an object is one that nobody is in.
//
// Every error has a JSON body: the Node library ends its process for an empty one (opentok-rest 5).
package opentok
