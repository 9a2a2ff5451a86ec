// Package rest is the single authority on the OpenVidu REST API: its paths, status codes and JSON,
// as a projection onto Session and Connection objects. What REST creates, kubectl shows, and the
// other way round.
//
//	request ── CORS ── tenant (Basic auth) ── endpoint table ── parse (pure) ── objects ── project (pure) ── reply
//
// # Consistency
//
// Objects are read from the API server itself, not from a cache, so that what one answer said the
// next request finds, at whatever gateway it arrives. Caches serve only as an index (which object
// has this id?), whose answer is then read live, and to wake those who wait.
//
// # Identifiers
//
// An object's name follows from the session id (objectNames), so that the API server itself lets
// only one of two concurrent requests for an id through. A Session that a person named differently
// is found by its spec.sessionID.
//
// # Instants
//
// Kubernetes counts in seconds, OpenVidu in milliseconds. What REST creates carries its instant as
// an annotation; for other objects it is derived from the creation timestamp and the UID. Either
// way it never changes, and lists are ordered by it.
package rest
