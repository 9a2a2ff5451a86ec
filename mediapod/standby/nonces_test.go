package standby

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
	"mediarooms.dev/mediarooms/test/wait"
)

const longWait = 20 * time.Second

// tappedPod is a pod whose clients reach it over a tap.
type tappedPod struct {
	*pod
	uid string
	tap *tap
}

// tappedCall is one that sends and one that receives, whose pods end.
type tappedCall struct {
	t       *testing.T
	ca      *mtlstest.Authority
	record  *record
	pods    int
	keys    map[netip.AddrPort]transport.Keys // by the client
	serving *tappedPod
	next    *tappedPod

	published *roomclient.Publisher
	received  *roomclient.Subscriber
	trickled  chan func() error
}

func (c *tappedCall) newPod() *tappedPod {
	c.t.Helper()
	c.pods++
	p := &tappedPod{pod: startPod(c.t, c.ca), uid: fmt.Sprintf("pod-%d", c.pods)}
	p.tap = c.record.tap(c.t, p.uid, p.UDPPort())
	p.SetAdvertisedAddresses(p.tap.addresses())
	return p
}

func (c *tappedCall) publicationOptions() media.PublicationOptions {
	return media.PublicationOptions{Room: "room", StreamID: "stream", HasAudio: true, HasVideo: true, Trickle: c.tell(func(raw json.RawMessage) error {
		return c.published.AddCandidate(raw)
	})}
}

func (c *tappedCall) subscriptionOptions() media.SubscriptionOptions {
	return media.SubscriptionOptions{Participant: "B", ID: "A", Trickle: c.tell(func(raw json.RawMessage) error {
		return c.received.AddCandidate(raw)
	})}
}

// tell returns what tells a client of candidates, once the test waits for that.
func (c *tappedCall) tell(add func(json.RawMessage) error) func(media.ICECandidate) {
	return func(candidate media.ICECandidate) {
		c.trickled <- func() error {
			raw, err := json.Marshal(candidate)
			if err != nil {
				return err
			}
			return add(raw)
		}
	}
}

// begin begins a call in a pod that has a standby.
func (c *tappedCall) begin() {
	c.t.Helper()
	c.serving, c.trickled = c.newPod(), make(chan func() error, 64)
	c.protect()
	m, err := roomclient.NewMediaWith(roomclient.MediaOptions{
		Interfaces: func(name string) bool { return name == "lo" }, Feedback: 100 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if c.published, err = m.NewPublisher(c.t.Context(), roomclient.Stream{
		VideoFrameRate: 30, Video: roomclient.Fixed(2, 300), AudioPacketBytes: 80,
	}); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.published.Close() })
	p := c.serving.NewPublication(c.publicationOptions())
	answer, err := p.Answer(c.t.Context(), c.published.Offer)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.published.Start(c.t.Context(), answer); err != nil {
		c.t.Fatal(err)
	}
	if c.received, err = m.NewSubscriber(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.received.Close() })
	s, offer, err := c.serving.Subscribe(c.t.Context(), p, c.subscriptionOptions())
	if err != nil {
		c.t.Fatal(err)
	}
	if answer, err = c.received.Answer(c.t.Context(), offer); err != nil {
		c.t.Fatal(err)
	}
	if err := s.Answer(c.t.Context(), answer); err != nil {
		c.t.Fatal(err)
	}
	if err := c.received.WaitConnected(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.flows()
	wait.For(c.t, longWait, "both clients to be known", func() error {
		for _, state := range []transport.State{p.(*publication).Export().Connection, s.(*subscription).Export().Connection} {
			client, known := c.record.client(state.Address)
			if !known {
				return fmt.Errorf("nobody is at %v", state.Address)
			}
			c.keys[client] = state.Keys
		}
		return nil
	})
}

// protect gives the pod that serves the call a new standby.
func (c *tappedCall) protect() {
	c.t.Helper()
	c.next = c.newPod()
	shown := secret(byte(c.pods))
	c.serving.Protect("room", &Standby{PodUID: c.next.uid, Addresses: c.next.tap.addresses(), Secret: shown})
	c.next.Follow("room", Primary{PodUID: c.serving.uid, Address: c.serving.address, Secret: shown})
	c.next.becomes("room", Ready)
}

// flows waits until media has come from the pod that serves the call.
func (c *tappedCall) flows() {
	c.t.Helper()
	wanted := c.record.media(c.serving.uid) + 60
	wait.For(c.t, longWait, c.serving.uid+" to send media", func() error {
		if n := c.record.media(c.serving.uid); n < wanted {
			return fmt.Errorf("%d packets are missing", wanted-n)
		}
		return nil
	})
}

// isProtected waits until the standby could go on with all connections, and clients reach it.
func (c *tappedCall) isProtected() {
	c.t.Helper()
	wait.For(c.t, longWait, c.next.uid+" to know of the clients, and they of it", func() error {
		for len(c.trickled) > 0 {
			if err := (<-c.trickled)(); err != nil {
				return err
			}
		}
		if port := c.next.tap.port(); !c.published.Reaches(port) || !c.received.Reaches(port) {
			return errors.New("not all clients reach it")
		}
		return c.next.knowsKeys()
	})
}

