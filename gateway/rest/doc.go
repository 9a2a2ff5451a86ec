// Package rest is the single authority on the OpenVidu REST API: its paths, status codes and JSON,
// as a projection onto Session and Connection objects. What REST creates, kubectl shows, and the
// other way round.
//
//	request ── CORS ── tenant (Basic auth) ── endpoint table ── parse (pure) ── objects ── project (pure) ── reply
//
// # Instants
//
// Kubernetes counts in seconds, OpenVidu in milliseconds. What REST creates carries its instant as
// an annotation; for other objects it is derived from the creation timestamp and the UID. Either
// way it never changes, and lists are ordered by it.
package rest
