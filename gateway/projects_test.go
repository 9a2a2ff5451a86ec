package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
)

// createSession asks for an OpenTok session with a secret, and returns the status.
func (r *running) createSession(apiKey, secret string) int {
	r.Helper()
	status, _ := r.askProject(apiKey, secret, http.MethodPost, "/session/create", "")
	return status
}

// askProject asks the REST API of OpenTok with a secret, and returns the status and the body.
func (r *running) askProject(apiKey, secret, method, path, body string) (status int, answer string) {
	r.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": apiKey, "ist": "project", "exp": time.Now().Add(time.Minute).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		r.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.Context(), method, "http://"+r.config.Address+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("X-OPENTOK-AUTH", token)
	response, err := (&http.Client{Timeout: bound}).Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestProjectsComeAndGoWithTheirSecrets(t *testing.T) {
	r := start(t, account, mtlstest.NewAuthority(t), nil)
	r.untilReady()
	if got := r.createSession("46000001", "FIRST_SECRET"); got != http.StatusForbidden {
		t.Errorf("before there is a project: got %d", got)
	}
	project := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: tenant.ProjectSecretName},
		StringData: map[string]string{tenant.APIKeyKey: "46000001", tenant.APISecretKey: "FIRST_SECRET"},
	}
	create(t, project)
	eventually(t, "the project", func() bool { return r.createSession("46000001", "FIRST_SECRET") == http.StatusOK })
	project.StringData = map[string]string{tenant.APISecretKey: "SECOND_SECRET", tenant.PreviousAPISecretKey: "FIRST_SECRET"}
	if err := admin.Update(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new secret", func() bool { return r.createSession("46000001", "SECOND_SECRET") == http.StatusOK })
	if got := r.createSession("46000001", "FIRST_SECRET"); got != http.StatusOK {
		t.Errorf("the secret before: got %d", got)
	}
	if err := admin.Delete(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the project", func() bool { return r.createSession("46000001", "SECOND_SECRET") == http.StatusForbidden })
	// The tenant is still one of the other API.
	if got := r.ask(http.MethodGet, "/sessions", ""); got != http.StatusOK {
		t.Errorf("the REST API: got %d", got)
	}
}

// A gateway makes Webhooks in the namespaces where a role of its own is bound, and changes none.
func TestCallbacksNeedARole(t *testing.T) {
	r := start(t, account, mtlstest.NewAuthority(t), nil)
	r.untilReady()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "calls-back-"}}
	create(t, namespace)
	const apiKey, secret = "46000009", "A_SECRET"
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: tenant.ProjectSecretName},
		StringData: map[string]string{tenant.APIKeyKey: apiKey, tenant.APISecretKey: secret},
	})
	bind := func(role string) {
		t.Helper()
		create(t, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "mediarooms-gateway"}},
		})
	}
	bind("mediarooms-rest")
	eventually(t, "the project", func() bool { return r.createSession(apiKey, secret) == http.StatusOK })
	const callbacks, body = "/v2/project/" + apiKey + "/callback", `{"group":"stream","event":"created","url":"https://app.example.org/events"}`
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if status, answer := r.askProject(apiKey, secret, method, callbacks, body); status != http.StatusNotImplemented || !strings.Contains(answer, "mediarooms-callbacks") {
			t.Errorf("%s without the role: got %d %s", method, status, answer)
		}
	}
	bind("mediarooms-callbacks")
	eventually(t, "the role to be known", func() bool {
		status, _ := r.askProject(apiKey, secret, http.MethodGet, callbacks, "")
		return status == http.StatusOK
	})
	status, answer := r.askProject(apiKey, secret, http.MethodPost, callbacks, body)
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, answer)
	}
	hook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "of-somebody"}, Spec: v1alpha1.WebhookSpec{URL: "https://app.example.org"}}
	create(t, hook)
	gateway, err := client.New(account, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	before := hook.DeepCopy()
	hook.Spec.URL = "https://elsewhere.example.org"
	if err := gateway.Patch(t.Context(), hook, client.MergeFrom(before)); !apierrors.IsForbidden(err) {
		t.Errorf("the gateway may change a Webhook: %v", err)
	}
	var list v1alpha1.WebhookList
	if err := admin.List(t.Context(), &list, client.InNamespace(namespace.Name)); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if name := list.Items[i].Name; name != hook.Name {
			if status, answer := r.askProject(apiKey, secret, http.MethodDelete, callbacks+"/"+name, ""); status != http.StatusNoContent {
				t.Errorf("deleting %s: got %d %s", name, status, answer)
			}
		}
	}
	if status, answer := r.askProject(apiKey, secret, http.MethodGet, callbacks, ""); answer != "[]" || len(list.Items) != 2 {
		t.Errorf("there were %d, and are %d %s", len(list.Items), status, answer)
	}
}
