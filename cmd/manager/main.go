// Command manager is the operator of Mediarooms.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap/zapcore"
	_ "golang.org/x/crypto/x509roots/fallback" // the image has no files: these are the authorities of public endpoints, unless some are mounted
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/session"
	"mediarooms.dev/mediarooms/controllers/uninstall"
	"mediarooms.dev/mediarooms/controllers/webhook"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/program"
)

// leaseName is the Lease that the leader holds.
const leaseName = "mediarooms-manager"

// Config is what the command line says.
type Config struct {
	Namespace              string
	PodName                string
	DefaultTenantNamespace string
	Class                  string
	MediaPodImage          string
	MetricsAddress         string
	HealthAddress          string
	LeaderElect            bool
	CalmPeriod             time.Duration
	CDR                    bool
	Webhooks               webhook.Guard
	Garbage                session.Garbage
	ReleaseFinalizers      bool
	Log                    zap.Options
}

func main() {
	config := parse(flag.CommandLine, os.Args[1:])
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&config.Log)))
	if err := run(ctrl.SetupSignalHandler(), config); err != nil {
		ctrl.Log.Error(err, "Running the operator")
		os.Exit(1)
	}
}

func parse(flags *flag.FlagSet, arguments []string) Config {
	config := Config{Log: zap.Options{TimeEncoder: zapcore.ISO8601TimeEncoder}}
	flags.StringVar(&config.Namespace, "namespace", env("POD_NAMESPACE", "mediarooms-system"), "the operator's namespace, where the media pods run")
	flags.StringVar(&config.PodName, "pod-name", os.Getenv("POD_NAME"), "the operator's own pod; media pods run its image")
	flags.StringVar(&config.DefaultTenantNamespace, "default-tenant-namespace", "default", "the tenant whose sessions are known by their bare id")
	flags.StringVar(&config.Class, "class", "", "which MediaPools and Webhooks are this installation's, by their className: for several installations in a cluster. The gateway has the same flag")
	flags.StringVar(&config.MediaPodImage, "mediapod-image", "", "image of media pods whose pool names none (default: the operator's own)")
	flags.StringVar(&config.MetricsAddress, "metrics-address", ":8080", "where /metrics is served; 0 turns it off")
	flags.StringVar(&config.HealthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flags.BoolVar(&config.LeaderElect, "leader-elect", true, "run only while holding the lease, so that several replicas can stand by")
	flags.DurationVar(&config.CalmPeriod, "calm-period", controllers.DefaultCalmPeriod, "how long a media pod above the minimum is idle before it is removed")
	flags.BoolVar(&config.CDR, "cdr", false, "write every event of every Session to the standard output, as one line of JSON")
	flags.Func("webhook-allowed-networks", "networks that Webhooks may name although they are not public, or are the cluster's, as CIDRs, separated by commas",
		networks(&config.Webhooks.Allowed))
	flags.Func("webhook-forbidden-networks", "networks that Webhooks may not name, whatever is allowed, as CIDRs, separated by commas",
		networks(&config.Webhooks.Forbidden))
	flags.DurationVar(&config.Garbage.Interval, "garbage-interval", 15*time.Minute,
		"how often Sessions of the REST API that nobody has ever joined are deleted; 0 is never. The gateway has the same flag")
	flags.DurationVar(&config.Garbage.Threshold, "garbage-threshold", time.Hour, "the least age of such a Session. The gateway has the same flag")
	flags.BoolVar(&config.ReleaseFinalizers, "release-finalizers", false, "run no operator, but take its finalizers off all objects of this installation, and end: when it was removed before them")
	config.Log.BindFlags(flags)
	// ExitOnError: Parse does not return an error.
	_ = flags.Parse(arguments)
	return config
}

// networks adds what a flag lists.
func networks(to *[]netip.Prefix) func(string) error {
	return func(value string) error {
		parsed, err := webhook.ParseNetworks(value)
		*to = append(*to, parsed...)
		return err
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func run(ctx context.Context, config Config) error {
	cluster, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	// The API server's own fairness is the limit that counts.
	cluster.QPS, cluster.Burst = 500, 1000
	if config.ReleaseFinalizers {
		return releaseFinalizers(ctx, cluster, config)
	}
	mgr, err := newManager(cluster, config)
	if err != nil {
		return err
	}
	image, err := mediaPodImage(ctx, mgr.GetAPIReader(), config)
	if err != nil {
		return err
	}
	var records io.Writer
	if config.CDR {
		records = os.Stdout // logs go to the standard error
	}
	err = controllers.SetupAll(mgr, controllers.Config{
		Namespace:              config.Namespace,
		DefaultTenantNamespace: config.DefaultTenantNamespace,
		Class:                  class.Name(config.Class),
		Version:                program.Version(commit),
		Image:                  image,
		CalmPeriod:             config.CalmPeriod,
		Webhooks:               config.Webhooks,
		CDR:                    records,
		Garbage:                config.Garbage,
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// releaseFinalizers lets go what an operator that is gone has held.
func releaseFinalizers(ctx context.Context, cluster *rest.Config, config Config) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	if err := uninstall.Idle(ctx, c, types.NamespacedName{Namespace: config.Namespace, Name: leaseName}, time.Now()); err != nil {
		return err
	}
	report, err := uninstall.ReleaseFinalizers(ctx, c, class.Name(config.Class))
	ctrl.Log.Info("Released finalizers", "connections", report.Connections, "recordings", report.Recordings, "sessions", report.Sessions, "mediaPools", report.MediaPools)
	return err
}

// newScheme returns the kinds that the operator knows.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

func newManager(cluster *rest.Config, config Config) (ctrl.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	lock, err := leaderLock(cluster, config)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(config.Namespace),
		Metrics:                       metricsserver.Options{BindAddress: config.MetricsAddress},
		HealthProbeBindAddress:        config.HealthAddress,
		LeaderElection:                config.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       config.Namespace,
		LeaderElectionReleaseOnCancel: true,
		// A successor takes over within seconds, also when the leader's node is gone.
		LeaseDuration: ptr.To(8 * time.Second),
		RenewDeadline: ptr.To(6 * time.Second),
		RetryPeriod:   ptr.To(time.Second),

		LeaderElectionResourceLockInterface: lock,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("process", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("process", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the readiness check: %w", err)
	}
	return mgr, nil
}

// leaderLock returns the lease, held by the name of the pod: a process that was killed is followed
// by another in the same pod, which then goes on at once instead of waiting for its predecessor's
// lease to expire. nil, outside a pod, leaves the choice to the manager.
func leaderLock(cluster *rest.Config, config Config) (resourcelock.Interface, error) {
	if config.PodName == "" {
		return nil, nil
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, config.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: config.PodName}, cluster, 6*time.Second)
	if err != nil {
		return nil, fmt.Errorf("making the leader's lock: %w", err)
	}
	return lock, nil
}

// mediaPodImage returns what media pods run by default: the flag's image, or the one that the
// operator itself runs.
func mediaPodImage(ctx context.Context, reader client.Reader, config Config) (podspec.Image, error) {
	if config.MediaPodImage != "" {
		return podspec.Image{Name: config.MediaPodImage}, nil
	}
	if config.PodName == "" {
		return podspec.Image{}, fmt.Errorf("finding the image of media pods: neither --mediapod-image nor --pod-name is set")
	}
	var pod corev1.Pod
	if err := reader.Get(ctx, types.NamespacedName{Namespace: config.Namespace, Name: config.PodName}, &pod); err != nil {
		return podspec.Image{}, fmt.Errorf("reading the operator's own pod: %w", err)
	}
	container := pod.Spec.Containers[0]
	return podspec.Image{Name: container.Image, PullPolicy: container.ImagePullPolicy}, nil
}

// commit is what the program was built from; hack/build sets it.
var commit string
