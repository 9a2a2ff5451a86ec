package transport

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// publisher is a connection whose peer sends media, with what of it was taken.
type publisher struct {
	*Conn
	t       *testing.T
	remote  *srtp.Context
	media   [][]byte
	control []rtcp.Packet
	reasons []error
}

func newPublisher(t *testing.T, profile srtp.ProtectionProfile) *publisher {
	t.Helper()
	p := &publisher{t: t}
	p.Conn = &Conn{cancel: func() {}, events: Events{
		Ended:   func(reason error) { p.reasons = append(p.reasons, reason) },
		Control: func(packets []rtcp.Packet) { p.control = append(p.control, packets...) },
		Media:   func(packet []byte, _ time.Time) { p.media = append(p.media, bytes.Clone(packet)) },
	}}
	var k *keys
	k, p.remote = testKeys(t, profile)
	p.keys.Store(k)
	return p
}

// sealed returns a packet as the peer sends it, with room behind it as in the memory of the socket.
func (p *publisher) sealed(ssrc uint32, sequence uint16) (plain, sealed []byte) {
	p.t.Helper()
	packet := rtp.Packet{
		Header:  rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: sequence, PayloadType: 96, Marker: true},
		Payload: []byte{1, 2, 3, 4},
	}
	plain, err := packet.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	sealed, err = p.remote.EncryptRTP(nil, plain, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return plain, append(make([]byte, 0, maxReceived), sealed...)
}

func TestMediaIsOpenedOnce(t *testing.T) {
	for _, profile := range profiles {
		p := newPublisher(t, profile)
		plain, sealed := p.sealed(7, 1)
		replayed := bytes.Clone(sealed)
		_, forged := p.sealed(7, 2)
		forged[len(forged)-1] ^= 1
		for _, packet := range [][]byte{sealed, replayed, forged, {0x80}, {0x80, 96}, make([]byte, 20)} {
			p.receive(packet, route{})
		}
		if len(p.media) != 1 || !bytes.Equal(p.media[0], plain) || len(p.reasons) != 0 {
			t.Errorf("%x is taken, want %x once; it ended by %v", p.media, plain, p.reasons)
		}
	}
}

func TestMediaOfAPeerThatMaySendNoneIsDropped(t *testing.T) {
	c, remote, _, _ := newControlled(t)
	p := &publisher{t: t, remote: remote}
	_, sealed := p.sealed(7, 1)
	before := bytes.Clone(sealed)
	c.receive(sealed, route{})
	if !bytes.Equal(sealed, before) {
		t.Error("it is decrypted")
	}
}

func TestAPeerThatSendsTooManyStreamsIsClosed(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm)
	for ssrc := range uint32(MaxSSRCs) {
		_, forged := p.sealed(1000+ssrc, 1) // by somebody else
		forged[len(forged)-1] ^= 1
		p.receive(forged, route{})
		_, sealed := p.sealed(ssrc, 1)
		p.receive(sealed, route{})
	}
	if len(p.media) != MaxSSRCs || len(p.reasons) != 0 {
		t.Fatalf("%d of %d packets are taken, and it ended by %v", len(p.media), MaxSSRCs, p.reasons)
	}
	for ssrc := range uint32(100) {
		_, sealed := p.sealed(2000+ssrc, 1)
		p.receive(sealed, route{})
	}
	if len(p.media) != MaxSSRCs || len(p.reasons) != 1 || !errors.Is(p.reasons[0], ErrSSRCs) {
		t.Errorf("%d packets are taken, and it ended by %v", len(p.media), p.reasons)
	}
}

// What of the RTCP of a peer counts depends on whether it sends and receives.
func TestTheControlOfAPeerThatSends(t *testing.T) {
	for name, receives := range map[string]bool{"only": false, "and receives": true} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm)
			feedback := 0
			if receives {
				p.events.Feedback = func([]byte) { feedback++ }
			}
			raw, err := rtcp.Marshal([]rtcp.Packet{
				&rtcp.SenderReport{SSRC: 1}, &rtcp.ReceiverReport{}, &rtcp.SourceDescription{},
				&rtcp.ExtendedReport{}, &rtcp.PictureLossIndication{}, &rtcp.Goodbye{},
				&rtcp.RawPacket{0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2},
			})
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := p.remote.EncryptRTCP(nil, raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			k := p.keys.Swap(nil)
			p.receive(slices.Clone(sealed), route{})
			if len(p.control) != 0 {
				t.Error("RTCP counts before there are keys")
			}
			p.keys.Store(k)
			p.receive(sealed, route{})
			want, reports := 2, 0
			if receives {
				want, reports = 3, 1
			}
			if len(p.control) != want || feedback != reports || len(p.media) != 0 {
				t.Errorf("%d packets and %d reports count, want %d and %d", len(p.control), feedback, want, reports)
			}
		})
	}
}

func TestOpeningMediaAllocatesNothing(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm)
	taken := 0
	p.events.Media = func([]byte, time.Time) { taken++ }
	const runs = 1000
	var packets [][]byte
	for n := range uint16(runs + 2) {
		_, sealed := p.sealed(7, n)
		packets = append(packets, sealed)
	}
	p.receive(packets[0], route{}) // the first of a stream makes its state
	packets = packets[1:]
	allocations := testing.AllocsPerRun(runs, func() {
		p.receive(packets[0], route{})
		packets = packets[1:]
	})
	if allocations > 0 || taken != runs+2 {
		t.Errorf("%v allocations per packet; %d packets are taken", allocations, taken)
	}
}
