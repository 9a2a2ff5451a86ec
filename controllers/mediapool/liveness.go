package mediapool

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/controllers/fleet"
)

// How long a pod may keep others waiting.
const (
	// nodeBound is how long a node may take to begin with a pod. A kubelet does so within a second,
	// however long the image takes then.
	nodeBound = 30 * time.Second
	// startBound is how long a pod that runs may take until it was heard of.
	startBound = 2 * time.Minute
	// goingBound is how long a pod that is lost may be on its way out before it is struck off.
	goingBound = 10 * time.Second
)

// dead says that a pod will never host a room again.
func (p podFacts) dead() bool {
	return finished(p.pod) || p.view.Known && p.view.State == fleet.Lost
}

// going says that a pod is being deleted.
func (p podFacts) going() bool {
	return !p.pod.DeletionTimestamp.IsZero()
}

// silent says that a pod runs without rooms and was not heard of since this leader began to dial.
// Of one with rooms the fleet decides.
func (p podFacts) silent() bool {
	return !p.going() && p.pod.Status.Phase == corev1.PodRunning && p.view.State == fleet.Connecting && !p.view.Since.IsZero() &&
		p.load.Sessions == 0
}

// cutOff says that a pod can't be reached. It may live, with its rooms, and takes no new ones.
func (p podFacts) cutOff() bool { return !p.view.CutOff.IsZero() }

// stuck says that a pod is on a node that has not begun with it. Kubernetes takes most of a minute
// to see that a node is gone, and schedules to it meanwhile.
func (p podFacts) stuck() bool {
	return !p.going() && p.pod.Spec.NodeName != "" && p.pod.Status.StartTime == nil
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// planLiveness removes the pods that will never host a room again.
func planLiveness(o observed, p *plan) {
	now := ptr.To(int64(0))
	for _, pod := range o.pods {
		switch {
		case pod.going() && pod.dead():
			// The node may be gone and never confirm.
			p.after(o, pod.pod.DeletionTimestamp.Add(goingBound),
				deletePod{because: "the pod is lost and does not go", pod: pod.pod, graceSeconds: now})
		case o.failedStart(pod): // planStarts decides
		case finished(pod.pod):
			p.add(deletePod{because: "the pod has finished", pod: pod.pod, graceSeconds: now})
		case pod.dead():
			p.add(deletePod{because: because(pod.view.LostBy.Because()), pod: pod.pod, graceSeconds: now})
		case pod.silent():
			p.after(o, pod.view.Since.Add(startBound),
				deletePod{because: "the pod runs, but was never heard of", pod: pod.pod, graceSeconds: now, lose: true})
		case pod.stuck():
			p.after(o, scheduledTime(pod.pod).Add(nodeBound),
				deletePod{because: "its node does not begin with the pod", pod: pod.pod, graceSeconds: now, blame: true})
		}
	}
}

// scheduledTime returns since when a pod is on its node.
func scheduledTime(pod *corev1.Pod) time.Time {
	if scheduled := podCondition(pod, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionTrue {
		return scheduled.LastTransitionTime.Time
	}
	return pod.CreationTimestamp.Time
}
