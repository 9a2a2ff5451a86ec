package transport

import (
	"math"
	"sync/atomic"
	"time"
)

// Permit says until when this process may send for connections that another one is to take over
// (decision 54). It is looked at before each burst, so that a process that was frozen does not go
// on. Its methods are safe for concurrent use. A nil Permit is for ever.
type Permit struct {
	until  atomic.Int64 // since began
	claims atomic.Bool
}

// began is when the process has; times since then are of the monotonic clock.
var began = time.Now()

// NewPermit returns one that is for ever.
func NewPermit() *Permit {
	p := &Permit{}
	p.ForEver()
	return p
}

// Until sets when it ends.
func (p *Permit) Until(end time.Time) { p.until.Store(int64(end.Sub(began))) }

// Claim has it be over, but for checks that nominate: whoever follows them is to be heard here.
func (p *Permit) Claim() {
	p.End()
	p.claims.Store(true)
}

// ForEver has it never end.
func (p *Permit) ForEver() { p.until.Store(math.MaxInt64) }

// End has it end now.
func (p *Permit) End() { p.until.Store(math.MinInt64) }

// valid says whether packets may be sent.
func (p *Permit) valid() bool {
	if p == nil {
		return true
	}
	until := p.until.Load()
	return until == math.MaxInt64 || int64(time.Since(began)) < until
}

// nominates says whether a path may be nominated.
func (p *Permit) nominates() bool { return p.valid() || p.claims.Load() }

// Block is how many packet indices of a stream may be used beyond those that another process is
// known to know of: it begins after them when it takes over.
const Block = 1 << 12

// Guard has a permit count for the connection from now on.
func (c *Conn) Guard(permit *Permit) { c.permit.Store(permit) }

// Bound has indices be used only up to a Block after those of a state that was exported, unless
// they are bounded already. It is called before that is sent to another process.
func (c *Conn) Bound(state State) {
	if k := c.keys.Load(); k != nil && len(state.Keys.LocalKey) > 0 && !k.isBounded() {
		k.release(state)
	}
}

// Release lets indices be used up to a Block after those of a state that the other process is known
// to have.
func (c *Conn) Release(state State) {
	if k := c.keys.Load(); k != nil && len(state.Keys.LocalKey) > 0 {
		k.release(state)
	}
}

func (k *keys) isBounded() bool {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	return k.bounded
}

// Is says whether a state is one of this connection.
func (c *Conn) Is(state State) bool { return c.name == state.Name }

// GoOn lets all packet indices be used, but for so many after those that were released: there is no
// other process any more that goes on with the connection, but one may have used these.
func (c *Conn) GoOn(skip uint16) {
	k := c.keys.Load()
	if k == nil {
		return
	}
	k.sealing.Lock()
	defer k.sealing.Unlock()
	k.bounded = false
	for _, stream := range k.sent.all {
		stream.first = max(stream.first, stream.highest+uint64(skip)+1)
	}
	for ssrc := range k.reporters {
		index, _ := k.local.Index(ssrc)
		k.local.SetIndex(ssrc, index+uint32(skip))
	}
	k.floor = max(k.floor, uint32(skip))
}

func (k *keys) release(state State) {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	k.bounded = true
	for ssrc, stream := range k.sent.all {
		if index, known := state.Sent[ssrc]; known {
			stream.end = index + Block + 1
		} else {
			stream.end = stream.start + Block
		}
	}
	for ssrc := range k.reporters {
		k.reporters[ssrc] = Block
		if index, known := state.SentControl[ssrc]; known {
			k.reporters[ssrc] = index + Block + 1
		}
	}
}

// report says whether RTCP of one of our own SSRCs may be encrypted now. The caller holds
// k.sealing.
func (k *keys) report(ssrc uint32) bool {
	end, known := k.reporters[ssrc]
	if !known {
		end = Block
		k.reporters[ssrc] = end
		if k.floor > 0 {
			k.local.SetIndex(ssrc, k.floor)
		}
	}
	index, _ := k.local.Index(ssrc)
	return !k.bounded || index+1 < end
}
