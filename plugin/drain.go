package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// drainMargin is how much longer than its time to drain a pod is waited for.
const drainMargin = time.Minute

// drainDefault is the time to drain of a pod whose pool can't be read, as in the API.
const drainDefault = time.Minute

// drainage is what drain is asked for.
type drainage struct{ evict, wait bool }

func (s *settings) drainCommand() *cobra.Command {
	var d drainage
	command := &cobra.Command{
		Use:   "drain POD|NODE",
		Short: "Empty a media pod, or the media pods of a node, and remove them",
		Long: `Empty a media pod, or the media pods of a node, and remove them.

A pod that drains gets no new rooms. Rooms with a standby, and rooms without users,
move to other pods at once; the others stay until they end, at the latest for the
drainSeconds of the pool. With --evict all of them move now.

A node is cordoned first, so that no new media pod lands there; its pods go one
after the other. Other pods on it stay (kubectl drain removes all).`,
		Example: `  kubectl mediarooms drain mediapod-default-nbx8n
  kubectl mediarooms drain node-3 --evict`,
		Args:              oneArgument("POD or NODE"),
		ValidArgsFunction: s.completeOnce(s.podAndNodeNames),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			pods, err := s.drained(command.Context(), c, args[0])
			if err != nil {
				return err
			}
			for i := range pods {
				if err := s.drain(command.Context(), c, &pods[i], d); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().BoolVar(&d.evict, "evict", false, "do not wait for rooms to end: move them now")
	command.Flags().BoolVar(&d.wait, "wait", true, "show the progress until the pods are gone")
	return command
}

// drained returns the pods that are to be drained. A node is cordoned.
func (s *settings) drained(ctx context.Context, c *cluster, name string) ([]corev1.Pod, error) {
	pods, err := c.mediaPods(ctx, s.systemNamespace)
	if err != nil {
		return nil, fmt.Errorf("listing media pods %s: %w", inNamespace(s.systemNamespace), explained(err))
	}
	var onNode []corev1.Pod
	for i := range pods {
		if pods[i].Name == name {
			return pods[i : i+1], nil
		}
		if pods[i].Spec.NodeName == name {
			onNode = append(onNode, pods[i])
		}
	}
	var node corev1.Node
	switch err := c.Get(ctx, client.ObjectKey{Name: name}, &node); {
	case apierrors.IsNotFound(err):
		return nil, noPod(name, s.systemNamespace, pods)
	case err != nil:
		return nil, fmt.Errorf("reading Node %s, since no media pod %s has that name: %w", name, inNamespace(s.systemNamespace), explained(err))
	}
	if err := s.cordon(ctx, c, &node); err != nil {
		return nil, err
	}
	if len(onNode) == 0 {
		fmt.Fprintf(s.Out, "node %s has no media pods\n", name)
	}
	return onNode, nil
}

func noPod(name, namespace string, pods []corev1.Pod) error {
	var names []string
	for i := range pods {
		names = append(names, pods[i].Name)
	}
	return absent("node or media pod", name, inNamespace(namespace), names)
}

// cordon keeps new pods off a node.
func (s *settings) cordon(ctx context.Context, c *cluster, node *corev1.Node) error {
	if node.Spec.Unschedulable {
		fmt.Fprintf(s.Out, "node %s was cordoned already\n", node.Name)
		return nil
	}
	before := node.DeepCopy()
	node.Spec.Unschedulable = true
	if err := c.Patch(ctx, node, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("cordoning node %s: %w", node.Name, explained(err))
	}
	fmt.Fprintf(s.Out, "node %s is cordoned; kubectl uncordon %s undoes it\n", node.Name, node.Name)
	return nil
}

// drain drains one pod, and waits until it is gone if that is asked for.
func (s *settings) drain(ctx context.Context, c *cluster, pod *corev1.Pod, d drainage) error {
	within := drainMargin
	if d.evict {
		if err := s.evictPod(ctx, c, pod); err != nil {
			return err
		}
	} else {
		latest, err := s.beginDrain(ctx, c, pod)
		if err != nil {
			return err
		}
		within += max(0, latest.Sub(s.now()))
	}
	if !d.wait {
		return nil
	}
	return s.showDrain(ctx, c, pod, within)
}

// beginDrain has the operator drain a pod, and returns when the pod goes at the latest. A drain
// that has begun goes on.
func (s *settings) beginDrain(ctx context.Context, c *cluster, pod *corev1.Pod) (latest time.Time, err error) {
	since, err := time.Parse(time.RFC3339, pod.Annotations[v1alpha1.DrainingAnnotation])
	if err != nil {
		since = s.now()
		before := pod.DeepCopy()
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1alpha1.DrainingAnnotation, since.UTC().Format(time.RFC3339))
		if err := c.Patch(ctx, pod, client.MergeFrom(before)); err != nil {
			return latest, fmt.Errorf("annotating media pod %s: %w", pod.Name, explained(err))
		}
	}
	latest = since.Add(s.drainTime(ctx, c, pod))
	fmt.Fprintf(s.Out, "%s drains; it goes at %s at the latest\n", pod.Name, latest.In(s.now().Location()).Format(time.TimeOnly))
	return latest, nil
}

// drainTime is how long a pod may drain.
func (*settings) drainTime(ctx context.Context, c *cluster, pod *corev1.Pod) time.Duration {
	var pool v1alpha1.MediaPool
	if err := c.Get(ctx, client.ObjectKey{Name: pod.Labels[v1alpha1.PoolLabel]}, &pool); err != nil {
		return drainDefault // it is only shown, and waited for
	}
	return time.Duration(pool.Spec.DrainSeconds) * time.Second
}

// evictPod evicts a pod as soon as its PodDisruptionBudget allows.
func (s *settings) evictPod(ctx context.Context, c *cluster, pod *corev1.Pod) error {
	said := false
	err := until(ctx, drainMargin, func() (bool, error) {
		err := c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
		})
		if apierrors.IsTooManyRequests(err) {
			if !said {
				fmt.Fprintf(s.Out, "%s waits: its PodDisruptionBudget allows no eviction now\n", pod.Name)
			}
			said = true
			return false, nil
		}
		return err == nil, client.IgnoreNotFound(err)
	})
	switch {
	case errors.Is(err, errTimeout):
		return fmt.Errorf("evicting media pod %s: its PodDisruptionBudget has not allowed it within %s; the pool needs another pod that is ready", pod.Name, drainMargin)
	case err != nil:
		return fmt.Errorf("evicting media pod %s: %w", pod.Name, explained(err))
	}
	fmt.Fprintf(s.Out, "%s is evicted\n", pod.Name)
	return nil
}

// showDrain prints what a pod still hosts, whenever that changes, until it is gone.
func (s *settings) showDrain(ctx context.Context, c *cluster, pod *corev1.Pod, within time.Duration) error {
	shown := ""
	err := until(ctx, within, func() (bool, error) {
		var now corev1.Pod
		err := c.Get(ctx, client.ObjectKeyFromObject(pod), &now)
		if apierrors.IsNotFound(err) || err == nil && now.UID != pod.UID {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading media pod %s: %w", pod.Name, explained(err))
		}
		sessions, err := c.sessions(ctx, metav1.NamespaceAll, client.MatchingFields{v1alpha1.PodNameField: pod.Name})
		if err != nil {
			return false, err
		}
		on := loads(sessions)[pod.Name]
		if text := fmt.Sprintf("%s: %s, %s", pod.Name, count(on.rooms, "room"), count(on.users, "user")); text != shown {
			fmt.Fprintln(s.Out, text)
			shown = text
		}
		return false, nil
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("%s: it should be gone by now; kubectl mediarooms doctor says whether the operator runs", strings.TrimSpace(shown))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s is gone\n", pod.Name)
	return nil
}
