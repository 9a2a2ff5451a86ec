package rest

import (
	"context"
	"net/http"
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
	tooMany := a.failures.Try(a.address(r), func() (wrong bool) {
		// The user name is no secret.
		if user == username && password != "" {
			namespace, err = a.tenants.Holder(ctx, password)
		}
		return namespace == "" && err == nil
	})
	switch {
	case err != nil:
		return "", err
	case tooMany:
		return "", errTooManyFailures
	case namespace == "":
		return "", errUnauthenticated
	}
	return namespace, nil
}
