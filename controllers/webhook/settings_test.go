package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/eventlog"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
)

func TestGuard(t *testing.T) {
	nodes := OwnedBy(fake.NewClientBuilder().WithObjects(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24", "2a00:1:2::/64"}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: "node"}, {Type: corev1.NodeExternalIP, Address: "5.6.7.8"}, {Type: corev1.NodeInternalIP, Address: "2a00:1::7"},
		}},
	}).Build())
	for sentence, test := range map[string]struct {
		guard   Guard
		yes, no string
	}{
		"public addresses are called, and nothing else": {
			Guard{}, "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 ::ffff:8.8.8.8 2606:4700::1111 2a00:1::7",
			// Loopback, link-local, unspecified, multicast, broadcast.
			"127.0.0.1 127.1.2.3 ::1 ::ffff:127.0.0.1 0.0.0.0 0.1.2.3 :: 169.254.1.1 fe80::1 fe80::1%eth0 224.0.0.1 ff02::1 255.255.255.255 " +
				// Private, ULA, CGNAT, reserved, documentation.
				"10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 ::ffff:10.0.0.1 fd00::1 fc00::1 fec0::1 100.64.0.1 100.127.255.255 198.18.0.1 240.0.0.1 192.0.2.1 2001:db8::1 " +
				// Metadata: AWS, Google, Azure, Alibaba, Oracle.
				"169.254.169.254 ::ffff:169.254.169.254 fd00:ec2::254 fd20:ce::254 168.63.129.16 100.100.100.200 192.0.0.192 " +
				// What leads to one of these: NAT64, also of a network's own, 6to4, Teredo,
				// addresses that hold IPv4 ones.
				"64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1 2002:808:808::1 2001:0:a9fe:a9fe::1 ::a9fe:a9fe ::ffff:0:a9fe:a9fe",
		},
		"what is allowed is called": {
			Guard{Allowed: prefixes("10.96.0.0/12", "fd00::/8", "127.0.0.1/32"), Owned: nodes}, "10.96.0.1 ::ffff:10.96.0.1 fd00:ec2::254 127.0.0.1 8.8.8.8",
			"10.0.0.1 127.0.0.2 ::1 fe80::1",
		},
		"an address that leads to another one needs leave for both": {
			Guard{Allowed: prefixes("64:ff9b::/96", "2002::/16")}, "64:ff9b::808:808 2002:808:808::1", "64:ff9b::a9fe:a9fe 64:ff9b::a00:1 2002:a9fe:a9fe::1",
		},
		"what is forbidden is not called, whatever is allowed": {
			Guard{Allowed: prefixes("0.0.0.0/0", "::/0"), Forbidden: prefixes("10.96.0.0/12", "fd00:ec2::/32", "203.0.113.0/24")}, "10.0.0.1 127.0.0.1 169.254.169.254 ::1",
			"10.96.0.1 ::ffff:10.96.0.1 64:ff9b::a60:1 fd00:ec2::254 203.0.113.7",
		},
		"nodes and pods are not called, also at public addresses": {
			Guard{Owned: nodes}, "5.6.7.9 2a00:1::8", "5.6.7.8 ::ffff:5.6.7.8 64:ff9b::506:708 2a00:1::7 2a00:1:2::9 10.244.0.9",
		},
		"unless they are allowed": {
			Guard{Allowed: prefixes("5.6.7.0/24", "2a00:1:2::/48"), Owned: nodes}, "5.6.7.8 2a00:1:2::9", "2a00:1::7",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, address := range strings.Fields(test.yes) {
				if err := test.guard.check(t.Context(), netip.MustParseAddr(address)); err != nil {
					t.Errorf("%s: %v", address, err)
				}
			}
			for _, address := range strings.Fields(test.no) {
				if err := test.guard.check(t.Context(), netip.MustParseAddr(address)); !errors.Is(err, errForbiddenAddress) {
					t.Errorf("%s: %v", address, err)
				}
			}
		})
	}
}

// Nothing is called as long as nobody can say whose an address is.
func TestGuardWithoutNodes(t *testing.T) {
	broken := errors.New("broken")
	guard := Guard{Owned: func(context.Context, netip.Addr) (bool, error) { return false, broken }}
	if err := guard.check(t.Context(), netip.MustParseAddr("8.8.8.8")); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestParseNetworks(t *testing.T) {
	got, err := ParseNetworks("10.1.2.3/8, fd00::/8,127.0.0.1/32")
	if want := prefixes("10.0.0.0/8", "fd00::/8", "127.0.0.1/32"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, list := range []string{"", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/8,", "localhost", "::ffff:10.0.0.0/104"} {
		if got, err := ParseNetworks(list); err == nil {
			t.Errorf("%q gives %v", list, got)
		}
	}
}

// A name that leads to a loopback address is no way around it.
func TestLoopbackIsNotCalled(t *testing.T) {
	b := newBench(t)
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	hook := &v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{URL: strings.Replace(server.URL, "127.0.0.1", "localhost", 1)}}
	s, refused := prepare(hook, nil, nil, Guard{})
	if refused != nil {
		t.Fatal(refused)
	}
	b.deliverer.configure(named("hook"), s)
	b.happen("x", "1")
	b.eventually("the address is refused", func() error {
		if seen := b.deliverer.observe(named("hook")); !strings.Contains(seen.problem, "may not be called") {
			return fmt.Errorf("%+v", seen)
		}
		return nil
	})
	if got := r.of("x"); got != "" {
		t.Errorf("came %q", got)
	}
}

func TestOnlyTheOldestWebhooksAreServed(t *testing.T) {
	var hooks []v1alpha1.Webhook
	for i := range v1alpha1.MaxWebhooks + 2 {
		hook := v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{URL: "http://app"}}
		hook.Name, hook.CreationTimestamp = fmt.Sprint("hook-", i), metav1.Unix(int64(1700000000+i/2), 0)
		hooks = append(hooks, hook)
	}
	for i := range hooks {
		s, refused := prepare(&hooks[i], hooks, nil, Guard{})
		if served := i < v1alpha1.MaxWebhooks; served != (refused == nil) || served == s.closed {
			t.Errorf("%s: %v", hooks[i].Name, refused)
		} else if !served && refused.reason != v1alpha1.ReasonTooManyWebhooks {
			t.Errorf("%s: %v", hooks[i].Name, refused)
		}
	}
	hooks[0].DeletionTimestamp = &metav1.Time{Time: time.Unix(1700000009, 0)}
	if _, refused := prepare(&hooks[v1alpha1.MaxWebhooks], hooks, nil, Guard{}); refused != nil {
		t.Error(refused)
	}
}

