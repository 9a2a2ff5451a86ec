package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Bounds of lists in an answer: the first of them are shown, and how many are left out.
const (
	maxRooms      = 300
	maxRecordings = 50
	maxEvents     = 60
)

// overview is what the first view shows. Lists that the viewer may not see are null.
type overview struct {
	Viewer     whom        `json:"viewer"`
	Totals     totals      `json:"totals"`
	Rooms      []room      `json:"rooms"`
	RoomsLeft  int         `json:"roomsLeft"`
	Recordings []recording `json:"recordings"`
	Events     []event     `json:"events"`
	Pools      []pool      `json:"pools"`
	Pods       []pod       `json:"pods"`
	// Unseen are the kinds that the gateway itself does not see, for now or for want of rights.
	Unseen []string `json:"unseen,omitempty"`
}

// whom says who looks, and at which namespaces.
type whom struct {
	Name   string `json:"name"`
	Tenant bool   `json:"tenant"`
	// Namespaces is null for all.
	Namespaces []string `json:"namespaces"`
}

func viewerOf(who viewer, seen scope) whom {
	w := whom{Name: short(who.name()), Tenant: who.tenant() != "", Namespaces: seen.namespaces}
	if seen.all {
		w.Namespaces = nil
	}
	return w
}

// totals sums the rooms that the viewer sees.
type totals struct {
	Rooms   int `json:"rooms"`
	Ready   int `json:"ready"`
	Waiting int `json:"waiting"`
	figures
	Recording int `json:"recording"`
}

func (t *totals) add(r *room) {
	t.Rooms++
	switch r.State {
	case stateReady:
		t.Ready++
	case stateWaiting:
		t.Waiting++
	}
	t.figures.add(r.figures)
	if r.Recording {
		t.Recording++
	}
}

// overview builds the overview. Only rooms with the text that is searched for are listed.
func (c *Console) overview(ctx context.Context, who viewer, seen scope, search string) (*overview, error) {
	all, err := c.pools(ctx)
	if err != nil {
		return nil, err
	}
	o := &overview{Viewer: viewerOf(who, seen), Rooms: []room{}}
	if err := c.addRooms(ctx, o, seen, all, search); err != nil {
		return nil, err
	}
	if o.Recordings, err = c.recordings(ctx, who, seen, o, ""); err != nil {
		return nil, err
	}
	fleet, err := who.may(ctx, mediaPools, "")
	if err != nil {
		return nil, err
	}
	if o.Events, err = c.events(ctx, who, seen, o, func(e *corev1.Event) bool {
		return e.InvolvedObject.Kind != kindPool || fleet
	}); err != nil {
		return nil, err
	}
	return o, c.addFleet(ctx, o, who, fleet, all)
}

// pools returns all MediaPools, of other installations too.
func (c *Console) pools(ctx context.Context) ([]v1alpha1.MediaPool, error) {
	var pools v1alpha1.MediaPoolList
	if err := c.config.Reader.List(ctx, &pools, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("looking up the MediaPools: %w", err)
	}
	return pools.Items, nil
}

