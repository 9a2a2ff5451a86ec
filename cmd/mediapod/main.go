// Command mediapod runs signalling and forwarding for the rooms that the operator gives it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mediarooms.dev/mediarooms/mediapod"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

func main() {
	config := mediapod.Config{PodUID: os.Getenv("POD_UID"), Version: version(), Limits: signalling.DefaultLimits()}
	flag.StringVar(&config.ControlAddress, "control-address", ":7443", "where the operator connects (gRPC, mutual TLS)")
	flag.StringVar(&config.SignallingAddress, "signalling-address", ":7444", "where gateways connect (WebSocket, mutual TLS)")
	flag.StringVar(&config.HealthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flag.StringVar(&config.MetricsAddress, "metrics-address", ":8080", "where /metrics is served")
	flag.IntVar(&config.MediaPort, "media-port", 7445, "the one UDP and TCP port of all media; 0 is any free one")
	flag.StringVar(&config.TLSDirectory, "tls-directory", "/etc/mediarooms/tls", "ca.crt, tls.crt and tls.key of this part")
	verbosity := flag.Int("v", 0, "verbosity of the log: 0 says what has changed, 1 also why nothing did")
	flag.Parse()

	log, err := logger(*verbosity)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, log, config); err != nil {
		log.Error(err, "Running the media pod")
		os.Exit(1)
	}
}

func run(ctx context.Context, log logr.Logger, config mediapod.Config) error {
	pod, err := mediapod.New(log, config)
	if err != nil {
		return err
	}
	return pod.Run(ctx)
}

// logger writes a line of JSON per entry to stderr. logr's levels count up, zap's down.
func logger(verbosity int) (logr.Logger, error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.Level(-verbosity))
	config.EncoderConfig.TimeKey = "time"
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	config.DisableCaller = true
	config.DisableStacktrace = true
	config.Sampling = nil
	zapLogger, err := config.Build()
	if err != nil {
		return logr.Discard(), fmt.Errorf("starting the log: %w", err)
	}
	return zapr.NewLogger(zapLogger), nil
}

// commit is what the program was built from; hack/build sets it.
var commit string

// version is that commit or, where it is not known, the module's version.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && commit == "" {
		return info.Main.Version
	}
	return cmp.Or(commit, "unknown")
}
