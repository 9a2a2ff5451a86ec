package transport

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

func newConn(t testing.TB, s *Sockets) *Conn {
	t.Helper()
	c, err := s.Open(tls.Certificate{}, Events{Connected: func() {}, Ended: func(error) {}, Control: func([]rtcp.Packet) {}, Feedback: func([]byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(Remote{Name: "them", Password: theirPassword}); err != nil {
		t.Fatal(err)
	}
	return c
}

const theirPassword = "their password"

func request(t testing.TB, name, password string, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(name)}, more...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(password), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

type flag stun.AttrType

// AddTo implements stun.Setter.
func (f flag) AddTo(m *stun.Message) error {
	m.Add(stun.AttrType(f), make([]byte, 8))
	return nil
}

func TestChecksAreAnsweredToWhoKnowsThePassword(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) { testChecks(t, ip) })
	}
}

func testChecks(t *testing.T, ip string) {
	s := newSockets(t, "::")
	s.Serve()
	c := newConn(t, s)
	peer, from := newReceiver(t, ip)
	port := netip.AddrPortFrom(netip.MustParseAddr(ip), s.UDP.Port())
	send := func(b []byte) {
		t.Helper()
		if _, err := peer.WriteToUDPAddrPort(b, port); err != nil {
			t.Fatal(err)
		}
	}
	send(request(t, c.name+":them", "a wrong password"))
	send(request(t, c.name+":others", c.password))
	send(request(t, c.name, c.password))
	send(request(t, "nobody:them", c.password))
	send(request(t, c.name+":them", c.password)[:30])
	send(request(t, c.name+":them", c.password, flag(stun.AttrICEControlling)))
	messages := decode(t, receive(t, peer, 2))
	var code stun.ErrorCodeAttribute
	if refusal := messages[stun.BindingError]; refusal == nil || code.GetFrom(refusal) != nil || code.Code != stun.CodeRoleConflict {
		t.Errorf("a peer that is controlling, too, gets %v", messages)
	}
	asked := messages[stun.BindingRequest]
	send(request(t, c.name+":them", c.password, flag(stun.AttrICEControlled)))
	var answer *stun.Message
	for answer == nil { // on a busy machine the peer is asked again meanwhile
		answer = decode(t, receive(t, peer, 1))[stun.BindingSuccess]
	}
	if asked == nil {
		t.Fatal("the peer is not asked")
	}
	messages[stun.BindingRequest] = asked
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(answer); err != nil || mapped.Port != int(from.Port()) {
		t.Errorf("the peer is told the address %v: %v", mapped, err)
	}
	if err := stun.NewShortTermIntegrity(c.password).Check(answer); err != nil {
		t.Error(err)
	}
	if n := nomination(messages[stun.BindingRequest]); n != 0 {
		t.Error("an address that has not answered is nominated")
	}
	// It is nominated once it has answered, and not before.
	answers := func(to *stun.Message, password string) bool {
		return c.answers(stun.MustBuild(stun.NewTransactionIDSetter(to.TransactionID), stun.BindingSuccess,
			stun.NewShortTermIntegrity(password)).Raw, route{address: from, socket: s.UDP})
	}
	if answers(messages[stun.BindingRequest], "a wrong password") {
		t.Error("an answer made with a wrong password is taken")
	}
	if !answers(messages[stun.BindingRequest], theirPassword) {
		t.Error("an answer is not taken")
	}
	check := decode(t, receive(t, peer, 1))[stun.BindingRequest]
	if check == nil || nomination(check) != 1 || stun.NewShortTermIntegrity(theirPassword).Check(check) != nil ||
		userName(check.Raw) != "them:"+c.name {
		t.Fatalf("the peer is asked %v", check)
	}
	if tieBreaker, err := check.Get(stun.AttrICEControlling); err != nil || !bytes.Equal(tieBreaker, bytes.Repeat([]byte{255}, 8)) {
		t.Errorf("the tie-breaker is %x: %v", tieBreaker, err)
	}
	if !answers(check, theirPassword) || answers(check, theirPassword) {
		t.Error("an answer is taken never, or twice")
	}
	if n := c.WriteRTP(make([]sfu.Outgoing, 1)); n != 0 {
		t.Error("packets are sent before there are keys")
	}
	c.Close()
	if len(s.byAddress.peers) != 0 || len(s.byName) != 0 {
		t.Errorf("%d addresses and %d names are left", len(s.byAddress.peers), len(s.byName))
	}
}

