package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

func TestAnIndexIsTheNearestOne(t *testing.T) {
	for _, test := range []struct {
		near     uint64
		sequence uint16
		want     int64
	}{
		{7, 7, 7}, {7, 65535, -1}, {65535, 0, 65536}, {65536, 65535, 65535}, {65536, 0, 65536}, {1<<32 + 5, 65000, 1<<32 - 536},
		{3<<16 + 65530, 3, 4<<16 + 3}, {40000, 1, 65537}, {30000, 1, 1},
	} {
		if got := estimate(test.near, test.sequence); got != test.want {
			t.Errorf("number %d near index %d is index %d, want %d", test.sequence, test.near, got, test.want)
		}
	}
}

// randomState makes a state that a connection may have.
func randomState(random *rand.Rand) State {
	some := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	text := func() string { return fmt.Sprintf("%x", some(12)) }
	s := State{
		Name: text(), Password: text(), Nomination: random.Uint32N(100), Rank: Rank(random.UintN(uint(MaxRank))),
		Remote: Remote{Name: text(), Password: text(), Hash: "sha-256", Fingerprint: text(), Passive: random.IntN(2) == 0},
		Sent:   map[uint32]uint64{}, Received: map[uint32]uint64{}, SentControl: map[uint32]uint32{}, ReceivedControl: map[uint32]uint32{},
	}
	i, salts := random.IntN(len(profiles)), 12
	for profile := range profiles {
		if s.Keys.Profile = profile; i == 0 {
			break
		}
		i--
	}
	if profiles[s.Keys.Profile].String() != "SRTP_AEAD_AES_128_GCM" {
		salts = 14
	}
	s.Keys.LocalKey, s.Keys.LocalSalt, s.Keys.RemoteKey, s.Keys.RemoteSalt = some(16), some(salts), some(16), some(salts)
	for range random.IntN(5) {
		s.Sent[random.Uint32()] = random.Uint64N(1 << 40)
		s.Received[random.Uint32()] = random.Uint64N(1 << 40)
		s.SentControl[random.Uint32()] = random.Uint32N(1 << 30)
		s.ReceivedControl[random.Uint32()] = random.Uint32N(1 << 30)
	}
	return s
}

func nothing() Events {
	return Events{Connected: func() {}, Ended: func(error) {}, Control: func([]rtcp.Packet) {}, Feedback: func([]byte) {}}
}

// imported makes a connection of a state as another process would: it gets the state as JSON.
func imported(t testing.TB, s *Sockets, state State) *Conn {
	t.Helper()
	raw, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var read State
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	c, err := s.Import(read, nothing())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsImportedIsExportedAgain(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		state := randomState(random)
		c := imported(t, s, state)
		if got := c.Export(); !reflect.DeepEqual(got, state) {
			t.Fatal("on standby, another state is exported than was imported")
		}
		if err := c.TakeOver(0); err != nil {
			t.Fatal(err)
		}
		got := c.Export()
		state.Nomination++
		state.Rank++
		if !reflect.DeepEqual(got, state) {
			for _, part := range []struct{ name, got, want any }{
				{"remote", got.Remote, state.Remote}, {"sent", got.Sent, state.Sent}, {"received", got.Received, state.Received}, {"sent RTCP", got.SentControl, state.SentControl},
				{"received RTCP", got.ReceivedControl, state.ReceivedControl}, {"nomination", got.Nomination, state.Nomination},
			} {
				if !reflect.DeepEqual(part.got, part.want) {
					t.Errorf("%s: %v, want %v", part.name, part.got, part.want)
				}
			}
			t.Fatal("after taking over, another state is exported than was imported")
		}
		c.Close()
	}
}

