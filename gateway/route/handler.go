package route

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/gateway/relay"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// Bounds of a connection to a media pod. The client pings every 5 s, so silence from it means that
// it is gone.
const (
	dialTimeout     = 2 * time.Second
	responseTimeout = 5 * time.Second
	silenceTimeout  = 60 * time.Second
	// maxKeyLength is beyond every routing key: namespace, dot, session id.
	maxKeyLength = 63 + 1 + 64
	// maxQueryLength is beyond the query of every client: the key, whether it is a reconnection,
	// and what else the token's URL had.
	maxQueryLength = 2048
	// anyPodTries is how many ready pods are tried for a handshake that any pod can answer.
	anyPodTries = 3
)

// errNoPod means that there is no pod to take a handshake.
var errNoPod = errors.New("no media pod")

// errStopping means that a pod takes no sockets any more.
var errStopping = errors.New("the media pod takes no more sockets")

// Rooms is where rooms are. *Directory is one.
type Rooms interface {
	// Find returns what is known about the Session with a routing key.
	Find(ctx context.Context, key string) (Room, error)
	// Ready returns the signalling addresses of media pods that can host rooms, in the order in
	// which to try them.
	Ready(ctx context.Context) ([]string, error)
	// Changed returns a channel that is closed when either answer may have changed since the call.
	Changed() <-chan struct{}
}

// Secrets knows what a media pod is told of the secrets of tenants. *tenant.Directory is one.
type Secrets interface {
	// Digests returns the value of podhttp.HeaderSecretDigests for a room of a namespace; "" for
	// none.
	Digests(ctx context.Context, namespace string) (string, error)
}

// Config is what a Handler needs.
type Config struct {
	// Rooms is where rooms are.
	Rooms Rooms
	// Secrets are those of the tenants.
	Secrets Secrets
	// TLS is the identity towards media pods; nobody but a media pod is accepted.
	TLS *tls.Config
	// Proxies are those in front of the gateway.
	Proxies *Proxies
	// MaxSockets and MaxSocketsPerAddress bound open sockets; 0 is no bound. An IPv6 /64 counts as
	// one address. An address that many may share has no bound.
	MaxSockets, MaxSocketsPerAddress int
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// Handler carries signalling WebSockets to media pods. Safe for concurrent use.
type Handler struct {
	rooms     Rooms
	secrets   Secrets
	transport *http.Transport
	proxies   *Proxies
	holds     holds
	sockets   *sockets
	metrics   *metrics
}

// NewHandler returns a Handler. It fails when the metrics are registered already.
func NewHandler(config Config) (*Handler, error) {
	metrics, err := newMetrics(config.Registry)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	return &Handler{
		rooms:   config.Rooms,
		secrets: config.Secrets,
		proxies: config.Proxies,
		holds:   usualHolds,
		sockets: newSockets(config.MaxSockets, config.MaxSocketsPerAddress),
		metrics: metrics,
		transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &talkative{Conn: conn, silence: silenceTimeout}, nil
			},
			TLSClientConfig:       config.TLS,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: responseTimeout,
			DisableKeepAlives:     true,
			DisableCompression:    true,
			// A WebSocket needs HTTP/1.1.
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}, nil
}

// Drain takes no more sockets and ends those that are open, over a while; see sockets.drain. The
// clients reconnect to another gateway, and their media is not touched.
func (h *Handler) Drain(ctx context.Context, over time.Duration) {
	h.sockets.drain(ctx, over)
}

// ServeHTTP holds, refuses or carries one WebSocket, and returns when it has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	var query url.Values
	if len(r.URL.RawQuery) <= maxQueryLength {
		query = r.URL.Query()
	}
	key := query.Get("sessionId")
	if !isHandshake(r) || query == nil || len(key) > maxKeyLength {
		w.Header().Set("Upgrade", "websocket")
		h.refuse(w, http.StatusUpgradeRequired, refusedHandshake, "This address takes WebSockets of openvidu-browser only.")
		return
	}
	from := h.proxies.Client(r)
	ctx, done, reason := h.sockets.add(r.Context(), from.limit())
	switch reason {
	case "":
		defer done()
	case refusedAddress:
		w.Header().Set("Retry-After", "3")
		h.refuse(w, http.StatusTooManyRequests, reason, "There are too many connections from your address.")
		return
	default:
		w.Header().Set("Retry-After", "3")
		h.refuse(w, http.StatusServiceUnavailable, reason, "This gateway takes no more connections.")
		return
	}
	handshake := &handshake{
		handler:   h,
		w:         w,
		r:         r.WithContext(ctx),
		client:    r.Context(),
		from:      from,
		key:       key,
		reconnect: query.Get("reconnect") == "true",
		arrived:   arrived,
	}
	handshake.serve()
}

