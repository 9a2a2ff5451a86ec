package session

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// wantsStandby says whether a second pod is to follow the room.
func (o observed) wantsStandby() bool {
	return o.pool != nil && placement.WantsStandby(o.pool, o.session.Spec.Standby)
}

// protect decides which pod is to follow the room. One that does stays as long as it is well, and
// after that until there is another, unless it is lost. It goes for one on another node.
func (p *plan) protect(o observed) {
	standby := o.room.Standby
	if !o.wantsStandby() {
		if standby.Pod != "" || standby.Sought {
			p.add(unprotect, "no standby is wanted", nil)
		}
		return
	}
	candidates := o.followers()
	var reason string
	switch {
	case standby.Pod == "":
		reason = "the room has no standby"
	case o.standby.State == fleet.Lost:
		reason = "the standby is lost"
	case o.standby.Draining || o.standby.Leaving:
		reason = "the standby drains"
	case !o.standby.CutOff.IsZero():
		reason = "the standby is cut off"
	case o.near():
		reason = "the standby is on the node of the media pod"
		candidates = slices.DeleteFunc(candidates, func(c placement.Candidate) bool { return c.Node == o.pod.Node })
	default:
		return
	}
	keep := standby.Pod != "" && o.standby.State != fleet.Lost
	if len(candidates) == 0 && standby.Sought && (keep || standby.Pod == "") {
		return // it is woken when there is another pod
	}
	p.actions = append(p.actions, action{kind: protect, reason: reason, candidates: candidates, keep: keep})
}

// followers returns the pods that could follow the room. Nobody can as long as its own pod is not
// heard of.
func (o observed) followers() []placement.Candidate {
	if o.pod.State != fleet.Synced {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.candidates), func(c placement.Candidate) bool { return c.Pod == o.room.Pod })
}

// near says that the room's pod and its standby are on one node.
func (o observed) near() bool { return o.standby.Node == o.pod.Node }

// standbyCouldServe says whether the standby could go on with the room now, and would be there for
// long.
func (o observed) standbyCouldServe() bool { return o.room.Standby.Able() && o.standby.Usable }

// standbyMayServe says, of a room whose pod is lost, whether its standby may serve it already and
// is not heard now. It is waited for until it is heard or cut off.
func (o observed) standbyMayServe() bool {
	standby := o.room.Standby
	if standby.Pod == "" || o.standby.State == fleet.Lost || !o.standby.CutOff.IsZero() || o.standby.State == fleet.Synced {
		return false
	}
	return standby.Able() || standby.State == controlv1.StandbyState_STANDBY_STATE_UNSPECIFIED
}

// roomStandby returns what the room's pod is told of the standby, nil when there is none: also when
// the room is for another pod (elsewhere), which follows it itself or is to get another standby.
func roomStandby(o observed, elsewhere bool) *controlv1.RoomStandby {
	standby := o.room.Standby
	if elsewhere || standby.Pod == "" || standby.Follows != o.room.Pod || o.standby.UID == "" {
		return nil
	}
	return &controlv1.RoomStandby{PodUid: o.standby.UID, Advertised: o.standby.Advertised, Secret: standby.Secret}
}

// sameStandby says whether Protected was true of this very standby.
func sameStandby(o observed) bool {
	return o.session.Status.StandbyPodName == o.room.Standby.Pod &&
		meta.IsStatusConditionTrue(o.session.Status.Conditions, v1alpha1.ConditionProtected)
}

// protectedCondition says whether the standby could go on with the room now.
func protectedCondition(o observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProtected, Status: metav1.ConditionFalse}
	standby := o.room.Standby
	switch {
	case standby.Pod == "" && o.pool != nil && !o.wantsStandby():
		c.Reason, c.Message = v1alpha1.ReasonNotWanted, "neither the Session nor its MediaPool wants a standby: users come back by themselves when their media pod is lost"
	case standby.Pod == "" && o.room.Pod == "":
		c.Reason, c.Message = v1alpha1.ReasonNoStandby, "the room is on no media pod"
	case standby.Pod == "":
		c.Reason, c.Message = v1alpha1.ReasonNoStandby, "no other media pod of the MediaPool can follow the room now"
	case !o.standby.CutOff.IsZero():
		c.Reason = v1alpha1.ReasonPodUnreachable
		c.Message = fmt.Sprintf("the operator has not heard of media pod %s, the standby, since %s", standby.Pod, o.standby.CutOff.UTC().Format(time.RFC3339))
	case standby.State == controlv1.StandbyState_STANDBY_STATE_UNSPECIFIED && o.standby.State == fleet.Connecting && sameStandby(o):
		// This leader is new and the pod about to say what it knows: what was said last still
		// holds.
		return *meta.FindStatusCondition(o.session.Status.Conditions, v1alpha1.ConditionProtected)
	case !standby.Able():
		c.Reason, c.Message = v1alpha1.ReasonStandbyBehind, fmt.Sprintf("media pod %s, the standby, does not know all of the room yet", standby.Pod)
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonStandbyReady
		c.Message = fmt.Sprintf("calls go on at media pod %s when this one is lost", standby.Pod)
		if o.room.Pod != "" && o.near() {
			c.Message += ", but not when their node is: both are on it, since no media pod is on another one"
		}
	}
	return c
}
