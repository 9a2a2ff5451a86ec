// Command mediapod runs signalling and forwarding for the rooms that the operator gives it.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/program"
	"mediarooms.dev/mediarooms/mediapod"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

func main() {
	config := mediapod.Config{PodUID: os.Getenv("POD_UID"), Version: program.Version(commit), Limits: signalling.DefaultLimits()}
	flag.StringVar(&config.ControlAddress, "control-address", ":7443", "where the operator connects (gRPC, mutual TLS)")
	flag.StringVar(&config.SignallingAddress, "signalling-address", ":7444", "where gateways connect (WebSocket, mutual TLS)")
	flag.StringVar(&config.HealthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flag.StringVar(&config.MetricsAddress, "metrics-address", ":8080", "where /metrics is served")
	flag.IntVar(&config.MediaPort, "media-port", 7445, "the one UDP and TCP port of all media; 0 is any free one")
	flag.StringVar(&config.TLSDirectory, "tls-directory", "/etc/mediarooms/tls", "ca.crt, tls.crt and tls.key of this part")
	verbosity := flag.Int("v", 0, "verbosity of the log: 0 says what has changed, 1 also why nothing did")
	flag.Parse()

	program.Main(*verbosity, func(ctx context.Context, log logr.Logger) error {
		p, err := mediapod.New(log, config)
		if err != nil {
			return err
		}
		return p.Run(ctx)
	})
}

// commit is what the program was built from; hack/build sets it.
var commit string
