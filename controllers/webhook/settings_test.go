package webhook

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/pace"
)

func TestGuard(t *testing.T) {
	forbidden := Guard{Forbidden: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:ec2::/32")}}
	for address, want := range map[string]bool{
		"192.0.2.1": true, "10.0.0.1": true, "10.96.0.1": false, "2001:db8::1": true, "fd00:ec2::254": false, "::ffff:10.96.0.1": false,
		"127.0.0.1": false, "127.1.2.3": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "224.0.0.1": false, "ff02::1": false,
	} {
		if err := forbidden.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		} else if err != nil && !errors.Is(err, errForbiddenAddress) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := (Guard{AllowLocal: true}).check(netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Error(err)
	}
}

// A name that leads to a loopback address is no way around it.
func TestLoopbackIsNotCalled(t *testing.T) {
	b := newBench(t)
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	hook := &v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{URL: strings.Replace(server.URL, "127.0.0.1", "localhost", 1)}}
	s, err := prepare(hook, nil, nil, Guard{})
	if err != nil {
		t.Fatal(err)
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
	for i := range maxWebhooks + 2 {
		hook := v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{URL: "http://app"}}
		hook.Name, hook.CreationTimestamp = fmt.Sprint("hook-", i), metav1.Unix(int64(1700000000+i/2), 0)
		hooks = append(hooks, hook)
	}
	for i := range hooks {
		s, err := prepare(&hooks[i], hooks, nil, Guard{})
		var refused *refusal
		if served := i < maxWebhooks; served != (err == nil) || served == s.closed {
			t.Errorf("%s: %v", hooks[i].Name, err)
		} else if !served && (!errors.As(err, &refused) || refused.reason != v1alpha1.ReasonTooManyWebhooks) {
			t.Errorf("%s: %v", hooks[i].Name, err)
		}
	}
	hooks[0].DeletionTimestamp = &metav1.Time{Time: time.Unix(1700000009, 0)}
	if _, err := prepare(&hooks[maxWebhooks], hooks, nil, Guard{}); err != nil {
		t.Error(err)
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
			status := makeStatus(hook, test.problem, test.seen, now)
			accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAccepted)
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			if accepted.Status != test.accepted || accepted.Reason != test.acceptedWhy || ready.Status != test.ready || ready.Reason != test.readyWhy ||
				ready.Message != test.message || ready.ObservedGeneration != 3 || status.ObservedGeneration != 3 {
				t.Errorf("%+v", status.Conditions)
			}
			if status.PendingEvents != test.pending || (status.LastDeliveryTime != nil) != test.delivered {
				t.Errorf("%+v", status)
			}
			if again := makeStatus(&v1alpha1.Webhook{ObjectMeta: hook.ObjectMeta, Status: status}, test.problem, test.seen, now.Add(time.Hour)); !pace.SameConditions(status.Conditions, again.Conditions) {
				t.Errorf("the second time it is %+v", again.Conditions)
			}
		})
	}
}
