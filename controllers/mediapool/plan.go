package mediapool

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// action is one write of a pass, of one of the types below. Actions are ordered.
type action interface {
	// why is the reason, for logs and Events.
	why() string
}

type because string

func (b because) why() string { return string(b) }

// createPod makes a pod with a port of the range; 0 when it needs none. It comes to a node to avoid
// only if there is no other.
type createPod struct {
	because
	port  int32
	avoid []string
	// failures is how many have failed to start in a row before it.
	failures int
}

// deletePod deletes a pod. With retire, only if no Session was placed on it meanwhile. With lose,
// it is given up at once. With blame, its node has failed.
type deletePod struct {
	because
	pod                 *corev1.Pod
	graceSeconds        *int64
	retire, lose, blame bool
}

// configurePod tells a running pod its addresses and what else the pool says.
type configurePod struct {
	because
	pod    string
	config *controlv1.PodConfig
}

// annotatePod sets the annotations that this controller keeps current.
type annotatePod struct {
	because
	pod         *corev1.Pod
	annotations map[string]string
}

// applyBudget writes how many pods have to stay when pods are evicted.
type applyBudget struct {
	because
	minAvailable int32
}

// exposePod makes the Services of a pod, or changes them.
type exposePod struct {
	because
	pod *corev1.Pod
}

// plan is what to write, and when to look again whatever happens; 0 is never.
type plan struct {
	actions []action
	again   time.Duration
}

func (p *plan) add(a action) { p.actions = append(p.actions, a) }

// lookAgain asks for another pass after a while.
func (p *plan) lookAgain(wait time.Duration) {
	p.again = earliest(p.again, max(wait, time.Millisecond))
}

// after adds an action when its time has come, and else asks for another pass then.
func (p *plan) after(o observed, due time.Time, a action) {
	if wait := due.Sub(o.now); wait > 0 {
		p.lookAgain(wait)
		return
	}
	p.add(a)
}

// makePlan decides what to do. It is pure.
func makePlan(o observed) plan {
	var p plan
	planLiveness(o, &p)
	planConfiguration(o, &p)
	planStarts(o, &p)
	planDrains(o, &p)
	planRollout(o, &p)
	planSize(o, &p)
	planBudget(o, &p)
	return p
}
