package transport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
	"mediarooms.dev/mediarooms/test/wait"
)

// newCertificate makes a certificate for DTLS.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// fingerprintOf is that of a certificate, by SHA-256.
func fingerprintOf(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	parsed, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	actual, err := fingerprint.Fingerprint(parsed, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return actual
}

// dtlsPeer is a peer with a DTLS library and a socket of its own. It is the net.PacketConn of its
// library, which gets DTLS only.
type dtlsPeer struct {
	*net.UDPConn
	t      *testing.T
	engine netip.AddrPort
	// standby, when set, is where its DTLS goes instead of the engine.
	standby netip.AddrPort
	session *dtls.Conn
	keys    *keys
	// alerts and markers count those that came, lost the packets that end a handshake and were lost
	// on their way, of which lose are to be.
	alerts, markers, lose, lost atomic.Int32
}

// marker begins a packet that shows that all before it has come.
const marker = 63

func (p *dtlsPeer) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, place, err := p.ReadFromUDPAddrPort(b)
		from := net.UDPAddrFromAddrPort(place)
		switch {
		case err != nil:
			return n, from, err
		case stun.IsMessage(b[:n]):
			p.answer(b[:n], place)
			continue
		case n == 0 || b[0] < 20 || b[0] > 63:
			continue
		case b[0] == marker:
			p.markers.Add(1)
			continue
		case b[0] == 21:
			p.alerts.Add(1)
		case b[0] == 20 && p.lose.Add(-1) >= 0: // ChangeCipherSpec
			p.lost.Add(1)
			continue
		}
		return n, from, err
	}
}

// answer answers a check.
func (p *dtlsPeer) answer(packet []byte, to netip.AddrPort) {
	check := &stun.Message{Raw: packet}
	if check.Decode() != nil || check.Type != stun.BindingRequest {
		return
	}
	answer := stun.MustBuild(stun.NewTransactionIDSetter(check.TransactionID), stun.BindingSuccess, stun.NewShortTermIntegrity(theirPassword))
	_, _ = p.WriteToUDPAddrPort(answer.Raw, to) // the socket may be closed
}

func (p *dtlsPeer) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p.standby.IsValid() {
		return p.WriteToUDPAddrPort(b, p.standby)
	}
	return p.WriteToUDPAddrPort(b, p.engine)
}

// report sends something that only who has the keys can.
func (p *dtlsPeer) report() {
	p.t.Helper()
	raw, err := (&rtcp.ReceiverReport{SSRC: 7}).Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	sealed, err := p.keys.sealControl(raw, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(sealed)
}

func (p *dtlsPeer) send(packet []byte) {
	p.t.Helper()
	if _, err := p.WriteToUDPAddrPort(packet, p.engine); err != nil {
		p.t.Fatal(err)
	}
}

// closed returns when the peer was told that the connection is closed.
func (p *dtlsPeer) closed() {
	p.t.Helper()
	if err := p.session.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.session.Read(make([]byte, 100)); !errors.Is(err, io.EOF) {
		p.t.Errorf("the peer is told %v of the end", err)
	}
}

// associated is a connection and its peer after the handshake.
type associated struct {
	t       *testing.T
	sockets *Sockets
	conn    *Conn
	peer    *dtlsPeer
	now     time.Time
	ended   chan struct{}
}

// associate connects a peer, which loses so many of the packets that end the handshake.
func associate(t *testing.T, passive bool, lose int32) *associated {
	t.Helper()
	return associateBy(t, passive, lose, func(*associated) {})
}

// associateBy connects a peer that sends its part of the handshake where prepare has said.
func associateBy(t *testing.T, passive bool, lose int32, prepare func(*associated)) *associated {
	t.Helper()
	ours, theirs := newCertificate(t), newCertificate(t)
	a := &associated{t: t, sockets: newSockets(t, "127.0.0.1"), now: time.Now(), ended: make(chan struct{})}
	a.sockets.Serve()
	connected := make(chan struct{})
	var err error
	a.conn, err = a.sockets.Open(ours, Events{
		Connected: func() { close(connected) }, Ended: func(error) { close(a.ended) },
		Control: func([]rtcp.Packet) {}, Feedback: func([]byte) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.conn.Close)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	a.peer = &dtlsPeer{UDPConn: socket, t: t, engine: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.sockets.UDP.Port())}
	a.peer.lose.Store(lose)
	err = a.conn.Start(Remote{
		Name: "them", Password: theirPassword, Hash: "sha-256", Fingerprint: fingerprintOf(t, theirs), Passive: passive,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.peer.send(request(t, a.conn.name+":them", a.conn.password))
	prepare(a)
	a.peer.connect(theirs, !passive)
	select {
	case <-connected:
	case <-time.After(10 * time.Second):
		t.Fatal("not connected")
	}
	return a
}

// connect does the peer's handshake.
func (p *dtlsPeer) connect(certificate tls.Certificate, client bool) {
	p.t.Helper()
	config := []dtls.Option{
		dtls.WithCertificates(certificate), dtls.WithInsecureSkipVerify(true), dtls.WithFlightInterval(50 * time.Millisecond),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
	}
	var err error
	if client {
		var options []dtls.ClientOption
		for _, o := range config {
			options = append(options, o)
		}
		p.session, err = dtls.ClientWithOptions(p, net.UDPAddrFromAddrPort(p.engine), options...)
	} else {
		options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for _, o := range config {
			options = append(options, o)
		}
		p.session, err = dtls.ServerWithOptions(p, net.UDPAddrFromAddrPort(p.engine), options...)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.session.Close() })
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	if err := p.session.HandshakeContext(ctx); err != nil {
		p.t.Fatal(err)
	}
	state, _ := p.session.ConnectionState()
	if p.keys, err = exportKeys(&state, dtls.SRTP_AEAD_AES_128_GCM, client, compound.ReceiverPacketsPerSecond); err != nil {
		p.t.Fatal(err)
	}
}

// later lets the sockets do what so much more time brings.
func (a *associated) later(by time.Duration) {
	a.now = a.now.Add(by)
	a.sockets.Sweep(a.now)
}

// sessions is for how many sessions the DTLS library runs. Each has two goroutines, and the one
// that reads starts another.
func sessions() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by github.com/pion/dtls/v3.(*Conn).handshake") / 2
}

// runs waits until the DTLS library runs for so many sessions; that of the peer is one.
func (a *associated) runs(n int, when string) {
	a.t.Helper()
	wait.For(a.t, 10*time.Second, when, wait.True(func() bool { return sessions() == n }))
}

// rests has the session rest.
func (a *associated) rests() {
	a.t.Helper()
	heard := a.conn.heard.Load()
	a.peer.report()
	// A check of the peer's is heard, too, but does not show that it has the keys.
	wait.For(a.t, 10*time.Second, "the report", wait.True(func() bool { return a.conn.heard.Load() != heard && a.conn.heardKeys() }))
	a.later(10 * time.Second)
	a.runs(1, "the session rests")
}

// quiet checks that neither end was told anything.
func (a *associated) quiet(when string) {
	a.t.Helper()
	to, before := a.peer.LocalAddr().(*net.UDPAddr).AddrPort(), a.peer.markers.Load()
	if _, err := a.sockets.UDP.WriteToAddrPort([]byte{marker, 0}, to); err != nil {
		a.t.Fatal(err)
	}
	wait.For(a.t, 10*time.Second, "the marker", wait.True(func() bool { return a.peer.markers.Load() > before }))
	select {
	case <-a.ended:
		a.t.Errorf("%s: the connection has ended", when)
	default:
	}
	if n := a.peer.alerts.Load(); n != 0 {
		a.t.Errorf("%s: the peer got %d alerts", when, n)
	}
}

func TestADTLSSessionRestsUntilThePeerCloses(t *testing.T) {
	for _, passive := range []bool{false, true} {
		a := associate(t, passive, 0)
		a.later(20 * time.Second)
		a.runs(2, "a peer that may not have the keys yet")
		a.rests()
		a.quiet("at rest")
		if err := a.peer.session.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-a.ended:
		case <-time.After(10 * time.Second):
			t.Error("the peer's alert does not end the connection")
		}
		a.conn.Close()
		a.runs(0, "all is over")
	}
}

