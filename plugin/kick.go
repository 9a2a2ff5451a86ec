package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func (s *settings) kickCommand() *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "kick CONNECTION...",
		Short: "Evict people from their room; their tokens are worthless then",
		Long: `Evict people from their room. Their Connections are deleted, so a token that was
not used is worthless then. CONNECTION is the name of a Connection or the id that
clients see (con_...). The command ends when they are out.`,
		Example: `  kubectl mediarooms kick ann
  kubectl mediarooms kick con_C3d4E5f6G7 bob`,
		Args:              someArguments("CONNECTION"),
		ValidArgsFunction: s.completeEach(s.connectionNames),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				connection, err := c.connection(command.Context(), name)
				if err != nil {
					return err
				}
				if err := c.evict(command.Context(), connection, timeout); err != nil {
					return err
				}
				fmt.Fprintln(s.Out, evicted(connection))
			}
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for each")
	return command
}

// evict deletes a Connection and waits until it is gone.
func (c *cluster) evict(ctx context.Context, connection *v1alpha1.Connection, within time.Duration) error {
	if err := c.Delete(ctx, connection, client.Preconditions{UID: &connection.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Connection %s: %w", connection.Name, explained(err))
	}
	err := until(ctx, within, func() (bool, error) {
		var now v1alpha1.Connection
		err := c.Get(ctx, client.ObjectKeyFromObject(connection), &now)
		return apierrors.IsNotFound(err) || err == nil && now.UID != connection.UID, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("waiting until Connection %s is evicted (is the operator running?): %w", connection.Name, err)
	}
	return nil
}

func evicted(c *v1alpha1.Connection) string {
	switch c.Status.State {
	case v1alpha1.ConnectionStateActive:
		return fmt.Sprintf("%s was evicted from room %s", c.Name, c.Spec.SessionName)
	case v1alpha1.ConnectionStateDisconnected:
		return fmt.Sprintf("%s had left room %s; its Connection is deleted", c.Name, c.Spec.SessionName)
	}
	return fmt.Sprintf("%s was not in room %s; its token is worthless now", c.Name, c.Spec.SessionName)
}
