package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Quality is that of one direction of a Link. The zero value is a perfect one.
type Quality struct {
	// Loss is the share of packets that are lost at random, from 0 to 1.
	Loss float64
	// Delay is how long each packet takes.
	Delay time.Duration
	// Kbps is what the link carries; 0 is no limit. What exceeds it waits, for at most Queue; what
	// would wait longer is lost.
	Kbps  int
	Queue time.Duration
}

// Link is a cable between two network namespaces: this process's and another one's. Where the
// kernel has tc-netem(8), that makes its quality; else this process carries each packet from one
// end to the other.
type Link struct {
	near, far string
	inside    []string // what runs a command in the other namespace
	carriers  [2]*carrier
}

// mtu is that of Ethernet.
const mtu = 1500

// NewLink makes a link to the network namespace of a process, and gives both ends addresses of the
// same network. It goes with either namespace.
func NewLink(t testing.TB, process int, here, there netip.Prefix) *Link {
	t.Helper()
	l := &Link{near: "near0", far: "far0", inside: []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", process)}}
	ctx := t.Context()
	netem, err := l.hasNetem(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if netem {
		// Each packet is to meet its own fate, also when many were handed to the kernel as one.
		const single = "gso_max_segs 1"
		err = ip(ctx, fmt.Sprintf("link add %s %s type veth peer name %s %s netns %d", l.near, single, l.far, single, process))
	} else if err = l.carry(t); err == nil {
		err = ip(ctx, fmt.Sprintf("link set %s netns %d", l.far, process))
	}
	if err != nil {
		t.Fatalf("making a link: %v", err)
	}
	for _, command := range []string{"link set lo up", "address add " + here.String() + " dev " + l.near, "link set " + l.near + " up"} {
		if err := ip(ctx, command); err != nil {
			t.Fatalf("making a link: %v", err)
		}
	}
	for _, command := range []string{"link set lo up", "address add " + there.String() + " dev " + l.far, "link set " + l.far + " up"} {
		if err := l.run(ctx, true, "ip "+command); err != nil {
			t.Fatalf("making a link: %v", err)
		}
	}
	t.Logf("the link is made by netem: %v", netem)
	return l
}

// hasNetem tries it on a link that is removed again.
func (l *Link) hasNetem(ctx context.Context) (bool, error) {
	if err := ip(ctx, "link add "+l.near+" type veth peer name "+l.far); err != nil {
		return false, err
	}
	output, err := exec.CommandContext(ctx, "tc", "qdisc", "add", "dev", l.near, "root", "netem", "delay", "1ms").CombinedOutput()
	if err != nil && !strings.Contains(string(output), "kind is unknown") {
		return false, fmt.Errorf("trying netem: %w: %s", err, output)
	}
	return err == nil, ip(ctx, "link delete "+l.near)
}

// run runs a command here or in the other namespace.
func (l *Link) run(ctx context.Context, there bool, command string) error {
	words := strings.Fields(command)
	if there {
		words = append(append([]string(nil), l.inside...), words...)
	}
	if output, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", command, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// Set changes the quality towards the other namespace, and back.
func (l *Link) Set(ctx context.Context, towards, back Quality) error {
	if l.carriers[0] != nil {
		l.carriers[0].quality.Store(&towards)
		l.carriers[1].quality.Store(&back)
		return nil
	}
	return errors.Join(
		l.run(ctx, false, "tc qdisc replace dev "+l.near+" root netem "+towards.netem()),
		l.run(ctx, true, "tc qdisc replace dev "+l.far+" root netem "+back.netem()),
	)
}

// netem is the quality in the terms of tc-netem(8), whose queue is counted in packets, those that
// are under way included.
func (q Quality) netem() string {
	limit := 1000
	text := ""
	if q.Loss > 0 {
		text += fmt.Sprintf("loss %g%% ", q.Loss*100)
	}
	if q.Delay > 0 {
		text += fmt.Sprintf("delay %dus ", q.Delay.Microseconds())
	}
	if q.Kbps > 0 {
		limit = max(int((q.Queue+q.Delay).Milliseconds())*q.Kbps/8/mtu, 2)
		text += fmt.Sprintf("rate %dkbit ", q.Kbps)
	}
	return text + fmt.Sprintf("limit %d", limit)
}

// carry makes the ends of the link devices of this process.
func (l *Link) carry(t testing.TB) error {
	near, err := openTUN(l.near)
	if err != nil {
		return err
	}
	far, err := openTUN(l.far)
	if err != nil {
		return errors.Join(err, near.Close())
	}
	l.carriers = [2]*carrier{newCarrier(near, far), newCarrier(far, near)}
	var running sync.WaitGroup
	for _, c := range l.carriers {
		running.Go(c.take)
		running.Go(c.deliver)
	}
	t.Cleanup(func() {
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return nil
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the device of tunnels: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making tunnel %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// carrier carries packets one way.
type carrier struct {
	from, to *os.File
	quality  atomic.Pointer[Quality]
	queue    chan held
	random   *rand.Rand
	freeAt   time.Time // when the link has carried all that waits
}

type held struct {
	packet []byte
	until  time.Time
}

// most is how many packets can be under way.
const most = 10_000

func newCarrier(from, to *os.File) *carrier {
	c := &carrier{from: from, to: to, queue: make(chan held, most), random: rand.New(rand.NewPCG(1, 2))}
	c.quality.Store(&Quality{})
	return c
}

// take reads packets and decides what becomes of each.
func (c *carrier) take() {
	defer close(c.queue)
	for {
		packet := make([]byte, mtu)
		n, err := c.from.Read(packet)
		if err != nil {
			return
		}
		if until, ok := c.pass(n, time.Now()); ok && len(c.queue) < most {
			c.queue <- held{packet: packet[:n], until: until}
		}
	}
}

// pass returns when a packet arrives; false when it does not.
func (c *carrier) pass(bytes int, now time.Time) (time.Time, bool) {
	q := c.quality.Load()
	at := now
	if q.Kbps > 0 {
		if c.freeAt.Before(now) {
			c.freeAt = now
		}
		if c.freeAt.Sub(now) > q.Queue {
			return now, false
		}
		c.freeAt = c.freeAt.Add(time.Duration(bytes*8) * time.Millisecond / time.Duration(q.Kbps))
		at = c.freeAt
	}
	if q.Loss > 0 && c.random.Float64() < q.Loss {
		return now, false
	}
	return at.Add(q.Delay), true
}

// deliver writes packets when they arrive, in order.
func (c *carrier) deliver() {
	for h := range c.queue {
		if wait := time.Until(h.until); wait > 0 {
			<-time.After(wait)
		}
		_, _ = c.to.Write(h.packet) // the other end may be gone
	}
}
