package fleet

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// maxIdentities is how many rooms are remembered that were sent to one pod.
const maxIdentities = 10000

// remember notes whose room is sent to the pod. Fleet.mu is held.
func (l *link) remember(room *controlv1.Room) {
	if l.identities == nil || len(l.identities) >= maxIdentities {
		l.identities = make(map[types.UID]*controlv1.RoomIdentity)
	}
	l.identities[types.UID(room.GetUid())] = &controlv1.RoomIdentity{
		Uid: room.GetUid(), Tenant: room.GetTenant(), Name: room.GetName(), SessionId: room.GetSessionId(), CreatedUnixMs: room.GetCreatedUnixMs(),
	}
}

// identify returns whose room a pod tells of, nil when the pod can't know of it: a pod that
// somebody has taken over must not tell of others' rooms. What it says counts by the proof that it
// was given with the room, also when the Session is gone and another leader had sent it. A pod of a
// version that hands no proof back tells of the rooms that this leader has sent to it.
func (f *Fleet) identify(ctx context.Context, l *link, told *controlv1.RoomIdentity) (*controlv1.RoomIdentity, error) {
	vouched, err := f.config.Proofs.Vouches(ctx, told)
	if err != nil {
		return nil, fmt.Errorf("checking whose a room is: %w", err)
	}
	if vouched {
		return told, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return l.identities[types.UID(told.GetUid())], nil
}

// refuse drops events of a room that is not known to be the pod's, and has the pod forget them.
func (f *Fleet) refuse(l *link, uid types.UID, events []*controlv1.RoomEvent) {
	f.mu.Lock()
	first := !l.doubted
	l.doubted = true
	f.mu.Unlock()
	refusedEvents.Add(float64(len(events)))
	if first {
		log.Log.WithName("fleet").Info("A media pod tells of a room that it was not given, and is not believed", "Pod", l.pod.Name, "room", uid)
	}
	if len(events) > 0 {
		f.config.Outbox.Acknowledge(l.pod.Name, uid, events[len(events)-1].GetSequence())
	}
}
