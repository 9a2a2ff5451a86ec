package mediapool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// lookupTimeout bounds one look-up of a host name.
	lookupTimeout = 5 * time.Second
	// lookupInterval is how often the host name of a load balancer is looked up, and retryInterval
	// how soon again after an error.
	lookupInterval = time.Minute
	retryInterval  = 15 * time.Second
	// maxHostAddresses is how many addresses of one host name clients are told: they try each.
	maxHostAddresses = 8
)

// hosts knows the addresses of the host names of load balancers. It looks them up beside the passes
// and wakes the pool when they have changed. Safe for concurrent use.
type hosts struct {
	// lookup returns the addresses of a host name.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// wake has a pass over a pool, now or after a while.
	wake func(pool types.NamespacedName, after time.Duration)

	mu    sync.Mutex // guards what follows
	known map[string]*host
}

// host is what is known of one host name.
type host struct {
	ips []string
	// err is why the last look-up has failed; nil when it has not.
	err error
	// next is when it is looked up again, asked when it was asked for last.
	next, asked time.Time
	running     bool
}

// newHosts returns hosts that ask the resolver of the operator's pod.
func newHosts(wake func(pool types.NamespacedName, after time.Duration)) *hosts {
	lookup := func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	return &hosts{lookup: lookup, wake: wake, known: make(map[string]*host)}
}

// resolver returns what looks names up for a pool.
func (h *hosts) resolver(pool string, now time.Time) func(name string) (ips []string, missing string) {
	return func(name string) ([]string, string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.forget(now)
		entry, known := h.known[name]
		if !known {
			entry = &host{}
			h.known[name] = entry
		}
		entry.asked = now
		if !entry.running && !now.Before(entry.next) {
			entry.running = true
			go h.ask(name, entry, types.NamespacedName{Name: pool}, now)
		}
		switch {
		case len(entry.ips) > 0:
			return slices.Clone(entry.ips), ""
		case entry.err != nil:
			return nil, fmt.Sprintf("the name %s of the load balancer has no address: %v", name, entry.err)
		}
		return nil, fmt.Sprintf("the name %s of the load balancer is being looked up", name)
	}
}

// ask looks a name up. Addresses stay known while an error lasts.
func (h *hosts) ask(name string, entry *host, pool types.NamespacedName, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, err := h.lookup(ctx, name)
	ips := usable(found)
	if err == nil && len(ips) == 0 {
		err = errNoAddress
	}
	h.mu.Lock()
	before := slices.Clone(entry.ips)
	said := entry.err == nil
	wait := lookupInterval
	if entry.err = inWords(err); err != nil {
		wait = retryInterval
	} else {
		entry.ips = ips
	}
	entry.running, entry.next = false, now.Add(wait)
	changed := !slices.Equal(before, entry.ips) || said != (err == nil)
	h.mu.Unlock()
	if changed {
		h.wake(pool, 0)
	}
	h.wake(pool, wait)
}

// errNoAddress is an answer without use.
var errNoAddress = errors.New("clients can reach none of its addresses")

// inWords returns an error of a look-up as one that does not change from try to try.
func inWords(err error) error {
	var unresolved *net.DNSError
	switch {
	case err == nil || errors.Is(err, errNoAddress):
		return err
	case errors.As(err, &unresolved) && unresolved.IsNotFound:
		return errors.New("there is no such name")
	case errors.As(err, &unresolved) && unresolved.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return errors.New("the name server does not answer")
	}
	return errors.New("the look-up has failed")
}

// usable returns the addresses that clients may be told, sorted, so that they do not change with
// the order of an answer.
func usable(found []netip.Addr) []string {
	all := make([]netip.Addr, 0, len(found))
	for _, ip := range found {
		ip = ip.Unmap().WithZone("")
		if !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	all = slices.Compact(all)
	ips := make([]string, 0, len(all))
	for _, ip := range all[:min(len(all), maxHostAddresses)] {
		ips = append(ips, ip.String())
	}
	return ips
}

// forget drops names that nobody has asked for lately. The lock is held.
func (h *hosts) forget(now time.Time) {
	for name, entry := range h.known {
		if !entry.running && now.Sub(entry.asked) > 2*lookupInterval {
			delete(h.known, name)
		}
	}
}
