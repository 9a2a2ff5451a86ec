package rest

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// username is the only user of the API (openvidu-rest 1.1).
const username = "OPENVIDUAPP"

// Bounds of wrong passwords from one address.
const (
	// failuresAtOnce is how many of an address are answered at once.
	failuresAtOnce = 20
	// failureRecovery is after what time one more is answered.
	failureRecovery = 3 * time.Second
	// maxFailing is how many addresses are remembered.
	maxFailing = 10000
)

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
	counted := a.failures.take(from, time.Now())
	// The user name is no secret.
	if user == username && password != "" {
		namespace, err = a.tenants.Holder(ctx, password)
	}
	if counted && (namespace != "" || err != nil) {
		a.failures.giveBack(from)
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

// failures counts the wrong passwords of each address. The zero value works. Safe for concurrent
// use.
//
// An address without a failure for failuresAtOnce*failureRecovery has none left. So two generations
// are enough, each that long: a failure puts its address into the newer one, and the older one is
// dropped as a whole. Nothing is ever searched, however many addresses there are.
type failures struct {
	mu           sync.Mutex                 // guards what follows
	newer, older map[netip.Prefix]time.Time // address -> when all of its failures are forgotten
	began        time.Time                  // when the newer generation began
}

// take counts a failure of an address, unless it has too many: then it returns false.
func (f *failures) take(from netip.Prefix, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, known := f.newer[from]
	if !known {
		until = f.older[from]
	}
	if until.Before(now) {
		until = now
	}
	if until.Sub(now) > (failuresAtOnce-1)*failureRecovery {
		return false
	}
	if !known {
		f.age(now)
	}
	f.newer[from] = until.Add(failureRecovery)
	return true
}

// giveBack takes a failure back that was none.
func (f *failures) giveBack(from netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, generation := range []map[netip.Prefix]time.Time{f.newer, f.older} {
		if until, known := generation[from]; known {
			generation[from] = until.Add(-failureRecovery)
			return
		}
	}
}

// age begins a new generation when it is time, or when there is no room in this one. It is locked.
func (f *failures) age(now time.Time) {
	if f.newer == nil || len(f.newer) >= maxFailing/2 || now.Sub(f.began) >= failuresAtOnce*failureRecovery {
		f.newer, f.older, f.began = map[netip.Prefix]time.Time{}, f.newer, now
	}
}
