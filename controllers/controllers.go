// Package controllers is the authority on what the operator consists of: which controllers there are, what they share, and in which order a
// leader begins.
//
// What they share has one owner each: placement.Ledger the reservations, fleet.Fleet the control streams, certs.Controller the
// secrets, eventlog.Log what has happened and is not delivered. A new leader first enters into the ledger and the fleet what the API objects say; only then anything is decided and any pod
// is talked to, so that a restart of the operator never closes a room.
package controllers

import (
	"context"
	"fmt"
	"io"
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
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/mediapool"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/session"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/controllers/webhook"
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
	// Version of the software, told to the media pods.
	Version string
	// Image of media pods whose pool names none.
	Image mediapool.Image
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
	// Metrics takes the counts of objects; nil is controller-runtime's registry.
	Metrics prometheus.Registerer
}

// SetupAll adds everything to the manager.
func SetupAll(mgr ctrl.Manager, config Config) error {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.Metrics == nil {
		config.Metrics = metrics.Registry
	}
	if err := index(mgr); err != nil {
		return err
	}
	var (
		wakeSession, wakeConnection, wakePool, wakeWebhook trigger.Trigger

		identity mtls.Memory
		keys     = certs.NewKeys()
		media    desired.MediaAddresses
		pods     *fleet.Fleet
	)
	happened := eventlog.New(func(pod string, session types.UID, sequence uint64) { pods.Acknowledge(pod, session, sequence) }, config.Clock)
	if config.CDR != nil {
		records := cdr.NewWriter(happened, config.CDR)
		happened.Add(eventlog.AllTenants, records)
		if err := mgr.Add(records); err != nil {
			return fmt.Errorf("adding the call detail records: %w", err)
		}
	}
	config.Webhooks.Owned = webhook.OwnedBy(mgr.GetClient())
	webhooks := &webhook.Reconciler{
		Client: mgr.GetClient(), Deliverer: webhook.NewDeliverer(happened, wakeWebhook.Wake), Guard: config.Webhooks,
		Recorder: mgr.GetEventRecorder("mediarooms"), Clock: config.Clock, Trigger: &wakeWebhook,
	}
	poolNamed := func(name string) { wakePool.Wake(types.NamespacedName{Name: name}) }
	ledger := placement.NewLedger(placement.Wakers{Session: wakeSession.Wake, Connection: wakeConnection.Wake, Pool: poolNamed})
	stalls := &fleet.StallMeter{}
	if err := mgr.Add(stalls); err != nil {
		return fmt.Errorf("adding the stall meter: %w", err)
	}
	pods = fleet.New(fleet.Config{
		Rooms: &desired.Rooms{
			Reader: mgr.GetClient(), Admissions: ledger, Keys: keys,
			DefaultNamespace: config.DefaultTenantNamespace, Clock: config.Clock, Media: &media,
		},
		Events: happened,
		Wakers: fleet.Wakers{
			Session: wakeSession.Wake, Connection: wakeConnection.Wake,
			Pod: func(pod fleet.Pod) {
				poolNamed(pod.Pool)
				ledger.WakeWaiting(pod.Pool)
			},
			Lost: func(pod fleet.Pod) {
				happened.Lost(pod.Name)
				if !pod.Leaving {
					mediapool.CountLoss(pod.Pool)
					ledger.Failed(pod.Name, pod.Node, config.Clock.Now())
				}
			},
		},
		Credentials: credentials.NewTLS(mtls.ClientFrom(&identity, mtls.MediaPod)),
		Version:     config.Version,
		Clock:       config.Clock,
		Stalled:     stalls.Stalled,
	})
	consistent, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		Cache: &client.CacheOptions{Reader: mgr.GetCache(), EnableReadYourWritesConsistency: ptr.To(true)},
	})
	if err != nil {
		return fmt.Errorf("making a client that reads its own writes: %w", err)
	}
	if err := mgr.Add(&leader{
		reader: mgr.GetClient(), namespace: config.Namespace, ledger: ledger, fleet: pods, keys: keys, events: happened, webhooks: webhooks,
	}); err != nil {
		return fmt.Errorf("adding the control streams: %w", err)
	}
	if err := config.Metrics.Register(&inventory{reader: mgr.GetClient(), leading: mgr.Elected()}); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	watched, err := ownSecrets(mgr, config.Namespace)
	if err != nil {
		return err
	}
	for _, controller := range []interface{ Setup(ctrl.Manager) error }{
		&certs.Controller{
			Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Watched: watched, Namespace: config.Namespace, Clock: config.Clock,
			Identity: &identity, Keys: keys,
		},
		&fleet.Pods{Client: mgr.GetClient(), Fleet: pods},
		&mediapool.Reconciler{
			Client: consistent, Fleet: pods, Ledger: ledger, Events: happened, Recorder: mgr.GetEventRecorder("mediarooms"), Clock: config.Clock,
			Namespace: config.Namespace, Image: config.Image, CalmPeriod: config.CalmPeriod, Media: &media, Trigger: &wakePool,
		},
		&session.Reconciler{
			Client: mgr.GetClient(), Fleet: pods, Ledger: ledger, Events: happened, Recorder: mgr.GetEventRecorder("mediarooms"), Clock: config.Clock,
			Garbage: config.Garbage, Trigger: &wakeSession,
		},
		&connection.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Fleet: pods, Ledger: ledger, Keys: keys,
			Recorder: mgr.GetEventRecorder("mediarooms"), Clock: config.Clock,
			DefaultNamespace: config.DefaultTenantNamespace, Media: &media, Trigger: &wakeConnection,
		},
		webhooks,
	} {
		if err := controller.Setup(mgr); err != nil {
			return fmt.Errorf("adding %T: %w", controller, err)
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
