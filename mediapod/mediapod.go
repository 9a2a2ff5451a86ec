// Package mediapod puts a media pod together: the media engine, the rooms, the clients' sockets,
// the operator's control stream, health and metrics. It is the authority on a pod's life, from its
// first listener to its orderly end.
//
//	SIGTERM: not ready -> no new sockets -> rooms handed over or let go, sockets gone -> operator told -> media closed
//
// Nobody has left then: the clients come back by themselves, to the pods that the rooms go to.
package mediapod

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/program"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/mediapod/control"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/opentok"
	"mediarooms.dev/mediarooms/mediapod/openvidu"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/mediapod/standby"
	"mediarooms.dev/mediarooms/mediapod/tap"
)

// Config is how a media pod runs.
type Config struct {
	// ControlAddress is where the operator connects, SignallingAddress where gateways do:
	// HOST:PORT, both mutual TLS.
	ControlAddress, SignallingAddress string
	// HealthAddress serves /healthz and /readyz, MetricsAddress /metrics.
	HealthAddress, MetricsAddress string
	// MediaPort is the one UDP and TCP port of all media; 0 is any free one.
	MediaPort int
	// TLSDirectory holds ca.crt, tls.crt and tls.key of the part "media pod".
	TLSDirectory string
	// PodUID is the Kubernetes UID of the pod. The operator must know it.
	PodUID string
	// Version of the software, for logs.
	Version string
	// Limits of what clients may do.
	Limits signalling.Limits
}

const (
	// readHeaderTimeout bounds how long a connection may take to say what it wants, maxHeaderBytes
	// how much that may be, readTimeout the same with a body, writeTimeout the answer, and
	// idleTimeout the wait for the next request. None of them is for a WebSocket that was accepted.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = time.Minute
	idleTimeout       = time.Minute
	maxHeaderBytes    = 32 << 10
	// stopTimeout bounds how long clients are waited for when the pod ends. They close by
	// themselves once they are evicted.
	stopTimeout = 5 * time.Second
	// reportTimeout bounds the last report of the rooms to the operator.
	reportTimeout = 2 * time.Second
	// memoryShare is how much of its memory limit the pod lets Go use. The kernel counts more than
	// Go does.
	memoryShare = 0.9
	// gcPercent is GOGC unless that is set: how much garbage may come together, as a share of what
	// is in use. Forwarding makes none. At Go's own 100, what somebody has the pod keep takes up
	// to a third more.
	gcPercent, goPercent = 50, 100
)

// mediaEngine is what the pod needs of its media, beyond what rooms do.
type mediaEngine interface {
	media.Engine
	SetAdvertisedAddresses([]peer.Address)
	Stats() peer.Stats
	Close() error
}

// Pod is one running media pod.
type Pod struct {
	config     Config
	log        logr.Logger
	engine     mediaEngine
	shared     *standby.Engine // the engine, where rooms may have a standby; else nil
	rooms      *room.Registry
	signalling *signalling.Server
	operator   *control.Server
	taps       *tap.Service
	grpc       *grpc.Server
	listeners  listeners

	advertised atomic.Pointer[[]control.Address]
	draining   atomic.Bool
	stopping   atomic.Bool
}

// listeners are where a pod is reached, but for media.
type listeners struct {
	control, signalling, health, metrics net.Listener
}

// New opens all ports and prepares everything else. Run must follow: it also closes what New
// opened.
func New(log logr.Logger, config Config) (*Pod, error) {
	engine, err := peer.NewEngine(peer.Config{Logger: log.WithName("peer"), UDPPort: config.MediaPort, TCPPort: config.MediaPort})
	if err != nil {
		return nil, fmt.Errorf("opening the media port %d: %w", config.MediaPort, err)
	}
	primaries, err := mtls.Client(config.TLSDirectory, mtls.MediaPod)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	var pod *Pod
	shared := standby.NewEngine(engine, standby.Config{
		Log: log.WithName("standby"), Credentials: credentials.NewTLS(primaries),
		ControlPort: func() int { return pod.listeners.control.Addr().(*net.TCPAddr).Port },
		LetGo:       func(room string) { pod.rooms.LetGo(room) },
	})
	if pod, err = newPod(log, config, shared); err != nil {
		return nil, errors.Join(err, shared.Close())
	}
	return pod, nil
}

// newPod is New with any media engine.
func newPod(log logr.Logger, config Config, engine mediaEngine) (*Pod, error) {
	parts, err := mtls.Server(config.TLSDirectory, mtls.Manager, mtls.MediaPod, mtls.Worker)
	if err != nil {
		return nil, err
	}
	gateways, err := mtls.Server(config.TLSDirectory, mtls.Gateway)
	if err != nil {
		return nil, err
	}
	p := &Pod{config: config, log: log, engine: engine, rooms: room.NewRegistry(engine, log.WithName("room"))}
	p.shared, _ = engine.(*standby.Engine)
	if err := program.Listen(p.ports()...); err != nil {
		return nil, err
	}
	p.listeners.signalling = tls.NewListener(p.listeners.signalling, webSocketsOnly(gateways))
	p.operator = control.NewServer(control.Options{
		Rooms: p.rooms, Log: log.WithName("control"), PodUID: config.PodUID, Version: config.Version, Configure: p.configure,
		Standbys: p.standbys(),
	})
	p.taps = tap.NewService(p.rooms, log.WithName("tap"), config.PodUID, tap.DefaultLimits)
	p.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(parts)),
		grpc.StreamInterceptor(authorize),
		grpc.MaxRecvMsgSize(control.MaxMessageBytes),
		grpc.MaxSendMsgSize(control.MaxMessageBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	controlv1.RegisterMediaPodServer(p.grpc, p.operator)
	tapv1.RegisterTapServer(p.grpc, p.taps)
	if p.shared != nil {
		standbyv1.RegisterStandbyServer(p.grpc, &standby.Service{Engine: p.shared})
	}
	return p, nil
}

