package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/webhook"
	"mediarooms.dev/mediarooms/internal/class"
)

// leader is how a new leader begins: it enters what the API objects say into the table of rooms,
// and then talks to the pods.
type leader struct {
	reader    client.Reader
	namespace string
	rooms     *rooms.Table
	fleet     *fleet.Fleet
	keys      *certs.Keys
	events    *eventlog.Log
	webhooks  *webhook.Reconciler
	workers   *egress.Workers
	class     class.Name
}

// Start begins, and goes on until the context ends.
func (l *leader) Start(ctx context.Context) error {
	var pods corev1.PodList
	if err := l.reader.List(ctx, &pods, client.InNamespace(l.namespace)); err != nil {
		return fmt.Errorf("listing media pods: %w", err)
	}
	var sessions v1alpha1.SessionList
	if err := l.reader.List(ctx, &sessions); err != nil {
		return fmt.Errorf("listing Sessions: %w", err)
	}
	var pools v1alpha1.MediaPoolList
	if err := l.reader.List(ctx, &pools); err != nil {
		return fmt.Errorf("listing MediaPools: %w", err)
	}
	sessions.Items = slices.DeleteFunc(sessions.Items, func(s v1alpha1.Session) bool { return !l.class.OwnsSession(&s, pools.Items) })
	var connections v1alpha1.ConnectionList
	if err := l.reader.List(ctx, &connections); err != nil {
		return fmt.Errorf("listing Connections: %w", err)
	}
	var recordings v1alpha1.RecordingList
	if err := l.reader.List(ctx, &recordings); err != nil {
		return fmt.Errorf("listing Recordings: %w", err)
	}
	for i := range pods.Items {
		l.fleet.See(&pods.Items[i])
	}
	// No pod can be talked to before there is a certificate, and no time to answer may run before.
	if _, err := l.keys.SigningKeys(ctx); err != nil {
		return nil // the context has ended
	}
	var hosted map[types.UID][]fleet.Pod
	if slices.ContainsFunc(sessions.Items, func(s v1alpha1.Session) bool { return s.Status.PodName == "" || s.Status.StandbyPodName != "" }) {
		// Either it waits, or its status was lost while no operator ran, and somebody may be in the
		// room. Or its standby has taken over, and the leader before could not write that down.
		hosted = l.fleet.Survey(ctx)
	}
	placed := inherit(sessions.Items, connections.Items, hosted)
	for i := range placed {
		host := l.fleet.Pod(placed[i].Pod)
		placed[i].Host = rooms.Host{Pod: placed[i].Pod, Node: host.Node, UID: host.UID, Address: host.Address}
	}
	if err := l.webhooks.Seed(ctx); err != nil {
		return err
	}
	names := make([]types.NamespacedName, 0, len(recordings.Items))
	for i := range recordings.Items {
		names = append(names, client.ObjectKeyFromObject(&recordings.Items[i]))
	}
	l.workers.Expect(names)
	l.recall(sessions.Items, connections.Items, placed)
	l.rooms.Seed(placed) // the controllers begin
	log.FromContext(ctx).Info("Took over", "pods", len(pods.Items), "rooms", len(placed))
	var workers sync.WaitGroup
	workers.Go(func() { l.workers.Start(ctx) })
	defer workers.Wait()
	return l.fleet.Start(ctx)
}

// inherit returns which Sessions are placed, on which pods and standbys, and who holds a place in
// them, by what the status of the objects says, or else by what the pods host. A room that its
// standby hosts has moved there. It is pure. Who was given a token holds a place;
// of the others the older ones come first, as long as there are places: their status was lost.
func inherit(sessions []v1alpha1.Session, connections []v1alpha1.Connection, hosted map[types.UID][]fleet.Pod) []rooms.Reservation {
	guests := make(map[types.NamespacedName][]*v1alpha1.Connection)
	for i := range connections {
		c := &connections[i]
		if !c.DeletionTimestamp.IsZero() || c.Spec.Type == v1alpha1.ConnectionTypeIPCam || c.Status.State == v1alpha1.ConnectionStateDisconnected {
			continue
		}
		name := types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.SessionName}
		guests[name] = append(guests[name], c)
	}
	hasToken := func(c *v1alpha1.Connection) int {
		if c.Status.ConnectionID != "" {
			return 0
		}
		return 1
	}
	var placed []rooms.Reservation
	for i := range sessions {
		s := &sessions[i]
		pod, pool := s.Status.PodName, s.Status.PoolName
		standby := s.Status.StandbyPodName
		for _, host := range hosted[s.UID] {
			if pod == "" || host.Name == standby {
				pod, pool, standby = host.Name, host.Pool, ""
			}
		}
		if pod == "" {
			continue
		}
		p := rooms.Reservation{
			Session: rooms.Session{UID: s.UID, Name: client.ObjectKeyFromObject(s), Pool: pool}, Pod: pod, Standby: standby,
		}
		of := guests[p.Session.Name]
		slices.SortFunc(of, func(a, b *v1alpha1.Connection) int {
			return cmp.Or(cmp.Compare(hasToken(a), hasToken(b)),
				a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
		})
		for n, c := range of {
			if hasToken(c) != 0 && s.Spec.MaxConnections != nil && int32(n) >= *s.Spec.MaxConnections {
				break
			}
			p.Connections = append(p.Connections, rooms.Connection{UID: c.UID, Name: client.ObjectKeyFromObject(c), Session: s.UID})
		}
		placed = append(placed, p)
	}
	return placed
}
