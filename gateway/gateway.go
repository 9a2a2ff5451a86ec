// Package gateway puts the gateway together: the signalling's way to the media pods (route), the
// REST APIs of OpenVidu (rest) and OpenTok (opentok), the room page (web) and the console on one
// port, with what they know of the cluster, and the gateway's start and end.
//
// A gateway holds no state that a restart would lose. Any number of them run side by side.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	kuberest "k8s.io/client-go/rest"

	"mediarooms.dev/mediarooms/gateway/console"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/opentok"
	"mediarooms.dev/mediarooms/gateway/otcompat"
	"mediarooms.dev/mediarooms/gateway/rest"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/gateway/web"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/program"
)

// Config is how a gateway runs.
type Config struct {
	// Address, HealthAddress and MetricsAddress are host:port to listen on: for clients; for
	// /healthz and /readyz; for /metrics.
	Address, HealthAddress, MetricsAddress string
	// TLSDirectory holds the identity towards media pods.
	TLSDirectory string
	// ServingCertificateDirectory holds tls.crt and tls.key for clients. Empty: plain HTTP, for a
	// proxy in front that ends TLS.
	ServingCertificateDirectory string
	// Namespace is where the media pods run.
	Namespace string
	// DefaultTenantNamespace is the namespace whose Sessions have bare routing keys.
	DefaultTenantNamespace string
	// Class of this installation, where a cluster has several.
	Class class.Name
	// Console serves the console. It needs rights of its own.
	Console bool
	// TrustedProxyNetworks is where the proxies in front are whose X-Forwarded-For is believed.
	TrustedProxyNetworks []netip.Prefix
	// MaxSockets and MaxSocketsPerAddress bound signalling sockets; 0 is no bound.
	MaxSockets, MaxSocketsPerAddress int
	// MaxConnections and MaxConnectionsPerAddress bound what is open towards clients, signalling
	// sockets included; 0 is no bound.
	MaxConnections, MaxConnectionsPerAddress int
	// GarbageInterval and GarbageThreshold are the operator's, for whoever asks.
	GarbageInterval, GarbageThreshold time.Duration
	// DrainDelay is how long a stopping gateway still takes connections, until everybody knows that
	// it stops; DrainTime is over how long it then ends its signalling sockets.
	DrainDelay, DrainTime time.Duration
}

// Bounds of a client's connection. None of them is for a WebSocket that was accepted.
const (
	readHeaderTimeout = 10 * time.Second
	// readTimeout is for a request with its body. It ends requests that still wait for their
	// answer, too, so it is beyond the longest, of the REST API.
	readTimeout = 45 * time.Second
	// writeTimeout is for an answer, and for what comes before it. The room page's largest file
	// takes a slow line 1 minute.
	writeTimeout   = 3 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	// stopTimeout bounds the end of a gateway beyond Config.DrainDelay and DrainTime.
	stopTimeout = 10 * time.Second
)

// Gateway is one running gateway.
type Gateway struct {
	config   Config
	cluster  *cluster
	signals  *route.Handler
	clients  *http.Server
	bounds   *connections
	health   *http.Server
	metrics  *http.Server
	stopping atomic.Bool
}

// New returns a gateway that talks to the API server with a configuration. It does not wait for the
// API server.
func New(ctx context.Context, kubernetes *kuberest.Config, config Config) (*Gateway, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	cluster, err := newCluster(ctx, kubernetes, config)
	if err != nil {
		return nil, err
	}
	identity, err := mtls.Client(config.TLSDirectory, mtls.MediaPod)
	if err != nil {
		return nil, err
	}
	worker, err := mtls.Client(config.TLSDirectory, mtls.Worker)
	if err != nil {
		return nil, err
	}
	proxies, err := route.NewProxies(config.TrustedProxyNetworks, registry)
	if err != nil {
		return nil, err
	}
	bounds, err := newConnections(config.MaxConnections, config.MaxConnectionsPerAddress, proxies.Bound, registry)
	if err != nil {
		return nil, err
	}
	signals, err := route.NewHandler(route.Config{
		Rooms:                cluster.rooms,
		Secrets:              cluster.tenants,
		TLS:                  identity,
		Proxies:              proxies,
		MaxSockets:           config.MaxSockets,
		MaxSocketsPerAddress: config.MaxSocketsPerAddress,
		Registry:             registry,
	})
	if err != nil {
		return nil, err
	}
	files := newRecorders(cluster.cache, config.Namespace, worker)
	wrong := &failures.Counter{}
	address := func(r *http.Request) netip.Prefix { return proxies.Client(r).Prefix() }
	said := route.NewSignals(cluster.rooms, identity, config.DefaultTenantNamespace)
	api, err := rest.NewAPI(rest.Config{
		Tenants:  cluster.tenants,
		Address:  address,
		Failures: wrong,
		Rooms:    said,
		Pods:     cluster.rooms,
		Objects:  cluster.objects,
		Registry: registry,

		Files: files, DefaultNamespace: config.DefaultTenantNamespace,

		GarbageInterval: config.GarbageInterval, GarbageThreshold: config.GarbageThreshold,
	})
	if err != nil {
		return nil, err
	}
	ot, err := opentok.New(opentok.Config{Projects: cluster.projects, Address: address, Objects: cluster.objects, Rooms: said, Files: files, Registry: registry})
	if err != nil {
		return nil, err
	}
	page, err := web.New()
	if err != nil {
		return nil, err
	}
	var shown http.Handler // nil without a console
	if config.Console {
		if shown, err = newConsole(cluster, config, wrong, address, files, worker, registry); err != nil {
			return nil, err
		}
	}

	g := &Gateway{config: config, cluster: cluster, signals: signals, bounds: bounds}
	g.clients = g.server(ctx, config.Address, byPath(signals, api, ot, page, shown))
	ends := expiries{identityLabel: func() (*tls.Certificate, error) { return identity.GetClientCertificate(nil) }}
	if config.ServingCertificateDirectory != "" {
		certificate := &servingCertificate{directory: config.ServingCertificateDirectory}
		if g.clients.TLSConfig, err = certificate.config(); err != nil {
			return nil, err
		}
		ends[servingLabel] = func() (*tls.Certificate, error) { return certificate.load(nil) }
	}
	if err := registry.Register(ends); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}

	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	health.HandleFunc("/readyz", g.serveReady)
	g.health = g.server(ctx, config.HealthAddress, health)

	metrics := http.NewServeMux()
	metrics.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	g.metrics = g.server(ctx, config.MetricsAddress, metrics)
	return g, nil
}

