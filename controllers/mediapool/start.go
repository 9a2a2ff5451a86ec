package mediapool

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/fleet"
)

// This file holds every rule about pods that fail to start: that end before they were heard of, or
// whose port is taken on their nodes. The last of them is kept, for its log, and says when the next
// one is made: at once, then after 10 s, 20 s and so on, at most 5 min, as a kubelet restarts
// containers.
//
//	created --> heard: has started
//	        --> ended:              failed, kept --> the next one is made when its time has come
//	        --> its port is taken:  failed ---------> likewise, with another port; then it is deleted
//
// Everything is in the pods, so that a new leader goes on with the same back-off. Who deletes the
// pod that is kept has the next one made at once.

const (
	// startedAnnotation is on a pod that was heard of.
	startedAnnotation = "mediarooms.dev/started"
	// failuresAnnotation is how many pods in a row had failed to start when a pod was made.
	failuresAnnotation = "mediarooms.dev/failed-starts"
	// firstPause is how long the second pod that fails in a row delays the next, maxPause how long
	// any does.
	firstPause = 10 * time.Second
	maxPause   = 5 * time.Minute
	// takenPeriod is how long a port is not chosen that was found taken.
	takenPeriod = 10 * time.Minute
	// recentPeriod is how long a port is rather not chosen that a pod had: for as long as clients
	// of that may be in a call.
	recentPeriod = time.Hour
	// maxSaid is how much of what a container or the scheduler has said is told, in characters.
	maxSaid = 300
)

// started says that a pod was heard of.
func (p podFacts) started() bool {
	return p.pod.Annotations[startedAnnotation] == "true" || p.view.State == fleet.Synced
}

// failures is how many pods in a row had failed to start before this one.
func (p podFacts) failures() int {
	n, err := strconv.Atoi(p.pod.Annotations[failuresAnnotation])
	if err != nil {
		return 0
	}
	return max(0, n)
}

// failedStart says that a pod of the current template has failed to start, and what it was made
// from was not changed since.
func (o observed) failedStart(p podFacts) bool {
	if p.going() || p.started() || o.outdated(p) {
		return false
	}
	return finished(p.pod) || portTaken(p.pod) && o.otherPort()
}

// otherPort says whether there is a port that nobody is known to use.
func (o observed) otherPort() bool {
	port := o.exposure.Allocate(o.ports)
	return port != 0 && o.ports.Used[port] == 0 && !o.ports.Taken[port]
}

// lastFailure returns the pod that was the last to fail to start; nil when there is none.
func (o observed) lastFailure() *podFacts {
	var last *podFacts
	for i, pod := range o.pods {
		if !o.failedStart(pod) {
			continue
		}
		if last == nil || cmp.Or(cmp.Compare(pod.failures(), last.failures()), endedTime(pod.pod).Compare(endedTime(last.pod))) >= 0 {
			last = &o.pods[i]
		}
	}
	return last
}

// pauseAfter is how long no pod is made after one has failed to start.
func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(firstPause<<min(failures-1, 10), maxPause)
}

// endedTime returns when a pod has ended; of one that has not, since when it can't be scheduled.
func endedTime(pod *corev1.Pod) time.Time {
	ended := pod.CreationTimestamp.Time
	if scheduled := podCondition(pod, corev1.PodScheduled); scheduled != nil {
		ended = scheduled.LastTransitionTime.Time
	}
	for _, container := range pod.Status.ContainerStatuses {
		if t := container.State.Terminated; t != nil && t.FinishedAt.After(ended) {
			ended = t.FinishedAt.Time
		}
	}
	return ended
}

// planStarts removes the pods that have failed to start, but for the last one while none has
// started since.
func planStarts(o observed, p *plan) {
	last := o.lastFailure()
	if last == nil {
		return
	}
	next := o.madeAfter(*last)
	over := o.suffices() || next != nil && next.view.Usable
	for _, pod := range o.pods {
		switch {
		case !o.failedStart(pod):
		case over:
			p.add(deletePod{because: "the pod has failed to start, and others have not", pod: pod.pod})
		case !finished(pod.pod) && (next != nil || pod.pod != last.pod):
			p.add(deletePod{because: "its port is taken, and another one is tried", pod: pod.pod})
		case finished(pod.pod) && pod.pod != last.pod:
			p.add(deletePod{because: "the pod has failed to start, and so has a later one", pod: pod.pod})
		}
	}
}

// madeAfter returns the pod that was made since one has failed to start; nil when there is none.
func (o observed) madeAfter(failed podFacts) *podFacts {
	for i, pod := range o.pods {
		if o.current(pod) && pod.failures() > failed.failures() && !pod.pod.CreationTimestamp.Before(&failed.pod.CreationTimestamp) {
			return &o.pods[i]
		}
	}
	return nil
}

