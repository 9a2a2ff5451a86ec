package transport

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// testKeys returns the keys of a connection and the context of its peer.
func testKeys(t testing.TB, profile srtp.ProtectionProfile) (*keys, *srtp.Context) {
	t.Helper()
	key, salt := make([]byte, 16), make([]byte, 14)
	if profile == srtp.ProtectionProfileAeadAes128Gcm {
		salt = salt[:12]
	}
	material := Keys{LocalKey: key, LocalSalt: salt, RemoteKey: key, RemoteSalt: salt}
	for selected, p := range profiles {
		if p == profile {
			material.Profile = selected
		}
	}
	k, err := material.contexts(compound.ReceiverPacketsPerSecond)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := srtp.CreateContext(key, salt, profile)
	if err != nil {
		t.Fatal(err)
	}
	return k, remote
}

// outgoing makes packets with payloads of the given sizes.
func outgoing(sizes ...int) []sfu.Outgoing {
	var packets []sfu.Outgoing
	for i, size := range sizes {
		packets = append(packets, sfu.Outgoing{
			SSRC: 5, Sequence: uint16(65534 + i), Timestamp: 7, PayloadType: 96, TransportCC: 1, Transport: uint16(i),
			Payload: bytes.Repeat([]byte{byte(i + 1)}, size),
		})
	}
	return packets
}

func TestSealedPacketsAreOpenedByTheReceiver(t *testing.T) {
	for _, profile := range profiles {
		k, remote := testKeys(t, profile)
		packets := outgoing(1000, 1001, 998, 1001, 500, 1, 0, 996, maxPayload+1, 300)
		b := newBurst()
		k.seal(b, packets, nil)
		packets = slices.Delete(packets, 8, 9) // it is too large
		sealed := b.packets()
		if len(sealed) != len(packets) {
			t.Fatalf("%d packets, want %d", len(sealed), len(packets))
		}
		for i, raw := range sealed {
			plain, err := remote.DecryptRTP(nil, raw, nil)
			if err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
			var p rtp.Packet
			if err := p.Unmarshal(plain); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Payload, packets[i].Payload) || p.SequenceNumber != packets[i].Sequence {
				t.Errorf("packet %d is %v", i, p)
			}
		}
	}
}

func TestPacketsThatDifferByAByteGoOutTogether(t *testing.T) {
	k, _ := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
	for _, c := range []struct{ sizes, runs []int }{
		{[]int{1000, 1001, 1000, 1001, 1001}, []int{5}},
		{[]int{1001, 1000, 1000}, []int{3}},
		{[]int{1001, 1001, 400}, []int{3}},
		{[]int{900, 1001, 1001}, []int{1, 2}},
	} {
		b := newBurst()
		k.seal(b, outgoing(c.sizes...), nil)
		var runs []int
		for i := 0; i < len(b.sizes); {
			n, _ := b.run(i)
			runs = append(runs, n)
			i += n
		}
		if !slices.Equal(runs, c.runs) {
			t.Errorf("payloads of %v bytes go out in runs of %v, want %v", c.sizes, runs, c.runs)
		}
	}
}

func TestSealingDoesNotAllocate(t *testing.T) {
	k, _ := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
	packets, b := outgoing(1000, 1001, 1000, 900), newBurst()
	if n := testing.AllocsPerRun(1000, func() {
		for i := range packets {
			packets[i].Sequence++
		}
		b.data, b.sizes = b.data[:0], b.sizes[:0]
		k.seal(b, packets, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSeal measures one packet of 1200 bytes, sealed in bursts of 6.
func BenchmarkSeal(b *testing.B) {
	k, _ := testKeys(b, srtp.ProtectionProfileAeadAes128Gcm)
	packets, to := outgoing(1200, 1200, 1200, 1200, 1200, 1200), newBurst()
	b.ReportAllocs()
	for b.Loop() {
		to.data, to.sizes = to.data[:0], to.sizes[:0]
		k.seal(to, packets, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(6*b.N), "ns/packet")
}
