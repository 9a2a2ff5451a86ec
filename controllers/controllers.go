// Package controllers is the authority on what the operator consists of: which controllers there
// are, what they share, and in which order a leader begins.
//
// What they share has one owner each: rooms.Table where each room is and who is in it, fleet.Fleet
// the control streams, certs.Controller the secrets, eventlog.Log what has happened and is not
// delivered. A new leader first enters into the table what the API objects say; only then anything
// is decided and any pod is talked to, so that a restart of the operator never closes a room.
package controllers

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/cdr"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/connection"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/mediapool"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/recorder"
	"mediarooms.dev/mediarooms/controllers/recording"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/session"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/controllers/webhook"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/naming"
)

// DefaultCalmPeriod is how long a media pod above the minimum has no room before it is removed.
const DefaultCalmPeriod = 5 * time.Minute

// Config is what the operator can be told.
type Config struct {
	// Namespace of the operator, its secrets and the media pods.
	Namespace string
	// DefaultTenantNamespace is the tenant whose routing keys carry no namespace.
	DefaultTenantNamespace string
	// Class of this installation, where a cluster has several.
	Class class.Name
	// Version of the software, told to the media pods.
	Version string
	// Image of media pods whose pool names none.
	Image podspec.Image
	// CalmPeriod is how long a media pod above the minimum has no room before it is removed.
	CalmPeriod time.Duration
	// Webhooks says which addresses may be called. Those of nodes and pods are the cluster's own.
	Webhooks webhook.Guard
	// CDR takes one line per event of any Session; nil for none.
	CDR io.Writer
	// Garbage says when Sessions of the REST API that nobody has joined are deleted.
	Garbage session.Garbage
	// Clock of everything that waits; nil is the system's.
	Clock clock.WithTicker
	// Metrics takes the operator's metrics; nil is controller-runtime's registry.
	Metrics prometheus.Registerer
}

// SetupAll adds everything to the manager.
func SetupAll(mgr ctrl.Manager, config Config) error {
	if err := index(mgr); err != nil {
		return err
	}
	s, err := newShared(mgr, config)
	if err != nil {
		return err
	}
	for _, add := range []func(ctrl.Manager) error{s.addRecords, s.addStreams, s.addMetrics, s.addControllers} {
		if err := add(mgr); err != nil {
			return err
		}
	}
	return nil
}

// shared is what the controllers share. Each thing is made from those above it.
type shared struct {
	config Config
	// consistent reads its own writes.
	consistent client.Client

	wakeSession, wakeConnection, wakePool, wakeWebhook, wakeRecording trigger.Trigger

	identity   mtls.Memory
	keys       *certs.Keys
	identities desired.Identities
	media      desired.MediaAddresses
	stalls     fleet.StallMeter

	outbox   *fleet.Outbox
	events   *eventlog.Log
	rooms    *rooms.Table
	fleet    *fleet.Fleet
	workers  *egress.Workers
	webhooks *webhook.Reconciler
}

func newShared(mgr ctrl.Manager, config Config) (*shared, error) {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.Metrics == nil {
		config.Metrics = metrics.Registry
	}
	config.Webhooks.Owned = webhook.OwnedBy(mgr.GetClient())
	consistent, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		Cache: &client.CacheOptions{Reader: mgr.GetCache(), EnableReadYourWritesConsistency: ptr.To(true)},
	})
	if err != nil {
		return nil, fmt.Errorf("making a client that reads its own writes: %w", err)
	}
	s := &shared{config: config, consistent: consistent, keys: certs.NewKeys(), outbox: fleet.NewOutbox()}
	s.events = eventlog.New(s.outbox.Acknowledge, config.Clock)
	s.rooms = rooms.New(s.outbox, rooms.Wakers{
		Session: s.wakeSession.Wake, SessionAfter: s.wakeSession.WakeAfter, Connection: s.wakeConnection.Wake, Pool: s.poolChanged,
	}, config.Clock)
	s.fleet = fleet.New(fleet.Config{
		Rooms: s.rooms, Proofs: desired.Proofs{Keys: s.keys}, Events: s.events, Watcher: s, Outbox: s.outbox,
		Credentials: credentials.NewTLS(mtls.ClientFrom(&s.identity, mtls.MediaPod)),
		Version:     config.Version, Clock: config.Clock, Stalled: s.stalls.Stalled,
	})
	s.workers = egress.New(egress.Config{
		Credentials: credentials.NewTLS(mtls.ClientFrom(&s.identity, mtls.Worker)), Version: config.Version, Changed: s.wakeRecording.Wake,
	})
	s.webhooks = &webhook.Reconciler{
		Client: consistent, Deliverer: webhook.NewDeliverer(s.events, s.wakeWebhook.Wake), Guard: config.Webhooks,
		Recorder: mgr.GetEventRecorder("mediarooms"), Clock: config.Clock, Class: config.Class, Trigger: &s.wakeWebhook,
	}
	return s, nil
}

// poolChanged wakes the controller of pools.
func (s *shared) poolChanged(name string) {
	s.wakePool.Wake(types.NamespacedName{Name: name})
}

// PodChanged implements fleet.Watcher.
func (s *shared) PodChanged(pod fleet.Pod, draining []string) {
	s.poolChanged(pod.Pool)
	s.rooms.PodsChanged(pod.Pool, pod.Name, draining)
}

// PodReachChanged implements fleet.Watcher.
func (s *shared) PodReachChanged(pod fleet.Pod) { s.rooms.PodReachChanged(pod.Name) }

// PodLost implements fleet.Watcher.
func (s *shared) PodLost(pod fleet.Pod) {
	s.events.Lost(pod.Name)
	if !pod.Leaving {
		mediapool.CountLoss(pod.Pool)
		s.rooms.Failed(pod.Name, pod.Node)
	}
	s.rooms.MarkLost(pod.Name)
}

