package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Bounds of the flags of top.
const (
	minInterval = 500 * time.Millisecond
	maxInterval = time.Hour
	maxRows     = 1000
)

func (s *settings) topCommand() *cobra.Command {
	var once bool
	var interval time.Duration
	var rows int
	command := &cobra.Command{
		Use:   "top",
		Short: "Show pools, media pods and the largest rooms, again and again",
		Long: `Show pools, media pods and the largest rooms of all namespaces, again and again
until Ctrl-C. Who may not see pools or media pods is shown the rest.`,
		Example: `  kubectl mediarooms top
  kubectl mediarooms top --once --rows 50`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			switch {
			case interval < minInterval || interval > maxInterval:
				return fmt.Errorf("--interval is %s: it must be from %s to %s", interval, minInterval, maxInterval)
			case rows < 1 || rows > maxRows:
				return fmt.Errorf("--rows is %d: it must be from 1 to %d", rows, maxRows)
			}
			c, err := s.open()
			if err != nil {
				return err
			}
			if once {
				return s.drawTop(command.Context(), c, rows, s.Out)
			}
			return s.redraw(command.Context(), interval, func(to io.Writer) error {
				return s.drawTop(command.Context(), c, rows, to)
			})
		},
	}
	command.Flags().BoolVar(&once, "once", false, "show it once and end")
	command.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two looks")
	command.Flags().IntVar(&rows, "rows", 20, "how many rooms are shown at most")
	return command
}

// clearScreen moves a terminal's cursor to the top left and clears what is there.
const clearScreen = "\x1b[H\x1b[2J"