func (h *Handler) refuse(w http.ResponseWriter, status int, reason refusal, text string) {
	h.metrics.refusals.WithLabelValues(string(reason)).Inc()
	http.Error(w, text, status)
}

func isHandshake(r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return false
	}
	for _, token := range strings.Split(strings.Join(r.Header.Values("Connection"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
			return true
		}
	}
	return false
}

// handshake is one client's request for a WebSocket, until the socket that came of it has ended.
type handshake struct {
	handler   *Handler
	w         http.ResponseWriter
	r         *http.Request   // its context ends with the socket
	client    context.Context // ends when the client has gone
	from      Client
	key       string
	reconnect bool
	arrived   time.Time
	digests   string // what the pod is told of the tenant's secrets
	// resumption is what a pod has told of the client before; "" when it has not.
	resumption string
}

func (h *handshake) serve() {
	ctx := h.r.Context()
	var err error
	if h.key != "" || h.reconnect {
		err = h.route(ctx, h.carry)
	} else {
		err = h.receive(ctx) // the token says where to
	}
	if ctx.Err() == nil && h.takesIn(err) {
		err = h.receive(ctx)
	}
	if err == nil {
		return
	}
	log := logr.FromContextOrDiscard(ctx)
	switch {
	case h.client.Err() != nil:
		h.handler.metrics.refusals.WithLabelValues(string(refusedGone)).Inc()
	case ctx.Err() != nil:
		h.handler.refuse(h.w, http.StatusServiceUnavailable, refusedStopping, "This gateway is stopping.")
	case errors.Is(err, errNoPod):
		h.unavailable(refusedNoPod, "The room has no media pod at the moment.")
	case errors.As(err, new(*unreachableError)):
		log.V(1).Info("Media pod is unreachable", "error", err.Error())
		h.unavailable(refusedUnreachable, "The room's media pod can't be reached at the moment.")
	default:
		log.Error(err, "Routing a signalling socket")
		h.unavailable(refusedInternal, "The room could not be looked up.")
	}
}

func (h *handshake) unavailable(reason refusal, text string) {
	h.w.Header().Set("Retry-After", "3")
	h.handler.refuse(h.w, http.StatusServiceUnavailable, reason, text)
}

// route finds the pod, waiting if need be, and goes there. It goes on while that returns an
// *unreachableError. An error means that nobody has taken the handshake.
func (h *handshake) route(ctx context.Context, there func(pod string, toldWaiting bool) error) error {
	for {
		changed := h.handler.rooms.Changed()
		room, err := h.handler.rooms.Find(ctx, h.key)
		if err != nil {
			return err
		}
		next := h.handler.holds.plan(room, h.reconnect, time.Since(h.arrived))
		h.digests = ""
		if room.Known && next.action != actionWait {
			if h.digests, err = h.handler.secrets.Digests(ctx, room.Namespace); err != nil {
				return err
			}
		}
		if next.action == actionOwn {
			var unreachable *unreachableError
			err := there(room.Address, false)
			if !errors.As(err, &unreachable) {
				return err
			}
			next = h.handler.holds.planUnreachable(h.reconnect, time.Since(h.arrived))
			if next.action == actionRefuse {
				return err
			}
		}
		switch next.action {
		case actionWait:
			if err := waitFor(ctx, changed, next.until-time.Since(h.arrived)); err != nil {
				return err
			}
		case actionAny, actionWaiting:
			if h.resumption != "" {
				return errNoPod // there is no room any more
			}
			return h.anyPod(ctx, there, next.action == actionWaiting)
		default:
			return errNoPod
		}
	}
}

// anyPod goes to any ready pod.
func (h *handshake) anyPod(ctx context.Context, there func(pod string, toldWaiting bool) error, waiting bool) error {
	addresses, err := h.handler.rooms.Ready(ctx)
	if err != nil {
		return err
	}
	if len(addresses) > anyPodTries {
		addresses = addresses[:anyPodTries]
	}
	result := errNoPod
	for _, address := range addresses {
		if result = there(address, waiting); !errors.As(result, new(*unreachableError)) {
			return result
		}
	}
	return result
}

