package rest

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// username is the only one there is (openvidu-rest 1.1).
const username = "OPENVIDUAPP"

// Bounds of wrong passwords from one address.
const (
	// failuresAtOnce is how many an address may send at once.
	failuresAtOnce = 20
	// failureRecovery is after what time it may send one more.
	failureRecovery = 3 * time.Second
	// maxFailing is how many addresses are remembered.
	maxFailing = 10000
)

// authenticate returns the namespace in which a request acts, or fails with errUnauthenticated or errTooManyFailures. No credentials at all are no failure: the
// Java client begins every time without them.
func (a *API) authenticate(ctx context.Context, r *http.Request) (namespace string, err error) {
	user, password, given := r.BasicAuth()
	if !given {
		return "", errUnauthenticated
	}
	from := a.address(r)
	if !a.failures.allow(from, time.Now()) {
		return "", errTooManyFailures
	}
	// The user name is no secret.
	if user == username && password != "" {
		if namespace, err = a.tenants.Holder(ctx, password); err != nil {
			return "", err
		}
	}
	if namespace == "" {
		a.failures.add(from, time.Now())
		return "", errUnauthenticated
	}
	return namespace, nil
}

// failures counts the wrong passwords of each address. The zero value works. Safe for concurrent use.
type failures struct {
	mu    sync.Mutex                 // guards until
	until map[netip.Prefix]time.Time // address -> when all of its failures are forgotten
}

// allow says whether an address may try a password.
func (f *failures) allow(from netip.Prefix, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.until[from].Sub(now) <= (failuresAtOnce-1)*failureRecovery
}

// add counts a wrong password.
func (f *failures) add(from netip.Prefix, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == nil {
		f.until = map[netip.Prefix]time.Time{}
	}
	until, known := f.until[from]
	if !known && len(f.until) >= maxFailing {
		f.forget(now)
	}
	if until.Before(now) {
		until = now
	}
	f.until[from] = until.Add(failureRecovery)
}

// forget drops the addresses whose failures are over, and if that makes no room, one of the others.
func (f *failures) forget(now time.Time) {
	var some netip.Prefix
	for from, until := range f.until {
		some = from
		if until.Before(now) {
			delete(f.until, from)
		}
	}
	if len(f.until) >= maxFailing {
		delete(f.until, some)
	}
}