// redraw draws until the context ends. Each picture is written at once, so that it does not
// flicker. Where the output is no terminal, pictures follow each other.
func (s *settings) redraw(ctx context.Context, every time.Duration, draw func(io.Writer) error) error {
	before := "\n"
	if terminal(s.Out) {
		before = clearScreen
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		var picture strings.Builder
		if err := draw(&picture); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if first {
				return err
			}
			// The API server may be away for a moment.
			picture.Reset()
			fmt.Fprintf(&picture, "%s\n", printable(err.Error()))
		}
		if !first || before == clearScreen {
			picture = prefixed(before, &picture)
		}
		if _, err := io.WriteString(s.Out, picture.String()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func prefixed(before string, text *strings.Builder) strings.Builder {
	var out strings.Builder
	out.WriteString(before)
	out.WriteString(text.String())
	return out
}

// terminal says whether lines can be written over.
func terminal(to io.Writer) bool { return printers.IsTerminal(to) }

// hidden remembers what the caller may not see, and lets everything else be shown.
type hidden []string

func (h *hidden) unless(err error, what string) error {
	if apierrors.IsForbidden(err) {
		*h = append(*h, what)
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing %s: %w", what, explained(err))
	}
	return nil
}

func (s *settings) drawTop(ctx context.Context, c *cluster, rows int, to io.Writer) error {
	sessions, err := c.sessions(ctx, metav1.NamespaceAll)
	if err != nil {
		return err
	}
	var hidden hidden
	var pools v1alpha1.MediaPoolList
	if err := hidden.unless(c.List(ctx, &pools), "MediaPools"); err != nil {
		return err
	}
	pods, err := c.mediaPods(ctx, s.systemNamespace)
	if err := hidden.unless(err, "media pods"); err != nil {
		return err
	}
	fmt.Fprintln(to, summary(sessions, s.now()))
	if len(hidden) > 0 {
		fmt.Fprintf(to, "You may not list: %s.\n", strings.Join(hidden, ", "))
	}
	if len(pools.Items) > 0 {
		fmt.Fprintln(to)
		if err := topPools(pools.Items).write(to); err != nil {
			return err
		}
	}
	if len(pods) > 0 {
		fmt.Fprintln(to)
		if err := s.topPods(pods, sessions).write(to); err != nil {
			return err
		}
	}
	if len(sessions) == 0 {
		return nil
	}
	fmt.Fprintln(to)
	return topRooms(sessions, rows).write(to)
}

// summary is one line about all rooms.
func summary(sessions []v1alpha1.Session, now time.Time) string {
	var users, waiting, streams, tcp, udp int32
	for i := range sessions {
		status := &sessions[i].Status
		users += status.ActiveConnections
		waiting += status.PendingConnections
		streams += status.Publishers
		tcp += status.MediaConnections.TCP
		udp += status.MediaConnections.UDP
	}
	return fmt.Sprintf("%s  %s, %s, %s; %d waiting; media over TCP: %d of %d",
		now.Format(time.TimeOnly), count(len(sessions), "room"), count(users, "user"), count(streams, "stream"), waiting, tcp, tcp+udp)
}

func topPools(pools []v1alpha1.MediaPool) *table {
	t := newTable("POOL", "STATE", "PODS", "ROOMS", "FREE")
	for i := range pools {
		pool := &pools[i]
		status := &pool.Status
		t.add(pool.Name, state(status.Conditions), fmt.Sprintf("%d/%d", status.ReadyPods, status.Pods), fmt.Sprint(status.Sessions), fmt.Sprint(status.FreeSessions))
	}
	return t
}

func (s *settings) topPods(pods []corev1.Pod, sessions []v1alpha1.Session) *table {
	load := loads(sessions)
	t := newTable("MEDIA POD", "STATE", "ROOMS", "USERS", "STREAMS", "NODE", "AGE")
	for i := range pods {
		pod := &pods[i]
		on := load[pod.Name]
		t.add(pod.Name, podState(pod), fmt.Sprint(on.rooms), fmt.Sprint(on.users), fmt.Sprint(on.streams), orNone(pod.Spec.NodeName), s.age(pod.CreationTimestamp.Time))
	}
	return t
}

// topRooms has the largest rooms, by users, then by streams.
func topRooms(sessions []v1alpha1.Session, rows int) *table {
	byLoad := slices.Clone(sessions)
	slices.SortStableFunc(byLoad, func(a, b v1alpha1.Session) int {
		return cmp.Or(cmp.Compare(b.Status.ActiveConnections, a.Status.ActiveConnections), cmp.Compare(b.Status.Publishers, a.Status.Publishers))
	})
	t := newTable("NAMESPACE", "ROOM", "STATE", "USERS", "WAITING", "STREAMS", "TCP", "POD")
	for i := range byLoad[:min(rows, len(byLoad))] {
		session := &byLoad[i]
		status := &session.Status
		t.add(session.Namespace, session.Name, state(status.Conditions), fmt.Sprint(status.ActiveConnections), fmt.Sprint(status.PendingConnections),
			fmt.Sprint(status.Publishers), fmt.Sprint(status.MediaConnections.TCP), orNone(status.PodName))
	}
	return t
}

// load is what a media pod hosts.
type load struct{ rooms, users, streams int32 }

func loads(sessions []v1alpha1.Session) map[string]load {
	all := make(map[string]load)
	for i := range sessions {
		status := &sessions[i].Status
		on := all[status.PodName]
		on.rooms++
		on.users += status.ActiveConnections
		on.streams += status.Publishers
		all[status.PodName] = on
	}
	return all
}

// podState is the state of a media pod in a word.
func podState(pod *corev1.Pod) string {
	switch {
	case !pod.DeletionTimestamp.IsZero():
		return "Terminating"
	case pod.Annotations[v1alpha1.DrainingAnnotation] != "":
		return "Draining"
	case podReady(pod):
		return "Ready"
	case pod.Status.Phase == corev1.PodRunning:
		return "NotReady"
	}
	return orNone(string(pod.Status.Phase))
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// mediaPods returns the media pods, by name.
func (c *cluster) mediaPods(ctx context.Context, namespace string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods.Items, nil
}
