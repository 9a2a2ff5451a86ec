// Package console is the single authority on who sees what in the gateway's console: a page, and
// the JSON that it asks for again and again, of rooms, who is in them, recordings, pools, media
// pods and Events. It only reads.
//
// # Who looks
//
// A tenant comes with the password of its REST API and sees its own namespace. Anybody else comes
// with a Kubernetes bearer token: a TokenReview says whose it is, and SubjectAccessReviews what of
// this that user may list. What a user may not list is not there for them, down to its number.
//
// The page sends the credential with each request, in the header Authorization. There is no cookie,
// so another site can't use one, and no session that gateways would have to share.
//
// # Where it comes from
//
// Everything is read from the gateway's caches, however many look. No answer has a token of a
// Connection in it.
package console
