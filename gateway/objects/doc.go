// Package objects is the single authority on how the gateway finds, makes and removes Sessions and
// Connections, whatever REST dialect asks for it. It knows no HTTP.
//
// # Consistency
//
// Objects are read from the API server itself, not from a cache, so that what one answer said the
// next request finds, at whatever gateway it arrives. Caches serve only as an index (which object
// has this id?), whose answer is then read live, and to wake those who wait.
//
// # Identifiers
//
// An object's name follows from the session id (Names), so that the API server itself lets only one
// of two concurrent requests for an id through. A Session that a person named differently is found
// by its spec.sessionID.
package objects
