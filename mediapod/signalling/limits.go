package signalling

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// Limits bound what clients may do. What is over them is answered with an error that names the
// limit, to that client alone. docs/protocol-limits.md lists them, with those that are constants.
type Limits struct {
	// MessageBytes is the size of one message.
	MessageBytes int64
	// Socket bounds what comes over one socket, Address what comes from one IP address, of IPv6
	// from one /64.
	Socket, Address Rates
	// Sockets is how many clients may be connected. Up to a quarter more are connected and told why
	// they can't join.
	Sockets int
	// Unjoined is how many of them may have joined no room, UnjoinedPerAddress how many of those
	// may come from one address. When there are more the oldest one is closed.
	Unjoined, UnjoinedPerAddress int
}

// Rates bound how much may come.
type Rates struct {
	// Joins are attempts to join a room, Messages all messages, Bytes what those have together.
	Joins, Messages, Bytes Rate
	// WrongSecrets are those that are none of the tenant's, Metadata is the bytes of what joining
	// clients say of themselves. They hold for addresses.
	WrongSecrets, Metadata Rate
}

// Rate is a token bucket: so many per second in the long run, and Burst at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// DefaultLimits are far above what a browser does, also behind an address that hundreds share.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes: 1 << 20,
		Socket: Rates{
			Joins:    Rate{PerSecond: 1, Burst: 10},
			Messages: Rate{PerSecond: 200, Burst: 2000},          // candidates of many peer connections come in bursts
			Bytes:    Rate{PerSecond: 512 << 10, Burst: 4 << 20}, // a quarter of what may wait for others
		},
		Address: Rates{
			Joins:    Rate{PerSecond: 50, Burst: 500},
			Messages: Rate{PerSecond: 10000, Burst: 100000},
			Bytes:    Rate{PerSecond: 16 << 20, Burst: 256 << 20},
			// As many as wrong passwords of the REST API: it is the same secret.
			WrongSecrets: Rate{PerSecond: 1.0 / 3, Burst: 20},
			// Each join with much of it costs its room, those who are in it and the operator more
			// than the client. Hundreds behind one address may come at once with 10 KB each.
			Metadata: Rate{PerSecond: 256 << 10, Burst: 8 << 20},
		},
		Sockets:            10000,
		Unjoined:           1000,
		UnjoinedPerAddress: 250,
	}
}

// budget is what one source of messages has left. It is safe for concurrent use.
type budget struct {
	source string // in the words of an error
	rates  Rates

	joins, messages, bytes, wrongSecrets, metadata *rate.Limiter

	// What follows is guarded by the addresses that it belongs to.
	sockets int                  // how many use it
	told    map[string]time.Time // when the log was told of a reason to refuse something
}

func newBudget(source string, rates Rates) *budget {
	limiter := func(r Rate) *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }
	return &budget{
		source: source, rates: rates, told: make(map[string]time.Time),
		joins: limiter(rates.Joins), messages: limiter(rates.Messages), bytes: limiter(rates.Bytes), wrongSecrets: limiter(rates.WrongSecrets),
		metadata: limiter(rates.Metadata),
	}
}

// alone returns the budget of an address for one of its sockets, which the others do not use up:
// nobody must be kept out because of strangers.
func (b *budget) alone() *budget {
	fresh, own := newBudget(b.source, b.rates), *b
	own.joins, own.messages, own.bytes, own.metadata = fresh.joins, fresh.messages, fresh.bytes, fresh.metadata
	return &own
}

func (b *budget) over(what string, r Rate) error {
	return tooMany("%s: at most %.3g per second from one %s", what, r.PerSecond, b.source)
}

func tooMany(format string, args ...any) error {
	return room.LimitError{Text: "too many " + fmt.Sprintf(format, args...)}
}

// join takes one attempt to join off.
func (b *budget) join(now time.Time) error {
	if !b.joins.AllowN(now, 1) {
		return b.over("attempts to join", b.rates.Joins)
	}
	return nil
}

// bring takes the metadata of a client off that joins.
func (b *budget) bring(now time.Time, metadata int) error {
	if !b.metadata.AllowN(now, metadata) {
		return b.over("bytes of metadata", b.rates.Metadata)
	}
	return nil
}

// message takes a message of that size off.
func (b *budget) message(now time.Time, size int) error {
	switch {
	case !b.messages.AllowN(now, 1):
		return b.over("messages", b.rates.Messages)
	case !b.bytes.AllowN(now, size):
		return b.over("bytes", b.rates.Bytes)
	}
	return nil
}

