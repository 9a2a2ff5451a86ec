//go:build e2e

package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/network"
)

// role tells a process of the tests what it is there for.
const role = "MEDIAROOMS_TEST_ROLE"

// roleReceiver has the bad network.
const roleReceiver = "receiver"

func TestMain(m *testing.M) {
	if os.Getenv(role) == roleReceiver {
		if err := receive(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(role) == roleEngine {
		if err := serveEngine(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// receive answers an offer on its input and then each line of it with what was received.
func receive() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	lines.Scan()
	// Only now the link is there.
	m, err := roomclient.NewMediaWith(roomclient.MediaOptions{Feedback: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	s, err := m.NewSubscriber()
	if err != nil {
		return err
	}
	var offer string
	if err := json.Unmarshal(lines.Bytes(), &offer); err != nil {
		return err
	}
	answer, err := s.Answer(context.Background(), offer)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for err = out.Encode(answer); err == nil && lines.Scan(); {
		err = out.Encode(s.Video())
	}
	return errors.Join(err, s.Close())
}

// remote is a receiver behind a link.
type remote struct {
	t    *testing.T
	link *network.Link
	in   *json.Encoder
	out  *json.Decoder
}

var (
	here  = netip.MustParsePrefix("10.0.0.1/24")
	there = netip.MustParsePrefix("10.0.0.2/24")
)

// newRemote starts a receiver that does not receive yet.
func newRemote(t *testing.T) *remote {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), role+"="+roleReceiver)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &remote{t: t, link: network.NewLink(t, command.Process.Pid, here, there), in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

func (r *remote) exchange(question, answer any) {
	r.t.Helper()
	if err := r.in.Encode(question); err != nil {
		r.t.Fatal(err)
	}
	if err := r.out.Decode(answer); err != nil {
		r.t.Fatal(err)
	}
}

func (r *remote) video() (received roomclient.Reception) {
	r.t.Helper()
	r.exchange(nil, &received)
	return received
}

// set makes the link worse or better; the delay is that of each direction.
func (r *remote) set(towards network.Quality) {
	r.t.Helper()
	if err := r.link.Set(r.t.Context(), towards, network.Quality{Delay: towards.Delay}); err != nil {
		r.t.Fatal(err)
	}
}

// threeLayers is what the publisher sends.
var threeLayers = roomclient.Stream{
	VideoFrameRate: 30, AudioPacketBytes: 80,
	Video: []roomclient.Layer{
		{RID: "rdiv4", Width: 320, Height: 180, Kbps: 150},
		{RID: "rdiv2", Width: 640, Height: 360, Kbps: 500},
		{RID: "rdiv1", Width: 1280, Height: 720, Kbps: 1700},
	},
}

// badNetwork is a media pod with a simulcast publisher, a receiver nearby and one behind a link.
func badNetwork(t *testing.T, towards network.Quality) (*roomclient.Subscriber, *remote, *Engine) {
	t.Helper()
	far := newRemote(t)
	far.set(towards)
	e := newEngine(t, func(c *Config) { c.ListenIP = netip.IPv4Unspecified() })
	e.SetAdvertisedAddresses([]Address{{IP: here.Addr(), UDPPort: e.UDPPort()}})
	p := e.NewPublication(both)
	m, err := roomclient.NewMediaWith(roomclient.MediaOptions{Feedback: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := m.NewPublisher(t.Context(), threeLayers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Close() })
	answer, err := p.Answer(t.Context(), publisher.Offer)
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Start(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	near, err := m.NewSubscriber()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	s, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err = near.Answer(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	if err := s.Answer(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	if s, offer, err = e.Subscribe(t.Context(), p, media.SubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	far.exchange(offer, &answer)
	if err := s.Answer(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both receive the best layer", func() bool { return near.Video().Layer == 2 && far.video().Layer == 2 })
	return near, far, e
}

// during lets time pass: what is to be seen are minutes of media.
func during(d time.Duration) { <-time.After(d) }

// changed returns how long after a moment a layer came.
func changed(r roomclient.Reception, layer int, after time.Time) (time.Duration, bool) {
	for _, c := range r.Changes {
		if c.Layer == layer && c.At.After(after) {
			return c.At.Sub(after), true
		}
	}
	return 0, false
}

// What is measured here is logged; the bounds leave room for a computer that is busy with other
// things, which the receiver nearby shows as well.

func TestALinkThatLosesPackets(t *testing.T) {
	if !network.Isolated(t) {
		return
	}
	near, far, e := badNetwork(t, network.Quality{Delay: 25 * time.Millisecond, Loss: 0.05})
	during(15 * time.Second)
	v, other := far.video(), near.Video()
	t.Logf("%d frames, %d freezes, the longest gap %v, %d missed, %d of them repaired; the other: %d frames, the longest gap %v; %d repairs sent",
		v.Frames, v.Freezes, v.Longest, v.Missed, v.Repaired, other.Frames, other.Longest, e.Stats().Retransmitted)
	if v.Longest > other.Longest+time.Second || v.Missed < 20 || v.Repaired < v.Missed*9/10 || v.Frames < other.Frames*8/10 {
		t.Errorf("behind the link: %d frames of layer %d, the longest gap %v, %d packets missed", v.Frames, v.Layer, v.Longest, v.Missed)
	}
	if other.Missed > 0 || other.NACKs > 0 || other.KeyframeRequests > 0 {
		t.Errorf("the other receiver has missed %d packets", other.Missed)
	}
}

func TestALinkThatIsCutAndMended(t *testing.T) {
	if !network.Isolated(t) {
		return
	}
	quality := network.Quality{Delay: 25 * time.Millisecond, Kbps: 3000, Queue: 300 * time.Millisecond}
	near, far, _ := badNetwork(t, quality)
	during(3 * time.Second)
	var before roomclient.Reception
	eventually(t, "the best layer is received", func() bool {
		before = far.video()
		return before.Layer == 2
	})
	quality.Kbps = 500
	cut := time.Now()
	far.set(quality)
	during(6 * time.Second)
	low, nearby := far.video(), near.Video()
	down, fell := changed(low, 0, cut)
	quality.Kbps = 3000
	mended := time.Now()
	far.set(quality)
	eventually(t, "the best layer is back", func() bool { return far.video().Layer == 2 })
	during(time.Second)
	high, other := far.video(), near.Video()
	up, _ := changed(high, 2, mended)
	t.Logf("the lowest layer after %v, the longest gap %v (before: %v); the best one again after %v, the longest gap %v",
		down, low.Longest, before.Longest, up, high.Longest)
	if !fell || down > 4*time.Second || low.Longest > nearby.Longest+2*time.Second {
		t.Errorf("after the cut: layer %d after %v, the longest gap %v", low.Layer, down, low.Longest)
	}
	if high.Longest > other.Longest+2*time.Second {
		t.Errorf("after the mend: the longest gap %v", high.Longest)
	}
	if other.Missed > 0 || other.KeyframeRequests > 0 || len(other.Changes) > 3 {
		t.Errorf("the other receiver has missed %d packets, and saw layers %v", other.Missed, other.Changes)
	}
}
