// Package credential is the single authority on whom an OpenTok token lets in: to a session (a
// connect token, T1 or JWT), or to the REST API (a JWT).
//
// All of it is pure. Tokens are made by applications, offline; the gateway only verifies them
// (opentok-rest 1.2, 3).
//
//	token                 names its project by    is signed with
//	T1                    partner_id              HMAC-SHA-1, the API secret
//	JWT of a project      iss                     HS256, the API secret
//	JWT of an application application_id          RS256, the application's private key
//
// The algorithm follows from how the project is named, never from the token's header.
package credential
