package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// pageSize is how many objects are asked for at a time.
const pageSize = 500

func (s *settings) roomsCommand() *cobra.Command {
	var shown format
	var everywhere bool
	command := &cobra.Command{
		Use:   "rooms",
		Short: "List rooms: whether they are usable, who is there, and where they run",
		Example: `  kubectl mediarooms rooms
  kubectl mediarooms rooms -A -o wide`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			in := c.namespace
			if everywhere {
				in = metav1.NamespaceAll
			}
			sessions, err := c.sessions(command.Context(), in)
			if err != nil {
				return err
			}
			return s.printRooms(sessions, in, &shown)
		},
	}
	shown.add(command, true)
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "the rooms of all namespaces")
	return command
}

func (s *settings) printRooms(sessions []v1alpha1.Session, namespace string, shown *format) error {
	if shown.structured() {
		list := v1alpha1.SessionList{TypeMeta: typeOf("SessionList"), Items: sessions}
		for i := range list.Items {
			list.Items[i].TypeMeta = typeOf("Session")
			list.Items[i].ManagedFields = nil
		}
		return shown.write(s.Out, list)
	}
	if len(sessions) == 0 {
		fmt.Fprintf(s.Out, "There are no rooms %s.\n", inNamespace(namespace))
		return nil
	}
	var header []string
	if namespace == metav1.NamespaceAll {
		header = []string{"NAMESPACE"}
	}
	header = append(header, "ROOM", "STATE", "USERS", "WAITING", "STREAMS", "POD", "AGE")
	if shown.chosen == formatWide {
		header = append(header, "STANDBY", "NODE", "POOL", "TCP")
	}
	t := newTable(header...)
	for i := range sessions {
		session := &sessions[i]
		var row []string
		if namespace == metav1.NamespaceAll {
			row = []string{session.Namespace}
		}
		status := &session.Status
		row = append(row, session.Name, state(status.Conditions), fmt.Sprint(status.ActiveConnections), fmt.Sprint(status.PendingConnections),
			fmt.Sprint(status.Publishers), orNone(status.PodName), s.age(session.CreationTimestamp.Time))
		if shown.chosen == formatWide {
			row = append(row, orNone(status.StandbyPodName), orNone(status.NodeName), orNone(status.PoolName), overTCP(status.MediaConnections))
		}
		t.add(row...)
	}
	return t.write(s.Out)
}

// overTCP says how many of a room's peer connections are over TCP.
func overTCP(media v1alpha1.MediaConnections) string {
	return fmt.Sprintf("%d of %d", media.TCP, media.TCP+media.UDP)
}

// state is the condition Ready in a word.
func state(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return v1alpha1.ReasonPending
	}
	return orNone(ready.Reason)
}

// sessions returns the Sessions of a namespace, or of all, by namespace and name.
func (c *cluster) sessions(ctx context.Context, namespace string, options ...client.ListOption) ([]v1alpha1.Session, error) {
	var all []v1alpha1.Session
	var page v1alpha1.SessionList
	err := c.pages(ctx, namespace, &page, func() { all = append(all, page.Items...) }, options...)
	if err != nil {
		return nil, fmt.Errorf("listing the Sessions %s: %w", inNamespace(namespace), explained(err))
	}
	slices.SortFunc(all, func(a, b v1alpha1.Session) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// pages lists objects page by page, so that a large namespace is no large answer. each is called
// with every page in the list.
func (c *cluster) pages(ctx context.Context, namespace string, list client.ObjectList, each func(), options ...client.ListOption) error {
	next := ""
	for {
		err := c.List(ctx, list, append([]client.ListOption{client.InNamespace(namespace), client.Limit(pageSize), client.Continue(next)}, options...)...)
		if err != nil {
			return err
		}
		each()
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// typeOf is the type of an object of the project's group.
func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}
}

// inNamespace says where something is.
func inNamespace(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "in any namespace"
	}
	return "in namespace " + namespace
}
