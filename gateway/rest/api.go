package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/route"
)

const (
	// requestTimeout bounds a request, all its waiting included. The Java client gives up after 30
	// s.
	requestTimeout = 25 * time.Second
	// bodyTimeout bounds the time that a client takes to send its body, from its header on.
	bodyTimeout = 10 * time.Second
	// maxPath is beyond the path of every endpoint: two ids.
	maxPath = 1024
)

// Tenants knows who may ask. *tenant.Directory is one.
type Tenants interface {
	// Holder returns the namespace whose tenant has a password, "" for none.
	Holder(ctx context.Context, password string) (namespace string, err error)
}

// Rooms carries what is said to rooms. *route.Signals is one.
type Rooms interface {
	// Send sends a signal to users of a Session. It returns false, and nobody was told anything,
	// when nobody is in the room or somebody whom the signal is for is not. An error that wraps
	// route.ErrUnreachable means that it is not known who is in the room.
	Send(ctx context.Context, namespace, sessionID string, signal route.Signal) (sent bool, err error)
}

// Pods knows the media pods. *route.Directory is one.
type Pods interface {
	// Ready returns the addresses of the media pods that can host rooms now.
	Ready(ctx context.Context) ([]string, error)
}

// Config is what an API needs.
type Config struct {
	// Tenants knows who may ask.
	Tenants Tenants
	// Objects are the Sessions and Connections of the tenants, and the MediaPools.
	Objects *objects.Store
	// Address returns what counts as one caller for the limit of wrong passwords.
	Address func(*http.Request) netip.Prefix
	// Rooms carries what is said to rooms.
	Rooms Rooms
	// Pods knows the media pods.
	Pods Pods
	// Files fetches files of recordings.
	Files download.Recorders
	// DefaultNamespace is the tenant whose recordings have no namespace in front of their ids.
	DefaultNamespace string
	// GarbageInterval and GarbageThreshold are when the operator deletes sessions that nobody has
	// joined: how often, 0 for never, and from what age on.
	GarbageInterval, GarbageThreshold time.Duration
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// API serves the OpenVidu REST API. Safe for concurrent use.
type API struct {
	tenants  Tenants
	address  func(*http.Request) netip.Prefix
	failures failures.Counter
	objects  *objects.Store
	rooms    Rooms
	pods     Pods
	files    download.Recorders
	hosts    resolver
	metrics  *metrics

	defaultNamespace                  string
	bodyTimeout                       time.Duration
	garbageInterval, garbageThreshold time.Duration
}

// NewAPI returns the API. It fails when the metrics are registered already.
func NewAPI(config Config) (*API, error) {
	metrics, err := newMetrics(config.Registry)
	if err != nil {
		return nil, err
	}
	return &API{
		tenants: config.Tenants, address: config.Address, objects: config.Objects, rooms: config.Rooms, pods: config.Pods, hosts: net.DefaultResolver, metrics: metrics,
		bodyTimeout: bodyTimeout,
		files:       config.Files, defaultNamespace: config.DefaultNamespace,
		garbageInterval: config.GarbageInterval, garbageThreshold: config.GarbageThreshold,
	}, nil
}

// call is one request to an endpoint.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// namespace is the tenant's.
	namespace string
	// session, connection, stream and recording are the ids in the path.
	session, connection, stream, recording string
}

// reply is an answer; its body is nil for none, a text or what is encoded as JSON.
type reply struct {
	status int
	body   any
}

// A text is a body that is sent as it is, by its type.
type (
	plainText string
	hyperText string
	jsonText  string
)

