package mediapool

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// The name of a load balancer is looked up beside the passes: at first, and again and again, since
// it may change.
func TestHostNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer []netip.Addr
		var failure error
		var woken []time.Duration
		h := newHosts(func(pool types.NamespacedName, after time.Duration) {
			if pool.Name != "pool" {
				t.Errorf("pool %q is woken", pool.Name)
			}
			woken = append(woken, after)
		})
		h.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "lb.example.org" {
				t.Errorf("%q is looked up", host)
			}
			return answer, failure
		}
		ask := func() ([]string, string) {
			ips, missing := h.resolver("pool", time.Now())("lb.example.org")
			synctest.Wait()
			return ips, missing
		}
		expect := func(when, wantMissing string, wantWoken []time.Duration, want ...string) {
			t.Helper()
			if ips, missing := ask(); !slices.Equal(ips, want) || missing != wantMissing {
				t.Errorf("%s: got %v, %q", when, ips, missing)
			}
			if !slices.Equal(woken, wantWoken) {
				t.Errorf("%s: the pool is woken after %v, want %v", when, woken, wantWoken)
			}
			woken = nil
		}
		unknown := &net.DNSError{Err: "no such host", IsNotFound: true}
		failure = unknown
		expect("at first", "the name lb.example.org of the load balancer is being looked up", []time.Duration{0, retryInterval})
		said := "the name lb.example.org of the load balancer has no address: there is no such name"
		expect("at once", said, nil)
		time.Sleep(retryInterval)
		failure, answer = nil, []netip.Addr{
			netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("198.51.100.3"),
			netip.MustParseAddr("::ffff:198.51.100.3"), netip.MustParseAddr("2001:db8::1"),
		}
		expect("while it is looked up again", said, []time.Duration{0, lookupInterval})
		known := []string{"198.51.100.3", "198.51.100.9", "2001:db8::1"}
		expect("when it is known", "", nil, known...)
		time.Sleep(lookupInterval)
		slices.Reverse(answer)
		expect("when the answer has another order", "", []time.Duration{lookupInterval}, known...)
		time.Sleep(lookupInterval)
		failure = &net.DNSError{Err: "read udp 192.0.2.1:5353: i/o timeout", IsTimeout: true}
		expect("when nobody answers", "", []time.Duration{0, retryInterval}, known...)
		expect("after that", "", nil, known...)
		time.Sleep(3 * lookupInterval)
		failure, answer = nil, []netip.Addr{netip.MustParseAddr("169.254.0.1")}
		expect("when it was forgotten", "the name lb.example.org of the load balancer is being looked up", []time.Duration{0, retryInterval})
		expect("an answer without use", "the name lb.example.org of the load balancer has no address: "+errNoAddress.Error(), nil)
		if err := inWords(errors.New("servfail at 192.0.2.1:5353")); err.Error() != "the look-up has failed" {
			t.Errorf("got %v", err)
		}
	})
}
