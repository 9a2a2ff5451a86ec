// Package failures is the single authority on how often clients at one address may show a wrong
// secret: a password, whatever part of the gateway it is told to, or a token.
package failures

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of failures of one address.
const (
	// AtOnce is how many of an address are answered at once.
	AtOnce = 20
	// Recovery is after what time one more is answered.
	Recovery = 3 * time.Second
	// MaxAddresses is how many addresses are remembered.
	MaxAddresses = 10000
)

// Counter counts the failures of each address. The zero value works. Safe for concurrent use.
//
// An address without a failure for AtOnce*Recovery has none left. So two generations are enough,
// each that long: a failure puts its address into the newer one, and the older one is dropped as a
// whole. Nothing is ever searched, however many addresses there are.
type Counter struct {
	mu           sync.Mutex                 // guards what follows
	newer, older map[netip.Prefix]time.Time // address -> when all of its failures are forgotten
	began        time.Time                  // when the newer generation began
}

// Try has a secret verified, and counts a wrong one for an address. It reports whether there were
// too many: then nobody may be told that this one was wrong. A right secret is good whatever others
// at the same address have tried.
func (c *Counter) Try(from netip.Prefix, verify func() (wrong bool)) (tooMany bool) {
	counted := c.Take(from, time.Now())
	wrong := verify()
	if counted && !wrong {
		c.GiveBack(from)
	}
	return wrong && !counted
}

// Take counts a failure of an address, unless it has too many: then it returns false. It is called
// before it is known whether there is a failure: else as many tries as come at the same time would
// all count as the first.
func (c *Counter) Take(from netip.Prefix, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, known := c.newer[from]
	if !known {
		until = c.older[from]
	}
	if until.Before(now) {
		until = now
	}
	if until.Sub(now) > (AtOnce-1)*Recovery {
		return false
	}
	if !known {
		c.age(now)
	}
	c.newer[from] = until.Add(Recovery)
	return true
}

// GiveBack takes a failure back that was none.
func (c *Counter) GiveBack(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, generation := range []map[netip.Prefix]time.Time{c.newer, c.older} {
		if until, known := generation[from]; known {
			generation[from] = until.Add(-Recovery)
			return
		}
	}
}

// age begins a new generation when it is time, or when there is no room in this one. It is locked.
func (c *Counter) age(now time.Time) {
	if c.newer == nil || len(c.newer) >= MaxAddresses/2 || now.Sub(c.began) >= AtOnce*Recovery {
		c.newer, c.older, c.began = map[netip.Prefix]time.Time{}, c.newer, now
	}
}