// ServeHTTP answers one request. The order is the reference's: CORS, then who asks, then what is
// asked for.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body != http.NoBody {
		// Who asks is not known yet. What no endpoint reads the server reads and drops, and would
		// wait for without an end.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.bodyTimeout))
	}
	r = current(r)
	if allowOrigins(w, r) {
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if recording, file, found := fileOf(r); found {
		a.serveFile(w, r, recording, file)
		return
	}
	var endpoint *endpoint
	var ids map[string]string
	if len(r.URL.Path) <= maxPath {
		endpoint, ids = find(r)
	}
	var namespace string
	if endpoint == nil || !endpoint.public {
		var err error
		if namespace, err = a.authenticate(r.Context(), r); err != nil {
			a.turnAway(w, r, err)
			return
		}
	}
	if endpoint == nil {
		a.metrics.count(unknownEndpoint, errForbidden.status)
		w.WriteHeader(errForbidden.status)
		return
	}
	arrived := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	answer, err := endpoint.serve(a, ctx, &call{w: w, r: r, namespace: namespace, session: ids["session"], connection: ids["connection"], stream: ids["stream"],
		recording: ids["recording"]})
	label := endpoint.label()
	if err != nil {
		answer = a.refuse(r, label, err)
	}
	send(w, answer)
	a.metrics.count(label, answer.status)
	a.metrics.seconds.WithLabelValues(label).Observe(time.Since(arrived).Seconds())
}

// turnAway answers a request that does not say who asks.
func (a *API) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	answer := a.refuse(r, unauthenticated, err)
	switch answer.status {
	case http.StatusUnauthorized:
		// Without it the Java client never sends its credentials.
		w.Header().Set("WWW-Authenticate", `Basic realm="Realm"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(failures.Recovery.Seconds())))
	}
	send(w, answer)
	a.metrics.count(unauthenticated, answer.status)
}

// refuse returns the answer for an error, and logs what its cause is when that is not the caller.
func (a *API) refuse(r *http.Request, endpoint string, err error) reply {
	problem, news := asProblem(err)
	if news && r.Context().Err() == nil {
		logr.FromContextOrDiscard(r.Context()).Error(err, "Answering a REST request", "endpoint", endpoint)
	}
	answer := reply{status: problem.status}
	if problem.message != "" {
		answer.body = problem.body(r.URL.Path, time.Now())
	}
	return answer
}

// retryAfter is when to ask again what can't be done now, in seconds (RFC 9110, section 10.2.3).
const retryAfter = "5"

func send(w http.ResponseWriter, answer reply) {
	if answer.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	var text []byte
	switch body := answer.body.(type) {
	case plainText:
		text = []byte(body)
		w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	case hyperText:
		text = []byte(body)
		w.Header().Set("Content-Type", "text/html;charset=UTF-8")
	case jsonText:
		text = []byte(body)
		w.Header().Set("Content-Type", "application/json")
	default:
		text = encode(body)
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(answer.status)
	// A client that has gone needs no answer.
	_, _ = w.Write(text)
}

func encode(body any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		// Every body is a struct of this package; none of them can't be encoded.
		panic(err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// allowOrigins allows every origin, method and header, but no credentials of a browser's own
// (openvidu-rest 1.4). It answers a preflight, which has no authorization, and returns true for it.
func allowOrigins(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	for _, name := range []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"} {
		header.Add("Vary", name)
	}
	if r.Header.Get("Origin") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Origin", "*")
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", method)
	// A * would not cover Authorization.
	if names := r.Header.Values("Access-Control-Request-Headers"); len(names) > 0 {
		header.Set("Access-Control-Allow-Headers", strings.Join(names, ", "))
	}
	header.Set("Access-Control-Max-Age", strconv.Itoa(int((30 * time.Minute).Seconds())))
	w.WriteHeader(http.StatusOK)
	return true
}

// flagOf returns a boolean of the query by the reference's rules.
func flagOf(query url.Values, name string, fallback bool) (bool, error) {
	switch strings.ToLower(query.Get(name)) {
	case "":
		return fallback, nil
	case "true", "on", "yes", "1":
		return true, nil
	case "false", "off", "no", "0":
		return false, nil
	default:
		return false, errForbidden
	}
}
