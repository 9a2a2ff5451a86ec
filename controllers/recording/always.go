package recording

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Always makes the Recordings of Sessions whose recordingMode is Always: one when somebody
// publishes and none runs, until one was stopped by hand (openvidu-rest 6.7). What it makes is a
// Recording like any other, and outlives the Session.
type Always struct {
	// Client may lag behind; the name of what is made is the same in each pass.
	Client client.Client
	// Class of the installation; others' Sessions are left alone.
	Class class.Name
}

// Setup adds the controller to the manager.
func (a *Always) Setup(mgr ctrl.Manager) error {
	ofRecording := func(_ context.Context, o client.Object) []reconcile.Request {
		recording, ok := o.(*v1alpha1.Recording)
		if !ok {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: recording.Namespace, Name: recording.Spec.SessionName}}}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("recording-always").
		For(&v1alpha1.Session{}).
		Watches(&v1alpha1.Recording{}, handler.EnqueueRequestsFromMapFunc(ofRecording)).
		Complete(a)
}

// Reconcile makes the Recording of a Session that is due.
func (a *Always) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var session v1alpha1.Session
	if err := a.Client.Get(ctx, request.NamespacedName, &session); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if session.Spec.RecordingMode != v1alpha1.RecordingModeAlways || session.Status.Publishers == 0 || !session.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	var pools v1alpha1.MediaPoolList
	if err := a.Client.List(ctx, &pools); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing MediaPools: %w", err)
	}
	if !a.Class.OwnsSession(&session, pools.Items) {
		return ctrl.Result{}, nil
	}
	if pool := naming.PoolOf(&session, pools.Items); pool == nil || pool.Spec.Egress == nil {
		return ctrl.Result{}, nil
	}
	var list v1alpha1.RecordingList
	err := a.Client.List(ctx, &list, client.InNamespace(session.Namespace), client.MatchingFields{v1alpha1.SessionNameField: session.Name})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("listing Recordings: %w", err)
	}
	recording := due(&session, list.Items)
	if recording == nil {
		return ctrl.Result{}, nil
	}
	if err := a.Client.Create(ctx, recording, FieldOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, fmt.Errorf("creating the Recording: %w", err)
	}
	return ctrl.Result{}, nil
}

// due returns the Recording that a Session is to have now; nil for none. It is pure.
func due(session *v1alpha1.Session, recordings []v1alpha1.Recording) *v1alpha1.Recording {
	made := 0
	names := make(map[string]bool, len(recordings))
	for i := range recordings {
		r := &recordings[i]
		names[r.Name] = true
		if r.Status.SessionUID == "" && !final(r.Status.State) {
			return nil // it is about to begin, or waits for what this one would wait for
		}
		if r.Status.SessionUID != string(session.UID) {
			continue
		}
		if runs(r.Status.State) || r.Spec.Stop || r.Status.Reason == string(reasons.RecordingStoppedByServer) {
			return nil
		}
		made++
	}
	recording := &v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: alwaysName(session, made)},
		Spec:       v1alpha1.RecordingSpec{SessionName: session.Name},
	}
	for n := made; names[recording.Name]; n++ {
		recording.Name = alwaysName(session, n+1)
	}
	if p := session.Spec.DefaultRecordingProperties; p != nil {
		recording.Spec = v1alpha1.RecordingSpec{
			SessionName: session.Name, OutputMode: p.OutputMode, Name: p.Name, HasAudio: p.HasAudio, HasVideo: p.HasVideo,
			Layout: p.RecordingLayout, Resolution: p.Resolution, FrameRate: p.FrameRate, IgnoreFailedStreams: p.IgnoreFailedStreams,
		}
		if p.RecordingLayout == v1alpha1.RecordingLayoutCustom {
			recording.Spec.CustomLayoutURL = p.CustomLayout
		}
	}
	return recording
}

// alwaysName returns the name of a Session's recording: each life of a Session has its own.
func alwaysName(session *v1alpha1.Session, n int) string {
	return fmt.Sprintf("%s-%.8s-%d", session.Name, session.UID, n+1)
}