// decode reads messages, of which each is of another type.
func decode(t testing.TB, raw [][]byte) map[stun.MessageType]*stun.Message {
	t.Helper()
	messages := map[stun.MessageType]*stun.Message{}
	for _, b := range raw {
		m := &stun.Message{Raw: b}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		messages[m.Type] = m
	}
	return messages
}

// nomination is the number that a check nominates by, 0 for none.
func nomination(check *stun.Message) uint32 {
	value, err := check.Get(attrNomination)
	if err != nil || !check.Contains(stun.AttrUseCandidate) {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func TestAddressesOfAPeerAreBounded(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	c := newConn(t, s)
	for port := range uint16(100) {
		address := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 1000+port)
		s.check(request(t, c.name+":them", c.password), route{address: address, socket: s.UDP})
	}
	if n := len(s.byAddress.peers); n != maxAddresses || len(s.byAddress.addresses[c]) != maxAddresses {
		t.Errorf("%d addresses are known", n)
	}
}

// Whoever knows one connection's password can write a check that comes from any address.
func TestAnAddressIsSomebodyElsesOnlyAfterAnAnswer(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	peer, other := newConn(t, s), newConn(t, s)
	other.remote.Password = "the password of the other"
	address := netip.MustParseAddrPort("192.0.2.1:7")
	at := func(c *Conn) bool { return s.byAddress.peer(address) == c }
	s.take(request(t, peer.name+":them", peer.password), address)
	s.take(request(t, other.name+":"+other.remote.Name, other.password), address)
	if !at(peer) {
		t.Fatal("a check takes a peer's address away")
	}
	asked := other.paths.all[0].id
	respond := func(id transaction, password string) {
		s.take(stun.MustBuild(stun.NewTransactionIDSetter(id), stun.BindingSuccess, stun.NewShortTermIntegrity(password)).Raw, address)
	}
	respond(asked, "a wrong password")
	respond(stun.NewTransactionID(), other.remote.Password)
	if !at(peer) {
		t.Error("an answer to nothing that was asked takes a peer's address away")
	}
	if respond(asked, other.remote.Password); !at(other) {
		t.Error("who has answered is not known")
	}
	other.Close()
	s.take(request(t, peer.name+":them", peer.password), address)
	if !at(peer) || len(s.claims.peers) != 0 {
		t.Error("a peer that is back at its address is not known")
	}
}

// A handshake is several times the bytes of what begins it, which anybody at all can be said to
// have sent.
func TestAHandshakeBeginsWithAnAnswer(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	c := newConn(t, s)
	begins := func() bool {
		select {
		case <-c.arrival:
			return true
		default:
			return false
		}
	}
	victim, peer := netip.MustParseAddrPort("192.0.2.1:7"), netip.MustParseAddrPort("192.0.2.2:7")
	for _, address := range []netip.AddrPort{victim, peer} {
		s.take(request(t, c.name+":them", c.password), address)
		if begins() {
			t.Fatalf("it begins with a check that comes from %v", address)
		}
	}
	s.take(stun.MustBuild(stun.NewTransactionIDSetter(c.paths.all[1].id), stun.BindingSuccess, stun.NewShortTermIntegrity(theirPassword)).Raw, peer)
	if r := c.route.Load(); !begins() || r.address != peer {
		t.Errorf("when the peer has answered at %v it goes to %v", peer, r.address)
	}
}

func TestAConnectionEndsOnce(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	ended := make(chan struct{}, 2)
	c, err := s.Open(tls.Certificate{}, Events{Ended: func(error) { ended <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	s.check(request(t, c.name+":x", c.password), route{address: netip.MustParseAddrPort("127.0.0.1:9"), socket: s.UDP})
	s.Sweep(time.Now().Add(time.Hour))
	s.Sweep(time.Now().Add(time.Hour))
	c.Close()
	c.Close()
	if len(ended) != 1 {
		t.Errorf("it ended %d times", len(ended))
	}
	if err := c.Start(Remote{}); err == nil {
		t.Error("a closed connection starts")
	}
}

func FuzzPackets(f *testing.F) {
	s := newSockets(f, "127.0.0.1")
	c := newConn(f, s)
	from := netip.MustParseAddrPort("192.0.2.1:7")
	f.Add(request(f, c.name+":them", c.password))
	f.Add([]byte{0x80, 200, 0, 1, 2, 3, 4, 5})
	f.Add([]byte{22, 254, 253, 0, 0})
	f.Fuzz(func(_ *testing.T, packet []byte) {
		s.take(packet, from)
		s.learn(c, from)
		s.take(packet, from)
	})
}
