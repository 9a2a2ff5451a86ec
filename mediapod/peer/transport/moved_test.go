package transport

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// moving is a peer that comes to other ports in mid-call.
type moving struct {
	*Conn
	t       *testing.T
	sockets *Sockets
	remote  *srtp.Context
	next    uint16 // of its RTP
	control int    // RTCP packets that counted
	media   int    // RTP packets that counted
}

// newMoving makes one that is at an address, with a key of its own.
func newMoving(t *testing.T, s *Sockets, key byte, socket *net.UDPConn) *moving {
	t.Helper()
	m := &moving{t: t, Conn: newConn(t, s), sockets: s}
	m.events.Control = func(packets []rtcp.Packet) { m.control += len(packets) }
	m.events.Media = func([]byte, time.Time) { m.media++ }
	master, salt := make([]byte, 16), make([]byte, 12)
	master[0] = key
	k, err := Keys{
		Profile: dtls.SRTP_AEAD_AES_128_GCM, LocalKey: master, LocalSalt: salt, RemoteKey: master, RemoteSalt: salt,
	}.contexts(compound.SenderPacketsPerSecond)
	if err != nil {
		t.Fatal(err)
	}
	m.keys.Store(k)
	if m.remote, err = srtp.CreateContext(master, salt, srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	s.take(request(t, m.name+":them", m.password), placeOf(socket))
	m.respond(socket)
	return m
}

func placeOf(socket *net.UDPConn) netip.AddrPort {
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

// respond lets the peer answer the first check that comes to an address, and returns that.
func (m *moving) respond(at *net.UDPConn) *stun.Message {
	m.t.Helper()
	for {
		packet := &stun.Message{Raw: receive(m.t, at, 1)[0]}
		if err := packet.Decode(); err != nil {
			m.t.Fatal(err)
		}
		if packet.Type == stun.BindingRequest {
			m.sockets.take(stun.MustBuild(stun.NewTransactionIDSetter(packet.TransactionID), stun.BindingSuccess,
				stun.NewShortTermIntegrity(theirPassword)).Raw, placeOf(at))
			return packet
		}
	}
}

// report seals RTCP of the peer.
func (m *moving) report() []byte {
	m.t.Helper()
	raw, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.ReceiverReport{SSRC: 1, Reports: make([]rtcp.ReceptionReport, 2)},
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 8},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	sealed, err := m.remote.EncryptRTCP(nil, raw, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return sealed
}

// packet seals RTP of the peer.
func (m *moving) packet() []byte {
	m.t.Helper()
	m.next++
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 7, SequenceNumber: m.next}, Payload: make([]byte, 100)}
	raw, err := packet.Marshal()
	if err != nil {
		m.t.Fatal(err)
	}
	sealed, err := m.remote.EncryptRTP(nil, raw, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return sealed
}

func (m *moving) isAt(want netip.AddrPort, when string) {
	m.t.Helper()
	if got := m.route.Load().address; got != want {
		m.t.Errorf("%s: media goes to %v, want %v", when, got, want)
	}
}

// A NAT that forgets gives a peer another port, from one packet to the next.
func TestMediaFromAnotherPortLeadsToACheckThere(t *testing.T) {
	for name, of := range map[string]func(*moving) []byte{"a receiver's": (*moving).report, "a publisher's": (*moving).packet} {
		t.Run(name, func(t *testing.T) {
			s := newSockets(t, "127.0.0.1")
			before, old := newReceiver(t, "127.0.0.1")
			after, address := newReceiver(t, "127.0.0.1")
			m := newMoving(t, s, 1, before)
			first, second := of(m), of(m)
			s.take(slices.Clone(first), old)
			m.isAt(old, "at first")
			counted := m.control + m.media

			forged := slices.Clone(second)
			forged[len(forged)-1] ^= 1
			stranger := slices.Clone(second)
			stranger[7] ^= 1
			stranger[11] ^= 1
			for _, packet := range [][]byte{forged, stranger, first, second[:20], second[:11], {0x80}, {0x80, 200}, {22, 1, 2}} {
				if s.take(packet, address) {
					t.Errorf("%x is taken for the peer's", packet)
				}
			}
			if len(m.paths.all) != 1 || s.byAddress.peer(address) != nil || m.control+m.media != counted {
				t.Error("what the peer has not sent counts")
			}
			if !s.take(second, address) || m.control+m.media != counted+1 {
				t.Fatal("what the peer sends from there is lost")
			}
			m.isAt(old, "before the answer")
			// The first that comes there, after all that was forged, is the check.
			check := decode(t, receive(t, after, 1))[stun.BindingRequest]
			if check == nil || nomination(check) != 0 || len(check.Raw) > unprovenFactor*len(second) {
				t.Fatalf("for %d bytes there comes %v", len(second), check)
			}
			s.take(stun.MustBuild(stun.NewTransactionIDSetter(check.TransactionID), stun.BindingSuccess,
				stun.NewShortTermIntegrity(theirPassword)).Raw, address)
			m.tick(time.Now().Add(answerTime))
			m.isAt(address, "after the answer")
			if n := nomination(m.respond(after)); n != 2 {
				t.Errorf("its nomination has number %d", n)
			}
		})
	}
}

// Behind one NAT there may be an office, whose browsers all use the same SSRC.
func TestMediaFromAnotherPortIsThatOfWhoHasTheKey(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	var all []*moving
	for key := range byte(10) {
		socket, at := newReceiver(t, "127.0.0.1")
		m := newMoving(t, s, key, socket)
		s.take(m.report(), at)
		all = append(all, m)
	}
	for i, m := range all {
		_, address := newReceiver(t, "127.0.0.1")
		if !s.take(m.report(), address) || s.byAddress.peer(address) != m.Conn {
			t.Errorf("peer %d is not found", i)
		}
		for j, other := range all {
			want := 1
			if j <= i {
				want = 2
			}
			if other.control != want {
				t.Errorf("after peer %d has moved, %d packets of peer %d count, want %d", i, other.control, j, want)
			}
		}
	}
}

// An attacker can't have the reader look for the sender of each packet.
func TestLookingForSendersIsBounded(t *testing.T) {
	b, now := newAddressBook[int](), time.Unix(1e9, 0)
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) }
	for peer := range 100 {
		b.add(peer, at(uint16(2*peer)))
		b.add(peer, at(uint16(2*peer+1)))
	}
	b.add(7, netip.MustParseAddrPort("192.0.2.2:1"))
	looks := func() (n int) {
		for len(b.neighbours(at(0).Addr(), now)) == 100 {
			n++
		}
		return n
	}
	if n := looks(); n != lookupsAtOnce/100 {
		t.Errorf("%d packets at once are looked at", n)
	}
	now = now.Add(time.Second)
	if n := looks(); n != lookupsPerSecond/100 {
		t.Errorf("%d packets a second are looked at", n)
	}
	if n := len(b.neighbours(netip.MustParseAddr("192.0.2.2"), now)); n != 1 {
		t.Errorf("at another IP address are %d peers, want 1", n)
	}
	for peer := range 100 {
		b.remove(peer)
	}
	if len(b.hosts) != 0 {
		t.Errorf("%d IP addresses are left", len(b.hosts))
	}
}
