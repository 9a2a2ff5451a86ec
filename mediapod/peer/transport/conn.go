package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// handshakeDeadline is how long a peer may take for DTLS, from its first answer on.
const handshakeDeadline = 15 * time.Second

// Events is what a connection tells its owner. They are called by goroutines that must not wait for
// the connection's end.
type Events struct {
	// Connected is called once, when packets can be sent.
	Connected func()
	// Ended is called once, when the peer has gone or could not connect, and not because of Close.
	// The reason is nil, or what the peer has done that none may; see ErrLimit.
	Ended func(reason error)
	// Routed, when set, is called when packets go by another route than before, with whether that
	// is ICE-TCP.
	Routed func(tcp bool)
	// Unreached, when set, is called once, when the peer is heard and does not hear us any more:
	// something on the way lets UDP out, and nothing back in.
	Unreached func()
	// Control gets what the peer asks for by RTCP, all of a packet together. Feedback gets
	// transport-wide feedback as it came, and must not keep it. They must not block.
	Control  func(packets []rtcp.Packet)
	Feedback func(raw []byte)
	// Media gets the RTP of the peer, decrypted. It must not block, and not keep the packet. It is
	// called by the goroutine that reads the socket, and while a peer moves from UDP to TCP by two.
	// Without it the peer sends no media; without Feedback it receives none.
	Media func(packet []byte, at time.Time)
	// Relay, when set, gets the DTLS that the peer of a connection on standby sends here, for the
	// process that serves it, which is to take it by TakeRelayed; name is the connection's ICE user
	// name fragment, of our end. It must not block, and not keep the packet.
	Relay func(name string, packet []byte)
}

// rtcpPerSecond is how many RTCP packets the peer may send.
func (e *Events) rtcpPerSecond() int {
	if e.Feedback == nil {
		return compound.SenderPacketsPerSecond
	}
	return compound.ReceiverPacketsPerSecond
}

// Remote is what the peer's description says of its end.
type Remote struct {
	// Name and Password are its ICE user name fragment and password.
	Name, Password string
	// Hash and Fingerprint are those of its certificate (RFC 8122, section 5).
	Hash, Fingerprint string
	// Passive tells that it waits for our DTLS handshake.
	Passive bool
}

// Conn is a connection to a peer, which sends media, receives media, or both. Its methods are safe
// for concurrent use.
//
//	Open --Start--> checked --the peer's answer--> reached --DTLS--> secured --Close, silence, or closed by the peer--> over
type Conn struct {
	sockets        *Sockets
	name, password string // of ICE
	certificate    tls.Certificate
	events         Events
	context        context.Context
	cancel         context.CancelFunc
	dtls           *association

	route   atomic.Pointer[route] // that of paths.now; nil until the peer is reached
	arrival chan struct{}         // closed when the peer has answered where packets go
	heard   atomic.Int64          // when the peer was heard last, in Unix nanoseconds
	noted   atomic.Int64          // when that was noted of a path
	sounded atomic.Int64          // the same of media, since began; 0 for never
	// acknowledged is when the peer has given feedback last, in Unix nanoseconds; 0 for never.
	acknowledged atomic.Int64
	unreached    atomic.Bool          // Events.Unreached was called
	keys         atomic.Pointer[keys] // nil until secured

	rank Rank
	due  atomic.Int64 // when tick has something to do, in Unix nanoseconds

	relayed atomic.Int32 // DTLS packets on standby
	frozen  atomic.Bool
	permit  atomic.Pointer[Permit] // nil is for ever

	pathsMu sync.Mutex // guards what follows; nothing else is locked by who holds it
	paths   paths
	arrived bool // arrival is closed

	mu     sync.Mutex // guards the fields below
	remote Remote
	flows  flows // over TCP
	// followed is what another process has said last of the connection; nil when it is served here.
	followed *State
	started  bool
	ended    bool // or closed
	running  sync.WaitGroup
}

// Open prepares a connection that a peer can be told of.
func (s *Sockets) Open(certificate tls.Certificate, events Events) (*Conn, error) {
	c := s.newConn(events)
	c.certificate = certificate
	c.name, c.password = rand.Text()[:16], rand.Text()+rand.Text()[:6]
	c.paths.nomination = 1
	if err := s.add(c); err != nil {
		return nil, fmt.Errorf("opening connection: %w", err)
	}
	return c, nil
}

