package certs

import (
	"bytes"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"mediarooms.dev/mediarooms/internal/mtls"
)

// fixture is a controller with a clock, and Secrets in memory.
type fixture struct {
	*testing.T
	*Controller
	clock *clock.FakePassiveClock
}

func newFixture(t *testing.T, objects ...client.Object) *fixture {
	c := fake.NewClientBuilder().WithObjects(objects...).Build()
	now := clock.NewFakePassiveClock(start)
	return &fixture{t, &Controller{
		Client: c, Reader: c, Namespace: "system", Clock: now, Identity: &mtls.Memory{}, Keys: NewKeys(),
	}, now}
}

func (f *fixture) pass() {
	f.Helper()
	if _, err := f.Reconcile(f.Context(), ctrl.Request{}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) secret(name string) map[string][]byte {
	f.Helper()
	var secret corev1.Secret
	if err := f.Client.Get(f.Context(), types.NamespacedName{Namespace: "system", Name: name}, &secret); err != nil {
		f.Fatal(err)
	}
	return secret.Data
}

func (f *fixture) remove(name string) {
	f.Helper()
	if err := f.Client.Delete(f.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name}}); err != nil {
		f.Fatal(err)
	}
}

func TestSecretsAreMadeOnceAndKept(t *testing.T) {
	f := newFixture(t)
	f.pass()
	before := map[string]map[string][]byte{}
	for _, name := range []string{CASecret, MediaPodSecret, GatewaySecret, WorkerSecret, SigningKeySecret} {
		before[name] = f.secret(name)
	}
	if len(before[SigningKeySecret][SigningKeyField]) != 32 {
		t.Error("the signing key has another size")
	}
	if _, _, err := f.Identity.Load(); err != nil {
		t.Error(err)
	}
	f.clock.SetTime(start.Add(leafLife / 2))
	f.pass()
	for name, data := range before {
		for key, value := range data {
			if !bytes.Equal(value, f.secret(name)[key]) {
				t.Errorf("%s of %s has changed", key, name)
			}
		}
	}
}

func TestLeavesAreRenewedBeforeAThirdIsLeft(t *testing.T) {
	f := newFixture(t)
	f.pass()
	before := f.secret(MediaPodSecret)
	own, _, err := f.Identity.Load()
	if err != nil {
		t.Fatal(err)
	}
	f.clock.SetTime(start.Add(leafLife * 2 / 3))
	f.pass()
	after := f.secret(MediaPodSecret)
	if bytes.Equal(before[mtls.CertificateFile], after[mtls.CertificateFile]) || !bytes.Equal(before[mtls.CAFile], after[mtls.CAFile]) {
		t.Error("the certificate was not renewed, or the CA was")
	}
	if renewed, _, _ := f.Identity.Load(); renewed == own {
		t.Error("the operator's own was not")
	}
}

func TestASuccessorIsTrustedBeforeItSigns(t *testing.T) {
	f := newFixture(t)
	f.pass()
	f.clock.SetTime(start.Add(caLife * 2 / 3))
	f.pass()
	ca, pod := f.secret(CASecret), f.secret(MediaPodSecret)
	if len(ca[nextCertificateField]) == 0 || bytes.Count(pod[mtls.CAFile], []byte("BEGIN")) != 2 {
		t.Fatal("there is no successor, or it is not trusted")
	}
	f.clock.SetTime(start.Add(caLife*2/3 + propagation))
	f.pass()
	after := f.secret(CASecret)
	if !bytes.Equal(after[mtls.CertificateFile], ca[nextCertificateField]) || len(after[nextCertificateField]) != 0 {
		t.Error("the successor does not sign")
	}
	if bytes.Count(f.secret(MediaPodSecret)[mtls.CAFile], []byte("BEGIN")) != 2 {
		t.Error("the old one is not trusted any more")
	}
}

func TestWhatWasDeletedComesBack(t *testing.T) {
	f := newFixture(t)
	f.pass()
	key := f.secret(SigningKeySecret)[SigningKeyField]
	f.remove(SigningKeySecret)
	f.remove(GatewaySecret)
	f.pass()
	if !bytes.Equal(key, f.secret(SigningKeySecret)[SigningKeyField]) {
		t.Error("the signing key is another: all tokens are worthless")
	}
	f.secret(GatewaySecret)
}

func TestTheNextLookIsInTime(t *testing.T) {
	f := newFixture(t)
	result, err := f.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter <= 0 || result.RequeueAfter > time.Hour {
		t.Errorf("it is after %s, %v", result.RequeueAfter, err)
	}
}