// knowsKeys gives no error when the pod has the keys of the call that it follows.
func (p *tappedPod) knowsKeys() error {
	p.mu.Lock()
	f := p.followed["room"]
	p.mu.Unlock()
	if f == nil {
		return errors.New("it does not follow")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := 0
	for _, one := range f.publications {
		known += len(one.Export().Connection.Keys.LocalKey)
	}
	for _, one := range f.subscriptions {
		known += len(one.Export().Connection.Keys.LocalKey)
	}
	if known < 2*16 {
		return fmt.Errorf("it knows %d bytes of keys", known)
	}
	return nil
}

// moves has the standby serve the call, which it has taken over.
func (c *tappedCall) moves() {
	c.t.Helper()
	c.serving = c.next
	p, resumed := c.serving.Resume(c.publicationOptions())
	if !resumed {
		c.t.Fatal("the publication does not go on")
	}
	if _, resumed = c.serving.ResumeSubscription(p, c.subscriptionOptions()); !resumed {
		c.t.Fatal("the subscription does not go on")
	}
	c.serving.Served("room")
	c.flows()
}

// state says how the pod that serves the call stands by its lease.
func (p *tappedPod) state() lease.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms["room"]
	if r == nil || r.guard == nil {
		return lease.Lost
	}
	return r.guard.lease.State(time.Now())
}

// outcome waits until it is decided who goes on with the call: the standby, the pod itself, or
// nobody (nil), when the machine is too busy for the times of a lease. A pod that is not run every
// lease.Lag decides nothing.
func (c *tappedCall) outcome() (by *tappedPod) {
	c.t.Helper()
	lapsed := false
	err := wait.Poll(c.t.Context(), longWait, func() error {
		state := c.serving.state()
		switch {
		case c.next.Status("room").State == Serving:
			by = c.next
		case state == lease.Alone && lapsed:
			by = c.serving
		case state != lease.Lost:
			lapsed = lapsed || state == lease.Lapsed
			return fmt.Errorf("the lease of %s is in state %d", c.serving.uid, state)
		}
		return nil
	})
	if err != nil {
		c.t.Logf("it is not decided who goes on with the call: %v", err)
	}
	if by == nil && wait.Poll(c.t.Context(), handOverTime, c.next.serves) == nil {
		by = c.next // the room was on its way there
	}
	return by
}

// serves gives no error when the pod has taken the call over.
func (p *tappedPod) serves() error {
	if state := p.Status("room").State; state != Serving {
		return fmt.Errorf("it is in state %v", state)
	}
	return nil
}

// goesOnAlone is when the pod goes on without its standby, which does not follow any more.
func (c *tappedCall) goesOnAlone() {
	c.t.Helper()
	c.next.Unfollow("room")
	c.serving.wire.Cut(false)
	c.flows()
}

// What pods have sent over the wire through many takeovers is decrypted, and each packet index of a
// key was used once, also where a pod that is thought dead is not, and goes on for as long as its
// lease lets it.
func TestNoNonceIsUsedTwice(t *testing.T) {
	r := newRecord(t)
	c := &tappedCall{t: t, ca: mtlstest.NewAuthority(t), record: r, keys: map[netip.AddrPort]transport.Keys{}}
	c.begin()
	for _, end := range []struct {
		what string
		do   func()
		// by is who goes on: the standby, or the pod itself.
		by func() *tappedPod
	}{
		{"handed over", func() { c.serving.HandOver(t.Context()) }, func() *tappedPod { return c.next }},
		{"taken for dead", func() { c.serving.server.Stop() }, func() *tappedPod { return c.next }},
		{"not heard", func() { c.serving.wire.Cut(true) }, func() *tappedPod { return c.next }},
		{"its standby lost", func() {
			c.next.tap.cut.Store(true)
			c.serving.wire.Cut(true)
		}, func() *tappedPod { return c.serving }},
		{"taken for dead, afterwards", func() { c.serving.server.Stop() }, func() *tappedPod { return c.next }},
		{"not heard, afterwards", func() { c.serving.wire.Cut(true) }, func() *tappedPod { return c.next }},
		{"handed over, afterwards", func() { c.serving.HandOver(t.Context()) }, func() *tappedPod { return c.next }},
	} {
		c.until(end.what, end.do, end.by)
	}
	l := newLedger(c.keys)
	for _, s := range r.seen {
		if err := l.enter(s); err != nil {
			t.Error(err)
		}
	}
	if len(l.used) == 0 {
		t.Error("nothing was seen")
	}
	t.Logf("%d packets of %d pods, %d streams", len(l.used), c.pods, len(l.highest))
}

// maxTries is how often something is tried that a busy machine may keep from happening.
const maxTries = 5

// until ends what the pod does that serves the call, in calls that are begun anew while somebody
// else goes on than ought to: a lease has times that a busy machine does not keep.
func (c *tappedCall) until(what string, end func(), by func() *tappedPod) {
	c.t.Helper()
	for range maxTries {
		c.isProtected()
		want := by()
		end()
		got := c.outcome()
		switch got {
		case c.next:
			c.moves()
		case c.serving:
			c.goesOnAlone()
		}
		if got == nil {
			c.begin()
		} else {
			c.protect()
		}
		if got == want {
			return
		}
		c.t.Logf("%s: somebody else goes on than is wanted: once more", what)
	}
	c.t.Fatalf("%s: nobody goes on who ought to", what)
}
