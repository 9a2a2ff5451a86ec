package console

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// maxNamespaces is in how many namespaces it is asked for a viewer what there may be seen.
const maxNamespaces = 50

// scope is the namespaces whose rooms a viewer sees.
type scope struct {
	all        bool
	namespaces []string // without all
}

// scopeOf returns what a viewer sees: the namespace that was asked for, or all that may be seen.
// Without any it fails.
func (c *Console) scopeOf(ctx context.Context, who viewer, asked string) (scope, error) {
	if own := who.tenant(); own != "" {
		if asked != "" && asked != own {
			return scope{}, errNamespace
		}
		return scope{namespaces: []string{own}}, nil
	}
	if asked != "" {
		allowed, err := who.may(ctx, sessions, asked)
		if err == nil && !allowed {
			err = errNamespace
		}
		return scope{namespaces: []string{asked}}, err
	}
	if all, err := who.may(ctx, sessions, ""); err != nil || all {
		return scope{all: all}, err
	}
	known, err := c.namespaces(ctx)
	if err != nil {
		return scope{}, err
	}
	if len(known) > maxNamespaces {
		return scope{}, errManyNamespaces
	}
	var seen []string
	for _, namespace := range known {
		allowed, err := who.may(ctx, sessions, namespace)
		if err != nil {
			return scope{}, err
		}
		if allowed {
			seen = append(seen, namespace)
		}
	}
	if len(seen) == 0 {
		return scope{}, errForbidden
	}
	return scope{namespaces: seen}, nil
}

// namespaces returns those that have Sessions, by name.
func (c *Console) namespaces(ctx context.Context) ([]string, error) {
	var list v1alpha1.SessionList
	if err := c.config.Reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("looking up the Sessions: %w", err)
	}
	var known []string
	for i := range list.Items {
		known = append(known, list.Items[i].Namespace)
	}
	slices.Sort(known)
	return slices.Compact(known), nil
}

// within returns the part of a scope in which a viewer may list a resource too, and whether it is
// any.
func (s scope) within(ctx context.Context, who viewer, resource string) (part scope, some bool, err error) {
	if s.all {
		all, err := who.may(ctx, resource, "")
		return scope{all: all}, all, err
	}
	for _, namespace := range s.namespaces {
		allowed, err := who.may(ctx, resource, namespace)
		if err != nil {
			return scope{}, false, err
		}
		if allowed {
			part.namespaces = append(part.namespaces, namespace)
		}
	}
	return part, len(part.namespaces) > 0, nil
}

// list lists the objects of a scope, which are the cache's own: they must not be changed.
func list[L client.ObjectList](ctx context.Context, reader client.Reader, s scope, each func(L), empty func() L) error {
	namespaces := s.namespaces
	if s.all {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		found := empty()
		if err := reader.List(ctx, found, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("reading the cache: %w", err)
		}
		each(found)
	}
	return nil
}
