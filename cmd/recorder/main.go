// Command recorder records the streams of rooms that the operator names.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/program"
	"mediarooms.dev/mediarooms/recorder"
)

func main() {
	config := recorder.Config{PodUID: os.Getenv("POD_UID"), Version: program.Version(commit)}
	flag.StringVar(&config.ControlAddress, "control-address", ":7443", "where the operator connects (gRPC, mutual TLS)")
	flag.StringVar(&config.FilesAddress, "files-address", ":7444", "where gateways fetch files (HTTPS, mutual TLS)")
	flag.StringVar(&config.HealthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flag.StringVar(&config.MetricsAddress, "metrics-address", ":8080", "where /metrics is served")
	flag.StringVar(&config.TLSDirectory, "tls-directory", "/etc/mediarooms/tls", "ca.crt, tls.crt and tls.key of this part")
	flag.StringVar(&config.Directory, "directory", "/recordings", "where recordings are")
	flag.StringVar(&config.SecretDirectory, "s3-directory", "/etc/mediarooms/s3", "accessKeyId, secretAccessKey and, if needed, ca.crt of S3")
	flag.Uint64Var(&config.ReserveBytes, "reserve-bytes", 64<<20, "what must stay free there, so that recordings can be completed")
	flag.StringVar(&config.FFmpeg, "ffmpeg", "ffmpeg", "the program that composes recordings; where there is none, composed recordings are refused")
	flag.IntVar(&config.Nice, "ffmpeg-nice", 10, "how much that leaves to others, from 0 to 19")
	flag.IntVar(&config.StreamsMax, "streams-max", 50, "how many streams the operator may have recorded at the same time")
	verbosity := flag.Int("v", 0, "verbosity of the log: 0 says what has changed, 1 also why nothing did")
	flag.Parse()

	program.Main(*verbosity, func(ctx context.Context, log logr.Logger) error {
		p, err := recorder.New(log, config)
		if err != nil {
			return err
		}
		return p.Run(ctx)
	})
}

// commit is what the program was built from; hack/build sets it.
var commit string