// byPath sends each request to the part whose path it is. A path is taken as it came: nothing is
// redirected before it is known who asks. The console is nil when it is off.
func byPath(signals, api, ot, page, shown http.Handler) http.Handler {
	library := otcompat.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == podhttp.OpenViduPath, r.URL.Path == podhttp.OpenTokPath:
			signals.ServeHTTP(w, r)
		case rest.Serves(r.URL.Path):
			api.ServeHTTP(w, r)
		case otcompat.Serves(r.URL.Path):
			library.ServeHTTP(w, r)
		case opentok.Serves(r.URL.Path):
			ot.ServeHTTP(w, r)
		case shown != nil && console.Serves(r.URL.Path):
			shown.ServeHTTP(w, r)
		default:
			page.ServeHTTP(w, r)
		}
	})
}

func (g *Gateway) server(ctx context.Context, address string, handler http.Handler) *http.Server {
	logger := logr.FromContextOrDiscard(ctx)
	return &http.Server{
		Addr:              address,
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          program.ErrorLog(logger),
		// Requests end with their clients and by Shutdown, not with the gateway's own context.
		BaseContext: func(net.Listener) context.Context {
			return logr.NewContext(context.WithoutCancel(ctx), logger)
		},
	}
}

func (g *Gateway) serveReady(w http.ResponseWriter, _ *http.Request) {
	switch {
	case g.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case !g.cluster.synced.Load():
		http.Error(w, "waiting for the API server", http.StatusServiceUnavailable)
	}
}

// Run serves until the context ends, and then stops: it becomes unready, still takes connections
// for Config.DrainDelay, and ends what is open. It returns nil after an orderly end.
func (g *Gateway) Run(ctx context.Context) error {
	logger := logr.FromContextOrDiscard(ctx)
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer g.cluster.objects.Close()

	go func() { stop(g.cluster.run(serving)) }()
	for _, server := range []*http.Server{g.health, g.metrics} {
		if err := g.listen(serving, server, stop); err != nil {
			return err
		}
		defer server.Close()
	}
	if !g.cluster.waitForSync(ctx, serving) {
		return orderly(ctx, serving)
	}
	go g.cluster.notices.Run(serving)
	if err := g.listen(serving, g.clients, stop); err != nil {
		return err
	}
	defer g.clients.Close()
	logger.Info("Serving", "address", g.config.Address)

	select {
	case <-serving.Done():
		return orderly(ctx, serving)
	case <-ctx.Done():
	}
	logger.Info("Stopping")
	g.stopping.Store(true)
	select {
	case <-time.After(g.config.DrainDelay):
	case <-serving.Done():
	}
	ending, cancel := context.WithTimeout(serving, g.config.DrainTime+stopTimeout)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		g.signals.Drain(ending, g.config.DrainTime)
	}()
	err := g.clients.Shutdown(ending)
	<-drained
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// listen serves in the background. An error that ends it later ends the gateway.
func (g *Gateway) listen(ctx context.Context, server *http.Server, stop context.CancelCauseFunc) error {
	keepAlive := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	listener, err := keepAlive.Listen(ctx, "tcp", server.Addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", server.Addr, err)
	}
	if server == g.clients {
		listener = g.bounds.listen(listener)
	}
	go func() {
		var err error
		if server.TLSConfig != nil {
			err = server.ServeTLS(listener, "", "")
		} else {
			err = server.Serve(listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			stop(fmt.Errorf("serving on %s: %w", server.Addr, err))
		}
	}()
	return nil
}

// orderly returns nil when the gateway was told to stop, and what went wrong otherwise.
func orderly(told, serving context.Context) error {
	if told.Err() != nil {
		return nil
	}
	return context.Cause(serving)
}
