package console

import (
	"errors"
	"net/http"
	"strconv"

	"mediarooms.dev/mediarooms/gateway/failures"
)

// problem is an answer other than success. The page has a text for each code.
type problem struct {
	status int
	// Code names the problem.
	Code string `json:"code"`
	// Message says it in English.
	Message string `json:"message"`
}

// Error says what the viewer is told.
func (p *problem) Error() string { return p.Message }

// Problems.
var (
	errUnauthenticated = &problem{http.StatusUnauthorized, "unauthenticated", "The password or token is not valid"}
	errTooMany         = &problem{http.StatusTooManyRequests, "too-many", "Too many wrong passwords from this address. Try again in a moment"}
	errForbidden       = &problem{http.StatusForbidden, "forbidden", "You may list Sessions in no namespace that has any"}
	errNamespace       = &problem{http.StatusForbidden, "namespace", "You may not list Sessions in this namespace"}
	errManyNamespaces  = &problem{http.StatusForbidden, "many-namespaces", "You may not list the Sessions of all namespaces, and there are many: name one"}
	errUnknown         = &problem{http.StatusNotFound, "unknown", "There is no such room, or you may not see it"}
	errNoRecording     = &problem{http.StatusNotFound, "unknown", "There is no such recording, or you may not see it"}
	errUnseen          = &problem{http.StatusServiceUnavailable, "unseen", "The gateway can't see recordings: it lacks the role mediarooms-console, or has just started"}
	errNoFile          = &problem{http.StatusNotFound, "unknown", "There is no such file"}
	errLink            = &problem{http.StatusForbidden, "link", "The link is not valid, or has ended"}
	errFiles           = &problem{http.StatusServiceUnavailable, "files", "The recorder that has the files can't be reached at the moment"}
	errMalformed       = &problem{http.StatusBadRequest, "malformed", "The request is malformed"}
	errMethod          = &problem{http.StatusMethodNotAllowed, "method", "The console can only be read"}
	errBusy            = &problem{http.StatusServiceUnavailable, "unavailable", "The gateway or the API server is too busy. Try again in a moment"}
	errInternal        = &problem{http.StatusServiceUnavailable, "unavailable", "The cluster's API server can't be reached at the moment"}
)

// retryAfter is when to ask again what can't be answered now, in seconds.
const retryAfter = 5

// refuse answers with a problem, and returns its status.
func refuse(w http.ResponseWriter, err error) int {
	known := errInternal
	_ = errors.As(err, &known)
	header := w.Header()
	switch known.status {
	case http.StatusUnauthorized:
		// Of another scheme than Basic: browsers would ask for that one by themselves.
		header.Set("WWW-Authenticate", `Bearer realm="console"`)
	case http.StatusTooManyRequests:
		header.Set("Retry-After", strconv.Itoa(int(failures.Recovery.Seconds())))
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(retryAfter))
	case http.StatusMethodNotAllowed:
		header.Set("Allow", "GET, HEAD")
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(known.status)
	// A client that has gone needs no answer.
	_, _ = w.Write(encode(known))
	return known.status
}
