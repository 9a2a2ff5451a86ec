package opentok

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

const (
	// requestTimeout bounds a request, all its waiting included.
	requestTimeout = 25 * time.Second
	// retryAfter is when to ask again what can't be done now, in seconds (RFC 9110, section
	// 10.2.3).
	retryAfter = "3"
)

// Rooms carries what is said to rooms. *route.Signals is one.
type Rooms interface {
	// Send sends a signal to users of a Session. It returns false, and nobody was told anything,
	// when nobody is in the room or somebody whom the signal is for is not. An error that wraps
	// route.ErrUnreachable means that it is not known who is in the room.
	Send(ctx context.Context, namespace, sessionID string, signal route.Signal) (sent bool, err error)
	// Mute tells users of a Session to mute their audio, or that they no longer have to. It returns
	// false, and nobody was told anything, when nobody is in the room or the stream is not. Errors
	// are as of Send.
	Mute(ctx context.Context, namespace, sessionID string, mute podhttp.Mute) (told bool, err error)
}

// Config is what an API needs.
type Config struct {
	// Projects knows who may ask.
	Projects Projects
	// Address returns where a request comes from, as far as it counts for limits.
	Address func(*http.Request) netip.Prefix
	// Objects are the Sessions and Connections of the tenants.
	Objects *objects.Store
	// Rooms carries what is said to rooms.
	Rooms Rooms
	// Files fetches files of archives.
	Files download.Recorders
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// API serves OpenTok's REST API, and lets clients join. Safe for concurrent use.
type API struct {
	projects Projects
	address  func(*http.Request) netip.Prefix
	failures failures.Counter
	objects  *objects.Store
	rooms    Rooms
	files    download.Recorders
	joins    joins
	metrics  *metrics
}

// New returns the API. It fails when the metrics are registered already.
func New(config Config) (*API, error) {
	metrics, err := newMetrics(config.Registry)
	if err != nil {
		return nil, err
	}
	return &API{projects: config.Projects, address: config.Address, objects: config.Objects, rooms: config.Rooms, files: config.Files, metrics: metrics}, nil
}

// call is one request to an endpoint.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// project is whose REST token it has; nil for a request to join.
	project *tenant.Project
	// session, connection, stream, archive and callback are the ids in the path.
	session, connection, stream, archive, callback string
}

// reply is an answer; its body is nil for none.
type reply struct {
	status int
	body   any
	// media is the type of a body that is a text; else "".
	media string
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body != http.NoBody {
		// What no endpoint reads the server reads and drops, and would wait for without an end.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path == JoinPath && allowOrigins(w, r) {
		return
	}
	if archive, file, found := archiveFile(r); found {
		a.serveArchive(w, r, archive, file)
		return
	}
	arrived := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	label := unknownEndpoint
	answer, err := a.answer(ctx, w, r, &label)
	if err != nil {
		answer = refuse(r, label, err)
	}
	send(w, answer)
	a.metrics.requests.WithLabelValues(label, strconv.Itoa(answer.status)).Inc()
	a.metrics.seconds.WithLabelValues(label).Observe(time.Since(arrived).Seconds())
}

// answer finds out what is asked for and who asks, and does it. It sets the label of what it finds.
func (a *API) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, label *string) (reply, error) {
	if len(r.URL.Path) > maxPath || len(r.URL.RawQuery) > maxQuery {
		return reply{}, errPathTooLong
	}
	endpoint, ids, err := find(r)
	if err != nil {
		return reply{}, err
	}
	*label = endpoint.label()
	c := &call{w: w, r: r, session: ids["session"], connection: ids["connection"], stream: ids["stream"], archive: ids["archive"], callback: ids["callback"]}
	if r.URL.Path != JoinPath {
		if c.project, err = a.authenticate(ctx, r, ids["project"]); err != nil {
			return reply{}, err
		}
	}
	return endpoint.serve(a, ctx, c)
}

// refuse returns the answer for an error, and logs what its cause is when that is not the caller.
func refuse(r *http.Request, endpoint string, err error) reply {
	problem, news := asProblem(err)
	if news && r.Context().Err() == nil {
		logr.FromContextOrDiscard(r.Context()).Error(err, "Answering an OpenTok request", "endpoint", endpoint)
	}
	return reply{status: problem.status, body: problemJSON{Code: problem.status, Message: problem.message, Name: problem.name}}
}

func send(w http.ResponseWriter, answer reply) {
	if answer.status == http.StatusServiceUnavailable || answer.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfter)
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	text, isText := answer.body.(string)
	if !isText {
		text = encode(answer.body)
	}
	media := answer.media
	if media == "" {
		media = "application/json"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(answer.status)
	// A client that has gone needs no answer.
	_, _ = w.Write([]byte(text))
}

func encode(body any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		// Every body is a struct of this package; none of them can't be encoded.
		panic(err)
	}
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}

// allowOrigins lets pages of every origin ask to join, without credentials of the browser's own. It
// answers a preflight, and returns true for it.
func allowOrigins(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Add("Vary", "Origin")
	header.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodOptions {
		header.Set("Access-Control-Expose-Headers", "Retry-After")
		return false
	}
	header.Set("Access-Control-Allow-Methods", http.MethodPost)
	header.Set("Access-Control-Allow-Headers", "Content-Type")
	header.Set("Access-Control-Max-Age", strconv.Itoa(int((30 * time.Minute).Seconds())))
	w.WriteHeader(http.StatusNoContent)
	return true
}
