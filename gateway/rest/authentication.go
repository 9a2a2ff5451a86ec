package rest

import (
	"context"
	"net/http"
	"time"
)

// username is the only user of the API (openvidu-rest 1.1).
const username = "OPENVIDUAPP"

// authenticate returns the namespace in which a request acts, or fails with errUnauthenticated or
// errTooManyFailures. No credentials at all are no failure: the Java client begins every time
// without them.
//
// A right password enters whatever others at the same address have tried: many may share one, and
// nobody must be able to lock them out.
func (a *API) authenticate(ctx context.Context, r *http.Request) (namespace string, err error) {
	user, password, given := r.BasicAuth()
	if !given {
		return "", errUnauthenticated
	}
	from := a.address(r)
	// The failure is counted before it is known whether it is one: else as many tries as come at
	// the same time would all count as the first.
	counted := a.failures.Take(from, time.Now())
	// The user name is no secret.
	if user == username && password != "" {
		namespace, err = a.tenants.Holder(ctx, password)
	}
	if counted && (namespace != "" || err != nil) {
		a.failures.GiveBack(from)
	}
	switch {
	case err != nil:
		return "", err
	case namespace != "":
		return namespace, nil
	case !counted:
		return "", errTooManyFailures
	default:
		return "", errUnauthenticated
	}
}
