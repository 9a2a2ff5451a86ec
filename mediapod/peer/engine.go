// Package peer is the authority on the descriptions (SDP) of media connections, and on what flows
// over them: it takes apart what publishers send, and joins it to the forwarders of package sfu.
// How packets get from and to peers is up to package transport. It gives rooms what package media
// asks for.
package peer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

var (
	// errNoAddress marks an engine that was not told yet where peers reach it.
	errNoAddress = errors.New("no advertised media address")
	errForeign   = errors.New("publication of another engine")
)

// Config says how an engine is made.
type Config struct {
	// Logger gets what happens to connections, never once per packet.
	Logger logr.Logger
	// ListenIP is the address to listen on; the zero value is all addresses.
	ListenIP netip.Addr
	// UDPPort is the one UDP port for all media; 0 is any free one.
	UDPPort int
	// TCPPort is the port for ICE-TCP; 0 is any free one, and with a negative one there is no
	// ICE-TCP.
	TCPPort int
	// Addresses are advertised from the start; see SetAdvertisedAddresses.
	Addresses []Address
}

// Engine implements media.Engine. Its methods are safe for concurrent use.
type Engine struct {
	logger   logr.Logger
	sockets  *transport.Sockets
	identity identity

	addresses atomic.Pointer[[]Address]
	counters  sfu.Counters
	gauges    gauges

	mu           sync.Mutex // guards the fields below
	publications map[*Publication]struct{}
	protections  map[string]*Protection // by room
	closed       bool

	stop    chan struct{}
	running sync.WaitGroup
}

var _ media.Engine = (*Engine)(nil)

// gauges count what is there now, but for stuck, which only grows.
type gauges struct {
	publishing, subscribing, stuck atomic.Int64
	// transports counts connections by what their packets go over.
	transports [media.TCP + 1]atomic.Int64
}

// reroute counts a connection that goes over another transport than before.
func (g *gauges) reroute(from, to media.Transport) {
	g.transports[from].Add(-1)
	g.transports[to].Add(1)
}

// NewEngine opens the sockets. Close must be called.
func NewEngine(config Config) (*Engine, error) {
	identity, err := newIdentity()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		logger:       config.Logger,
		identity:     identity,
		publications: map[*Publication]struct{}{},
		protections:  map[string]*Protection{},
		stop:         make(chan struct{}),
	}
	e.SetAdvertisedAddresses(config.Addresses)
	e.sockets, err = transport.Listen(config.ListenIP, config.UDPPort, config.TCPPort, pionLogs{config.Logger}, func(from netip.Prefix, reason error) {
		config.Logger.Info("Refusing ICE-TCP connections", "address", from.String(), "reason", reason.Error())
	})
	if err != nil {
		return nil, err
	}
	e.sockets.Serve()
	e.running.Go(e.tick)
	return e, nil
}

const (
	// connectDeadline is for all of ICE and DTLS.
	connectDeadline = 40 * time.Second
	// closeDeadline bounds how long closing a connection may hold up its owner.
	closeDeadline = 5 * time.Second
)

// identity is the certificate of all connections of an engine. Peers know it by its fingerprint.
type identity struct {
	tls         tls.Certificate
	fingerprint string // by SHA-256
}

// newIdentity makes one. Its dates mean nothing, but for pion, which refuses one that is over.
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("making the DTLS key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return identity{}, fmt.Errorf("making the DTLS certificate: %w", err)
	}
	name := pkix.Name{CommonName: "WebRTC"}
	template := &x509.Certificate{
		SerialNumber: serial, Issuer: name, Subject: name,
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(20, 0, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("making the DTLS certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return identity{}, fmt.Errorf("making the DTLS certificate: %w", err)
	}
	digest, err := fingerprint.Fingerprint(certificate, crypto.SHA256)
	if err != nil {
		return identity{}, fmt.Errorf("making the DTLS fingerprint: %w", err)
	}
	return identity{
		tls:         tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key},
		fingerprint: strings.ToUpper(digest),
	}, nil
}

// UDPPort is the port that the engine listens on for media over UDP.
func (e *Engine) UDPPort() uint16 { return e.sockets.UDP.Port() }

// TCPPort is the port that the engine listens on for media over TCP; 0 without ICE-TCP.
func (e *Engine) TCPPort() uint16 {
	if e.sockets.TCP == nil {
		return 0
	}
	return e.sockets.TCP.Port()
}

// SetAdvertisedAddresses replaces the addresses that peers are told. It counts for offers and
// answers from now on; connections that exist are not touched. Until it has been called with an
// address, nobody can publish or subscribe.
func (e *Engine) SetAdvertisedAddresses(addresses []Address) {
	copied := slices.Clone(addresses)
	for i := range copied {
		copied[i].IP = copied[i].IP.Unmap()
	}
	e.addresses.Store(&copied)
}

// end returns our end of a connection, for one description.
func (e *Engine) end(c *transport.Conn, by *Protection) (end, error) {
	addresses := *e.addresses.Load()
	if len(addresses) == 0 {
		return end{}, errNoAddress
	}
	if by != nil {
		addresses = slices.Concat(addresses, by.after(c.Rank()))
	}
	name, password := c.Credentials()
	return end{name: name, password: password, fingerprint: e.identity.fingerprint, addresses: addresses}, nil
}

