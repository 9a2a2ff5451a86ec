package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Home is a client's home on a Segment: a network namespace that reaches the nodes through that of
// a router, which translates addresses (nftables' masquerade). What lies between the two is as bad
// as is wanted: this process carries each packet.
//
//	client 192.168.7.2 == 192.168.7.1 router, a Machine
type Home struct {
	client   namespace
	router   *Machine
	carriers [2]*carrier
}

// NewHome makes a home. The number is that of a machine, which its router is. It is removed at the
// end of the test.
func (s Segment) NewHome(t testing.TB, number int) *Home {
	t.Helper()
	h := &Home{client: newNamespace(t), router: s.NewMachine(t, number)}
	if err := h.build(t); err != nil {
		t.Fatalf("making a home: %v", err)
	}
	return h
}

func (h *Home) build(t testing.TB) error {
	inside, outside := h.router.name+"c", h.router.name+"r"
	if err := h.carry(t, inside, outside); err != nil {
		return err
	}
	ctx, router := t.Context(), "-n "+h.router.name+" "
	for _, command := range []string{
		fmt.Sprintf("link set %s netns %d", inside, h.client.holder),
		fmt.Sprintf("link set %s netns %s", outside, h.router.name),
		router + "address add " + wayInside + "/24 dev " + outside,
		router + "link set " + outside + " up",
		"netns exec " + h.router.name + " sysctl -q -w net.ipv4.ip_forward=1",
	} {
		if err := ip(ctx, command); err != nil {
			return err
		}
	}
	for _, command := range []string{
		"ip link set lo up",
		"ip address add " + wayClient + "/24 dev " + inside,
		"ip link set " + inside + " up",
		"ip route add default via " + wayInside,
	} {
		if err := h.client.run(ctx, "", command); err != nil {
			return err
		}
	}
	return errors.Join(
		h.client.filter(ctx, "names", noNames),
		h.router.filter(ctx, "nat", `chain out { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }
	chain mine { type filter hook input priority filter; iifname eth0 drop; }`),
	)
}

// carry makes the ends of what lies between the client and its router.
func (h *Home) carry(t testing.TB, inside, outside string) error {
	client, err := openTUN(inside)
	if err != nil {
		return err
	}
	router, err := openTUN(outside)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	h.carriers = [2]*carrier{newCarrier(client, router), newCarrier(router, client)}
	var running sync.WaitGroup
	for _, c := range h.carriers {
		running.Go(c.take)
		running.Go(c.deliver)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), router.Close()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return nil
}

// Set changes the quality between the client and its router, of each direction.
func (h *Home) Set(quality Quality) {
	for _, c := range h.carriers {
		c.quality.Store(&quality)
	}
}

// Namespace is the path of the client's network namespace.
func (h *Home) Namespace() string { return h.client.path() }

// Listen listens on a TCP address of the client, such as 127.0.0.1:0.
func (h *Home) Listen(ctx context.Context, address string) (net.Listener, error) {
	return Within(h.Namespace(), func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	})
}
