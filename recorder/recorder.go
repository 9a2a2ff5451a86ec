// Package recorder is a worker that records the streams of rooms, each into a file of its own, of
// which it composes one if that is wanted. It is the authority on what recordings are on the disk
// and how they come about: it takes jobs from the operator (internal/egress/v1), media from media
// pods (internal/tap/v1), and gives files to the gateway.
//
//	operator --Job--> orders --> library --> recording --Open--> media pod
//	         <-JobStatus--                    | stream: frames -> clock -> matroska -> fragments
//	gateway  <--files-------------------------'           at the end: files, JSON, zip; or one file
//
// What it knows is on the disk, so that another process goes on where one was killed: the state of
// a recording says up to which position of the tap its fragments go.
package recorder

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/program"
	"mediarooms.dev/mediarooms/recorder/bucket"
	"mediarooms.dev/mediarooms/recorder/compose"
)

// Config is how a recorder runs.
type Config struct {
	// ControlAddress is where the operator connects (gRPC), FilesAddress where gateways do (HTTPS):
	// HOST:PORT, both mutual TLS.
	ControlAddress, FilesAddress string
	// HealthAddress serves /healthz and /readyz, MetricsAddress /metrics.
	HealthAddress, MetricsAddress string
	// TLSDirectory holds ca.crt, tls.crt and tls.key of the part "worker".
	TLSDirectory string
	// Directory is where recordings are.
	Directory string
	// SecretDirectory is where the Secret is mounted that has the keys of S3: accessKeyId,
	// secretAccessKey and, where it is needed, ca.crt. It is read when a job names S3.
	SecretDirectory string
	// ReserveBytes must stay free there. What is recorded stops before.
	ReserveBytes uint64
	// FFmpeg is the program that composes recordings, as a path or by its name. Where there is
	// none, jobs of composed recordings are refused.
	FFmpeg string
	// Nice is how much that leaves to others: from 0 to 19.
	Nice int
	// StreamsMax is how many streams the operator may have recorded at the same time.
	StreamsMax int
	// PodUID is the Kubernetes UID of the pod. The operator must know it.
	PodUID string
	// Version of the software, for logs.
	Version string
	// Free returns how many bytes can still be written below a folder; nil asks the file system.
	Free func(folder string) (uint64, error)
}

const (
	// readHeaderTimeout bounds how long a connection may take to say what it wants, maxHeaderBytes
	// how much that may be, and idleTimeout the wait for the next request. A download may take as
	// long as it takes, if it goes on: the gateway has limits for it.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 32 << 10
	// maxOrderBytes is the size of a message of the operator.
	maxOrderBytes = 1 << 20
	// stopTimeout bounds how long the operator and downloads are waited for at the end.
	stopTimeout = 2 * time.Second
)

// Recorder is one running recorder.
type Recorder struct {
	config    Config
	log       logr.Logger
	metrics   *metrics
	shared    shared
	grpc      *grpc.Server
	listeners listeners
}

// listeners are where a recorder is reached.
type listeners struct {
	control, files, health, metrics net.Listener
}

// New opens all ports and prepares everything else. Run must follow: it also closes what New
// opened.
func New(log logr.Logger, config Config) (*Recorder, error) {
	pods, err := mtls.Client(config.TLSDirectory, mtls.MediaPod)
	if err != nil {
		return nil, err
	}
	operator, err := mtls.Server(config.TLSDirectory, mtls.Manager)
	if err != nil {
		return nil, err
	}
	gateways, err := mtls.Server(config.TLSDirectory, mtls.Gateway)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Directory, 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of recordings: %w", err)
	}
	if config.Free == nil {
		config.Free = freeBytesOf
	}
	r := &Recorder{config: config, log: log, metrics: newMetrics()}
	r.shared = shared{
		log: log, creds: credentials.NewTLS(pods), metrics: r.metrics, free: config.Free, reserve: config.ReserveBytes,
		store: bucket.New(config.SecretDirectory), uploads: make(chan struct{}, maxUploads),
		composer: composer(config), compositions: make(chan struct{}, maxCompositions),
	}
	if err := program.Listen(r.ports()...); err != nil {
		return nil, err
	}
	r.listeners.files = tls.NewListener(r.listeners.files, gateways)
	r.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(operator)),
		grpc.MaxRecvMsgSize(maxOrderBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	return r, nil
}

