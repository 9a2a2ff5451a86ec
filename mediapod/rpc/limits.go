package rpc

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what clients may do. What is over them is answered with an error, to that client alone.
type Limits struct {
	// MessageBytes is the size of one message.
	MessageBytes int64
	// MessagesPerSecond and MessageBurst bound the messages of one socket. Candidates of many peer connections come in bursts.
	MessagesPerSecond float64
	MessageBurst      int
	// JoinsPerSecond and JoinBurst bound the joins from one IP address, of IPv6 from one /64.
	JoinsPerSecond float64
	JoinBurst      int
	// Sockets is how many clients may be connected. Up to a quarter more are connected and told why they can't join.
	Sockets int
}

// DefaultLimits are far above what a browser does, also behind a shared address.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes:      1 << 20,
		MessagesPerSecond: 200,
		MessageBurst:      2000,
		JoinsPerSecond:    50,
		JoinBurst:         500,
		Sockets:           10000,
	}
}

// joinLimiter bounds joins per address.
type joinLimiter struct {
	limits Limits

	mu        sync.Mutex // guards what follows
	byAddress map[netip.Prefix]*rate.Limiter
}

// maxAddresses is how many addresses are kept apart before those that have been quiet are forgotten.
const maxAddresses = 10000

func newJoinLimiter(limits Limits) *joinLimiter {
	return &joinLimiter{limits: limits, byAddress: make(map[netip.Prefix]*rate.Limiter)}
}

func (l *joinLimiter) allow(address netip.Addr, now time.Time) bool {
	bits := 32
	if address = address.Unmap(); address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		prefix = netip.Prefix{} // clients without a known address share one limit
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, known := l.byAddress[prefix]
	if !known {
		l.forgetQuiet(now)
		limiter = rate.NewLimiter(rate.Limit(l.limits.JoinsPerSecond), l.limits.JoinBurst)
		l.byAddress[prefix] = limiter
	}
	return limiter.AllowN(now, 1)
}

// forgetQuiet makes room when there are many addresses: one whose limiter is full again needs none. The limiter is locked.
func (l *joinLimiter) forgetQuiet(now time.Time) {
	if len(l.byAddress) < maxAddresses {
		return
	}
	for prefix, limiter := range l.byAddress {
		if limiter.TokensAt(now) >= float64(l.limits.JoinBurst) {
			delete(l.byAddress, prefix)
		}
	}
	if len(l.byAddress) >= maxAddresses {
		clear(l.byAddress)
	}
}
