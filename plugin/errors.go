package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// explained adds to an error of the API server what to do about it, where that can be said.
func explained(err error) error {
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not have the custom resources of Mediarooms: see kubectl mediarooms doctor (%w)", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not: %w; kubectl mediarooms doctor says which role allows it", err)
	}
	return err
}

// maxNamed is how many names an error lists.
const maxNamed = 5

// absent is the error of an object that does not exist. It says which do.
func absent(kind, name, where string, there []string) error {
	switch {
	case len(there) == 0:
		return fmt.Errorf("there is no %s %q %s, and no other", kind, name, where)
	case len(there) > maxNamed:
		return fmt.Errorf("there is no %s %q %s; there are %s and %d more", kind, name, where,
			strings.Join(there[:maxNamed], ", "), len(there)-maxNamed)
	}
	return fmt.Errorf("there is no %s %q %s; there is %s", kind, name, where, strings.Join(there, ", "))
}

// session returns a Session of the namespace.
func (c *cluster) session(ctx context.Context, name string) (*v1alpha1.Session, error) {
	var session v1alpha1.Session
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &session)
	if apierrors.IsNotFound(err) {
		return nil, c.noSession(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Session %s: %w", name, explained(err))
	}
	return &session, nil
}

func (c *cluster) noSession(ctx context.Context, name string) error {
	sessions, err := c.sessions(ctx, c.namespace)
	if err != nil {
		return err
	}
	return absent("room", name, inNamespace(c.namespace), sessionNames(sessions))
}

func sessionNames(sessions []v1alpha1.Session) []string {
	var names []string
	for i := range sessions {
		names = append(names, sessions[i].Name)
	}
	return names
}

// connection returns a Connection of the namespace, by its name or by the id that clients see.
func (c *cluster) connection(ctx context.Context, name string) (*v1alpha1.Connection, error) {
	if strings.HasPrefix(name, connectionIDPrefix) {
		return c.connectionByID(ctx, name)
	}
	var connection v1alpha1.Connection
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &connection)
	switch {
	case apierrors.IsNotFound(err):
		return nil, c.noConnection(ctx, name)
	case err != nil:
		return nil, fmt.Errorf("reading Connection %s: %w", name, explained(err))
	}
	return &connection, nil
}

// connectionIDPrefix begins the ids that clients see, with a character that no object's name has.
const connectionIDPrefix = "con_"

func (c *cluster) connectionByID(ctx context.Context, id string) (*v1alpha1.Connection, error) {
	found, err := c.connections(ctx, client.MatchingFields{v1alpha1.ConnectionIDField: id})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, c.noConnection(ctx, id)
	}
	return &found[0], nil
}

func (c *cluster) noConnection(ctx context.Context, name string) error {
	there, err := c.connections(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i := range there {
		if present(&there[i]) {
			names = append(names, there[i].Name)
		}
	}
	return absent("Connection", name, inNamespace(c.namespace), names)
}

// errTimeout says that something has not come true in time.
var errTimeout = errors.New("the time of --timeout is over")