func (s *Sockets) newConn(events Events) *Conn {
	c := &Conn{sockets: s, events: events, arrival: make(chan struct{})}
	c.context, c.cancel = context.WithCancel(context.Background())
	c.dtls = newAssociation(c)
	c.heard.Store(time.Now().UnixNano())
	return c
}

// Credentials are the ICE user name fragment and password of this end.
func (c *Conn) Credentials() (name, password string) {
	return c.name, c.password
}

// Start lets the peer connect. It must be called once.
func (c *Conn) Start(remote Remote) error {
	if err := c.start(remote); err != nil {
		return fmt.Errorf("starting connection: %w", err)
	}
	c.meet()
	return nil
}

func (c *Conn) start(remote Remote) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.started {
		return ErrClosed
	}
	c.remote, c.started = remote, true
	c.running.Go(func() {
		if err := c.secure(remote); err != nil {
			c.sockets.logs.NewLogger("transport").Warnf("connecting: %v", err)
			c.over(nil)
		}
	})
	return nil
}

// secure waits for the peer's first answer and makes the keys.
func (c *Conn) secure(remote Remote) error {
	select {
	case <-c.arrival:
	case <-c.context.Done():
		return nil // closed, or over
	}
	session, err := c.dtls.open(remote)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.context, handshakeDeadline)
	defer cancel()
	if err := session.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS handshake: %w", err)
	}
	selected, ok := session.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("the peer protects no media")
	}
	state, ok := session.ConnectionState()
	if !ok {
		return errors.New("there is no DTLS session")
	}
	k, err := exportKeys(&state, selected, remote.Passive, c.events.rtcpPerSecond())
	if err != nil {
		return err
	}
	c.keys.Store(k)
	if c.frozen.Load() {
		k.freeze()
	}
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if !ended {
		c.events.Connected()
	}
	return nil
}

// Close ends the connection and waits until nothing of it runs any more. It is idempotent. It must
// not be called from an event.
func (c *Conn) Close() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.sockets.remove(c)
	c.cancel()
	c.running.Wait()
	c.dtls.close()
	c.flows.close()
}

// over ends the connection from the peer's side; see Events.Ended.
func (c *Conn) over(reason error) {
	c.mu.Lock()
	first := !c.ended
	c.ended = true
	c.mu.Unlock()
	if first {
		c.cancel()
		c.events.Ended(reason)
	}
}

