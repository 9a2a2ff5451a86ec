package plugin

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// poll is how often a command looks again at what it waits for.
const poll = 200 * time.Millisecond

// cleanUpTime bounds how long taking back what was made may take.
const cleanUpTime = 10 * time.Second

// joining is what join-url is asked for.
type joining struct {
	connection, role, data string
	timeout                time.Duration
}

func (s *settings) joinURLCommand() *cobra.Command {
	var j joining
	command := &cobra.Command{
		Use:   "join-url ROOM",
		Short: "Print a link by which one guest can join a room in a browser",
		Long: `Print a link by which one guest can join a room in a browser.

A new Connection is made, or the one of --connection is taken if its token was not
used. The link is a secret: whoever opens it first is in the room.`,
		Example: `  kubectl mediarooms join-url demo
  kubectl mediarooms join-url demo --role Subscriber
  kubectl mediarooms join-url demo --connection ann`,
		Args:              oneArgument("ROOM"),
		ValidArgsFunction: s.completeOnce(s.sessionNames),
		RunE: func(command *cobra.Command, args []string) error {
			link, err := s.joinURL(command.Context(), args[0], j)
			if err != nil {
				return err
			}
			fmt.Fprintln(s.Out, link)
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&j.connection, "connection", "", "take this Connection instead of making one")
	flags.StringVar(&j.role, "role", string(v1alpha1.RolePublisher), "role of the new Connection: "+strings.Join(roles, ", "))
	flags.StringVar(&j.data, "data", "", `server data of the new Connection, such as {"name":"Ann"}`)
	flags.DurationVar(&j.timeout, "timeout", 30*time.Second, "how long to wait until the token can be used")
	command.MarkFlagsMutuallyExclusive("connection", "role")
	command.MarkFlagsMutuallyExclusive("connection", "data")
	complete(command, "role", func(string) []string { return roles })
	connections := s.completeEach(s.connectionNames)
	mustComplete(command, "connection", func(command *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return connections(command, nil, typed)
	})
	return command
}

var roles = []string{string(v1alpha1.RoleSubscriber), string(v1alpha1.RolePublisher), string(v1alpha1.RoleModerator)}

func (s *settings) joinURL(ctx context.Context, room string, j joining) (string, error) {
	if !slices.Contains(roles, j.role) {
		return "", fmt.Errorf("--role is %q: it must be one of %s", j.role, strings.Join(roles, ", "))
	}
	c, err := s.open()
	if err != nil {
		return "", err
	}
	session, err := c.session(ctx, room)
	if err != nil {
		return "", err
	}
	connection, made, err := c.admission(ctx, session, j)
	if err != nil {
		return "", err
	}
	link, err := c.link(ctx, connection, j.timeout)
	if err != nil && made {
		c.takeBack(ctx, connection)
	}
	return link, err
}

// admission returns the Connection that is asked for, and whether it was made.
func (c *cluster) admission(ctx context.Context, session *v1alpha1.Session, j joining) (connection *v1alpha1.Connection, made bool, err error) {
	if j.connection == "" {
		connection = &v1alpha1.Connection{
			ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, GenerateName: "guest-"},
			Spec:       v1alpha1.ConnectionSpec{SessionName: session.Name, Role: v1alpha1.Role(j.role), Data: j.data},
		}
		if err := c.Create(ctx, connection); err != nil {
			return nil, false, fmt.Errorf("making a Connection: %w", explained(err))
		}
		return connection, true, nil
	}
	if connection, err = c.connection(ctx, j.connection); err != nil {
		return nil, false, err
	}
	if connection.Spec.SessionName != session.Name {
		return nil, false, fmt.Errorf("the Connection %s is for room %s, not for %s", connection.Name, connection.Spec.SessionName, session.Name)
	}
	return connection, false, nil
}

// takeBack deletes a Connection that was made for nothing, also when the caller has given up.
func (c *cluster) takeBack(ctx context.Context, connection *v1alpha1.Connection) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	_ = c.Delete(ctx, connection) // the error that led here says more
}

// link waits until the token of a Connection can be used, and returns the room page's link with it.
func (c *cluster) link(ctx context.Context, connection *v1alpha1.Connection, within time.Duration) (string, error) {
	var token string
	waiting := "the operator has not decided yet"
	err := until(ctx, within, func() (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(connection), connection); err != nil {
			return false, fmt.Errorf("reading Connection %s: %w", connection.Name, explained(err))
		}
		if state := connection.Status.State; state == v1alpha1.ConnectionStateActive || state == v1alpha1.ConnectionStateDisconnected {
			return false, fmt.Errorf("the token of Connection %s was used: it is %s. Without --connection a new one is made", connection.Name, state)
		}
		ready := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != connection.Generation {
			if ready != nil && ready.Message != "" {
				waiting = fmt.Sprintf("%s: %s", ready.Reason, ready.Message)
			}
			return false, nil
		}
		var err error
		token, err = c.token(ctx, connection)
		return token != "", err
	})
	if err != nil {
		return "", fmt.Errorf("waiting for the token of Connection %s (%s): %w", connection.Name, waiting, err)
	}
	return pageLink(token)
}

// token returns the token of a Connection, from its status or from its Secret.
func (c *cluster) token(ctx context.Context, connection *v1alpha1.Connection) (string, error) {
	name := connection.Status.TokenSecretName
	if name == "" {
		return connection.Status.Token, nil
	}
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: connection.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return "", nil // it comes
	}
	if err != nil {
		return "", fmt.Errorf("reading the Secret %s with the token: %w", name, explained(err))
	}
	return string(secret.Data["token"]), nil
}

// pageLink returns the link to the room page that joins with a token. The token is in the fragment,
// which browsers send to nobody.
func pageLink(token string) (string, error) {
	parsed, err := url.Parse(token)
	if err != nil || parsed.Host == "" || parsed.Scheme != "ws" && parsed.Scheme != "wss" {
		return "", fmt.Errorf("the token is no ws:// or wss:// URL") // the token itself is secret
	}
	scheme := map[string]string{"ws": "http", "wss": "https"}[parsed.Scheme]
	return scheme + "://" + parsed.Host + "/#token=" + url.QueryEscape(token), nil
}

// until looks until something holds. It fails with errTimeout when that takes too long.
func until(ctx context.Context, within time.Duration, holds func() (bool, error)) error {
	over := time.NewTimer(within)
	defer over.Stop()
	again := time.NewTicker(poll)
	defer again.Stop()
	for {
		if done, err := holds(); done || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-over.C:
			return errTimeout
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