func TestAPeerIsToldOfTheEndWhileItsSessionRests(t *testing.T) {
	a := associate(t, false, 0)
	a.rests()
	a.conn.Close()
	a.peer.closed()
}

func TestWhatIsForgedEndsNoSessionThatRests(t *testing.T) {
	a := associate(t, false, 0)
	for range 3 {
		a.rests()
		for _, kind := range []byte{20, 22, 23, 99} { // no alerts
			a.peer.send(record(kind, 1, make([]byte, 40)...))
		}
		heard := a.conn.heard.Load()
		a.peer.report()
		wait.For(t, 10*time.Second, "the report", wait.True(func() bool { return a.conn.heard.Load() != heard }))
		a.runs(1, "no alert has come")
		for range 10 {
			a.peer.send(record(21, 1, make([]byte, 26)...))
		}
		a.runs(2, "an alert has come")
		a.quiet("after forged alerts")
	}
	a.conn.Close()
	a.peer.closed()
}

func TestTheEndOfAHandshakeIsRepeatedWhenItWasLost(t *testing.T) {
	a := associate(t, false, 3)
	if n := a.peer.lost.Load(); n != 3 {
		t.Errorf("%d packets were lost", n)
	}
	a.rests()
	a.conn.Close()
	a.peer.closed()
}

func TestAFrozenConnectionThatRestsTellsNothing(t *testing.T) {
	a := associate(t, false, 0)
	a.rests()
	a.conn.Freeze()
	a.conn.Close()
	a.quiet("frozen")
}

// A browser sends its part of the handshake to the standby, when that is who answers its checks by
// the best pair of candidates.
func TestAHandshakeByWayOfTheStandby(t *testing.T) {
	for name, passive := range map[string]bool{"the peer begins": false, "we begin": true} {
		t.Run(name, func(t *testing.T) {
			var relayed atomic.Int32
			a := associateBy(t, passive, 1, func(a *associated) {
				standby := newSockets(t, "127.0.0.1")
				standby.Serve()
				events := nothing()
				events.Relay = func(name string, packet []byte) {
					relayed.Add(1)
					a.conn.TakeRelayed("of another", packet) // is dropped
					a.conn.TakeRelayed(name, packet)
				}
				c, err := standby.Import(a.conn.Export(), events)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.Close)
				if err := c.Listen(); err != nil {
					t.Fatal(err)
				}
				a.peer.standby = netip.AddrPortFrom(a.peer.engine.Addr(), standby.UDP.Port())
				check := request(t, a.conn.name+":them", a.conn.password)
				if _, err := a.peer.WriteToUDPAddrPort(check, a.peer.standby); err != nil {
					t.Fatal(err)
				}
			})
			if relayed.Load() == 0 {
				t.Error("nothing came by way of the standby")
			}
			a.peer.report()
			wait.For(t, 10*time.Second, "what only who has the keys can send to be heard", func() error {
				if !a.conn.heardKeys() {
					return errors.New("nothing of that is heard")
				}
				return nil
			})
		})
	}
}
