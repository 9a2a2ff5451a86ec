package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"mediarooms.dev/mediarooms/controllers/eventlog"
)

const (
	// IDHeader carries the id of an event: the same whenever it is delivered, and that of no other
	// event.
	IDHeader = "Mediarooms-Event-Id"
	// userAgent is who calls.
	userAgent = "mediarooms"
	// connectTimeout bounds the making of a connection (openvidu-rest 5.2).
	connectTimeout = 10 * time.Second
	// maxAnswer is how much of an answer is read, so that the connection can be used again.
	maxAnswer = 64 << 10
	// maxIdle is how many connections to an endpoint are kept.
	maxIdle = workers
)

// target is how an endpoint is called. It never changes.
type target struct {
	url     string
	format  format
	header  http.Header
	timeout time.Duration
	client  *http.Client
}

// newTarget prepares the calls to an endpoint.
func newTarget(address string, format format, header http.Header, timeout time.Duration, tlsConfig *tls.Config, guard Guard) *target {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, ControlContext: guard.control}
	return &target{
		url: address, format: format, header: header, timeout: timeout,
		client: &http.Client{
			// No proxy: it would be the one to connect, unchecked.
			Transport: &http.Transport{
				DialContext: dialer.DialContext, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: connectTimeout, ForceAttemptHTTP2: true,
				MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: 90 * time.Second,
				MaxResponseHeaderBytes: maxAnswer, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// tlsConfig returns how certificates are checked.
func tlsConfig(verify bool, bundle string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if !verify {
		config.InsecureSkipVerify = true //nolint:gosec // Whoever owns the Webhook has asked for it.
	}
	if bundle != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(bundle)) {
			return nil, errors.New("`caBundle` holds no certificate that can be read")
		}
	}
	return config, nil
}

// outcome is what came of a call.
type outcome struct {
	kind outcomeKind
	// wait is how long the endpoint asks to be left alone; 0 when it does not say.
	wait time.Duration
	// problem says, to whoever owns the Webhook, what went wrong. It holds nothing of the event or
	// of the headers, and is the same for the same problem.
	problem string
	// err is why there was no answer, for the operator's log only; nil when there was one.
	err error
}

type outcomeKind int

const (
	// delivered: the endpoint has taken the event.
	delivered outcomeKind = iota
	// refused: it has answered that it does not; the same event would get the same answer.
	refused
	// busy: it has answered that it can't now.
	busy
	// unreachable: there was no answer.
	unreachable
)

// post sends one event.
func (t *target) post(ctx context.Context, e *eventlog.Entry) outcome {
	if !t.format.has(e.Event) {
		return outcome{kind: delivered} // it has waited since before the form was changed
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(t.format.body(e.Room, e.Event)))
	if err != nil {
		return outcome{kind: refused, problem: "the URL can't be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	for name, values := range t.header {
		request.Header[name] = values
	}
	request.Header.Set(IDHeader, e.ID)
	answer, err := t.client.Do(request)
	if err != nil {
		return outcome{kind: unreachable, problem: explain(err), err: withoutURL(err)}
	}
	defer answer.Body.Close()
	// What it says does not matter, and an answer that breaks off neither: the status has come.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	return judge(answer)
}

// judge says what an answer means.
func judge(answer *http.Response) outcome {
	status := fmt.Sprintf("the endpoint answers %d", answer.StatusCode)
	if text := http.StatusText(answer.StatusCode); text != "" {
		status += " " + text
	}
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return outcome{kind: delivered}
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooManyRequests:
		return outcome{kind: busy, wait: retryAfter(answer), problem: status}
	case code >= 300 && code < 400:
		return outcome{kind: refused, problem: status + "; redirects are not followed"}
	}
	return outcome{kind: refused, problem: status}
}

// retryAfter returns how long an answer asks to wait (RFC 9110, 10.2.3), in seconds; dates are not
// looked at.
func retryAfter(answer *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// noAnswer is all that is said of a call without an answer: whether a port is open, closed or
// filtered is nothing that a tenant learns from the operator, which sees the network from another
// place.
const noAnswer = "no answer: the endpoint can't be reached, does not answer in time, or does not speak HTTP"

// explain puts an error of a call into words for whoever owns the Webhook. They are the same for
// the same problem.
func explain(err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errForbiddenAddress):
		return "the endpoint has an address that may not be called: one that is not public, is the cluster's, or is forbidden by the operator's settings"
	case errors.As(err, &certificate):
		return explainCertificate(certificate.Err)
	}
	return noAnswer
}

// explainCertificate says what is wrong with a certificate, and nothing of what is in it.
func explainCertificate(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "the endpoint's certificate is of an unknown authority; `caBundle` can name it"
	case errors.As(err, &name):
		return "the endpoint's certificate is not valid for the host of `url`"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the endpoint's certificate has expired or is not valid yet"
	}
	return "the endpoint's certificate is not valid"
}

// withoutURL takes the URL, which may hold a secret, off an error of a call.
func withoutURL(err error) error {
	var whole *url.Error
	if errors.As(err, &whole) {
		return whole.Err
	}
	return err
}
