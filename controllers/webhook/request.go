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
	// IDHeader carries the id of an event: the same whenever it is delivered, and that of no other event.
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
	header  http.Header
	timeout time.Duration
	client  *http.Client
}

// newTarget prepares the calls to an endpoint. The pool is nil for the system's authorities.
func newTarget(address string, header http.Header, timeout time.Duration, tlsConfig *tls.Config, guard Guard) *target {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, Control: guard.control}
	return &target{
		url: address, header: header, timeout: timeout,
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
	// problem says, to whoever owns the Webhook, what went wrong. It holds nothing of the event or of the headers, and is the same for the same
	// problem.
	problem string
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
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(e.Body()))
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
		return outcome{kind: unreachable, problem: explain(err)}
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

// retryAfter returns how long an answer asks to wait (RFC 9110, 10.2.3), in seconds; dates are not looked at.
func retryAfter(answer *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// explain puts an error of a call into words that are the same for the same problem, without the URL, which may hold a secret.
func explain(err error) string {
	var whole *url.Error
	if errors.As(err, &whole) {
		err = whole.Err
	}
	var network *net.OpError
	switch {
	case errors.Is(err, errForbiddenAddress):
		return "the endpoint has an address that may not be called: loopback, link-local, multicast, or forbidden by the operator's settings"
	case errors.Is(err, context.DeadlineExceeded):
		return "the endpoint did not answer in time"
	case errors.As(err, &network):
		if network.Op == "dial" {
			return "connecting to the endpoint: " + network.Err.Error()
		}
		// Its own text names the port of this side, which is another one every time.
		return "talking to the endpoint: " + network.Err.Error()
	}
	return "talking to the endpoint: " + err.Error()
}
