package objects

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

// CreateSession creates a Session that has a session id, but no name, under the first name that its
// id may have and that is free. When the Session that has the id is being closed, it returns that
// one. It fails with ErrExists when the id is in use. An id that is new needs no look for others.
//
// In an installation with a class, a Session that names no pool gets the installation's default
// pool: without a name it would be another installation's.
func (o *Store) CreateSession(ctx context.Context, wanted *v1alpha1.Session, isNew bool) (*v1alpha1.Session, error) {
	if o.Class != "" && wanted.Spec.PoolName == "" {
		pool, err := o.DefaultPool(ctx)
		if err != nil {
			return nil, err
		}
		if pool.Name == "" {
			return nil, fmt.Errorf("creating a Session: no MediaPool with the className %q carries the annotation %s", o.Class, v1alpha1.DefaultPoolAnnotation)
		}
		wanted = wanted.DeepCopy()
		wanted.Spec.PoolName = pool.Name
	}
	if !isNew {
		holder, err := o.Session(ctx, wanted.Namespace, wanted.Spec.SessionID)
		switch {
		case err != nil:
			return nil, err
		case holder != nil && Exists(holder):
			return nil, ErrExists
		case holder != nil:
			return holder, nil
		}
	}
	for _, name := range Names(wanted.Spec.SessionID) {
		session := wanted.DeepCopy()
		session.Name = name
		err := o.Live.Create(ctx, session)
		if err == nil {
			return session, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("creating Session %s: %w", name, err)
		}
		taken, err := o.SessionNamed(ctx, wanted.Namespace, name)
		switch {
		case err != nil:
			return nil, err
		case taken == nil || naming.SessionID(taken) == wanted.Spec.SessionID:
			// Another request for this id was faster.
			return nil, ErrExists
		}
	}
	return nil, ErrExists
}
