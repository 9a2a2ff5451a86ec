// Package program is the authority on how the programs in pods without Kubernetes credentials run:
// what they log, where they listen, and how the kubelet learns why one has ended.
package program

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	stdlog "log" // http.Server takes no other; its lines go on to logr
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
)

// Main runs a program until it ends, or the pod is to stop: the context ends then. It logs up to a
// verbosity. An error ends the process with status 1, and is what the kubelet is told.
func Main(verbosity int, run func(ctx context.Context, log logr.Logger) error) {
	log, err := logger(verbosity)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, log); err != nil {
		log.Error(err, "Running")
		explain(err)
		os.Exit(1)
	}
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

// explain tells the kubelet, and with it the operator, why the program ends. Where there is no
// kubelet there is no file, and none is made.
func explain(err error) {
	file, openErr := os.OpenFile("/dev/termination-log", os.O_WRONLY|os.O_TRUNC, 0)
	if openErr != nil {
		return
	}
	fmt.Fprintln(file, err)
	file.Close()
}

// Version is the commit that a program was built from or, where that is "", the module's version.
func Version(commit string) string {
	if info, ok := debug.ReadBuildInfo(); ok && commit == "" {
		return info.Main.Version
	}
	return cmp.Or(commit, "unknown")
}

// Port is where a program is reached.
type Port struct {
	// For says who is served there, for errors.
	For string
	// Address is HOST:PORT.
	Address string
	// Listener is set by Listen.
	Listener *net.Listener
}

// Listen opens all ports, or none.
func Listen(ports ...Port) error {
	for i, port := range ports {
		listener, err := net.Listen("tcp", port.Address)
		if err != nil {
			return errors.Join(fmt.Errorf("listening for %s: %w", port.For, err), Close(ports[:i]...))
		}
		*port.Listener = listener
	}
	return nil
}

// Close closes ports that Listen has opened.
func Close(ports ...Port) error {
	var errs []error
	for _, port := range ports {
		if *port.Listener != nil {
			errs = append(errs, (*port.Listener).Close())
		}
	}
	return errors.Join(errs...)
}

// Serve lets a group serve HTTP on a listener until the server is closed; another end is an error.
// What the server says goes to the log. It returns the server.
func Serve(group *errgroup.Group, log logr.Logger, listener net.Listener, server *http.Server) *http.Server {
	server.ErrorLog = ErrorLog(log)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	return server
}

// ErrorLog has what an HTTP server says go to a log.
func ErrorLog(log logr.Logger) *stdlog.Logger { return stdlog.New(serverLog{log}, "", 0) }

// serverLog takes the lines of an HTTP server, most of which are broken handshakes.
type serverLog struct {
	log logr.Logger
}

// Write implements io.Writer.
func (l serverLog) Write(line []byte) (int, error) {
	level := 1
	if bytes.Contains(line, []byte("panic")) {
		level = 0
	}
	l.log.V(level).Info("HTTP server says", "text", string(bytes.TrimSpace(line)))
	return len(line), nil
}