func (c *Console) addRooms(ctx context.Context, o *overview, seen scope, pools []v1alpha1.MediaPool, search string) error {
	search = strings.ToLower(search)
	err := list(ctx, c.config.Reader, seen, func(found *v1alpha1.SessionList) {
		for i := range found.Items {
			if !c.config.Class.OwnsSession(&found.Items[i], pools) {
				continue
			}
			r := roomOf(&found.Items[i])
			o.Totals.add(&r)
			if strings.Contains(strings.ToLower(r.Namespace+"/"+r.Name+" "+r.ID), search) {
				o.Rooms = append(o.Rooms, r)
			}
		}
	}, func() *v1alpha1.SessionList { return &v1alpha1.SessionList{} })
	slices.SortFunc(o.Rooms, func(a, b room) int {
		return cmp.Or(cmp.Compare(b.People, a.People), cmp.Compare(b.Created, a.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	o.RoomsLeft = max(len(o.Rooms)-maxRooms, 0)
	o.Rooms = o.Rooms[:len(o.Rooms)-o.RoomsLeft]
	return err
}

// unseen notes what the gateway does not see.
type unseen interface{ miss(kind string) }

func (o *overview) miss(kind string) { o.Unseen = append(o.Unseen, kind) }

// recordings returns the newest Recordings of a scope, of one room if it is named; nil when the
// viewer may not see any.
func (c *Console) recordings(ctx context.Context, who viewer, seen scope, to unseen, name string) ([]recording, error) {
	part, some, err := seen.within(ctx, who, recordings)
	if err != nil || !some {
		return nil, err
	}
	if !c.config.Watched.Recordings() {
		to.miss(recordings)
		return nil, nil
	}
	shown := []recording{}
	err = list(ctx, c.config.Watched, part, func(found *v1alpha1.RecordingList) {
		for i := range found.Items {
			if r := &found.Items[i]; name == "" || r.Spec.SessionName == name {
				shown = append(shown, recordingOf(r))
			}
		}
	}, func() *v1alpha1.RecordingList { return &v1alpha1.RecordingList{} })
	slices.SortFunc(shown, func(a, b recording) int {
		return cmp.Or(cmp.Compare(b.created, a.created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return shown[:min(len(shown), maxRecordings)], err
}

// Kinds of objects that have Events.
const (
	kindSession    = "Session"
	kindConnection = "Connection"
	kindRecording  = "Recording"
	kindPool       = "MediaPool"
)

// events returns the newest Events of a scope that are wanted; nil when the viewer may not see any.
// The Events of a MediaPool are in the namespace default.
func (c *Console) events(ctx context.Context, who viewer, seen scope, to unseen, wanted func(*corev1.Event) bool) ([]event, error) {
	part, some, err := seen.within(ctx, who, coreEvents)
	if err != nil || !some {
		return nil, err
	}
	if !c.config.Watched.Events() {
		to.miss("events")
		return nil, nil
	}
	var kept []*corev1.Event
	err = list(ctx, c.config.Watched, part, func(found *corev1.EventList) {
		for i := range found.Items {
			if wanted(&found.Items[i]) {
				kept = append(kept, &found.Items[i])
			}
		}
	}, func() *corev1.EventList { return &corev1.EventList{} })
	slices.SortFunc(kept, func(a, b *corev1.Event) int {
		return cmp.Or(lastSeen(b).Compare(lastSeen(a)), cmp.Compare(a.Name, b.Name))
	})
	shown := []event{}
	for _, e := range kept[:min(len(kept), maxEvents)] {
		shown = append(shown, eventOf(e))
	}
	return shown, err
}

// addFleet adds the pools and pods of this installation that the viewer may see. What is on them is
// of all namespaces.
func (c *Console) addFleet(ctx context.Context, o *overview, who viewer, mayPools bool, all []v1alpha1.MediaPool) error {
	mayPods, err := who.may(ctx, corePods, c.config.Namespace)
	if err != nil || !mayPools && !mayPods {
		return err
	}
	load, err := c.load(ctx)
	if err != nil {
		return err
	}
	capacities := map[string]v1alpha1.PodCapacity{}
	for i := range all {
		if !c.config.Class.OwnsPool(&all[i]) {
			continue
		}
		capacities[all[i].Name] = all[i].Spec.Capacity
		if mayPools {
			shown := poolOf(&all[i])
			shown.People = load.pools[shown.Name]
			o.Pools = append(o.Pools, shown)
		}
	}
	slices.SortFunc(o.Pools, func(a, b pool) int { return strings.Compare(a.Name, b.Name) })
	if !mayPods {
		return nil
	}
	var pods corev1.PodList
	if err := c.config.Reader.List(ctx, &pods, client.InNamespace(c.config.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("looking up the pods: %w", err)
	}
	for i := range pods.Items {
		shown := podOf(&pods.Items[i])
		capacity := capacities[shown.Pool]
		if !shown.Recorder {
			shown.MaxRooms, shown.MaxPeople = capacity.Sessions, capacity.Connections
		}
		load.add(&shown)
		o.Pods = append(o.Pods, shown)
	}
	slices.SortFunc(o.Pods, func(a, b pod) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Name, b.Name))
	})
	return nil
}

// load is what is on pods and pools, by their names.
type load struct {
	pods  map[string]*pod
	pools map[string]int32
}

// load sums all Sessions.
func (c *Console) load(ctx context.Context) (*load, error) {
	l := &load{pods: map[string]*pod{}, pools: map[string]int32{}}
	of := func(name string) *pod {
		if l.pods[name] == nil {
			l.pods[name] = &pod{}
		}
		return l.pods[name]
	}
	err := list(ctx, c.config.Reader, scope{all: true}, func(found *v1alpha1.SessionList) {
		for i := range found.Items {
			status := &found.Items[i].Status
			on := of(status.PodName)
			on.Rooms++
			on.People += status.ActiveConnections
			on.Pending += status.PendingConnections
			on.Streams += status.Publishers
			of(status.StandbyPodName).Followed++
			l.pools[status.PoolName] += status.ActiveConnections
		}
	}, func() *v1alpha1.SessionList { return &v1alpha1.SessionList{} })
	return l, err
}

func (l *load) add(to *pod) {
	if on := l.pods[to.Name]; on != nil {
		to.Rooms, to.People, to.Pending, to.Streams, to.Followed = on.Rooms, on.People, on.Pending, on.Streams, on.Followed
	}
}
