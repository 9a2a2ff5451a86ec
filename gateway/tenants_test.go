package gateway_test

import (
	"net/http"
	"testing"

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
	r := start(t, account, authority, func(c *gateway.Config) { c.TrustedProxies = 1 })
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