// addRecords has the call detail records written, if they are to be.
func (s *shared) addRecords(mgr ctrl.Manager) error {
	if s.config.CDR == nil {
		return nil
	}
	records := cdr.NewWriter(s.events, s.config.CDR)
	s.events.Add(eventlog.AllTenants, records)
	if err := mgr.Add(records); err != nil {
		return fmt.Errorf("adding the call detail records: %w", err)
	}
	return nil
}

// addStreams has the leader talk to the media pods.
func (s *shared) addStreams(mgr ctrl.Manager) error {
	if err := mgr.Add(&s.stalls); err != nil {
		return fmt.Errorf("adding the stall meter: %w", err)
	}
	err := mgr.Add(&leader{
		reader: mgr.GetClient(), namespace: s.config.Namespace, rooms: s.rooms, fleet: s.fleet, keys: s.keys, events: s.events,
		webhooks: s.webhooks, workers: s.workers, class: s.config.Class,
	})
	if err != nil {
		return fmt.Errorf("adding the control streams: %w", err)
	}
	return nil
}

// addMetrics registers what is counted.
func (s *shared) addMetrics(mgr ctrl.Manager) error {
	return register(s.config.Metrics, &inventory{reader: mgr.GetClient(), leading: mgr.Elected(), class: s.config.Class}, s.fleet)
}

// addControllers adds the controllers.
func (s *shared) addControllers(mgr ctrl.Manager) error {
	watched, err := ownSecrets(mgr, s.config.Namespace)
	if err != nil {
		return err
	}
	cached, reporter := mgr.GetClient(), mgr.GetEventRecorder("mediarooms")
	for _, controller := range []interface{ Setup(ctrl.Manager) error }{
		&certs.Controller{
			Client: cached, Reader: mgr.GetAPIReader(), Watched: watched, Namespace: s.config.Namespace, Clock: s.config.Clock,
			Identity: &s.identity, Keys: s.keys,
		},
		&fleet.Pods{Client: cached, Fleet: s.fleet},
		&fleet.Nodes{Client: cached, Fleet: s.fleet},
		&mediapool.Reconciler{
			Client: s.consistent, Fleet: s.fleet, Rooms: s.rooms, Events: s.events, Recorder: reporter, Clock: s.config.Clock,
			Namespace: s.config.Namespace, Image: s.config.Image, CalmPeriod: s.config.CalmPeriod, Media: &s.media, Class: s.config.Class,
			Trigger: &s.wakePool,
		},
		&session.Reconciler{
			Client: s.consistent, Fleet: s.fleet, Rooms: s.rooms, Events: s.events, Keys: s.keys, Identities: &s.identities,
			Recorder: reporter, Clock: s.config.Clock, DefaultNamespace: s.config.DefaultTenantNamespace, Media: &s.media,
			Garbage: s.config.Garbage, Class: s.config.Class, Trigger: &s.wakeSession,
		},
		&connection.Reconciler{
			Client: s.consistent, Live: mgr.GetAPIReader(), Fleet: s.fleet, Rooms: s.rooms, Keys: s.keys, Identities: &s.identities,
			Recorder: reporter, Clock: s.config.Clock, DefaultNamespace: s.config.DefaultTenantNamespace, Media: &s.media,
			Class: s.config.Class, Trigger: &s.wakeConnection,
		},
		&recorder.Reconciler{Client: s.consistent, Workers: s.workers, Recorder: reporter, Namespace: s.config.Namespace, Image: s.config.Image, Class: s.config.Class},
		&recording.Reconciler{
			Client: s.consistent, Workers: s.workers, Rooms: s.rooms, Fleet: s.fleet, Events: s.events, Recorder: reporter, Clock: s.config.Clock,
			DefaultNamespace: s.config.DefaultTenantNamespace, Class: s.config.Class, Trigger: &s.wakeRecording,
		},
		&recording.Always{Client: cached, Class: s.config.Class},
		s.webhooks,
	} {
		if err := controller.Setup(mgr); err != nil {
			return fmt.Errorf("adding %T: %w", controller, err)
		}
	}
	return nil
}

// register registers the metrics of the operator.
func register(registry prometheus.Registerer, own ...prometheus.Collector) error {
	all := slices.Concat(own, connection.Collectors(), eventlog.Collectors(), fleet.Collectors(),
		mediapool.Collectors(), rooms.Collectors(), session.Collectors(), webhook.Collectors())
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// index adds the look-ups that the controllers need.
func index(mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	err := indexer.IndexField(context.Background(), &v1alpha1.Connection{}, v1alpha1.SessionNameField, func(o client.Object) []string {
		connection, ok := o.(*v1alpha1.Connection)
		if !ok {
			return nil
		}
		return []string{connection.Spec.SessionName}
	})
	if err != nil {
		return fmt.Errorf("indexing Connections: %w", err)
	}
	err = indexer.IndexField(context.Background(), &v1alpha1.Recording{}, v1alpha1.SessionNameField, func(o client.Object) []string {
		recording, ok := o.(*v1alpha1.Recording)
		if !ok {
			return nil
		}
		return []string{recording.Spec.SessionName}
	})
	if err != nil {
		return fmt.Errorf("indexing Recordings: %w", err)
	}
	err = indexer.IndexField(context.Background(), &v1alpha1.Session{}, session.IDField, func(o client.Object) []string {
		s, ok := o.(*v1alpha1.Session)
		if !ok {
			return nil
		}
		return []string{naming.SessionID(s)}
	})
	if err != nil {
		return fmt.Errorf("indexing Sessions: %w", err)
	}
	return nil
}