func TestWhatIsNoStateIsNotImported(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	random := rand.New(rand.NewPCG(3, 4))
	for want, change := range map[string]func(*State){
		"ICE credentials":  func(s *State) { s.Password = "" },
		"no keys":          func(s *State) { s.Keys = Keys{} },
		"protection":       func(s *State) { s.Keys.Profile = 99 },
		"SRTP context":     func(s *State) { s.Keys.LocalKey = s.Keys.LocalKey[:3] },
		"stream 5":         func(s *State) { s.Sent[5] = maxIndex },
		"RTCP of 6":        func(s *State) { s.SentControl[6] = maxControlIndex },
		"at most 64 are":   func(s *State) { s.Received = map[uint32]uint64{}; fill64(s.Received) },
		"at most 31744 is": nil,
	} {
		state, margin := randomState(random), uint16(1000)
		if change == nil {
			margin = 1 << 15
		} else {
			change(&state)
		}
		c, err := s.Import(state, nothing())
		if err == nil {
			err = c.TakeOver(margin)
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one of %q", err, want)
		}
	}
	state := randomState(random)
	last := randomState(random)
	last.Rank = MaxRank
	if _, err := s.Import(last, nothing()); err == nil {
		t.Error("a rank above the highest is taken")
	}
	c := imported(t, s, state)
	again, err := s.Import(state, nothing())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Listen(); !errors.Is(err, errTaken) {
		t.Errorf("the same again: %v", err)
	}
	again.Close()
	if s.byName[state.Name] != c {
		t.Error("what was refused takes the other one away")
	}
	if err := c.Follow(randomState(random)); !errors.Is(err, errOther) {
		t.Errorf("the state of another connection: %v", err)
	}
	if err := errors.Join(c.Follow(state), c.TakeOver(0)); err != nil {
		t.Error(err)
	}
	if err := c.TakeOver(0); !errors.Is(err, errServed) {
		t.Errorf("twice: %v", err)
	}
	if err := c.Follow(state); !errors.Is(err, errServed) {
		t.Errorf("following too late: %v", err)
	}
}

func fill64(indices map[uint32]uint64) {
	for i := range uint32(MaxSSRCs + 1) {
		indices[i] = 1
	}
}