func (c *Conn) remoteEnd() Remote {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// MediaHeard is when media or RTCP came from the peer last, exact to noteInterval; the zero value
// for never.
func (c *Conn) MediaHeard() time.Time {
	if at := c.sounded.Load(); at != 0 {
		return began.Add(time.Duration(at))
	}
	return time.Time{}
}

// Heard is when something authentic came from the peer last: media, RTCP or an ICE check. Before it
// is when the connection was made.
func (c *Conn) Heard() time.Time { return time.Unix(0, c.heard.Load()) }

func (c *Conn) silentFor(now time.Time) time.Duration {
	return now.Sub(c.Heard())
}

// routed tells the owner of another route.
func (c *Conn) routed(via route) {
	if c.events.Routed != nil {
		c.events.Routed(via.tcp != nil)
	}
}

// receive takes a packet of the peer that is not STUN (RFC 7983), and came by a route. It does not
// keep it.
func (c *Conn) receive(packet []byte, via route) {
	if len(packet) < 2 {
		return
	}
	switch {
	case isDTLS(packet):
		if !c.relay(packet) {
			c.receiveDTLS(packet)
		}
	case packet[0] >= 128 && packet[0] <= 191:
		if k := c.keys.Load(); k != nil {
			c.receiveMedia(k, packet, via)
		}
	}
}

func (c *Conn) receiveDTLS(packet []byte) {
	if c.keys.Load() != nil {
		packet = protected(packet)
	}
	if len(packet) > 0 {
		c.dtls.deliver(packet)
	}
}

// TakeRelayed takes a packet that the peer has sent to a process that has the connection on
// standby; see Events.Relay. One of another connection, by its name, or that is no DTLS, is
// dropped: it is as little trusted as one that comes from the network. It does not keep the packet.
func (c *Conn) TakeRelayed(name string, packet []byte) {
	if name == c.name && len(packet) > 1 && isDTLS(packet) {
		c.receiveDTLS(packet)
	}
}

// What a process where a connection is on standby passes on: a handshake takes about ten packets,
// each of which a peer sends again up to eight times.
const (
	maxRelayed      = 100
	maxRelayedBytes = 1500
)

// relay passes a DTLS packet on to the process that serves the connection, if that is another one.
// Browsers send their part of the handshake to whoever answers their checks by the best pair of
// candidates, and again only after ever longer times.
func (c *Conn) relay(packet []byte) (on bool) {
	if c.keys.Load() != nil {
		return false
	}
	c.mu.Lock()
	on = c.followed != nil
	c.mu.Unlock()
	if on && c.events.Relay != nil && len(packet) <= maxRelayedBytes && c.relayed.Add(1) <= maxRelayed {
		c.events.Relay(c.name, packet)
	}
	return on
}

// receiveMedia takes an RTP or RTCP packet.
func (c *Conn) receiveMedia(k *keys, packet []byte, via route) {
	now := time.Now()
	if raw := c.open(k, packet, now); raw != nil {
		c.heardMedia(via, len(packet), now)
		c.pass(raw, now)
	}
}

// open decrypts an RTP or RTCP packet, in place. It returns nil for one that was forged, replayed
// or broken, or is one too many.
func (c *Conn) open(k *keys, packet []byte, now time.Time) []byte {
	var raw []byte
	var err error
	switch {
	case isRTCP(packet):
		raw, err = k.open(packet, now)
	case c.events.Media != nil:
		raw, err = k.openMedia(packet)
	default:
		return nil // it was not agreed that the peer sends
	}
	if errors.Is(err, ErrLimit) {
		c.over(err)
	}
	if err != nil {
		return nil
	}
	return raw
}

// pass gives the owner what was opened.
func (c *Conn) pass(raw []byte, now time.Time) {
	if !isRTCP(raw) {
		c.events.Media(raw, now)
		return
	}
	if !c.events.control(raw) {
		return
	}
	if before := c.acknowledged.Swap(now.UnixNano()); now.UnixNano()-before > int64(feedbackTime) {
		c.due.Store(0) // from now on it is looked at when there is none
	}
}

// moved takes an RTP or RTCP packet that came by a route by which the peer has not come before, and
// reports whether it is the peer's. A NAT that forgets its mapping gives the peer another address,
// from one packet to the next. The packet is kept as it is when it is somebody else's.
func (c *Conn) moved(packet []byte, via route) bool {
	now := time.Now()
	raw := c.open(c.keys.Load(), slices.Clone(packet), now)
	if raw == nil {
		return false
	}
	c.reached(via, unprovenFactor*len(packet), now)
	c.pass(raw, now)
	return true
}

// sends tells whether the peer is known to send RTP or RTCP with an SSRC.
func (c *Conn) sends(ssrc uint32) bool {
	k := c.keys.Load()
	return k != nil && k.hears(ssrc)
}

// isDTLS tells DTLS from all else (RFC 7983). The packet has a byte or more.
func isDTLS(packet []byte) bool { return packet[0] >= 20 && packet[0] <= 63 }

// isRTCP tells RTCP from RTP (RFC 5761, section 4), and from all else (RFC 7983). The packet has
// two bytes or more.
func isRTCP(packet []byte) bool {
	return packet[0] >= 128 && packet[0] <= 191 && packet[1] >= 192 && packet[1] <= 223
}

// control takes the parts of an RTCP packet that are of use: what receivers have to say and, when
// the peer sends media, what senders have. What is malformed is the peer's fault, and its loss. It
// reports whether there was transport-wide feedback.
func (e *Events) control(packet []byte) (feedback bool) {
	receives, sends := e.Feedback != nil, e.Media != nil
	var all []rtcp.Packet
	for kind, part := range compound.Parts(packet) {
		switch kind {
		case compound.TransportFeedback:
			if receives {
				e.Feedback(part)
				feedback = true
			}
			continue
		case compound.NACK, compound.PictureLoss, compound.FullIntraRequest, compound.BitrateLimit:
			if !receives {
				continue
			}
		case compound.SenderReport, compound.ExtendedReport:
			if !sends {
				continue
			}
		default:
			continue
		}
		if packets, err := rtcp.Unmarshal(part); err == nil {
			all = append(all, packets...)
		}
	}
	if len(all) > 0 {
		e.Control(all)
	}
	return feedback
}

// errFrozen marks what another process may send now.
var errFrozen = errors.New("the connection is frozen")

// errNotConnected marks what can't be sent yet, or no more.
var errNotConnected = errors.New("not connected")

// write sends a packet to the peer, wherever that is by now, unless the connection is frozen.
func (c *Conn) write(packet []byte) {
	if r := c.route.Load(); r != nil && !c.frozen.Load() {
		r.write(packet)
	}
}

// WriteRTCP implements sfu.ControlWriter.
func (c *Conn) WriteRTCP(packets []rtcp.Packet) error {
	k, r := c.keys.Load(), c.route.Load()
	if k == nil || r == nil {
		return errNotConnected
	}
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		return fmt.Errorf("writing RTCP: %w", err)
	}
	sealed, err := k.sealControl(raw, c.permit.Load())
	if err != nil {
		return fmt.Errorf("sealing RTCP: %w", err)
	}
	r.write(sealed)
	return nil
}

