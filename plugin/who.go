package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func (s *settings) whoCommand() *cobra.Command {
	var shown format
	var all bool
	command := &cobra.Command{
		Use:   "who ROOM",
		Short: "List who is in a room, what they send, and who may still come",
		Long: `List who is in a room, what they send, and who may still come.

A Connection is Active while its user is in the room, Pending while its token was
not used, and Disconnected when the user has left (--all). -o json and -o yaml
show no tokens: who reads one can join.`,
		Example: `  kubectl mediarooms who demo
  kubectl mediarooms who demo --all -o wide`,
		Args:              oneArgument("ROOM"),
		ValidArgsFunction: s.completeOnce(s.sessionNames),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			if _, err := c.session(command.Context(), args[0]); err != nil {
				return err
			}
			connections, err := c.connections(command.Context(), client.MatchingFields{v1alpha1.SessionNameField: args[0]})
			if err != nil {
				return err
			}
			if !all {
				connections = slices.DeleteFunc(connections, func(c v1alpha1.Connection) bool { return !present(&c) })
			}
			return s.printPeople(args[0], connections, &shown)
		},
	}
	shown.add(command, true)
	command.Flags().BoolVar(&all, "all", false, "also those who have left")
	return command
}

// present says whether the user of a Connection is in the room or may still come.
func present(c *v1alpha1.Connection) bool {
	return c.Status.State != v1alpha1.ConnectionStateDisconnected
}

func (s *settings) printPeople(room string, connections []v1alpha1.Connection, shown *format) error {
	if shown.structured() {
		list := v1alpha1.ConnectionList{TypeMeta: typeOf("ConnectionList"), Items: connections}
		for i := range list.Items {
			list.Items[i].TypeMeta = typeOf("Connection")
			redact(&list.Items[i])
		}
		return shown.write(s.Out, list)
	}
	if len(connections) == 0 {
		fmt.Fprintf(s.Out, "Nobody is in room %s, and nobody has a token for it.\n", room)
		return nil
	}
	header := []string{"CONNECTION", "ROLE", "STATE", "SINCE", "SENDS", "RECEIVES"}
	if shown.chosen == formatWide {
		header = append(header, "ADDRESS", "ID", "STREAMS", "PLATFORM")
	}
	t := newTable(header...)
	for i := range connections {
		connection := &connections[i]
		status := &connection.Status
		row := []string{
			connection.Name, string(connection.Spec.Role), orNone(string(status.State)), s.since(connection),
			sends(status.Publishers), fmt.Sprint(len(status.Subscribers)),
		}
		if shown.chosen == formatWide {
			row = append(row, orNone(status.IP), orNone(status.ConnectionID), orNone(strings.Join(streamIDs(status.Publishers), ",")), orNone(status.Platform))
		}
		t.add(row...)
	}
	return t.write(s.Out)
}

// redact takes the secrets out of a Connection, and what nobody wrote by hand.
func redact(c *v1alpha1.Connection) {
	c.ManagedFields = nil
	delete(c.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	if c.Status.Token != "" {
		c.Status.Token = redacted
	}
	for i := range c.Spec.CustomIceServers {
		for _, secret := range []*string{&c.Spec.CustomIceServers[i].Credential, &c.Spec.CustomIceServers[i].StaticAuthSecret} {
			if *secret != "" {
				*secret = redacted
			}
		}
	}
}

// redacted stands for a secret.
const redacted = "REDACTED"

// since is how long a Connection is in its state.
func (s *settings) since(c *v1alpha1.Connection) string {
	switch status := &c.Status; {
	case status.State == v1alpha1.ConnectionStateDisconnected && status.DisconnectedTime != nil:
		return s.age(status.DisconnectedTime.Time)
	case status.State == v1alpha1.ConnectionStateActive && status.ActiveTime != nil:
		return s.age(status.ActiveTime.Time)
	}
	return s.age(c.CreationTimestamp.Time)
}

// sends says what somebody publishes: "audio+video", "audio+video,screen", "-". What is muted by
// its sender is in brackets.
func sends(streams []v1alpha1.PublisherStatus) string {
	var all []string
	for i := range streams {
		stream := &streams[i]
		var kinds []string
		if stream.HasAudio {
			kinds = append(kinds, muted("audio", stream.AudioActive))
		}
		if stream.HasVideo {
			kinds = append(kinds, muted(videoKind(stream.TypeOfVideo), stream.VideoActive))
		}
		all = append(all, strings.Join(kinds, "+"))
	}
	return orNone(strings.Join(all, ","))
}

// videoKind is what a video shows: "video" for a camera, else "screen", "custom" and so on.
func videoKind(typeOfVideo string) string {
	if typeOfVideo == "" || typeOfVideo == "CAMERA" {
		return "video"
	}
	return strings.ToLower(typeOfVideo)
}

func muted(kind string, active bool) string {
	if active {
		return kind
	}
	return "(" + kind + ")"
}

func streamIDs(streams []v1alpha1.PublisherStatus) []string {
	var ids []string
	for i := range streams {
		ids = append(ids, streams[i].StreamID)
	}
	return ids
}

// connections returns Connections of the namespace, by creation.
func (c *cluster) connections(ctx context.Context, options ...client.ListOption) ([]v1alpha1.Connection, error) {
	var all []v1alpha1.Connection
	var page v1alpha1.ConnectionList
	err := c.pages(ctx, c.namespace, &page, func() { all = append(all, page.Items...) }, options...)
	if err != nil {
		return nil, fmt.Errorf("listing the Connections %s: %w", inNamespace(c.namespace), explained(err))
	}
	slices.SortFunc(all, func(a, b v1alpha1.Connection) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}