// NewPublication implements media.Engine. On a closed engine it returns a closed publication.
func (e *Engine) NewPublication(options media.PublicationOptions) media.Publication {
	p := &Publication{
		engine:        e,
		options:       options,
		logger:        e.logger.WithValues("stream", options.StreamID),
		stream:        sfu.NewPublisher(&e.counters, options.MaxVideoKbps),
		subscriptions: map[*Subscription]struct{}{},
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		p.closed = true
		p.stream.Close()
	} else {
		e.publications[p] = struct{}{}
	}
	return p
}

// Subscribe implements media.Engine.
func (e *Engine) Subscribe(
	_ context.Context, publication media.Publication, options media.SubscriptionOptions,
) (media.Subscription, string, error) {
	p, ok := publication.(*Publication)
	if !ok || p.engine != e {
		return nil, "", fmt.Errorf("subscribing: %w", errForeign)
	}
	s, offer, err := p.subscribe(options)
	if err != nil {
		return nil, "", fmt.Errorf("subscribing: %w", err)
	}
	return s, offer, nil
}

func (e *Engine) remove(p *Publication) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.publications, p)
}

func (e *Engine) current() []*Publication {
	e.mu.Lock()
	defer e.mu.Unlock()
	publications := make([]*Publication, 0, len(e.publications))
	for p := range e.publications {
		publications = append(publications, p)
	}
	return publications
}

// tick lets all publications do what time brings, until the engine stops. Writes do not block: UDP
// does not, and TCP connections have buffers of their own.
func (e *Engine) tick() {
	ticker := time.NewTicker(sfu.TickInterval)
	defer ticker.Stop()
	var swept time.Time
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			for _, p := range e.current() {
				p.tick(now)
			}
			if now.Sub(swept) >= transport.SweepInterval {
				swept = now
				e.sockets.Sweep(now)
			}
		}
	}
}

// Close ends all publications and subscriptions and closes the sockets. It is idempotent and waits,
// but not longer than a few times closeDeadline.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		e.running.Wait()
		return nil
	}
	var closing sync.WaitGroup
	for _, p := range e.current() {
		closing.Go(func() { _ = p.Close() })
	}
	closing.Wait()
	close(e.stop)
	e.running.Wait()
	if err := e.sockets.Close(); err != nil {
		return fmt.Errorf("closing media sockets: %w", err)
	}
	return nil
}

// Stats are the figures of an engine. All down to StuckConnections are of now; it and the rest only
// grow.
type Stats struct {
	// Speaking is in how many publications somebody is heard now.
	Speaking int64
	// PausedVideos is how many subscriptions get no video now, since their paths carry next to
	// none.
	PausedVideos int64
	// PublishingConnections and SubscribingConnections are the peer connections of each direction
	// that there are now.
	PublishingConnections, SubscribingConnections int64
	// UDPConnections and TCPConnections are the peer connections of both directions whose packets
	// go over that transport now.
	UDPConnections, TCPConnections int64
	// StuckConnections counts connections that did not close in time.
	StuckConnections int64
	// ReceiveBufferBytes is how much of what has arrived for the media socket, and was not read
	// yet, the kernel keeps.
	ReceiveBufferBytes int64
	// ReceivedPackets counts RTP packets of publishers, ForwardedPackets and ForwardedBytes what
	// went to subscribers, without retransmissions; WriteErrors what a subscriber's connection did
	// not take.
	ReceivedPackets, ForwardedPackets, ForwardedBytes, WriteErrors uint64
	// NACKsSent counts packets asked of publishers, NACKsReceived packets that subscribers asked
	// for, Retransmitted those that were sent again.
	NACKsSent, NACKsReceived, Retransmitted uint64
	// KeyframesWanted counts what subscribers asked for, KeyframeRequests what was asked of
	// publishers.
	KeyframesWanted, KeyframeRequests uint64
}

// Stats returns the figures of now.
func (e *Engine) Stats() Stats {
	c := &e.counters
	now := time.Now()
	speaking, paused := int64(0), int64(0)
	for _, p := range e.current() {
		paused += int64(p.stream.Paused())
		if p.stream.Speaking(now) {
			speaking++
		}
	}
	return Stats{
		Speaking:               speaking,
		PausedVideos:           paused,
		PublishingConnections:  e.gauges.publishing.Load(),
		SubscribingConnections: e.gauges.subscribing.Load(),
		UDPConnections:         e.gauges.transports[media.UDP].Load(),
		TCPConnections:         e.gauges.transports[media.TCP].Load(),
		StuckConnections:       e.gauges.stuck.Load(),
		ReceiveBufferBytes:     int64(e.sockets.UDP.ReceiveBuffer()),
		ReceivedPackets:        c.ReceivedPackets.Load(),
		ForwardedPackets:       c.ForwardedPackets.Load(),
		ForwardedBytes:         c.ForwardedBytes.Load(),
		WriteErrors:            c.WriteErrors.Load(),
		NACKsSent:              c.NACKsSent.Load(),
		NACKsReceived:          c.NACKsReceived.Load(),
		Retransmitted:          c.Retransmitted.Load(),
		KeyframesWanted:        c.KeyframesWanted.Load(),
		KeyframeRequests:       c.KeyframeRequests.Load(),
	}
}
