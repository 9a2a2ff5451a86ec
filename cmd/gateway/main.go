// Command gateway is the door for clients: signalling WebSockets, the OpenVidu REST API, the
// room page and the console on one port.
package main

import (
	"flag"
	"os"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"

	"mediarooms.dev/mediarooms/gateway"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/internal/class"
)

func main() {
	var c gateway.Config
	flag.StringVar(&c.Address, "address", ":4443", "where clients connect")
	flag.StringVar(&c.HealthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flag.StringVar(&c.MetricsAddress, "metrics-address", ":8080", "where /metrics is served")
	flag.StringVar(&c.TLSDirectory, "tls-directory", "/etc/mediarooms/tls", "ca.crt, tls.crt and tls.key of the identity towards media pods")
	flag.StringVar(&c.ServingCertificateDirectory, "serving-certificate-directory", "", "tls.crt and tls.key for clients; empty is plain HTTP, for a proxy in front that ends TLS")
	flag.StringVar(&c.Namespace, "namespace", "mediarooms-system", "where the media pods run")
	flag.StringVar(&c.DefaultTenantNamespace, "default-tenant-namespace", "default", "the namespace of the tenant that Mediarooms was installed for")
	flag.Func("class", "which MediaPools are this installation's, by their className: for several installations in a cluster. The operator has the same flag", func(name string) error {
		c.Class = class.Name(name)
		return nil
	})
	flag.BoolVar(&c.Console, "console", false, "serve the console at /console/; it needs the role mediarooms-console")
	flag.Func("trusted-proxy-networks", "where the proxies in front are whose X-Forwarded-For is believed, as CIDRs separated by commas; default none", func(text string) error {
		networks, err := route.ParseNetworks(text)
		c.TrustedProxyNetworks = append(c.TrustedProxyNetworks, networks...)
		return err
	})
	flag.IntVar(&c.MaxSockets, "max-sockets", 20000, "bound of the signalling sockets of this gateway; 0 is none")
	flag.IntVar(&c.MaxSocketsPerAddress, "max-sockets-per-address", 1024, "bound of the signalling sockets of one client address at this gateway, of IPv6 of one /64; 0 is none. A private address that no trusted proxy has told has no bound")
	flag.IntVar(&c.MaxConnections, "max-connections", 25000, "bound of the open connections of clients, signalling sockets included; 0 is none")
	flag.IntVar(&c.MaxConnectionsPerAddress, "max-connections-per-address", 2048, "bound of the open connections of one client address, of IPv6 of one /64; 0 is none. Addresses of trusted proxies and on private networks have no bound")
	flag.DurationVar(&c.DrainDelay, "drain-delay", 3*time.Second, "how long a stopping gateway still takes connections")
	flag.DurationVar(&c.DrainTime, "drain-time", 5*time.Second, "over how long a stopping gateway ends its signalling sockets")
	flag.DurationVar(&c.GarbageInterval, "garbage-interval", 15*time.Minute, "what GET /config says of the operator's flag of this name")
	flag.DurationVar(&c.GarbageThreshold, "garbage-threshold", time.Hour, "what GET /config says of the operator's flag of this name")
	logging := zap.Options{}
	logging.BindFlags(flag.CommandLine)
	flag.Parse()

	log := zap.New(zap.UseFlagOptions(&logging))
	ctrl.SetLogger(log)
	ctx := logr.NewContext(signals.SetupSignalHandler(), log)
	kubernetes, err := config.GetConfig()
	if err != nil {
		log.Error(err, "Reading the cluster's address")
		os.Exit(1)
	}
	g, err := gateway.New(ctx, kubernetes, c)
	if err != nil {
		log.Error(err, "Preparing")
		os.Exit(1)
	}
	if err := g.Run(ctx); err != nil {
		log.Error(err, "Running")
		os.Exit(1)
	}
}
