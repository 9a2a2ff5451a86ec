package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// watchPause is how long a watch that has ended is not begun anew.
const watchPause = time.Second

func (s *settings) eventsCommand() *cobra.Command {
	var shown format
	var follow, everywhere bool
	command := &cobra.Command{
		Use:   "events [ROOM]",
		Short: "Show what has happened in rooms: joins, leaves, moves, refusals",
		Long: `Show what has happened in rooms: joins, leaves, moves, refusals.

The API server keeps Events for an hour. Those of MediaPools are in namespace
default.`,
		Example: `  kubectl mediarooms events demo
  kubectl mediarooms events -f
  kubectl mediarooms events -A`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeOnce(s.sessionNames),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			if everywhere && len(args) > 0 {
				return fmt.Errorf("a room is in one namespace: give either ROOM or --all-namespaces")
			}
			log := &eventLog{settings: s, cluster: c, namespace: c.namespace, shown: &shown}
			if everywhere {
				log.namespace = metav1.NamespaceAll
			}
			if len(args) > 0 {
				log.room = args[0]
			}
			return log.run(command.Context(), follow)
		},
	}
	shown.add(command, false)
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "the Events of all namespaces")
	return command
}

// eventLog prints Events.
type eventLog struct {
	*settings
	*cluster
	namespace string
	room      string // "" is all
	shown     *format
	printed   map[types.UID]string // resource versions of the Events that were printed
	member    map[string]bool      // Connections and Recordings, by kind and name -> whether they are of the room
}

func (l *eventLog) run(ctx context.Context, follow bool) error {
	l.printed, l.member = map[types.UID]string{}, map[string]bool{}
	events, version, err := l.list(ctx)
	if err != nil {
		return err
	}
	if !follow {
		return l.printAll(events)
	}
	for ctx.Err() == nil {
		for i := range events {
			if err := l.print(&events[i]); err != nil {
				return err
			}
		}
		if err := l.watch(ctx, version); err != nil {
			return err
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return nil
		}
		// What has happened in between is printed; what was printed is not printed again.
		if events, version, err = l.list(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// printAll prints the Events that there are.
func (l *eventLog) printAll(events []corev1.Event) error {
	if l.shown.structured() {
		for i := range events {
			events[i].TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
			events[i].ManagedFields = nil
		}
		return l.shown.write(l.Out, corev1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: events})
	}
	if len(events) == 0 {
		of := ""
		if l.room != "" {
			of = "of room " + l.room + " "
		}
		fmt.Fprintf(l.Out, "There are no Events %s%s.\n", of, inNamespace(l.namespace))
		return nil
	}
	for i := range events {
		if err := l.print(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// print prints one Event, unless it was printed.
func (l *eventLog) print(event *corev1.Event) error {
	if l.printed[event.UID] == event.ResourceVersion {
		return nil
	}
	l.printed[event.UID] = event.ResourceVersion
	if l.shown.structured() {
		event.ManagedFields = nil
		event.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
		if l.shown.chosen == formatYAML {
			fmt.Fprintln(l.Out, "---")
		}
		return l.shown.write(l.Out, event)
	}
	object := strings.ToLower(event.InvolvedObject.Kind) + "/" + event.InvolvedObject.Name
	if l.namespace == metav1.NamespaceAll {
		object = event.Namespace + " " + object
	}
	at := happened(event).In(l.now().Location())
	form := time.TimeOnly
	if l.now().Sub(at) > 24*time.Hour {
		form = "Jan _2 15:04"
	}
	mark := " "
	if event.Type != corev1.EventTypeNormal {
		mark = "!"
	}
	_, err := fmt.Fprintf(l.Out, "%-12s %s %-19s %s: %s\n", at.Format(form), mark, printable(event.Reason), printable(object), printable(event.Message))
	return err
}

// list returns the Events by time, and where a watch goes on.
func (l *eventLog) list(ctx context.Context) (events []corev1.Event, version string, err error) {
	if l.room != "" {
		if err := l.learnMembers(ctx); err != nil {
			return nil, "", err
		}
	}
	var page corev1.EventList
	err = l.pages(ctx, l.namespace, &page, func() {
		version = page.ResourceVersion
		for i := range page.Items {
			if l.concerns(ctx, &page.Items[i]) {
				events = append(events, page.Items[i])
			}
		}
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing the Events %s: %w", inNamespace(l.namespace), explained(err))
	}
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return happened(&a).Compare(happened(&b)) })
	return events, version, nil
}

// watch prints what happens, until the API server ends the watch or the context ends.
func (l *eventLog) watch(ctx context.Context, version string) error {
	watch, err := l.Watch(ctx, &corev1.EventList{}, &client.ListOptions{Namespace: l.namespace, Raw: &metav1.ListOptions{ResourceVersion: version}})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("watching the Events %s: %w", inNamespace(l.namespace), explained(err))
	}
	defer watch.Stop()
	for {
		select {
		case change, open := <-watch.ResultChan():
			if !open {
				return nil
			}
			event, is := change.Object.(*corev1.Event)
			if !is {
				return nil // the version is too old, or the like: everything is listed again
			}
			if change.Type != "DELETED" && l.concerns(ctx, event) {
				if err := l.print(event); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// concerns says whether an Event is to be shown.
func (l *eventLog) concerns(ctx context.Context, event *corev1.Event) bool {
	of := event.InvolvedObject
	if !strings.HasPrefix(of.APIVersion, v1alpha1.GroupVersion.Group+"/") {
		return false
	}
	switch {
	case l.room == "":
		return true
	case of.Kind == "Session":
		return of.Name == l.room
	}
	return l.isMember(ctx, of.Kind, of.Name)
}

// learnMembers finds out which Connections are of the room.
func (l *eventLog) learnMembers(ctx context.Context) error {
	connections, err := l.connections(ctx)
	for i := range connections {
		l.member["Connection/"+connections[i].Name] = connections[i].Spec.SessionName == l.room
	}
	return err
}

// isMember says whether a Connection or a Recording is of the room. Of one that is gone before
// anybody has looked nothing is known.
func (l *eventLog) isMember(ctx context.Context, kind, name string) bool {
	id := kind + "/" + name
	if of, known := l.member[id]; known {
		return of
	}
	room, err := l.roomOf(ctx, kind, client.ObjectKey{Namespace: l.namespace, Name: name})
	if err != nil {
		return false
	}
	l.member[id] = room == l.room
	return l.member[id]
}

// roomOf returns the room of a Connection or a Recording, "" for something else.
func (l *eventLog) roomOf(ctx context.Context, kind string, name client.ObjectKey) (string, error) {
	switch kind {
	case "Connection":
		var connection v1alpha1.Connection
		err := l.Get(ctx, name, &connection)
		return connection.Spec.SessionName, err
	case "Recording":
		var recording v1alpha1.Recording
		err := l.Get(ctx, name, &recording)
		return recording.Spec.SessionName, err
	}
	return "", nil
}

// happened is when an Event was seen last.
func happened(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.CreationTimestamp.Time
}
