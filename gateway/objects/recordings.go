package objects

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/hosting"
)

const (
	// lookInterval is how often somebody who waits for a recording looks. Recordings are few, and
	// of a namespace nobody watches them.
	lookInterval = 200 * time.Millisecond
	// recordingStartTimeout bounds the wait for media to flow into a file.
	recordingStartTimeout = 15 * time.Second
	// recordingStopTimeout bounds the wait for files to be finished, and for those to go that are
	// deleted.
	recordingStopTimeout = 18 * time.Second
)

// MaxRecordingName bounds the name of a recording, in characters.
const MaxRecordingName = 255

var recordingNames = regexp.MustCompile(`^[a-zA-Z0-9_~-]+$`)

// ValidRecordingName says whether a text of a length that is allowed may be the name of a
// recording, of which those of its files are made: letters, digits, '_', '-' and '~'.
func ValidRecordingName(name string) bool { return recordingNames.MatchString(name) }

// NotStartedError says why a Recording has not started, and was withdrawn.
type NotStartedError struct {
	// Recorded says that another Recording of the Session runs.
	Recorded bool
	// Why is for people.
	Why string
}

// Error implements error.
func (e *NotStartedError) Error() string { return "the recording has not started: " + e.Why }

// RecordingOver says that nothing comes after a state.
func RecordingOver(state v1alpha1.RecordingState) bool {
	return state == v1alpha1.RecordingStateReady || state == v1alpha1.RecordingStateFailed
}

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

// StartRecording creates a Recording of a Session, under a name of its own, and returns it when it
// records. One that does not in time is withdrawn, so that it does not begin when nobody expects it
// any more: then it fails with a NotStartedError.
func (o *Store) StartRecording(ctx context.Context, session *v1alpha1.Session, wanted *v1alpha1.Recording) (*v1alpha1.Recording, error) {
	recording := wanted.DeepCopy()
	recording.Namespace, recording.Name = session.Namespace, newName(session.Name)
	recording.Spec.SessionName = session.Name
	// The operator would add it, in a write of its own.
	recording.Finalizers = []string{v1alpha1.RecordingFinalizer}
	if err := o.Live.Create(ctx, recording); err != nil {
		return nil, fmt.Errorf("creating a Recording: %w", err)
	}
	current, err := o.awaitRecording(ctx, recording, recordingStartTimeout, func(r *v1alpha1.Recording) bool {
		return r.Status.State != "" && r.Status.State != v1alpha1.RecordingStateStarting || meta.IsStatusConditionFalse(r.Status.Conditions, v1alpha1.ConditionAccepted)
	})
	switch {
	case err != nil:
	case current == nil:
		return nil, &NotStartedError{Why: "it was deleted"}
	case current.Status.State == v1alpha1.RecordingStateStarted, current.Status.State == v1alpha1.RecordingStateStopped, current.Status.State == v1alpha1.RecordingStateReady:
		started := current.DeepCopy()
		started.Status.State = v1alpha1.RecordingStateStarted // as it was a moment ago
		return started, nil
	default:
		err = notStarted(current)
	}
	withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordingStopTimeout)
	defer cancel()
	if _, withdrawErr := o.deleteRecording(withdrawing, recording, 0); withdrawErr != nil {
		logr.FromContextOrDiscard(ctx).Error(withdrawErr, "Leaving a Recording behind that has not started", "Recording", recording.Name)
	}
	return nil, err
}

// notStarted says why a Recording has not started.
func notStarted(recording *v1alpha1.Recording) *NotStartedError {
	failure := &NotStartedError{Why: "the operator has not answered in time"}
	if c := meta.FindStatusCondition(recording.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason != v1alpha1.ReasonPending {
		failure.Why = cmp.Or(c.Message, c.Reason)
	}
	if c := meta.FindStatusCondition(recording.Status.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Status == metav1.ConditionFalse {
		failure.Recorded = c.Reason == v1alpha1.ReasonSessionRecorded
	}
	return failure
}

// StopRecording ends a Recording, and returns it in a state that is enough, or after a while as
// Stopped; nil when it is gone. With RecordingOver its files are finished, if it is in time.
func (o *Store) StopRecording(ctx context.Context, recording *v1alpha1.Recording, enough func(v1alpha1.RecordingState) bool) (*v1alpha1.Recording, error) {
	stopped, err := o.patchRecording(ctx, recording, func(spec *v1alpha1.RecordingSpec) { spec.Stop = true })
	if err != nil {
		return nil, err
	}
	current, err := o.awaitRecording(ctx, stopped, recordingStopTimeout, func(r *v1alpha1.Recording) bool { return enough(r.Status.State) })
	if err != nil || current == nil {
		return nil, err
	}
	if !RecordingOver(current.Status.State) {
		current = current.DeepCopy()
		current.Status.State = v1alpha1.RecordingStateStopped // that is decided
	}
	return current, nil
}

// patchRecording changes the spec of a Recording, and returns it as it is then.
func (o *Store) patchRecording(ctx context.Context, recording *v1alpha1.Recording, change func(*v1alpha1.RecordingSpec)) (*v1alpha1.Recording, error) {
	changed := recording.DeepCopy()
	change(&changed.Spec)
	if err := o.Live.Patch(ctx, changed, client.MergeFrom(recording)); err != nil {
		return nil, fmt.Errorf("changing Recording %s: %w", recording.Name, err)
	}
	return changed, nil
}

// awaitRecording waits until a Recording is as wanted, or a while has passed, and returns it as it
// is then; nil when it is gone.
func (o *Store) awaitRecording(ctx context.Context, recording *v1alpha1.Recording, atMost time.Duration, wanted func(*v1alpha1.Recording) bool) (*v1alpha1.Recording, error) {
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
func (o *Store) DeleteRecording(ctx context.Context, recording *v1alpha1.Recording) (gone bool, err error) {
	return o.deleteRecording(ctx, recording, recordingStopTimeout)
}

func (o *Store) deleteRecording(ctx context.Context, recording *v1alpha1.Recording, atMost time.Duration) (gone bool, err error) {
	changed, err := o.patchRecording(ctx, recording, func(spec *v1alpha1.RecordingSpec) { spec.OnDelete = v1alpha1.OnDeleteDeleteFiles })
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
	left, err := o.awaitRecording(ctx, changed, atMost, func(*v1alpha1.Recording) bool { return false })
	return left == nil && err == nil, err
}
