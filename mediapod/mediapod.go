// Package mediapod puts a media pod together: the media engine, the rooms, the clients' sockets, the operator's control stream, health and
// metrics. It is the authority on a pod's life, from its first listener to its orderly end.
//
//	SIGTERM: not ready -> rooms closed (openviduServerStopped) -> sockets gone -> operator told -> media closed
package mediapod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/mediapod/control"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/rpc"
)

// Config is how a media pod runs.
type Config struct {
	// ControlAddress is where the operator connects, SignallingAddress where gateways do: HOST:PORT, both mutual TLS.
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
	Limits rpc.Limits
}

const (
	// readHeaderTimeout bounds how long a connection may take to say what it wants.
	readHeaderTimeout = 10 * time.Second
	// stopTimeout bounds how long clients are waited for when the pod ends. They close by themselves once they are evicted.
	stopTimeout = 5 * time.Second
	// reportTime is how long the operator has for the last report of the rooms, which takes a fraction of it.
	reportTime = 500 * time.Millisecond
)

// Pod is one running media pod.
type Pod struct {
	config     Config
	log        logr.Logger
	engine     *peer.Engine
	rooms      *room.Registry
	signalling *rpc.Server
	control    *grpc.Server
	servers    [3]*http.Server // signalling, health, metrics

	advertised atomic.Pointer[[]control.Address]
	ready      atomic.Bool // configured, and takes new rooms
	stopping   atomic.Bool
}

// New opens the media port and prepares everything else. Run must follow: it also closes what New opened.
func New(log logr.Logger, config Config) (*Pod, error) {
	identity, err := mtls.Server(config.TLSDirectory, mtls.Gateway)
	if err != nil {
		return nil, err
	}
	operator, err := mtls.Server(config.TLSDirectory, mtls.Manager)
	if err != nil {
		return nil, err
	}
	engine, err := peer.NewEngine(peer.Config{Logger: log.WithName("peer"), UDPPort: config.MediaPort, TCPPort: config.MediaPort})
	if err != nil {
		return nil, fmt.Errorf("opening the media port %d: %w", config.MediaPort, err)
	}

	p := &Pod{config: config, log: log, engine: engine, rooms: room.NewRegistry(engine, log.WithName("room"))}
	observed := newMetrics()
	p.signalling = rpc.NewServer(rpc.Config{
		Rooms: p.rooms, Log: log.WithName("rpc"), Observer: observed, Limits: config.Limits, ICEServers: p.ownICEServers,
	})
	p.control = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(operator)),
		grpc.MaxRecvMsgSize(control.MaxMessageBytes),
		grpc.MaxSendMsgSize(control.MaxMessageBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	controlv1.RegisterMediaPodServer(p.control, control.NewServer(control.Options{
		Rooms: p.rooms, Log: log.WithName("control"), PodUID: config.PodUID, Version: config.Version, Configure: p.configure,
	}))

	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	health.HandleFunc("/readyz", p.serveReady)
	metrics := http.NewServeMux()
	metrics.Handle("/metrics", observed.handler(engine, p.rooms, p.signalling))
	p.servers = [3]*http.Server{
		{Addr: config.SignallingAddress, Handler: p.signalling, TLSConfig: identity, ReadHeaderTimeout: readHeaderTimeout},
		{Addr: config.HealthAddress, Handler: health, ReadHeaderTimeout: readHeaderTimeout},
		{Addr: config.MetricsAddress, Handler: metrics, ReadHeaderTimeout: readHeaderTimeout},
	}
	return p, nil
}

// Run serves until the context ends, then ends everything in order and returns nil. Another end of a server is an error.
func (p *Pod) Run(ctx context.Context) error {
	serving, failed := errgroup.WithContext(ctx)
	serving.Go(func() error {
		listener, err := net.Listen("tcp", p.config.ControlAddress)
		if err != nil {
			return fmt.Errorf("listening for the operator: %w", err)
		}
		return p.control.Serve(listener)
	})
	for _, server := range p.servers {
		serving.Go(func() error {
			var err error
			if server.TLSConfig != nil {
				err = server.ListenAndServeTLS("", "")
			} else {
				err = server.ListenAndServe()
			}
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("serving on %s: %w", server.Addr, err)
		})
	}
	p.log.Info("Media pod started", "version", p.config.Version, "mediaPort", p.engine.UDPPort())
	<-failed.Done()
	p.stop(context.WithoutCancel(ctx))
	return errors.Join(serving.Wait(), p.engine.Close())
}

// stop ends what runs, from the outside in. It returns within stopTimeout and a little.
func (p *Pod) stop(ctx context.Context) {
	p.log.Info("Media pod stops")
	p.stopping.Store(true)
	p.rooms.Stop(room.ReasonServerStopped)
	reported, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	leaving, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	p.signalling.Shutdown(leaving)
	// The sockets are closed; what the operator needs to know is on its way since Stop.
	<-reported.Done()
	p.control.Stop()
	for _, server := range p.servers {
		_ = server.Close() // nobody is connected any more
	}
	p.rooms.Wait()
}

// configure applies what the operator says of the pod.
func (p *Pod) configure(config control.Config) {
	addresses := make([]peer.Address, 0, len(config.Advertised))
	for _, address := range config.Advertised {
		addresses = append(addresses, peer.Address{IP: address.IP, UDPPort: address.UDPPort, TCPPort: address.TCPPort})
	}
	p.engine.SetAdvertisedAddresses(addresses)
	p.advertised.Store(&config.Advertised)
	p.ready.Store(len(addresses) > 0 && !config.Draining)
	p.log.Info("Configured by the operator", "advertised", config.Advertised, "draining", config.Draining)
}

// serveReady says whether the pod can host new rooms now.
func (p *Pod) serveReady(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case p.advertised.Load() == nil:
		http.Error(w, "waiting for the operator's configuration", http.StatusServiceUnavailable)
	case !p.ready.Load():
		http.Error(w, "draining, or without an advertised address", http.StatusServiceUnavailable)
	}
}

// ownICEServers is what clients are told whose connection and pool name no ICE server: the media port itself. They need none, since the
// pod's candidates are in the SDP, but without any they would turn to public ones (openvidu-rpc, trap 39).
func (p *Pod) ownICEServers() []room.ICEServer {
	if advertised := p.advertised.Load(); advertised != nil {
		for _, address := range *advertised {
			if address.UDPPort != 0 {
				port := strconv.Itoa(int(address.UDPPort))
				return []room.ICEServer{{URL: "stun:" + net.JoinHostPort(address.IP.String(), port)}}
			}
		}
	}
	return []room.ICEServer{{URL: "stun:127.0.0.1:9"}} // the discard port: nobody answers, and nobody else is asked
}
