package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// certificateMargin is how long before its end a certificate is warned of.
const certificateMargin = 14 * 24 * time.Hour

// publicURLs checks that clients reach the gateway at the URL of each pool.
func (e *examination) publicURLs(ctx context.Context) {
	var seen []string
	for i := range e.pools {
		if address := e.pools[i].Spec.PublicURL; !slices.Contains(seen, address) {
			seen = append(seen, address)
			e.publicURL(ctx, address)
		}
	}
}

func (e *examination) publicURL(ctx context.Context, text string) {
	const check = "publicURL"
	address, err := url.Parse(text)
	if err != nil {
		e.problem(check, fmt.Sprintf("%q is no URL", text), "set spec.publicURL of the MediaPool")
		return
	}
	address.Scheme = strings.Replace(address.Scheme, "ws", "http", 1)
	if address.Scheme == "http" && address.Hostname() != "localhost" && !net.ParseIP(address.Hostname()).IsLoopback() {
		e.warn(check, text+" is not HTTPS: browsers give cameras to no page from there", "docs/install.md, The way to the gateway")
	}
	answer, err := e.askGateway(ctx, address)
	if err != nil {
		what, remedy := connectionTrouble(err)
		e.problem(check, fmt.Sprintf("%s: %s", text, what), remedy)
		return
	}
	e.certificate(check, text, answer.certificateEnd)
	switch {
	case answer.status == http.StatusUpgradeRequired && strings.EqualFold(answer.upgrade, "websocket"):
		e.ok(check, text+" leads to the gateway")
	case answer.status == http.StatusBadGateway || answer.status == http.StatusServiceUnavailable || answer.status == http.StatusGatewayTimeout:
		e.problem(check, fmt.Sprintf("%s: what is in front of the gateway does not reach it (status %d)", text, answer.status),
			"does the route lead to the Service "+gatewayService+", port 4443, and is a gateway ready?")
	default:
		e.problem(check, fmt.Sprintf("%s/openvidu is not the gateway's: it answers with status %d, the gateway with %d", strings.TrimSuffix(text, "/"), answer.status, http.StatusUpgradeRequired),
			"route /openvidu to the Service "+gatewayService+" and let WebSockets through: docs/install.md, The way to the gateway")
	}
	e.clock("gateway's clock", "the gateway", answer.date)
}

// answer is what a server says to who wants no WebSocket.
type answer struct {
	status  int
	upgrade string // the header of this name
	date    time.Time
	// certificateEnd is that of the server's certificate; zero without TLS.
	certificateEnd time.Time
}

// askGateway asks the path of signalling without wanting a WebSocket.
func (e *examination) askGateway(ctx context.Context, base *url.URL) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("openvidu").String(), nil)
	if err != nil {
		return nil, err
	}
	caller := *e.HTTP
	caller.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got, err := caller.Do(request)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(got.Body, maxAnswer)); err != nil {
		return nil, err
	}
	said := &answer{status: got.StatusCode, upgrade: got.Header.Get("Upgrade"), date: dateOf(got)}
	if got.TLS != nil && len(got.TLS.PeerCertificates) > 0 {
		said.certificateEnd = got.TLS.PeerCertificates[0].NotAfter
	}
	return said, nil
}

// connectionTrouble says why a server was not reached, and what to do.
func connectionTrouble(err error) (what, remedy string) {
	var (
		name      *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s can't be resolved here", name.Name), "have a DNS record lead to what is in front of the gateway"
	case errors.As(err, &host):
		return "its certificate is for other names: " + host.Error(), "give what is in front of the gateway a certificate with this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired, or is not valid yet", "renew the certificate of what is in front of the gateway, and check clocks"
	case errors.As(err, &authority):
		return "its certificate is by an authority that is unknown here", "browsers will refuse it, too, unless they know the authority"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there", "is there an Ingress or a load balancer, and is a gateway ready?"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("there was no answer within %s", requestTimeout), "does a firewall drop packets to that port?"
	}
	return err.Error(), "docs/install.md, The way to the gateway"
}

// certificate warns of a certificate that ends soon.
func (e *examination) certificate(check, text string, end time.Time) {
	if left := end.Sub(e.Now()); !end.IsZero() && left < certificateMargin {
		e.warn(check, fmt.Sprintf("the certificate of %s ends at %s", text, end.UTC().Format(time.RFC3339)), "renew it")
	}
}

// webhooks checks the Webhooks of the tenant.
func (e *examination) webhooks(ctx context.Context) {
	const check = "webhooks"
	if e.missing["webhooks"] {
		return
	}
	var hooks v1alpha1.WebhookList
	if err := e.Objects.List(ctx, &hooks, client.InNamespace(e.Namespace)); err != nil {
		e.skip(check, fmt.Sprintf("listing Webhooks in namespace %s: %v", e.Namespace, err))
		return
	}
	wrong := 0
	for i := range hooks.Items {
		hook := &hooks.Items[i]
		ready := meta.FindStatusCondition(hook.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionFalse {
			continue
		}
		wrong++
		e.warn(check, fmt.Sprintf("%s/%s (%s): %s; %s wait", e.Namespace, hook.Name, ready.Reason, ready.Message, count(int(hook.Status.PendingEvents), "event")),
			"look at its endpoint: docs/webhooks.md")
	}
	if wrong == 0 && len(hooks.Items) > 0 {
		e.ok(check, fmt.Sprintf("%s in namespace %s", count(len(hooks.Items), "endpoint"), e.Namespace))
	}
}
