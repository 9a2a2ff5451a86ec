package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway"
	"mediarooms.dev/mediarooms/gateway/otcompat"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/token"
	rules "mediarooms.dev/mediarooms/test/metrics"
	cases "mediarooms.dev/mediarooms/test/rest"
)

func TestOnePortServesSignallingRESTAndThePage(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	startPod(t, authority, "pod-a")
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "acme"}})
	place(t, "default", "demo", "pod-a")
	place(t, "acme", "demo", "pod-a")
	r := start(t, account, authority, nil)
	r.untilReady()

	if _, said, status := r.dial("sessionId=demo"); said != "pod-a demo" {
		t.Errorf("a socket of the default tenant: got %d %q", status, said)
	}
	if _, said, status := r.dial("sessionId=acme.demo"); said != "pod-a acme.demo" {
		t.Errorf("a socket of another tenant: got %d %q", status, said)
	}
	if got := r.ask(http.MethodPost, "/sessions", `{"customSessionId":"by-rest"}`); got != http.StatusOK {
		t.Errorf("POST /sessions: got %d", got)
	}
	if got := r.ask(http.MethodPost, "/sessions", `{"mediaNode":{"id":"unknown"}}`); got != http.StatusBadRequest {
		t.Errorf("POST /sessions with an unknown pool: got %d", got)
	}
	if got := r.ask(http.MethodGet, "/sessions/by-rest", ""); got != http.StatusOK {
		t.Errorf("GET /sessions/by-rest: got %d", got)
	}
	if got := r.ask(http.MethodPost, "/signal", `{"session":"demo"}`); got != http.StatusOK {
		t.Errorf("POST /signal: got %d", got)
	}
	if got := r.ask(http.MethodPost, "/signal", `{"session":"by-rest"}`); got != http.StatusNotAcceptable {
		t.Errorf("POST /signal to a session without a media pod: got %d", got)
	}
	guest := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guest"}, Spec: v1alpha1.ConnectionSpec{SessionName: "by-rest"},
	}
	create(t, guest)
	guestID := token.ConnectionID(string(guest.UID))
	if got := r.ask(http.MethodPatch, "/sessions/by-rest/connection/"+guestID, `{"role":"SUBSCRIBER"}`); got != http.StatusOK {
		t.Errorf("PATCH of a connection: got %d", got)
	}
	if got := r.ask(http.MethodDelete, "/sessions/by-rest/connection/"+guestID, ""); got != http.StatusNoContent {
		t.Errorf("DELETE of a connection: got %d", got)
	}
	if got := r.ask(http.MethodDelete, "/sessions/by-rest", ""); got != http.StatusNoContent {
		t.Errorf("DELETE /sessions/by-rest: got %d", got)
	}
	if _, _, header := r.get(r.config.Address, "/"); header.Get("Content-Security-Policy") == "" {
		t.Error("/ is not the page")
	}
	for _, path := range []string{otcompat.Path, otcompat.ModulePath, otcompat.TypesPath} {
		if _, _, header := r.get(r.config.Address, path); header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s, of the library for OpenTok.js applications, is not there", path)
		}
	}
	for path, want := range map[string]int{
		"/openvidu":                  http.StatusUpgradeRequired,
		"/openvidu/api/sessions":     http.StatusUnauthorized,
		"/openvidu/api//sessions":    http.StatusUnauthorized,
		"/openvidu/api/../sessions":  http.StatusUnauthorized,
		"/openvidu/recordings/x.mp4": http.StatusUnauthorized,
		"/api/sessions":              http.StatusUnauthorized,
		"/config":                    http.StatusUnauthorized,
		"/config/openvidu-publicurl": http.StatusOK,
		"/nothing":                   http.StatusNotFound,
	} {
		if got, _, _ := r.get(r.config.Address, path); got != want {
			t.Errorf("GET %s: got %d, want %d", path, got, want)
		}
	}
	if status, _, _ := r.get(r.config.HealthAddress, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: got %d", status)
	}
	_, metrics, _ := r.get(r.config.MetricsAddress, "/metrics")
	rules.Check(t, metrics, "mediarooms_gateway_signalling_sockets", "mediarooms_gateway_certificate_expiry_timestamp_seconds")
	for _, line := range []string{
		"mediarooms_gateway_signalling_sockets 2", `mediarooms_gateway_rest_requests_total{code="204",endpoint="DELETE sessions/{session}"} 1`, "go_goroutines",
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(metrics, password) {
		t.Error("the metrics hold a secret")
	}
}

func TestTheWayFollowsTheSession(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	podA := startPod(t, authority, "pod-a")
	startPod(t, authority, "pod-b")
	session := place(t, "default", "moving", "pod-a")
	r := start(t, account, authority, nil)
	r.untilReady()
	if _, said, _ := r.dial("sessionId=moving"); said != "pod-a moving" {
		t.Fatalf("got %q", said)
	}
	if err := admin.Delete(t.Context(), podA, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reconnection to be refused", func() bool {
		_, _, status := r.dial("sessionId=moving&reconnect=true")
		return status == http.StatusServiceUnavailable
	})
	session.Status.PodName = "pod-b"
	if err := admin.Status().Update(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reconnection to reach the other pod", func() bool {
		_, said, _ := r.dial("sessionId=moving&reconnect=true")
		return said == "pod-b moving"
	})
}

