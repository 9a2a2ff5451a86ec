// Package plugin is the authority on "kubectl mediarooms": its commands, their flags, and what they
// print. It is a client of the API server, with the rights of whoever calls it. Package doctor
// below it says what is wrong with an installation.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Exit statuses of Run.
const (
	// StatusFailed: the command could not do what it was asked.
	StatusFailed = 1
	// StatusUnhealthy: doctor has found a problem.
	StatusUnhealthy = 2
)

// errUnhealthy says that doctor has found a problem, which it has printed.
var errUnhealthy = errors.New("the installation has problems")

// Run runs a command line, without the program's name, until it is done or the context ends. It
// returns the exit status. commit is the version that is shown.
func Run(ctx context.Context, commit string, args []string, streams genericiooptions.IOStreams) (status int) {
	log.SetLogger(logr.Discard()) // whoever runs a command is told by its output
	return run(ctx, args, newSettings(commit, streams))
}

func run(ctx context.Context, args []string, s *settings) (status int) {
	root := s.root()
	root.SetArgs(args)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return 0
	case errors.Is(err, errUnhealthy):
		return StatusUnhealthy
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return StatusFailed // whoever has interrupted it knows
	default:
		fmt.Fprintf(s.ErrOut, "error: %s\n", printable(err.Error()))
		return StatusFailed
	}
}

// settings are what all commands share.
type settings struct {
	genericiooptions.IOStreams
	commit string
	flags  *genericclioptions.ConfigFlags
	// systemNamespace is where the operator, the gateway and the media pods are.
	systemNamespace string
	// config returns how the cluster is reached. Tests set it.
	config func() (*rest.Config, error)
	// now is the clock. Tests set it.
	now func() time.Time
}

func newSettings(commit string, streams genericiooptions.IOStreams) *settings {
	flags := genericclioptions.NewConfigFlags(true)
	return &settings{IOStreams: streams, commit: commit, flags: flags, config: flags.ToRESTConfig, now: time.Now}
}

// DefaultSystemNamespace is where an installation is unless somebody has put it elsewhere.
const DefaultSystemNamespace = "mediarooms-system"

// usage of the program. kubectl finds it by the name kubectl-mediarooms.
const usage = `kubectl mediarooms shows the rooms of a cluster and who is in them, lets people in and
puts them out, drains media pods, and checks an installation.

It acts with your rights at the API server. Names of rooms are those of Sessions,
names of people those of Connections; both are in a namespace (-n).`

func (s *settings) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-mediarooms",
		Short:         "Rooms, people and media pods of Mediarooms",
		Long:          usage,
		Version:       s.commit,
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mediarooms"},
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)
	s.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVar(&s.systemNamespace, "system-namespace", DefaultSystemNamespace,
		"the namespace of the operator, the gateway and the media pods")
	s.completeFlags(root)
	root.AddCommand(
		s.roomsCommand(), s.whoCommand(), s.topCommand(), s.eventsCommand(),
		s.joinURLCommand(), s.kickCommand(), s.muteCommand(),
		s.drainCommand(), s.doctorCommand(),
	)
	return root
}

// scheme has the kinds that the commands use.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// cluster is a cluster as a command sees it.
type cluster struct {
	client.WithWatch
	config *rest.Config
	// namespace is the one of -n, else that of the kubeconfig's context, else "default".
	namespace string
}

// requestsPerSecond bounds what a command asks of the API server.
const requestsPerSecond = 50

func (s *settings) open() (*cluster, error) {
	config, err := s.config()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = requestsPerSecond, 2*requestsPerSecond
	config.UserAgent = "kubectl-mediarooms"
	// What the API server warns of is nothing that a reader of these commands could change.
	config.WarningHandler = rest.NoWarnings{}
	objects, err := client.NewWithWatch(config, client.Options{Scheme: scheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing requests to the API server: %w", err)
	}
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the namespace of the kubeconfig: %w", err)
	}
	return &cluster{WithWatch: objects, config: config, namespace: namespace}, nil
}
