package gateway_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
)

func TestTenantsComeAndGoWithTheirSecrets(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	r := start(t, account, authority, func(c *gateway.Config) { c.TrustedProxyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	r.untilReady()
	const secret = "OTHERS_SECRET"
	if got := r.askWith(secret, http.MethodGet, "/sessions", ""); got != http.StatusUnauthorized {
		t.Errorf("before there is a tenant: got %d", got)
	}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "others"}})
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "others", Name: "mediarooms-rest"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "mediarooms-rest"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "mediarooms-gateway"}},
	})
	password := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "others", Name: tenant.SecretName}, StringData: map[string]string{"secret": secret}}
	for range 2 {
		password = password.DeepCopy()
		password.ResourceVersion = ""
		create(t, password)
		eventually(t, "the tenant", func() bool { return r.askWith(secret, http.MethodGet, "/sessions", "") == http.StatusOK })
		if got := r.askWith(secret, http.MethodPost, "/sessions", `{"customSessionId":"same"}`); got != http.StatusOK {
			t.Errorf("POST /sessions: got %d", got)
		}
		var session v1alpha1.Session
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "others", Name: "same"}, &session); err != nil {
			t.Error(err)
		}
		if got := r.ask(http.MethodGet, "/sessions/same", ""); got != http.StatusNotFound {
			t.Errorf("the default tenant sees the session of another one: got %d", got)
		}
		// This needs the tenant's cache.
		if got := r.askWith(secret, http.MethodGet, "/sessions/same/connection/con_x", ""); got != http.StatusNotFound {
			t.Errorf("GET of an unknown connection: got %d", got)
		}
		if got := r.askWith(secret, http.MethodDelete, "/sessions/same", ""); got != http.StatusNoContent {
			t.Errorf("DELETE: got %d", got)
		}
		if err := admin.Delete(t.Context(), password); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of the tenant", func() bool { return r.askWith(secret, http.MethodGet, "/sessions", "") == http.StatusUnauthorized })
	}
}

// Whose Sessions a pool hosts, the labels of the tenant's namespace say.
func TestAPoolForOneTenantRecordsItsSessions(t *testing.T) {
	r := start(t, account, mtlstest.NewAuthority(t), nil)
	r.untilReady()
	if got := r.ask(http.MethodGet, "/recordings", ""); got != http.StatusNotImplemented {
		t.Errorf("without a pool: got %d", got)
	}
	create(t, &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{GenerateName: "restricted-"}, Spec: v1alpha1.MediaPoolSpec{
		PublicURL: "https://rooms.example.org", Egress: &v1alpha1.Egress{}, AllowedNamespaces: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "default"}},
	}})
	eventually(t, "the pool", func() bool { return r.ask(http.MethodGet, "/recordings", "") == http.StatusOK })
}

func TestTwoTenantsWithOnePassword(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	const shared = "SHARED-BY-TWO"
	tenants := []*corev1.Secret{}
	for i, name := range []string{"z-older-", "a-younger-"} {
		made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name}}
		create(t, made)
		namespace := made.Name
		create(t, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mediarooms-rest"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "mediarooms-rest"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "mediarooms-gateway"}},
		})
		if i > 0 {
			// An age is in whole seconds.
			eventually(t, "the next second", func() bool { return time.Now().Unix() > tenants[0].CreationTimestamp.Unix() })
		}
		password := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenant.SecretName}, StringData: map[string]string{"secret": shared}}
		create(t, password)
		tenants = append(tenants, password)
	}
	older, younger := tenants[0], tenants[1]
	first := start(t, account, authority, nil)
	second := start(t, account, authority, nil)
	first.untilReady()
	second.untilReady()

	if got := first.askWith(shared, http.MethodPost, "/sessions", `{"customSessionId":"whose"}`); got != http.StatusOK {
		t.Errorf("POST /sessions: got %d", got)
	}
	var session v1alpha1.Session
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: older.Namespace, Name: "whose"}, &session); err != nil {
		t.Errorf("the password is not that of the older Secret: %v", err)
	}
	annotated := func(secret *corev1.Secret) bool {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			t.Fatal(err)
		}
		return secret.Annotations[tenant.Annotation] == tenant.Refused
	}
	var events corev1.EventList
	told := func(namespace string) int {
		if err := admin.List(t.Context(), &events, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		return len(events.Items)
	}
	eventually(t, "the younger one to be told", func() bool { return annotated(younger) && told(younger.Namespace) > 0 })
	event := events.Items[0]
	if event.Reason != tenant.ReasonPasswordRefused || event.InvolvedObject.UID != younger.UID || event.Type != corev1.EventTypeWarning {
		t.Errorf("the Event is %v", event)
	}
	for _, hint := range []string{shared, older.Namespace, "tenant", "namespace", "another", "same"} {
		if strings.Contains(event.Message, hint) {
			t.Errorf("the Event speaks of %q: %s", hint, event.Message)
		}
	}

	// Whoever chooses another one is let in, and nobody is told any more.
	younger.StringData = map[string]string{"secret": "OF-THE-YOUNGER"}
	if err := admin.Update(t.Context(), younger); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the notice", func() bool { return !annotated(younger) })
	eventually(t, "the new password", func() bool { return second.askWith("OF-THE-YOUNGER", http.MethodGet, "/sessions", "") == http.StatusOK })
	if annotated(older) || told(older.Namespace) != 0 || told(younger.Namespace) != 1 {
		t.Errorf("the older one is told %d times, the younger one %d times", told(older.Namespace), told(younger.Namespace))
	}
	if got := first.askWith(shared, http.MethodDelete, "/sessions/whose", ""); got != http.StatusNoContent {
		t.Errorf("DELETE: got %d", got)
	}
}

func TestATenantWhoseConnectionsTheGatewayMayNotSee(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unbound"}})
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "unbound", Name: tenant.SecretName}, StringData: map[string]string{"secret": "UNBOUND_SECRET"}})
	create(t, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "unbound", Name: "demo"}})
	r := start(t, account, authority, nil)
	r.untilReady()
	if got := r.askWith("UNBOUND_SECRET", http.MethodGet, "/sessions/demo/connection/con_x", ""); got != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", got)
	}
	if got := r.ask(http.MethodGet, "/sessions", ""); got != http.StatusOK {
		t.Errorf("another tenant: got %d", got)
	}
}