func TestStatus(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for sentence, test := range map[string]struct {
		problem               *refusal
		seen                  state
		accepted, ready       metav1.ConditionStatus
		acceptedWhy, readyWhy string
		message               string
		pending               int64
		delivered             bool
	}{
		"nothing was sent yet": {
			accepted: metav1.ConditionTrue, acceptedWhy: "Accepted", ready: metav1.ConditionTrue, readyWhy: "Ready", message: "no event was sent yet",
		},
		"events are delivered": {
			seen:     state{lastDelivery: now, pending: 2},
			accepted: metav1.ConditionTrue, acceptedWhy: "Accepted", ready: metav1.ConditionTrue, readyWhy: "Ready",
			message: "the endpoint takes the events", pending: 2, delivered: true,
		},
		"it can't be reached": {
			seen:     state{problem: "connecting to the endpoint: refused", retrying: true, pending: 3},
			accepted: metav1.ConditionTrue, acceptedWhy: "Accepted", ready: metav1.ConditionFalse, readyWhy: "Retrying",
			message: "connecting to the endpoint: refused; it is tried again", pending: 3,
		},
		"it refuses": {
			seen:     state{problem: "the endpoint answers 404 Not Found", lastDelivery: now},
			accepted: metav1.ConditionTrue, acceptedWhy: "Accepted", ready: metav1.ConditionFalse, readyWhy: "Refused",
			message: "the endpoint answers 404 Not Found; the event is not sent again", delivered: true,
		},
		"the Secret is missing": {
			problem: &refusal{v1alpha1.ReasonHeaderSecretMissing, "it is missing"}, seen: state{pending: 1},
			accepted: metav1.ConditionFalse, acceptedWhy: "HeaderSecretMissing", ready: metav1.ConditionFalse, readyWhy: "HeaderSecretMissing",
			message: "it is missing", pending: 1,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			hook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
			o := observed{hook: hook, endpoint: test.seen, now: now}
			status := makeStatus(o, plan{refused: test.problem})
			accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAccepted)
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			if accepted.Status != test.accepted || accepted.Reason != test.acceptedWhy || ready.Status != test.ready || ready.Reason != test.readyWhy ||
				ready.Message != test.message || ready.ObservedGeneration != 3 || status.ObservedGeneration != 3 {
				t.Errorf("%+v", status.Conditions)
			}
			if status.PendingEvents != test.pending || (status.LastDeliveryTime != nil) != test.delivered {
				t.Errorf("%+v", status)
			}
			o.hook, o.now = &v1alpha1.Webhook{ObjectMeta: hook.ObjectMeta, Status: status}, now.Add(time.Hour)
			if again := makeStatus(o, plan{refused: test.problem}); !equality.Semantic.DeepEqual(status, again) {
				t.Errorf("the second time it is %+v", again)
			}
		})
	}
}

// What OpenTok does not know is not sent to who wants its form.
func TestTheFormOfDocuments(t *testing.T) {
	entry := func(event *controlv1.RoomEvent) *eventlog.Entry {
		return &eventlog.Entry{Name: v1alpha1.WebhookEvent(events.Name(event)), Room: &controlv1.RoomIdentity{SessionId: "demo"}, Event: event}
	}
	now := time.Now()
	signal := entry(events.SignalSent(now, &controlv1.SignalSent{To: []string{"con_A"}}))
	joined := entry(events.ParticipantJoined(now, &controlv1.ParticipantIdentity{ConnectionId: "con_A"}))
	for format, want := range map[v1alpha1.WebhookFormat]struct {
		signals bool
		text    string
	}{
		"":                             {true, `"event":"participantJoined"`},
		v1alpha1.WebhookFormatOpenVidu: {true, `"event":"participantJoined"`},
		v1alpha1.WebhookFormatOpenTok:  {false, `"event":"connectionCreated"`},
	} {
		hook := &v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{URL: "https://app.example.org", Format: format}}
		s, refused := prepare(hook, nil, nil, Guard{})
		if refused != nil {
			t.Fatal(refused)
		}
		if got := s.wants(signal); got != want.signals {
			t.Errorf("%q: a signal is wanted: %t", format, got)
		}
		if got := string(s.target.format.body(joined.Room, joined.Event)); !s.wants(joined) || !strings.Contains(got, want.text) {
			t.Errorf("%q: a user who joins is %s", format, got)
		}
	}
	hook := &v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{
		URL: "https://app.example.org", Format: v1alpha1.WebhookFormatOpenTok, Events: []v1alpha1.WebhookEvent{v1alpha1.EventSessionCreated},
	}}
	if s, _ := prepare(hook, nil, nil, Guard{}); s.wants(joined) || !s.wants(entry(events.SessionCreated(now))) {
		t.Error("the list of events does not count")
	}
}