func TestWhatIsRelayedIsBounded(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	state := randomState(rand.New(rand.NewPCG(7, 8)))
	relayed := 0
	events := nothing()
	events.Relay = func(name string, packet []byte) {
		if name != state.Name || len(packet) > maxRelayedBytes {
			t.Errorf("%d bytes of %q are relayed", len(packet), name)
		}
		relayed++
	}
	c, err := s.Import(state, events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	hello := record(22, 0, make([]byte, 60)...)
	c.receive(append(hello, make([]byte, maxRelayedBytes)...), route{})
	for range 2 * maxRelayed {
		c.receive(hello, route{})
	}
	if relayed != maxRelayed {
		t.Errorf("%d packets are relayed, want %d", relayed, maxRelayed)
	}
	c.relayed.Store(0)
	if err := c.TakeOver(0); err != nil {
		t.Fatal(err)
	}
	if c.receive(hello, route{}); relayed != maxRelayed {
		t.Error("what is served here is relayed")
	}
}

func TestAStateIsNotPrinted(t *testing.T) {
	state := randomState(rand.New(rand.NewPCG(5, 6)))
	within := struct {
		Of   State
		More *State
	}{state, &state}
	for _, printed := range []string{
		fmt.Sprint(state), fmt.Sprintf("%+v %#v %s %x %q %d", state, state, state, state, state, state), fmt.Sprintf("%+v", state.Keys),
		fmt.Sprintf("%v %+v %#v", within, within, within), fmt.Sprint(state.MarshalLog(), state.Keys.MarshalLog()),
	} {
		for _, secret := range []string{
			state.Password, state.Remote.Password, fmt.Sprintf("%x", state.Keys.LocalKey), fmt.Sprintf("%d", state.Keys.LocalKey),
			fmt.Sprintf("%d", state.Keys.RemoteSalt),
		} {
			if strings.Contains(printed, strings.Trim(secret, "[]")) {
				t.Errorf("a secret is printed: %s", printed)
			}
		}
	}
}

// A standby is opened before the peer's answer is known.
func TestAStandbyLearnsOfThePeer(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	state := randomState(rand.New(rand.NewPCG(9, 10)))
	early := state
	early.Remote, early.Keys = Remote{}, Keys{}
	c := imported(t, s, early)
	via := route{address: netip.MustParseAddrPort("192.0.2.1:7"), socket: s.UDP}
	check := request(t, state.Name+":"+state.Remote.Name, state.Password)
	s.check(check, via)
	if !c.paths.all[0].asked.IsZero() {
		t.Error("a peer whose password is not known is asked")
	}
	if err := c.Follow(state); err != nil {
		t.Fatal(err)
	}
	if c.paths.all[0].asked.IsZero() {
		t.Error("the peer is not asked when its password becomes known, although it may not check again")
	}
	state.Remote.Password = "another"
	if err := c.Follow(state); !errors.Is(err, errOther) {
		t.Errorf("another peer: %v", err)
	}
}

// indexed makes packets of one stream with successive numbers.
func indexed(from uint16, n int) []sfu.Outgoing {
	var packets []sfu.Outgoing
	for i := range n {
		packets = append(packets, sfu.Outgoing{SSRC: 5, Sequence: from + uint16(i), PayloadType: 96, Payload: []byte{1, 2, 3, 4}})
	}
	return packets
}

// The receiver decrypts what comes after a take-over, wherever the numbers are, and no index is
// used twice.
func TestNoIndexIsUsedTwice(t *testing.T) {
	for _, profile := range profiles {
		for _, margin := range []uint16{0, 1, 1024, 20000, MaxMargin} {
			for _, last := range []uint16{5, 30_000, 65_534, 65_535} {
				t.Run(fmt.Sprint(profile, margin, last), func(t *testing.T) { testIndices(t, profile, last, margin) })
			}
		}
	}
}

func testIndices(t *testing.T, profile srtp.ProtectionProfile, last, margin uint16) {
	k, remote := testKeys(t, profile)
	seal := func(k *keys, packets []sfu.Outgoing) (through int) {
		b := newBurst()
		k.seal(b, packets, nil)
		for _, raw := range b.packets() {
			if _, err := remote.DecryptRTP(nil, raw, nil); err == nil {
				through++
			}
		}
		return through
	}
	for first := last % 5000; ; first += 5000 { // up to the last, in the lower half first
		if seal(k, indexed(first, 1)) != 1 {
			t.Fatal("a packet does not get through")
		}
		if first == last || last-first < 5000 {
			break
		}
	}
	k.freeze()
	if n := seal(k, indexed(last+1, 1)); n != 0 {
		t.Error("a frozen connection sends")
	}
	if _, err := k.sealControl([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, nil); !errors.Is(err, errFrozen) {
		t.Errorf("RTCP of a frozen connection: %v", err)
	}
	var state State
	k.export(&state)
	next, err := importKeys(state, margin, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, used := range []uint16{last, last - 100, last + margin} {
		if n := seal(next, indexed(used, 1)); n != 0 {
			t.Errorf("number %d, which may have been used, is sent", used)
		}
	}
	if n := seal(next, indexed(last+margin+1, 50)); n != 50 {
		t.Errorf("%d of 50 packets get through", n)
	}
	if got := next.sent.export()[5]; got != uint64(last)+uint64(margin)+50 {
		t.Errorf("the index is %d", got)
	}
}

// The first packet that another process gets may be on the other side of a wrap.
func TestWhatComesInIsDecryptedOn(t *testing.T) {
	for _, profile := range profiles {
		for _, first := range []uint16{30, 20_000, 65_500} {
			for _, lost := range []uint16{0, 1, 40, 30_000} {
				k, remote := testKeys(t, profile)
				sequence, index := first, uint64(first)
				arrives := func(k *keys) error {
					plain, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: sequence, SSRC: 9}, Payload: []byte{1, 2, 3}}).Marshal()
					if err != nil {
						t.Fatal(err)
					}
					sealed, err := remote.EncryptRTP(make([]byte, 0, 100), plain, nil)
					if err != nil {
						t.Fatal(err)
					}
					opened, err := k.openMedia(sealed)
					if err == nil && !bytes.Equal(opened, plain) {
						t.Fatalf("%x is decrypted, want %x", opened, plain)
					}
					return err
				}
				for range 80_000 / 1000 { // more than one wrap
					if err := arrives(k); err != nil {
						t.Fatal(err)
					}
					sequence, index = sequence+1000, index+1000
				}
				var state State
				k.export(&state)
				if got := state.Received[9]; got != index-1000 {
					t.Fatalf("the index is %d, want %d", got, index-1000)
				}
				next, err := importKeys(state, 0, 100)
				if err != nil {
					t.Fatal(err)
				}
				sequence += lost
				if err := arrives(next); err != nil {
					t.Errorf("from %d, after %d that were lost: %v", first, lost, err)
				}
			}
		}
	}
}

