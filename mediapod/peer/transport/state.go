package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// State is a connection as a value, by which another process can go on with it. What it does not
// have is what every connection has, the role and the tie-breaker, and what is learnt anew: the
// peer's addresses, since behind a NAT the other process is reached by other ones.
//
// It holds the keys of the media. It is not printed, and must be sent over encrypted links only.
type State struct {
	// Name and Password are the ICE user name fragment and password of our end.
	Name, Password string
	// Rank is that of the process which has exported the state.
	Rank Rank `json:",omitzero"`
	// Address is where the peer has answered checks over UDP; the zero value when it has not.
	Address netip.AddrPort `json:",omitzero"`
	// Remote is the peer's end; the zero value until that is known.
	Remote Remote
	// Nomination is the number of our last nomination.
	Nomination uint32
	// Keys protect the media; the zero value until there are keys.
	Keys Keys
	// Sent and SentControl are the highest indices that were used by us, of SRTP and of SRTCP, by
	// SSRC; Received and ReceivedControl those that the peer has used.
	Sent, Received               map[uint32]uint64
	SentControl, ReceivedControl map[uint32]uint32
}

// Keys are what protects the media of a connection (RFC 3711, section 3.2.1).
type Keys struct {
	Profile                                    dtls.SRTPProtectionProfile
	LocalKey, LocalSalt, RemoteKey, RemoteSalt []byte
}

// Format implements fmt.Formatter: nothing of a state is printed.
func (State) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalLog implements logr.Marshaler.
func (State) MarshalLog() any { return redacted }

// Format implements fmt.Formatter: nothing of keys is printed.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalLog implements logr.Marshaler.
func (Keys) MarshalLog() any { return redacted }

const redacted = "[redacted]"

// MaxMargin is the most that outbound indices may jump by: after 2^15 and more the receiver
// decrypts nothing any more (RFC 3711, section 3.3.1).
const MaxMargin = 1<<15 - 1<<10

var (
	errUnnamed   = errors.New("the state has no ICE credentials")
	errUnsecured = errors.New("the state has no keys")
	errTaken     = errors.New("there is such a connection here already")
	errOther     = errors.New("the state is that of another connection")
	errServed    = errors.New("the connection is not on standby")
)

// Rank is the place of this process among those that the peer is told of.
func (c *Conn) Rank() Rank { return c.rank }

// Export returns the connection as a value. On standby that is what another process has said last.
func (c *Conn) Export() State {
	c.mu.Lock()
	followed, remote := c.followed, c.remote
	c.mu.Unlock()
	if followed != nil {
		return *followed
	}
	state := State{Name: c.name, Password: c.password, Rank: c.rank, Remote: remote}
	c.pathsMu.Lock()
	state.Nomination = c.paths.nomination
	if now := c.paths.now; now != nil && now.tcp == nil && !now.answered.IsZero() {
		state.Address = now.address
	}
	c.pathsMu.Unlock()
	if k := c.keys.Load(); k != nil {
		k.export(&state)
	}
	return state
}

// Freeze ends what this process sends for the connection: nothing is encrypted any more, and no
// path nominated. What is exported after it is exact. The peer is not told, also not by Close.
func (c *Conn) Freeze() {
	c.frozen.Store(true)
	c.pathsMu.Lock()
	c.paths.standby = true
	c.pathsMu.Unlock()
	if k := c.keys.Load(); k != nil {
		k.freeze()
	}
}

// Import makes a connection that another process serves, on standby. It does nothing until Listen.
// The rank of this process is the one after the other's.
func (s *Sockets) Import(state State, events Events) (*Conn, error) {
	rank := state.Rank + 1
	if err := state.check(rank); err != nil {
		return nil, fmt.Errorf("importing connection: %w", err)
	}
	c := s.newConn(events)
	c.name, c.password, c.rank = state.Name, state.Password, rank
	c.remote, c.started, c.followed = state.Remote, true, &state
	c.paths = paths{nomination: state.Nomination, standby: true, proven: true}
	if state.Remote.Password != "" {
		c.paths.checkBytes = len(c.request(question{}, state.Remote))
	}
	return c, nil
}

// Listen has a connection on standby answer the peer's checks and learn where the peer is, which
// keeps the way to it open. It sends no media until TakeOver. It is to be called before the peer is
// told of this process: some peers check an address when they learn of it and never again. It fails
// when there is such a connection already.
func (c *Conn) Listen() error {
	if err := c.sockets.add(c); err != nil {
		return fmt.Errorf("importing connection: %w", err)
	}
	c.mu.Lock()
	address := c.followed.Address
	c.mu.Unlock()
	c.seek(address)
	return nil
}

func (s State) check(rank Rank) error {
	if s.Name == "" || s.Password == "" {
		return errUnnamed
	}
	return rank.check()
}

// Follow notes what the other process says of a connection that is on standby here.
func (c *Conn) Follow(state State) error {
	met, err := c.follow(state)
	if err != nil {
		return fmt.Errorf("following connection: %w", err)
	}
	if met {
		c.meet()
	}
	c.seek(state.Address)
	return nil
}