// trySecret takes a wrong secret off before one is looked at, so that many at once are no more
// tries. The refund is for one that is right.
func (b *budget) trySecret(now time.Time) (refund func(), over error) {
	taken := b.wrongSecrets.ReserveN(now, 1)
	if taken.DelayFrom(now) > 0 {
		taken.CancelAt(now)
		return nil, b.over("wrong secrets", b.rates.WrongSecrets)
	}
	return func() { taken.CancelAt(now) }, nil
}

// full reports whether a new budget would be no better.
func (b *budget) full(now time.Time) bool {
	return b.quiet(now) &&
		b.joins.TokensAt(now) >= float64(b.rates.Joins.Burst) &&
		b.wrongSecrets.TokensAt(now) >= float64(b.rates.WrongSecrets.Burst) &&
		b.metadata.TokensAt(now) >= float64(b.rates.Metadata.Burst)
}

// quiet reports whether as many messages may come as ever.
func (b *budget) quiet(now time.Time) bool {
	return b.messages.TokensAt(now) >= float64(b.rates.Messages.Burst) && b.bytes.TokensAt(now) >= float64(b.rates.Bytes.Burst)
}

// So many refused messages, or bytes of them, without a pause end the socket of a client that does
// not slow down.
const (
	maxRefusals     = 2000
	maxRefusedBytes = 8 << 20
)

// allowance is what a socket may send: from budgets of its own and of all at its address.
type allowance struct {
	own, shared *budget

	// How much was refused since the client was quiet; owned by the reader.
	refusals, refusedBytes int
}

// spend takes a message off. It costs the address nothing when it is a ping: a client whose ping is
// refused for the sake of its neighbours would reconnect, which costs more. Of a client that floods
// the error is errFlooding.
func (a *allowance) spend(ping bool, size int) error {
	now := time.Now()
	if a.own.quiet(now) {
		a.refusals, a.refusedBytes = 0, 0
	}
	over := a.own.message(now, size)
	if over == nil && !ping {
		over = a.shared.message(now, size)
	}
	if over == nil {
		return nil
	}
	a.refusals, a.refusedBytes = a.refusals+1, a.refusedBytes+size
	if a.refusals > maxRefusals || a.refusedBytes > maxRefusedBytes {
		return errFlooding
	}
	return over
}

// join takes one attempt to join off, and the metadata that the client brings.
func (a *allowance) join(metadata int) error {
	now := time.Now()
	if over := a.own.join(now); over != nil {
		return over
	}
	if over := a.shared.join(now); over != nil {
		return over
	}
	return a.shared.bring(now, metadata)
}

// addresses holds a budget per address.
type addresses struct {
	rates Rates

	mu      sync.Mutex // guards what follows, and the number of sockets of each budget
	budgets map[netip.Prefix]*budget
}

// maxAddresses is how many addresses without a socket are kept apart before they are forgotten,
// those first that have been quiet.
const maxAddresses = 10000

func newAddresses(rates Rates) *addresses {
	return &addresses{rates: rates, budgets: make(map[netip.Prefix]*budget)}
}

// enter returns the budget of an address for one more socket. Leave must follow.
func (a *addresses) enter(address netip.Addr, now time.Time) *budget {
	bits := 32
	if address = address.Unmap(); address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		prefix = netip.Prefix{} // clients without a known address share one budget
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, known := a.budgets[prefix]
	if !known {
		a.forget(now)
		b = newBudget("address", a.rates)
		a.budgets[prefix] = b
	}
	b.sockets++
	return b
}

func (a *addresses) leave(b *budget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.sockets--
}

// toldInterval is how often the log is told of the same of one address.
const toldInterval = time.Minute

// tell reports whether the log is to be told, for a reason, of what comes from an address.
func (a *addresses) tell(b *budget, reason string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before, told := b.told[reason]; told && now.Sub(before) < toldInterval {
		return false
	}
	b.told[reason] = now
	return true
}

// forget makes room when there are many addresses. It is locked.
func (a *addresses) forget(now time.Time) {
	for _, may := range []func(*budget) bool{
		func(b *budget) bool { return b.full(now) },
		func(*budget) bool { return true },
	} {
		if len(a.budgets) < maxAddresses {
			return
		}
		for prefix, b := range a.budgets {
			if b.sockets == 0 && may(b) {
				delete(a.budgets, prefix)
			}
		}
	}
}
