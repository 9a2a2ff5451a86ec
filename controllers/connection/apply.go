package connection

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/rooms"
)

// tokenField is the key of a token in its Secret.
const tokenField = "token"

// problem is why a Connection is not accepted although it has a place.
type problem struct {
	reason, message string
}

// apply carries the actions out, up to the first error. A problem of the token's Secret is not an
// error: it becomes a condition. It leaves in o whether there is a place, and what the pod has said
// meanwhile.
func (r *Reconciler) apply(ctx context.Context, o *observed, actions []action) (*problem, error) {
	var found *problem
	for _, a := range actions {
		if a.kind != admit && o.admission != rooms.Admitted {
			break // it waits for a place
		}
		log.FromContext(ctx).V(1).Info("Applying", "action", string(a.kind), "reason", a.reason)
		var err error
		switch a.kind {
		case admit:
			r.admit(o)
		case require:
			r.Rooms.Require(o.session.UID, o.connection.UID, o.connection.Generation)
		case adopt:
			err = r.adopt(ctx, o)
		case writeSecret:
			found, err = r.writeSecret(ctx, o)
		case dropSecret:
			if found == nil {
				err = r.dropSecret(ctx, o)
			}
		case release:
			r.Rooms.Release(client.ObjectKeyFromObject(o.connection), o.connection.UID)
		case expire:
			r.Rooms.Remove(client.ObjectKeyFromObject(o.connection))
		case remove:
			err = client.IgnoreNotFound(r.Client.Delete(ctx, o.connection, client.Preconditions{UID: &o.connection.UID}))
		}
		if err != nil {
			return found, err
		}
	}
	if o.session != nil {
		r.look(o)
	}
	return found, nil
}

// admit asks for a place. It is reserved when this returns, or the Connection waits for one.
func (r *Reconciler) admit(o *observed) {
	var podConnections int32
	if o.pool != nil {
		podConnections = o.pool.Spec.Capacity.Connections
	}
	o.admission = r.Rooms.Admit(o.named(), o.session.Spec.MaxConnections, podConnections)
}

// named returns the names of the Connection and its Session.
func (o observed) named() rooms.Connection {
	return rooms.Connection{UID: o.connection.UID, Name: client.ObjectKeyFromObject(o.connection), Session: o.session.UID}
}

// adopt adds the finalizer, and takes the Session off the owners.
func (r *Reconciler) adopt(ctx context.Context, o *observed) error {
	err := finalizer.Patch(ctx, r.Client, FieldOwner, o.connection, func() {
		controllerutil.AddFinalizer(o.connection, v1alpha1.ConnectionFinalizer)
		o.connection.OwnerReferences = slices.DeleteFunc(o.connection.OwnerReferences, isSession)
	})
	if err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}

// writeSecret writes the token into its Secret. The Secret is the Connection's: it goes with it.
func (r *Reconciler) writeSecret(ctx context.Context, o *observed) (*problem, error) {
	c := o.connection
	name := c.Spec.TokenSecretName
	var err error
	if o.secret == nil {
		o.secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: c.Namespace, Name: name,
				Labels: map[string]string{"app.kubernetes.io/name": "mediarooms", "app.kubernetes.io/component": "token"},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connection", Name: c.Name, UID: c.UID,
					Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
				}},
			},
			Data: map[string][]byte{tokenField: []byte(o.tokenURL)},
		}
		err = r.Client.Create(ctx, o.secret, FieldOwner, client.DisableReadYourWritesConsistency)
	} else {
		o.secret = o.secret.DeepCopy()
		o.secret.Data = map[string][]byte{tokenField: []byte(o.tokenURL)}
		err = r.Client.Update(ctx, o.secret, FieldOwner, client.DisableReadYourWritesConsistency)
	}
	switch {
	case apierrors.IsForbidden(err):
		o.secret = nil
		return &problem{v1alpha1.ReasonUnsupported, fmt.Sprintf(
			"the operator may not write Secret %q: bind the ClusterRole mediarooms-token-writer to it in this namespace", name)}, nil
	case err != nil:
		o.secret = nil
		return nil, fmt.Errorf("writing the token's Secret: %w", err)
	}
	return nil, nil
}

// dropSecret deletes the Secret that the token was in. One that may not be deleted goes with the
// Connection.
func (r *Reconciler) dropSecret(ctx context.Context, o *observed) error {
	err := r.Client.Delete(ctx, o.outdated, client.Preconditions{UID: &o.outdated.UID, ResourceVersion: &o.outdated.ResourceVersion},
		client.DisableReadYourWritesConsistency)
	if apierrors.IsForbidden(err) {
		log.FromContext(ctx).Info("Not deleting the Secret that a token was in: it is forbidden", "Secret", o.outdated.Name)
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the Secret that the token was in: %w", err)
	}
	return nil
}
