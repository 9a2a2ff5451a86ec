package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// maxPeople is how many Connections of a room are shown.
const maxPeople = 300

// ErrPeopleUnseen says that the gateway has no rights on the Connections of a namespace: it has
// them in the namespaces of tenants only.
var ErrPeopleUnseen = errors.New("the gateway sees Connections of tenants only")

// detail is what the view of a room shows. Lists that the viewer may not see are null.
type detail struct {
	Viewer whom `json:"viewer"`
	Room   room `json:"room"`
	// People are those in the room and those with a token for it, then those who have left.
	People     []person `json:"people"`
	PeopleLeft int      `json:"peopleLeft"`
	// Ends counts those who have left, by why.
	Ends       map[string]int `json:"ends,omitempty"`
	Recordings []recording    `json:"recordings"`
	Events     []event        `json:"events"`
	Unseen     []string       `json:"unseen,omitempty"`
}

func (d *detail) miss(kind string) { d.Unseen = append(d.Unseen, kind) }

// detail builds the view of a room.
func (c *Console) detail(ctx context.Context, who viewer, namespace, name string) (*detail, error) {
	allowed, err := who.may(ctx, sessions, namespace)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, errUnknown
	}
	session, err := c.session(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	seen := scope{namespaces: []string{namespace}}
	d := &detail{Viewer: viewerOf(who, seen), Room: roomOf(session)}
	members, err := c.addPeople(ctx, d, who)
	if err != nil {
		return nil, err
	}
	if d.Recordings, err = c.recordings(ctx, who, seen, d, name); err != nil {
		return nil, err
	}
	d.Events, err = c.events(ctx, who, seen, d, func(e *corev1.Event) bool {
		switch e.InvolvedObject.Kind {
		case kindSession:
			return e.InvolvedObject.Name == name
		case kindConnection:
			return members[e.InvolvedObject.Name]
		case kindRecording:
			return slices.ContainsFunc(d.Recordings, func(r recording) bool { return r.Object == e.InvolvedObject.Name })
		}
		return false
	})
	return d, err
}

func (c *Console) session(ctx context.Context, namespace, name string) (*v1alpha1.Session, error) {
	var session v1alpha1.Session
	err := c.config.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &session)
	if apierrors.IsNotFound(err) {
		return nil, errUnknown
	} else if err != nil {
		return nil, fmt.Errorf("looking up a Session: %w", err)
	}
	pools, err := c.pools(ctx)
	if err == nil && !c.config.Class.OwnsSession(&session, pools) {
		err = errUnknown
	}
	return &session, err
}

// order is in which people are listed.
var order = map[string]int{"active": 0, "pending": 1, stateWaiting: 2, "disconnected": 3}

// addPeople adds who is in the room, if the viewer may see it, and returns the names of all its
// Connections.
func (c *Console) addPeople(ctx context.Context, d *detail, who viewer) (members map[string]bool, err error) {
	allowed, err := who.may(ctx, connections, d.Room.Namespace)
	if err != nil || !allowed {
		return nil, err
	}
	found, err := c.config.People(ctx, d.Room.Namespace)
	if err != nil {
		d.miss(connections)
		if !errors.Is(err, ErrPeopleUnseen) && ctx.Err() != nil {
			return nil, err
		}
		return nil, nil
	}
	members, d.People, d.Ends = map[string]bool{}, []person{}, map[string]int{}
	for i := range found {
		if found[i].Spec.SessionName != d.Room.Name {
			continue
		}
		members[found[i].Name] = true
		shown := personOf(&found[i])
		if shown.State == "disconnected" {
			d.Ends[cmp.Or(shown.Left, "unknown")]++
		}
		d.People = append(d.People, shown)
	}
	slices.SortFunc(d.People, func(a, b person) int {
		bySince := cmp.Compare(a.Since, b.Since)
		if a.State == "disconnected" {
			bySince = -bySince
		}
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), bySince, cmp.Compare(a.Name, b.Name))
	})
	d.PeopleLeft = max(len(d.People)-maxPeople, 0)
	d.People = d.People[:len(d.People)-d.PeopleLeft]
	return members, nil
}
