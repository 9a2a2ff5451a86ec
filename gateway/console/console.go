package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/page"
	"mediarooms.dev/mediarooms/internal/class"
)

//go:embed all:dist
var dist embed.FS

const (
	// prefix is the path below which the console is.
	prefix = "/console/"
	// apiPrefix is the path below which the page asks.
	apiPrefix = prefix + "api/"

	// requestTimeout bounds a request.
	requestTimeout = 10 * time.Second
	// maxSearch bounds a text that is searched for, in bytes.
	maxSearch = 100
	// maxQuery bounds the query of a request.
	maxQuery = 1024
	// maxAnswering is how many answers are built at the same time.
	maxAnswering = 4
	// leastGzipped is the length of an answer that is worth to be compressed.
	leastGzipped = 1 << 10
)

// unbuilt is what a gateway answers that was built without the page.
const unbuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mediarooms</title>
<h1>This gateway was built without its console.</h1>
<p>Run <code>make build</code>, which needs Node.js and npm, and start the gateway again.</p>
</html>
`

// policies lets the page load what its own gateway serves, and nothing else. No text becomes markup
// or a script.
var policies = page.Policies{
	Content: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	Permissions: "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()",
	Unbuilt:     unbuilt,
}

// Tenants knows the passwords of tenants. *tenant.Directory is one.
type Tenants interface {
	// Holder returns the namespace whose tenant has a password, "" for none.
	Holder(ctx context.Context, password string) (namespace string, err error)
}

// Watched reads what only the console watches. It may be that the gateway has no rights for it, or
// that it has not seen all yet.
type Watched interface {
	client.Reader
	// Recordings says whether the Recordings of all namespaces are there.
	Recordings() bool
	// Events says whether the Events of this project's objects are there.
	Events() bool
}

// Config is what a Console needs.
type Config struct {
	// Tenants knows the passwords of tenants.
	Tenants Tenants
	// Failures counts wrong passwords, for all parts of the gateway that take them.
	Failures *failures.Counter
	// Address returns what counts as one viewer for the limit of wrong passwords.
	Address func(*http.Request) netip.Prefix
	// Live makes the reviews.
	Live client.Client
	// Reader is a cache of all Sessions and MediaPools, and of media pods and recorders.
	Reader client.Reader
	// Watched is a cache of Recordings and Events.
	Watched Watched
	// People returns the Connections of a namespace, which are not to be changed. It fails with
	// ErrPeopleUnseen where the gateway has no rights on them.
	People func(ctx context.Context, namespace string) ([]v1alpha1.Connection, error)
	// Files fetches files of recordings.
	Files download.Recorders
	// LinkKey returns what links to such files are signed with: the same at every gateway of an
	// installation.
	LinkKey func() ([]byte, error)
	// Namespace is where the media pods run.
	Namespace string
	// Class of this installation.
	Class class.Name
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// Console serves the console. Safe for concurrent use.
type Console struct {
	config    Config
	page      http.Handler
	visitors  *visitors
	answering chan struct{} // has maxAnswering places
	requests  *prometheus.CounterVec
}

// New returns the console. It fails when the metrics are registered already.
func New(config Config) (*Console, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_gateway_console_requests_total",
		Help: "Requests of the console's page, by endpoint and status code.",
	}, []string{"endpoint", "code"})
	if err := config.Registry.Register(requests); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("opening the embedded page: %w", err)
	}
	shown, err := page.New(built, policies)
	if err != nil {
		return nil, err
	}
	return &Console{
		config: config, page: http.StripPrefix(strings.TrimSuffix(prefix, "/"), shown), visitors: newVisitors(config.Live),
		answering: make(chan struct{}, maxAnswering), requests: requests,
	}, nil
}

// Serves says whether a path is the console's.
func Serves(path string) bool {
	return path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, prefix)
}

// ServeHTTP answers one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	endpoint, asked := strings.CutPrefix(r.URL.Path, apiPrefix)
	file, linked := strings.CutPrefix(r.URL.Path, filesPrefix)
	switch {
	case linked:
		c.requests.WithLabelValues(fileLabel, fmt.Sprint(c.serveFile(w, r, file))).Inc()
	case !asked && r.URL.Path+"/" == prefix:
		policies.Set(w, r)
		http.Redirect(w, r, prefix, http.StatusPermanentRedirect)
	case !asked:
		c.page.ServeHTTP(w, r)
	default:
		policies.Set(w, r)
		w.Header().Set("Cache-Control", "no-store")
		label, status := c.serve(w, r, endpoint)
		c.requests.WithLabelValues(label, fmt.Sprint(status)).Inc()
	}
}

// serve answers what the page asks. It returns what metrics call it, and the status.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, endpoint string) (label string, status int) {
	label = "unknown"
	build := map[string]func(context.Context, viewer, asked) (any, error){
		"overview":  c.answerOverview,
		"room":      c.answerRoom,
		"recording": c.answerRecording,
	}[endpoint]
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return label, refuse(w, errMethod)
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	who, err := c.authenticate(ctx, r)
	if err != nil {
		return "unauthenticated", c.fail(w, r, err)
	}
	if build == nil {
		return label, refuse(w, errUnknown)
	}
	text, err := c.build(ctx, r, who, build)
	if err != nil {
		return endpoint, c.fail(w, r, err)
	}
	return endpoint, send(w, r, text)
}

func (c *Console) build(ctx context.Context, r *http.Request, who viewer, build func(context.Context, viewer, asked) (any, error)) ([]byte, error) {
	wish, err := read(r)
	if err != nil {
		return nil, err
	}
	select {
	case c.answering <- struct{}{}:
		defer func() { <-c.answering }()
	case <-ctx.Done():
		return nil, errBusy
	}
	answer, err := build(ctx, who, wish)
	if err != nil {
		return nil, err
	}
	return encode(answer), nil
}

// fail answers with an error, and logs it when its cause is not the viewer.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) int {
	if known := new(problem); !errors.As(err, &known) && r.Context().Err() == nil {
		logr.FromContextOrDiscard(r.Context()).Error(err, "Answering the console")
	}
	return refuse(w, err)
}

// asked is what a request is about.
type asked struct {
	// namespace, "" for all; name of a room or recording; text to search for.
	namespace, name, search string
}

// read returns what a request is about. It fails with errMalformed.
func read(r *http.Request) (asked, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return asked{}, errMalformed
	}
	query := r.URL.Query()
	a := asked{namespace: query.Get("namespace"), name: query.Get("name"), search: query.Get("search")}
	if a.namespace != "" && len(validation.IsDNS1123Label(a.namespace)) > 0 ||
		a.name != "" && len(validation.IsDNS1123Subdomain(a.name)) > 0 {
		return asked{}, errMalformed
	}
	if len(a.search) > maxSearch {
		return asked{}, errMalformed
	}
	return a, nil
}

func (c *Console) answerOverview(ctx context.Context, who viewer, wish asked) (any, error) {
	seen, err := c.scopeOf(ctx, who, wish.namespace)
	if err != nil {
		return nil, err
	}
	return c.overview(ctx, who, seen, wish.search)
}

func (c *Console) answerRoom(ctx context.Context, who viewer, wish asked) (any, error) {
	if wish.namespace == "" || wish.name == "" {
		return nil, errMalformed
	}
	return c.detail(ctx, who, wish.namespace, wish.name)
}

// send sends an answer, unless the page has the same already.
func send(w http.ResponseWriter, r *http.Request, text []byte) int {
	digest := sha256.Sum256(text)
	tag := `"` + base64.RawURLEncoding.EncodeToString(digest[:12]) + `"`
	header := w.Header()
	header.Set("Vary", "Authorization, Accept-Encoding")
	if r.Header.Get("If-None-Match") == tag {
		header.Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified
	}
	header.Set("Content-Type", "application/json")
	header.Set("ETag", tag)
	if len(text) >= leastGzipped && page.TakesGzip(r) {
		header.Set("Content-Encoding", "gzip")
		var smaller bytes.Buffer
		compressed := gzip.NewWriter(&smaller)
		// A buffer takes everything.
		_, _ = compressed.Write(text)
		_ = compressed.Close()
		text = smaller.Bytes()
	}
	// A client that has gone needs no answer.
	_, _ = w.Write(text)
	return http.StatusOK
}

func encode(answer any) []byte {
	text, err := json.Marshal(answer)
	if err != nil {
		// Every answer is a struct of this package; none of them can't be encoded.
		panic(err)
	}
	return text
}