// composer returns what composes recordings; without a program when there is none.
func composer(config Config) compose.Composer {
	program, err := exec.LookPath(config.FFmpeg)
	if err != nil {
		program = ""
	}
	return compose.Composer{Program: program, Nice: config.Nice}
}

// freeBytesOf asks the file system.
func freeBytesOf(folder string) (uint64, error) {
	var said unix.Statfs_t
	if err := unix.Statfs(folder, &said); err != nil {
		return 0, fmt.Errorf("asking the file system of %s: %w", folder, err)
	}
	return said.Bavail * uint64(said.Bsize), nil
}

func (r *Recorder) ports() []program.Port {
	return []program.Port{
		{For: "the operator", Address: r.config.ControlAddress, Listener: &r.listeners.control},
		{For: "gateways", Address: r.config.FilesAddress, Listener: &r.listeners.files},
		{For: "health checks", Address: r.config.HealthAddress, Listener: &r.listeners.health},
		{For: "metrics", Address: r.config.MetricsAddress, Listener: &r.listeners.metrics},
	}
}

// ControlAddress is where the operator is served.
func (r *Recorder) ControlAddress() string { return r.listeners.control.Addr().String() }

// FilesAddress is where gateways are served.
func (r *Recorder) FilesAddress() string { return r.listeners.files.Addr().String() }

// Run serves until the context ends, then ends everything in order and returns nil. What is being
// recorded goes on with the next process. Another end of a server is an error.
func (r *Recorder) Run(ctx context.Context) error {
	recording, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l := newLibrary(recording, r.config.Directory, r.shared)
	if err := l.open(); err != nil {
		return errors.Join(err, program.Close(r.ports()...))
	}
	o := &orders{
		library: l, log: r.log.WithName("orders"), podUID: r.config.PodUID, version: r.config.Version, instanceID: rand.Text(),
		streamsMax: r.config.StreamsMax, stopping: make(chan struct{}),
	}
	egressv1.RegisterWorkerServer(r.grpc, o)
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	health.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", r.metrics.handler(l))

	serving, ended := errgroup.WithContext(ctx)
	serving.Go(func() error {
		if err := r.grpc.Serve(r.listeners.control); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	servers := []*http.Server{
		serveHTTP(serving, r.log, r.listeners.files, l.files()),
		serveHTTP(serving, r.log, r.listeners.health, health),
		serveHTTP(serving, r.log, r.listeners.metrics, metrics),
	}
	r.log.Info("Recorder started", "version", r.config.Version, "directory", r.config.Directory)
	<-ended.Done()
	r.log.Info("Recorder stops")
	cancel()
	l.running.Wait()
	defer r.shared.store.Close()
	o.stop()
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer done()
	stop := context.AfterFunc(stopping, r.grpc.Stop)
	r.grpc.GracefulStop()
	stop()
	for _, server := range servers {
		_ = server.Close() // who downloads comes again
	}
	return serving.Wait()
}

func serveHTTP(group *errgroup.Group, log logr.Logger, listener net.Listener, handler http.Handler) *http.Server {
	return program.Serve(group, log, listener, &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	})
}

// files serves GET /recordings/{uid}/{file}: the files of recordings that are complete.
func (l *library) files() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /recordings/{uid}/{file}", func(w http.ResponseWriter, request *http.Request) {
		name := request.PathValue("file")
		r := l.find(request.PathValue("uid"))
		if r == nil || !r.offers(name) {
			http.Error(w, "there is no such file of a complete recording", http.StatusNotFound)
			return
		}
		if at := r.place(); at != nil {
			r.serveStored(w, request, at, name)
			return
		}
		r.serve(w, request, name)
	})
	return mux
}

// offers tells whether a file is one of those that the operator was told.
func (r *recording) offers(name string) bool {
	for _, f := range r.observed().GetFiles() {
		if f.GetName() == name {
			return !strings.HasPrefix(name, ".")
		}
	}
	return false
}

func (r *recording) serve(w http.ResponseWriter, request *http.Request, name string) {
	root, err := os.OpenRoot(r.folder)
	if err != nil {
		http.Error(w, "the recording is gone", http.StatusNotFound)
		return
	}
	defer root.Close()
	in, err := root.Open(name)
	if err != nil {
		http.Error(w, "the file is gone", http.StatusNotFound)
		return
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		http.Error(w, "the file can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType(name))
	http.ServeContent(w, request, name, info.ModTime(), in)
}