// webSocketsOnly keeps HTTP/2 from being negotiated, which has no WebSocket upgrade.
func webSocketsOnly(config *tls.Config) *tls.Config {
	forClient := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := forClient(hello)
		if err == nil {
			chosen.NextProtos = []string{"http/1.1"}
		}
		return chosen, err
	}
	return config
}

// ports are all but the media port.
func (p *Pod) ports() []program.Port {
	return []program.Port{
		{For: "the operator", Address: p.config.ControlAddress, Listener: &p.listeners.control},
		{For: "gateways", Address: p.config.SignallingAddress, Listener: &p.listeners.signalling},
		{For: "health checks", Address: p.config.HealthAddress, Listener: &p.listeners.health},
		{For: "metrics", Address: p.config.MetricsAddress, Listener: &p.listeners.metrics},
	}
}

// ControlAddress is where the operator and workers are served.
func (p *Pod) ControlAddress() string { return p.listeners.control.Addr().String() }

// SignallingAddress is where gateways are served.
func (p *Pod) SignallingAddress() string { return p.listeners.signalling.Addr().String() }

// MediaPort is the UDP port of all media; 0 with an engine that has none.
func (p *Pod) MediaPort() uint16 {
	if engine, ok := p.engine.(interface{ UDPPort() uint16 }); ok {
		return engine.UDPPort()
	}
	return 0
}

// Run serves until the context ends, then ends everything in order and returns nil. Another end of
// a server is an error.
func (p *Pod) Run(ctx context.Context) error {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		debug.SetMemoryLimit(int64(memoryShare * float64(limit)))
	}
	if before := debug.SetGCPercent(gcPercent); before != goPercent {
		debug.SetGCPercent(before)
	}
	observed := newMetrics()
	p.signalling = signalling.NewServer(signalling.Config{Log: p.log.WithName("signalling"), Limits: p.config.Limits})
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	health.HandleFunc("GET /readyz", p.serveReady)
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", observed.handler(p.engine, p.rooms, p.signalling, p.taps))

	serving, ended := errgroup.WithContext(ctx)
	serving.Go(func() error {
		if err := p.grpc.Serve(p.listeners.control); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil // it was stopped before it had started
	})
	servers := []*http.Server{
		serveHTTP(serving, p.log, p.listeners.signalling, p.clients(observed)),
		serveHTTP(serving, p.log, p.listeners.health, health),
		serveHTTP(serving, p.log, p.listeners.metrics, metrics),
	}
	p.log.Info("Media pod started", "version", p.config.Version, "signalling", p.listeners.signalling.Addr().String())
	<-ended.Done()
	p.stop(context.WithoutCancel(ctx), servers)
	return errors.Join(serving.Wait(), p.engine.Close())
}

// clients serves the clients of all protocols.
func (p *Pod) clients(observed *metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", openvidu.New(openvidu.Config{
		Rooms: p.rooms, Log: p.log.WithName("openvidu"), Observer: protocolMetrics{observed, "openvidu"},
	}).Handler(p.signalling))
	ofOpenTok := opentok.New(opentok.Config{
		Rooms: p.rooms, Log: p.log.WithName("opentok"), Observer: protocolMetrics{observed, "opentok"},
	}).Handler(p.signalling)
	mux.Handle(podhttp.OpenTokPath, ofOpenTok)
	mux.Handle(podhttp.MutePattern, ofOpenTok)
	return mux
}

func serveHTTP(group *errgroup.Group, log logr.Logger, listener net.Listener, handler http.Handler) *http.Server {
	return program.Serve(group, log, listener, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	})
}

// stop ends what runs, from the outside in. It returns within its timeouts and a little.
func (p *Pod) stop(ctx context.Context, servers []*http.Server) {
	p.log.Info("Media pod stops")
	p.stopping.Store(true)
	p.signalling.Refuse() // who comes back must not come here
	if p.shared != nil {
		p.shared.HandOver(ctx)
	}
	p.rooms.Stop()

	leaving, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	p.signalling.Shutdown(leaving)

	reporting, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	p.operator.Stop(reporting)
	stop := context.AfterFunc(reporting, p.grpc.Stop)
	p.grpc.GracefulStop()
	stop()
	p.taps.Close()
	for _, server := range servers {
		_ = server.Close() // nobody is connected any more
	}
	p.rooms.Wait()
}

// configure applies what the operator says of the pod.
func (p *Pod) configure(config control.Config) {
	p.engine.SetAdvertisedAddresses(peerAddresses(config.Advertised))
	p.advertised.Store(&config.Advertised)
	p.draining.Store(config.Draining)
	p.log.Info("Configured by the operator", "advertised", config.Advertised, "draining", config.Draining)
}

// serveReady says whether the pod can host new rooms now.
func (p *Pod) serveReady(w http.ResponseWriter, _ *http.Request) {
	advertised := p.advertised.Load()
	switch {
	case p.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case advertised == nil:
		http.Error(w, "waiting for the operator's configuration", http.StatusServiceUnavailable)
	case len(*advertised) == 0:
		http.Error(w, "the operator advertises no address", http.StatusServiceUnavailable)
	case p.draining.Load():
		http.Error(w, "draining", http.StatusServiceUnavailable)
	}
}