func TestRTCPGoesOn(t *testing.T) {
	for _, profile := range profiles {
		k, remote := testKeys(t, profile)
		report := reportOf(t, remote, 9)
		again := append([]byte(nil), report...)
		if _, err := k.open(report, time.Now()); err != nil {
			t.Fatal(err)
		}
		sealed := func(k *keys) []byte {
			raw, err := k.sealControl([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		sealed(k)
		var state State
		k.export(&state)
		next, err := importKeys(state, 7, 100)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next.open(append([]byte(nil), again...), time.Now()); !errors.Is(err, errDropped) {
			t.Errorf("a packet that the other process has taken: %v", err)
		}
		if _, err := next.open(reportOf(t, remote, 9), time.Now()); err != nil {
			t.Errorf("the next packet: %v", err)
		}
		if n := next.controlIndex(sealed(next)); n != 9 {
			t.Errorf("RTCP goes on with index %d, want 9", n)
		}
		if _, err := remote.DecryptRTCP(nil, sealed(next), nil); err != nil {
			t.Error(err)
		}
	}
}

// A peer that does not come to the standby is asked where the other process reaches it, until it
// has answered, and only so often as that says where it is.
func TestAStandbySeeksThePeer(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	s.Serve()
	peer, _ := newReceiver(t, "127.0.0.1")
	state := randomState(rand.New(rand.NewPCG(7, 9)))
	state.Address = peer.LocalAddr().(*net.UDPAddr).AddrPort()
	c := imported(t, s, state)
	check := decode(t, receive(t, peer, 1))[stun.BindingRequest]
	if check == nil || nomination(check) != 0 {
		t.Fatalf("the peer gets %v", check)
	}
	for range 2 * seekChecks {
		c.choose(func(p *paths) []question {
			p.all[0].askedLast = time.Time{}
			questions, _ := p.tick(time.Time{}, time.Now())
			return questions
		})
	}
	c.choose(func(p *paths) []question {
		if credit := p.all[0].credit; credit < 0 || credit >= p.checkBytes {
			t.Errorf("credit for %d bytes is left: a check takes %d", credit, p.checkBytes)
		}
		return nil
	})
	response := stun.MustBuild(stun.NewTransactionIDSetter(check.TransactionID), stun.BindingSuccess,
		stun.NewShortTermIntegrity(state.Remote.Password), stun.Fingerprint)
	if !c.answers(response.Raw, route{address: state.Address, socket: s.UDP}) || c.route.Load() == nil {
		t.Fatal("the answer is not believed")
	}
	c.choose(func(p *paths) []question {
		questions := p.seek(route{address: state.Address, socket: s.UDP}, time.Now())
		if len(questions) > 0 {
			t.Error("who has answered is sought on")
		}
		return questions
	})
}

// A peer that another process serves is asked for nothing but an answer; then it is told to come.
func TestAStandbyWaitsUntilItTakesOver(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	s.Serve()
	state := randomState(rand.New(rand.NewPCG(7, 8)))
	c := imported(t, s, state)
	peer, from := newReceiver(t, "127.0.0.1")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.UDP.Port())
	if _, err := peer.WriteToUDPAddrPort(request(t, state.Name+":"+state.Remote.Name, state.Password, flag(stun.AttrICEControlled)), at); err != nil {
		t.Fatal(err)
	}
	messages := decode(t, receive(t, peer, 2))
	check := messages[stun.BindingRequest]
	if messages[stun.BindingSuccess] == nil || check == nil || nomination(check) != 0 {
		t.Fatalf("the peer gets %v", messages)
	}
	want := binary.BigEndian.AppendUint32(nil, (state.Rank+1).Priority(false, 0))
	if priority, err := check.Get(stun.AttrPriority); err != nil || !bytes.Equal(priority, want) {
		t.Errorf("the priority is %x, want %x, that of the next process: %v", priority, want, err)
	}
	if c.route.Load() != nil {
		t.Error("an address that has not answered is used")
	}
	answer := func(check *stun.Message) {
		response := stun.MustBuild(stun.NewTransactionIDSetter(check.TransactionID), stun.BindingSuccess, stun.NewShortTermIntegrity(state.Remote.Password))
		if !c.answers(response.Raw, route{address: from, socket: s.UDP}) {
			t.Error("an answer is not taken")
		}
	}
	answer(check)
	if n := c.WriteRTP(indexed(1, 1)); n != 0 {
		t.Error("a standby sends media")
	}
	if err := c.TakeOver(0); err != nil {
		t.Fatal(err)
	}
	check = decode(t, receive(t, peer, 1))[stun.BindingRequest]
	if nomination(check) != state.Nomination+1 {
		t.Errorf("the nomination is %d", nomination(check))
	}
	s.Sweep(time.Now().Add(time.Second)) // it was lost
	if again := decode(t, receive(t, peer, 1))[stun.BindingRequest]; again.TransactionID != check.TransactionID {
		t.Error("another check comes instead of the same again")
	}
	answer(check)
	if n := c.WriteRTP(indexed(1, 1)); n != 1 || len(receive(t, peer, 1)) != 1 {
		t.Errorf("%d packets are sent", n)
	}
}

func TestAFrozenConnectionNominatesNothing(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	c := newConn(t, s)
	c.Freeze()
	via := route{address: netip.MustParseAddrPort("192.0.2.1:7"), socket: s.UDP}
	s.check(request(t, c.name+":them", c.password), via)
	c.choose(func(p *paths) []question {
		questions, ok := p.answer(via, p.now.id, time.Now())
		if !ok || len(questions) != 0 {
			t.Errorf("%v is asked, after an answer: %v", questions, ok)
		}
		return nil
	})
}