// keys are the SRTP contexts of a connection.
type keys struct {
	material Keys // what they were made of

	sealing sync.Mutex // guards local and what belongs to it
	local   *srtp.Context
	header  headerScratch
	sent    outbounds
	frozen  bool
	// bounded says that no more indices may be used than were released. reporters are our own SSRCs
	// in RTCP, with the first index that may not be used then; floor is where new ones begin.
	bounded   bool
	reporters map[uint32]uint32
	floor     uint32

	opening  sync.Mutex // guards remote and what belongs to it
	remote   *srtp.Context
	control  rtcp.Header
	media    rtp.Header
	senders  map[uint32]*inbound // in RTP and RTCP, by SSRC
	last     *inbound            // the last of them, and its SSRC
	lastSSRC uint32
	excess   bool // there were too many: nothing is opened any more
	budget   *compound.Budget
	flood    error // what the connection ends with when the budget is used up
}

// MaxSSRCs is how many SSRCs a peer may use. Browsers use up to ten, each of which takes some
// memory, here and in the SRTP library.
const MaxSSRCs = 64

var (
	// ErrLimit marks what ends a connection since the peer has taken more than any may.
	ErrLimit = errors.New("the peer is over a limit")
	// ErrSSRCs is for a peer that uses more SSRCs than MaxSSRCs.
	ErrSSRCs   = fmt.Errorf("%w: it uses more than %d SSRCs", ErrLimit, MaxSSRCs)
	errDropped = errors.New("it is too short, or too much")
)

func newKeys(local, remote *srtp.Context, rtcpPerSecond int) *keys {
	return &keys{
		local: local, remote: remote, senders: map[uint32]*inbound{}, reporters: map[uint32]uint32{},
		budget: compound.NewBudget(rtcpPerSecond),
		flood: fmt.Errorf("%w: it sends more than %d packets or %d bytes of RTCP per second, of which %d without a pause were dropped",
			ErrLimit, rtcpPerSecond, compound.BytesPerSecond, compound.MaxDropped),
	}
}

// exportKeys makes the keys of a connection from its DTLS session, of which we were the client or
// not. Its peer may send so many RTCP packets.
func exportKeys(exporter srtp.KeyingMaterialExporter, selected dtls.SRTPProtectionProfile, client bool, rtcpPerSecond int) (*keys, error) {
	profile, ok := profiles[selected]
	if !ok {
		return nil, fmt.Errorf("exporting keys: the way of protection %d is not one of ours", selected)
	}
	config := srtp.Config{Profile: profile}
	if err := config.ExtractSessionKeysFromDTLS(exporter, client); err != nil {
		return nil, fmt.Errorf("exporting keys: %w", err)
	}
	material := Keys{
		Profile:  selected,
		LocalKey: config.Keys.LocalMasterKey, LocalSalt: config.Keys.LocalMasterSalt,
		RemoteKey: config.Keys.RemoteMasterKey, RemoteSalt: config.Keys.RemoteMasterSalt,
	}
	return material.contexts(rtcpPerSecond)
}

func (k *keys) sealControl(raw []byte, permit *Permit) ([]byte, error) {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	if k.frozen || !permit.valid() || len(raw) >= 8 && !k.report(binary.BigEndian.Uint32(raw[4:])) {
		return nil, errFrozen
	}
	return k.local.EncryptRTCP(nil, raw, nil)
}
