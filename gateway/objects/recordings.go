package objects

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/hosting"
)

// lookInterval is how often somebody who waits for a recording looks. Recordings are few, and of a
// namespace nobody watches them.
const lookInterval = 200 * time.Millisecond

// RecordingPools returns the MediaPools that record, and host the Sessions of a namespace.
func (o *Store) RecordingPools(ctx context.Context, namespace string) ([]v1alpha1.MediaPool, error) {
	var pools v1alpha1.MediaPoolList
	if err := o.Cached.List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("looking up the MediaPools: %w", err)
	}
	var labels map[string]string
	var found []v1alpha1.MediaPool
	for i := range pools.Items {
		pool := &pools.Items[i]
		if pool.Spec.Egress == nil {
			continue
		}
		if !hosting.Open(pool) && labels == nil {
			var tenant corev1.Namespace
			if err := o.Live.Get(ctx, client.ObjectKey{Name: namespace}, &tenant); err != nil {
				return nil, fmt.Errorf("reading Namespace %s: %w", namespace, err)
			}
			labels = tenant.Labels
		}
		if hosting.Open(pool) || hosting.Allows(pool, labels) {
			found = append(found, *pool)
		}
	}
	byCreation[v1alpha1.MediaPool](found)
	return found, nil
}

// Pool returns a MediaPool by its name, from the cache; nil for none.
func (o *Store) Pool(ctx context.Context, name string) (*v1alpha1.MediaPool, error) {
	var pool v1alpha1.MediaPool
	if err := o.Cached.Get(ctx, client.ObjectKey{Name: name}, &pool); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("looking up MediaPool %s: %w", name, err)
	}
	return &pool, nil
}

// Recording returns the Recording that has an identifier; nil for none.
func (o *Store) Recording(ctx context.Context, namespace, id string) (*v1alpha1.Recording, error) {
	var list v1alpha1.RecordingList
	err := o.Live.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{v1alpha1.RecordingIDField: id})
	if err != nil {
		return nil, fmt.Errorf("looking up a Recording: %w", err)
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp.IsZero() {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// Recordings returns the Recordings of a namespace that have an identifier, by creation.
func (o *Store) Recordings(ctx context.Context, namespace string) ([]v1alpha1.Recording, error) {
	var list v1alpha1.RecordingList
	if err := o.Live.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing Recordings: %w", err)
	}
	var found []v1alpha1.Recording
	for i := range list.Items {
		if r := &list.Items[i]; r.Status.RecordingID != "" && r.DeletionTimestamp.IsZero() {
			found = append(found, *r)
		}
	}
	byCreation[v1alpha1.Recording](found)
	return found, nil
}

// CreateRecording creates a Recording of a Session, under a name of its own.
func (o *Store) CreateRecording(ctx context.Context, session *v1alpha1.Session, wanted *v1alpha1.Recording) (*v1alpha1.Recording, error) {
	recording := wanted.DeepCopy()
	recording.Namespace, recording.Name = session.Namespace, newName(session.Name)
	recording.Spec.SessionName = session.Name
	// The operator would add it, in a write of its own.
	recording.Finalizers = []string{v1alpha1.RecordingFinalizer}
	if err := o.Live.Create(ctx, recording); err != nil {
		return nil, fmt.Errorf("creating a Recording: %w", err)
	}
	return recording, nil
}

// PatchRecording changes the spec of a Recording, and returns it as it is then.
func (o *Store) PatchRecording(ctx context.Context, recording *v1alpha1.Recording, change func(*v1alpha1.RecordingSpec)) (*v1alpha1.Recording, error) {
	changed := recording.DeepCopy()
	change(&changed.Spec)
	if err := o.Live.Patch(ctx, changed, client.MergeFrom(recording)); err != nil {
		return nil, fmt.Errorf("changing Recording %s: %w", recording.Name, err)
	}
	return changed, nil
}

// AwaitRecording waits until a Recording is as wanted, or a while has passed, and returns it as it
// is then; nil when it is gone.
func (o *Store) AwaitRecording(ctx context.Context, recording *v1alpha1.Recording, atMost time.Duration, wanted func(*v1alpha1.Recording) bool) (*v1alpha1.Recording, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	current := recording
	for !wanted(current) {
		select {
		case <-ctx.Done():
			return current, nil
		case <-ticker.C:
		}
		var seen v1alpha1.Recording
		err := o.Live.Get(ctx, client.ObjectKeyFromObject(recording), &seen)
		switch {
		case apierrors.IsNotFound(err) || err == nil && seen.UID != recording.UID:
			return nil, nil
		case err != nil && ctx.Err() != nil:
			return current, nil
		case err != nil:
			return nil, fmt.Errorf("reading Recording %s: %w", recording.Name, err)
		}
		current = &seen
	}
	return current, nil
}

// DeleteRecording deletes a Recording and its files, and waits until it has gone. It returns false
// when it is still going after a while.
func (o *Store) DeleteRecording(ctx context.Context, recording *v1alpha1.Recording, atMost time.Duration) (gone bool, err error) {
	changed, err := o.PatchRecording(ctx, recording, func(spec *v1alpha1.RecordingSpec) { spec.OnDelete = v1alpha1.OnDeleteDeleteFiles })
	if apierrors.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	if err := o.Live.Delete(ctx, changed, client.Preconditions{UID: &changed.UID}); apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("deleting Recording %s: %w", recording.Name, err)
	}
	left, err := o.AwaitRecording(ctx, changed, atMost, func(*v1alpha1.Recording) bool { return false })
	return left == nil && err == nil, err
}