// carry carries the WebSocket to a pod and returns when it has ended. An *unreachableError means
// that the pod was not reached and the client not answered.
func (h *handshake) carry(pod string, toldWaiting bool) error {
	response, err := h.ask(h.r.Context(), pod, toldWaiting)
	if err != nil {
		return err
	}
	connection, accepted := response.Body.(io.ReadWriteCloser)
	if response.StatusCode == http.StatusSwitchingProtocols && accepted {
		return h.relay(response.Header, connection, pod)
	}
	defer func() { _ = response.Body.Close() }()
	h.handler.metrics.refusals.WithLabelValues(string(refusedPod)).Inc()
	for _, name := range []string{"Content-Type", "Retry-After", "Sec-WebSocket-Version", "X-Content-Type-Options"} {
		if values := response.Header.Values(name); len(values) > 0 {
			h.w.Header()[name] = values
		}
	}
	h.w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(h.w, response.Body) // a client that does not read it has the status
	return nil
}

// ask sends the handshake to a pod. An *unreachableError means that the pod was not reached, or
// that it refuses a reconnection for now.
func (h *handshake) ask(ctx context.Context, pod string, toldWaiting bool) (*http.Response, error) {
	query := url.Values{"sessionId": {h.key}}
	if h.reconnect {
		query.Set("reconnect", "true")
	}
	to := url.URL{Scheme: "https", Host: pod, Path: protocolOf(h.r).path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking the media pod at %s: %w", pod, err)
	}
	// Of what the client sent only the WebSocket handshake itself goes on, without extensions.
	request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	for _, name := range []string{"Sec-Websocket-Key", "Sec-Websocket-Version", "User-Agent"} {
		if values := h.r.Header.Values(name); len(values) > 0 {
			request.Header[name] = values
		}
	}
	client := podhttp.Client{
		Address: h.from.Address, SharedAddress: h.from.Shared, SessionWaiting: toldWaiting, SecretDigests: h.digests,
		Holds: true, Tells: true, Resume: h.resumption,
	}
	if h.reconnect {
		client.Held = time.Since(h.arrived)
	}
	client.Write(request.Header)
	response, err := h.handler.transport.RoundTrip(request)
	if err != nil {
		return nil, &unreachableError{pod: pod, cause: err}
	}
	if h.reconnect && response.StatusCode == http.StatusServiceUnavailable {
		_ = response.Body.Close()
		return nil, &unreachableError{pod: pod, cause: errStopping} // its room is about to go to another one
	}
	return response, nil
}

// relay answers the client as the pod has, and carries the WebSocket until it ends.
func (h *handshake) relay(answer http.Header, pod io.ReadWriteCloser, address string) error {
	h.handler.metrics.upgrades.Observe(time.Since(h.arrived).Seconds())
	client, err := h.accept(answer.Values("Sec-WebSocket-Accept"))
	if err != nil || client == nil {
		_ = pod.Close()
		return err
	}
	h.run(client, found{pod, address, answer.Get(podhttp.HeaderResume)})
	return nil
}

// accepted is a client whose handshake was answered.
type accepted struct {
	conn   net.Conn
	reader *bufio.Reader
}

// accept answers the client's handshake. There is no client when it has gone.
func (h *handshake) accept(accept []string) (*accepted, error) {
	conn, buffered, err := http.NewResponseController(h.w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("taking a client's connection over: %w", err)
	}
	switched := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": accept,
	}}
	if err := errors.Join(switched.Write(buffered), buffered.Flush()); err != nil {
		_ = conn.Close()
		return nil, nil
	}
	return &accepted{conn, buffered.Reader}, nil
}

// run carries the WebSocket of a client until it ends.
func (h *handshake) run(client *accepted, pod found) {
	metrics := h.handler.metrics
	metrics.sockets.Inc()
	defer metrics.sockets.Dec()
	ctx := h.r.Context()
	next := newSuccessor(*h, pod.address)
	err := relay.Run(ctx, relay.Config{
		Client: client.conn, FromClient: client.reader, Pod: pod.connection, Resumption: pod.resumption,
		Attach: next.attach, Moved: func() bool { return next.moved(ctx) },
	})
	logr.FromContextOrDiscard(ctx).V(1).Info("Signalling socket has ended", "reason", err.Error())
}

// waitFor returns when something has changed or the time has passed, with an error only when the
// context has ended.
func waitFor(ctx context.Context, changed <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreachableError means that a pod could not be reached.
type unreachableError struct {
	pod   string
	cause error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("reaching the media pod at %s: %v", e.pod, e.cause)
}

func (e *unreachableError) Unwrap() error { return e.cause }

// talkative is a connection that ends when nothing has been written to it for a while.
type talkative struct {
	net.Conn
	silence time.Duration
}

// Write sends, and gives the connection another while.
func (c *talkative) Write(p []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
