package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
)

// createSession asks for an OpenTok session with a secret, and returns the status.
func (r *running) createSession(apiKey, secret string) int {
	r.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": apiKey, "ist": "project", "exp": time.Now().Add(time.Minute).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		r.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+r.config.Address+"/session/create", strings.NewReader(""))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("X-OPENTOK-AUTH", token)
	response, err := (&http.Client{Timeout: bound}).Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
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