// follow tells whether the peer was not known before.
func (c *Conn) follow(state State) (met bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	met = c.remote == Remote{}
	switch {
	case c.followed == nil:
		return false, errServed
	case state.Name != c.name || state.Password != c.password || !met && state.Remote != c.remote:
		return false, errOther
	}
	c.followed, c.remote = &state, state.Remote
	return met && state.Remote != Remote{}, nil
}

// TakeOver makes a connection that is on standby go on here. The other process must have ceased to
// send, and must not have sent more than margin packets of any stream since what it said last. The
// peer is told by a nomination. It calls Events.Connected.
func (c *Conn) TakeOver(margin uint16) error {
	state, err := c.resume(margin)
	if err != nil {
		return fmt.Errorf("taking over connection: %w", err)
	}
	now := time.Now()
	c.heard.Store(now.UnixNano())
	c.choose(func(p *paths) []question { return p.takeOver(state.Nomination+1, now) })
	c.events.Connected()
	return nil
}

// resume makes the keys of a connection that is on standby, and ends that.
func (c *Conn) resume(margin uint16) (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return State{}, ErrClosed
	case c.followed == nil:
		return State{}, errServed
	}
	k, err := importKeys(*c.followed, margin, c.events.rtcpPerSecond())
	if err != nil {
		return State{}, err
	}
	state := *c.followed
	c.keys.Store(k)
	c.followed = nil
	return state, nil
}

// export adds what there is of keys to a state.
func (k *keys) export(state *State) {
	state.Keys = k.material
	k.sealing.Lock()
	state.Sent = k.sent.export()
	state.SentControl = map[uint32]uint32{}
	for ssrc := range k.reporters {
		state.SentControl[ssrc], _ = k.local.Index(ssrc)
	}
	k.sealing.Unlock()
	k.opening.Lock()
	state.Received, state.ReceivedControl = map[uint32]uint64{}, map[uint32]uint32{}
	for ssrc, sender := range k.senders {
		if sender.hasMedia {
			state.Received[ssrc] = sender.media
		}
		if sender.hasControl {
			state.ReceivedControl[ssrc] = uint32(sender.control)
		}
	}
	k.opening.Unlock()
}

// importKeys makes keys that go on after a state.
func importKeys(state State, margin uint16, rtcpPerSecond int) (*keys, error) {
	if margin > MaxMargin {
		return nil, fmt.Errorf("the margin is %d, at most %d is allowed", margin, MaxMargin)
	}
	if len(state.Keys.LocalKey) == 0 {
		return nil, errUnsecured
	}
	if n := len(state.Received); n > MaxSSRCs {
		return nil, fmt.Errorf("the state has %d SSRCs of the peer, at most %d are allowed", n, MaxSSRCs)
	}
	k, err := state.Keys.contexts(rtcpPerSecond)
	if err != nil {
		return nil, err
	}
	for ssrc, index := range state.Sent {
		if index > maxIndex-uint64(margin) {
			return nil, fmt.Errorf("stream %d has used %d indices, there are %d", ssrc, index, maxIndex)
		}
	}
	k.sent = resume(state.Sent, margin)
	for ssrc, index := range state.SentControl {
		if index > maxControlIndex-uint32(margin) {
			return nil, fmt.Errorf("RTCP of %d has used %d indices, there are %d", ssrc, index, maxControlIndex)
		}
		k.reporters[ssrc] = index + uint32(margin) + Block + 1
		k.local.SetIndex(ssrc, index+uint32(margin))
	}
	k.floor = uint32(margin)
	for ssrc, index := range state.Received {
		k.senders[ssrc] = &inbound{media: index, hasMedia: true, resumed: true, firstMedia: index + 1}
	}
	for ssrc, index := range state.ReceivedControl {
		sender := k.knows(ssrc)
		if sender == nil {
			return nil, ErrSSRCs
		}
		sender.control, sender.hasControl, sender.firstReply = uint64(index), true, uint64(index)+1
	}
	return k, nil
}

// contexts makes the SRTP contexts for keys.
func (m Keys) contexts(rtcpPerSecond int) (*keys, error) {
	profile, ok := profiles[m.Profile]
	if !ok {
		return nil, fmt.Errorf("the way of protection %d is not one of ours", m.Profile)
	}
	local, err := srtp.CreateContext(m.LocalKey, m.LocalSalt, profile)
	if err != nil {
		return nil, fmt.Errorf("making SRTP context: %w", err)
	}
	remote, err := srtp.CreateContext(m.RemoteKey, m.RemoteSalt, profile,
		srtp.SRTCPReplayProtection(controlWindow), srtp.SRTPReplayProtection(mediaWindow))
	if err != nil {
		return nil, fmt.Errorf("making SRTP context: %w", err)
	}
	k := newKeys(local, remote, rtcpPerSecond)
	k.material = Keys{
		Profile: m.Profile, LocalKey: slices.Clone(m.LocalKey), LocalSalt: slices.Clone(m.LocalSalt),
		RemoteKey: slices.Clone(m.RemoteKey), RemoteSalt: slices.Clone(m.RemoteSalt),
	}
	return k, nil
}

// freeze has nothing encrypted any more.
func (k *keys) freeze() {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	k.frozen = true
}
