package route

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

// routingKeyIndex is the name of the cache's index of Sessions by routing key.
const routingKeyIndex = "mediarooms.dev/routing-key"

// signallingPort is the name of the media pods' port that takes the gateways' connections.
const signallingPort = "signalling"

// Directory answers where rooms are, from caches. Safe for concurrent use.
type Directory struct {
	reader       client.Reader
	podNamespace string
	changes      broadcast
}

// NewDirectory returns the directory over a cache that holds all Sessions and the media pods of a
// namespace. Call it before the cache starts; the default namespace is the one whose Sessions'
// routing key is the bare session id.
func NewDirectory(ctx context.Context, objects cache.Cache, podNamespace, defaultNamespace string) (*Directory, error) {
	if err := objects.IndexField(ctx, &v1alpha1.Session{}, routingKeyIndex, routingKeys(defaultNamespace)); err != nil {
		return nil, fmt.Errorf("indexing Sessions by routing key: %w", err)
	}
	directory := &Directory{reader: objects, podNamespace: podNamespace}
	for _, kind := range []client.Object{&v1alpha1.Session{}, &corev1.Pod{}} {
		informer, err := objects.GetInformer(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(directory.changes.handler()); err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	return directory, nil
}

func routingKeys(defaultNamespace string) client.IndexerFunc {
	return func(object client.Object) []string {
		session, ok := object.(*v1alpha1.Session)
		if !ok {
			return nil
		}
		return []string{naming.RoutingKeyOf(session, defaultNamespace)}
	}
}

// Changed returns a channel that is closed when a Session or a media pod has changed since the
// call.
func (d *Directory) Changed() <-chan struct{} {
	return d.changes.next()
}

// Find returns what is known about the Session with a routing key.
func (d *Directory) Find(ctx context.Context, key string) (Room, error) {
	var sessions v1alpha1.SessionList
	if err := d.reader.List(ctx, &sessions, client.MatchingFields{routingKeyIndex: key}); err != nil {
		return Room{}, fmt.Errorf("looking up a Session: %w", err)
	}
	session := naming.Holder(sessions.Items, naming.Placed)
	if session == nil {
		return Room{}, nil
	}
	room := Room{Known: true, Namespace: session.Namespace, Occupied: session.Status.ActiveConnections > 0}
	if session.Status.PodName == "" {
		return room, nil
	}
	var pod corev1.Pod
	err := d.reader.Get(ctx, client.ObjectKey{Namespace: d.podNamespace, Name: session.Status.PodName}, &pod)
	if client.IgnoreNotFound(err) != nil {
		return Room{}, fmt.Errorf("looking up a media pod: %w", err)
	}
	if err == nil {
		room.Address = AddressOf(&pod, signallingPort)
		room.Programmed = programmed(session)
	}
	return room, nil
}

// Ready returns the signalling addresses of the media pods that can host rooms, in random order.
func (d *Directory) Ready(ctx context.Context) ([]string, error) {
	var pods corev1.PodList
	if err := d.reader.List(ctx, &pods, client.InNamespace(d.podNamespace), client.MatchingLabels{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod}); err != nil {
		return nil, fmt.Errorf("looking up media pods: %w", err)
	}
	var addresses []string
	for i := range pods.Items {
		if pod := &pods.Items[i]; ready(pod) && AddressOf(pod, signallingPort) != "" {
			addresses = append(addresses, AddressOf(pod, signallingPort))
		}
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	return addresses, nil
}

// programmed says whether the Session's pod may be taken to host the room. A pod that the operator
// can't reach just now still has the rooms that it had, so only a pod that was never told counts as
// not programmed.
func programmed(session *v1alpha1.Session) bool {
	condition := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionProgrammed)
	if condition == nil {
		return false
	}
	return condition.Status == metav1.ConditionTrue || condition.Reason == v1alpha1.ReasonPodUnreachable
}

// AddressOf returns where a pod has the port with a name, or "" when it can't be reached there: it
// has no address, or has ended. A pod that is not ready counts: it may be draining, with its rooms
// still in it.
func AddressOf(pod *corev1.Pod, portName string) string {
	if pod.Status.PodIP == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return ""
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == portName {
				return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
			}
		}
	}
	return ""
}

func ready(pod *corev1.Pod) bool {
	if !pod.DeletionTimestamp.IsZero() {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// broadcast wakes everybody who waits for any change. Safe for concurrent use.
type broadcast struct {
	mu   sync.Mutex // guards wake
	wake chan struct{}
}

func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

func (b *broadcast) handler() toolscache.ResourceEventHandlerFuncs {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { b.notify() },
		UpdateFunc: func(any, any) { b.notify() },
		DeleteFunc: func(any) { b.notify() },
	}
}