func TestStopping(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	startPod(t, authority, "pod-a")
	place(t, "default", "demo", "pod-a")
	r := start(t, account, authority, func(c *gateway.Config) { c.DrainDelay = time.Second })
	r.untilReady()
	socket, _, _ := r.dial("sessionId=demo")

	r.stop()
	eventually(t, "the gateway to be unready", func() bool { return !r.ready() })
	if _, said, status := r.dial("sessionId=demo"); said == "" {
		t.Errorf("a socket that comes before everybody knows of the end is refused with %d", status)
	}
	if status, _, _ := r.get(r.config.HealthAddress, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz while stopping: got %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, _, err := socket.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the socket was not ended: %v", err)
	}
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if status, _, _ := r.get(r.config.Address, "/"); status != 0 {
		t.Error("a gateway that has ended answers")
	}
}

func TestWithoutTheAPIServer(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	startPod(t, authority, "pod-a")
	place(t, "default", "demo", "pod-a")
	server := newWay(t, account)

	server.cut()
	r := start(t, server.config, authority, nil)
	eventually(t, "the gateway to be alive", func() bool {
		status, _, _ := r.get(r.config.HealthAddress, "/healthz")
		return status == http.StatusOK
	})
	if r.ready() {
		t.Error("a gateway that knows nothing yet is ready")
	}
	server.open()
	r.untilReady()

	server.cut()
	if got := r.ask(http.MethodGet, "/sessions", ""); got != http.StatusServiceUnavailable {
		t.Errorf("GET /sessions: got %d, want 503", got)
	}
	if _, said, status := r.dial("sessionId=demo"); said != "pod-a demo" {
		t.Errorf("a socket during the outage: got %d %q", status, said)
	}
	if !r.ready() {
		t.Error("the outage makes the gateway unready")
	}
	server.open()
	if got := r.ask(http.MethodGet, "/sessions", ""); got != http.StatusOK {
		t.Errorf("GET /sessions after the outage: got %d", got)
	}

	server.cut()
	waiting := start(t, server.config, authority, nil)
	eventually(t, "the gateway to be alive", func() bool {
		status, _, _ := waiting.get(waiting.config.HealthAddress, "/healthz")
		return status == http.StatusOK
	})
	waiting.stop()
	if err := waiting.wait(); err != nil {
		t.Errorf("stopping before the first sight of the API server: %v", err)
	}
}

func TestHTTPS(t *testing.T) {
	cases.Shows(t, 10)
	authority := mtlstest.NewAuthority(t)
	directory := authority.Directory(t, "rooms.example.com")
	r := start(t, account, authority, func(c *gateway.Config) { c.ServingCertificateDirectory = directory })
	handshake := func() string {
		conn, err := tls.Dial("tcp", r.config.Address, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool(), ServerName: "rooms.example.com"})
		if err != nil {
			return ""
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	eventually(t, "HTTPS", func() bool { return handshake() != "" })
	// A client that does not know the authority does not go on.
	if conn, err := tls.Dial("tcp", r.config.Address, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: "rooms.example.com"}); err == nil {
		_ = conn.Close() // the error is that there is one
		t.Error("a certificate of an unknown authority is accepted")
	} else if !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("got %v", err)
	}
	first := handshake()
	eventually(t, "the new certificate", func() bool {
		// Files of one and the same instant are taken for unchanged.
		authority.Write(t, directory, "rooms.example.com")
		return handshake() != first
	})

	if _, text, _ := r.get(r.config.MetricsAddress, "/metrics"); !strings.Contains(text, `mediarooms_gateway_certificate_expiry_timestamp_seconds{certificate="serving"} 1.`) ||
		!strings.Contains(text, `mediarooms_gateway_certificate_expiry_timestamp_seconds{certificate="identity"} 1.`) {
		t.Errorf("nothing says when the certificates end:\n%s", text)
	}

	missing := gateway.Config{TLSDirectory: authority.Directory(t, mtls.Gateway), Namespace: systemNamespace, ServingCertificateDirectory: t.TempDir()}
	if _, err := gateway.New(t.Context(), account, missing); err == nil {
		t.Error("a gateway without the certificate that it was told of starts")
	}
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	config := gateway.Config{
		Address: listener.Addr().String(), HealthAddress: freeAddress(t), MetricsAddress: freeAddress(t), TLSDirectory: authority.Directory(t, mtls.Gateway),
		Namespace: systemNamespace, DefaultTenantNamespace: "default",
	}
	g, err := gateway.New(t.Context(), account, config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), config.Address) {
			t.Errorf("got %v", err)
		}
	case <-time.After(bound):
		t.Fatal("the gateway goes on")
	}
}