// suffices says that some pods are usable, and that there are as many as are needed.
func (o observed) suffices() bool {
	supply := o.supply()
	return supply.usable > 0 && supply.usable >= o.minimum() && supply.usableFree >= needed(o)
}

// mayStart says how many pods may be made now, and how many have failed in a row: one at a time
// after a failure, and none before its time.
func mayStart(o observed, supply supply, p *plan) (pods int32, failures int) {
	last := o.lastFailure()
	switch {
	case last == nil:
		return o.pool.Spec.MaxPods, 0
	case supply.current > supply.usable:
		return 0, 0
	}
	if wait := endedTime(last.pod).Add(pauseAfter(last.failures())).Sub(o.now); wait > 0 {
		p.lookAgain(wait)
		return 0, 0
	}
	return 1, last.failures() + 1
}

// portTaken says that the port that a pod was given is used by something else: on all nodes that
// the scheduler tried, as its kubelet says, or as the process in it says.
func portTaken(pod *corev1.Pod) bool {
	if exposure.Allocated(pod) == 0 {
		return false
	}
	if finished(pod) {
		return pod.Status.Reason == "NodePorts" || strings.Contains(ending(pod), "address already in use")
	}
	return pod.Status.Phase == corev1.PodPending && strings.Contains(unschedulable(pod), "free ports")
}

// unschedulable returns why a pod can't be scheduled; "" when it can.
func unschedulable(pod *corev1.Pod) string {
	if scheduled := podCondition(pod, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionFalse {
		return scheduled.Message
	}
	return ""
}

// podCondition returns a condition of a pod; nil when it has none.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// ending says how a pod has ended.
func ending(pod *corev1.Pod) string {
	for _, container := range pod.Status.ContainerStatuses {
		if t := container.State.Terminated; t != nil {
			return fmt.Sprintf("its container ended with exit code %d (%s)%s", t.ExitCode, cmp.Or(t.Reason, "no reason"), said(t.Message))
		}
	}
	return fmt.Sprintf("its node has ended it (%s)%s", cmp.Or(pod.Status.Reason, "no reason"), said(pod.Status.Message))
}

// said returns the last line of a text, as the end of a sentence.
func said(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	line := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, lines[len(lines)-1]))
	switch {
	case len(line) == 0:
		return ""
	case len(line) > maxSaid:
		return ": " + string(line[:maxSaid]) + "..."
	}
	return ": " + string(line)
}

// startFailure says of the last pod that has failed to start what a person has to know; "" when
// there is none. It changes with each attempt.
func (o observed) startFailure() string {
	last := o.lastFailure()
	if last == nil {
		return ""
	}
	text := "its ports are taken on every node that it could be on" + said(unschedulable(last.pod))
	if finished(last.pod) {
		text = ending(last.pod)
	}
	if portTaken(last.pod) {
		text = takenPort(o.exposure.Given(exposure.Allocated(last.pod))) + text
	}
	if n := last.failures() + 1; n > 1 {
		text = fmt.Sprintf("%d in a row; %s", n, text)
	}
	return fmt.Sprintf("media pod %s has failed to start: %s", last.pod.Name, text)
}

// takenPort begins a sentence about the ports that a pod was given.
func takenPort(given v1alpha1.PortRange) string {
	if given.First == given.Last {
		return fmt.Sprintf("port %d is taken: ", given.First)
	}
	return fmt.Sprintf("a port of %d to %d is taken: ", given.First, given.Last)
}

// portMemory is when ports were last seen taken by something that is not ours, and given to a pod.
// Only the one pass at a time touches it. A new leader finds them out again.
type portMemory struct {
	taken, given map[int32]time.Time
}

func newPortMemory() portMemory {
	return portMemory{make(map[int32]time.Time), make(map[int32]time.Time)}
}

// ports returns what is known of ports when there are so many pods per port.
func (m portMemory) ports(pods []corev1.Pod, used map[int32]int, now time.Time) exposure.Ports {
	for i := range pods {
		port := exposure.Allocated(&pods[i])
		if port == 0 {
			continue
		}
		m.given[port] = now
		if portTaken(&pods[i]) && used[port] <= 1 {
			m.taken[port] = now
		}
	}
	return exposure.Ports{Used: used, Taken: since(m.taken, now, takenPeriod), Recent: since(m.given, now, recentPeriod)}
}

// since returns the ports of a memory, which forgets those that were seen longer ago.
func since(seen map[int32]time.Time, now time.Time, period time.Duration) map[int32]bool {
	maps.DeleteFunc(seen, func(_ int32, at time.Time) bool { return now.Sub(at) > period })
	ports := make(map[int32]bool, len(seen))
	for port := range seen {
		ports[port] = true
	}
	return ports
}
