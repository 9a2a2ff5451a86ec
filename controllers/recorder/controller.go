// Package recorder is the authority on the recorder pods: which MediaPools have one, what it is
// made from, and when it is replaced.
//
//	pool with spec.egress --> pod POOL-recorder --> egress.Workers talks to it
//
// There is one per pool, with a name that does not change. Its kubelet restarts its process, which
// finds its files again. The pod itself is replaced when it has ended for good, and after a change
// of what it is made from once no Recording of the pool runs; with an emptyDir also only while no
// Recording has files there that S3 does not have: they would be gone.
package recorder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/internal/class"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-recorder")

// hashAnnotation is the digest of everything that a pod was made from.
const hashAnnotation = "mediarooms.dev/template-hash"

// graceSeconds is how long a recorder may take to finish files when its pod goes.
const graceSeconds = 60

// defaultSize of the emptyDir of a pool that does not say.
var defaultSize = resource.MustParse("10Gi")

// composingLimits are those of a recorder that composes, where its pool says nothing.
var composingLimits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}

// Workers is what this controller needs of the streams to the workers.
type Workers interface {
	See(egress.Worker)
	Forget(pool string)
}

// Reconciler reconciles the recorder pods of MediaPools.
type Reconciler struct {
	Client   client.Client
	Workers  Workers
	Recorder events.EventRecorder
	// Namespace of the pods.
	Namespace string
	// Image of pods whose pool names none.
	Image podspec.Image
	// Class of the installation; others' pools are left alone.
	Class class.Name
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	ofPod := func(_ context.Context, pod client.Object) []reconcile.Request {
		if pod.GetLabels()[v1alpha1.ComponentLabel] != podspec.Recorder.Component {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: pod.GetLabels()[v1alpha1.PoolLabel]}}}
	}
	ofRecording := func(_ context.Context, o client.Object) []reconcile.Request {
		recording, ok := o.(*v1alpha1.Recording)
		if !ok || recording.Status.PoolName == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: recording.Status.PoolName}}}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("recorder").
		For(&v1alpha1.MediaPool{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofPod)).
		Watches(&v1alpha1.Recording{}, handler.EnqueueRequestsFromMapFunc(ofRecording)).
		Complete(r)
}

// Name returns the name of the recorder pod of a pool.
func Name(pool string) string { return pool + "-" + podspec.Recorder.Component }

// Reconcile brings the recorder of one pool forward.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var pool v1alpha1.MediaPool
	if err := r.Client.Get(ctx, request.NamespacedName, &pool); apierrors.IsNotFound(err) || err == nil && !r.Class.OwnsPool(&pool) {
		r.Workers.Forget(request.Name)
		return ctrl.Result{}, nil // its pod goes with it
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the MediaPool: %w", err)
	}
	o, err := r.observe(ctx, &pool)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.apply(ctx, o, plan(o))
}

// observed is what a pass knows.
type observed struct {
	pool *v1alpha1.MediaPool
	// pod is its recorder; nil when there is none.
	pod *corev1.Pod
	// hash is the digest of what the pod is to be made from; "" when there is to be none.
	hash string
	// running counts the Recordings of the pool that run, kept those that have files on the volume.
	running, kept int
}

func (r *Reconciler) observe(ctx context.Context, pool *v1alpha1.MediaPool) (observed, error) {
	o := observed{pool: pool}
	var pod corev1.Pod
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: Name(pool.Name)}, &pod)
	if client.IgnoreNotFound(err) != nil {
		return o, fmt.Errorf("reading the recorder: %w", err)
	}
	if err == nil {
		o.pod = &pod
	}
	var recordings v1alpha1.RecordingList
	if err := r.Client.List(ctx, &recordings, client.UnsafeDisableDeepCopy); err != nil {
		return o, fmt.Errorf("listing Recordings: %w", err)
	}
	for i := range recordings.Items {
		status := &recordings.Items[i].Status
		if status.PoolName != pool.Name {
			continue
		}
		switch status.State {
		case v1alpha1.RecordingStateStarting, v1alpha1.RecordingStateStarted, v1alpha1.RecordingStateStopped:
			o.running++
		case v1alpha1.RecordingStateReady:
			if status.Location == "" { // else S3 has them
				o.kept++
			}
		}
	}
	if pool.Spec.Egress != nil && pool.DeletionTimestamp.IsZero() {
		o.hash = r.hash(pool)
	}
	return o, nil
}

// action is what a pass does with the pod.
type action string

// Actions.
const (
	nothing action = "Nothing"
	create  action = "Create"
	remove  action = "Remove"
)

// plan decides what to do with the pod. It is pure.
func plan(o observed) action {
	switch {
	case o.pod == nil && o.hash != "":
		return create
	case o.pod == nil, !o.pod.DeletionTimestamp.IsZero():
		return nothing
	case o.pod.Status.Phase == corev1.PodFailed, o.pod.Status.Phase == corev1.PodSucceeded:
		return remove // evicted, say: it does not come back
	case o.running > 0:
		return nothing
	case o.pod.Annotations[hashAnnotation] == o.hash:
		return nothing
	case o.kept > 0 && volumeOf(o.pod).EmptyDir != nil:
		return nothing // its files would go with it, also when the pool does not record any more
	}
	return remove
}

// volumeOf returns where a recorder has its files.
func volumeOf(pod *corev1.Pod) corev1.VolumeSource {
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret == nil {
			return volume.VolumeSource
		}
	}
	return corev1.VolumeSource{}
}

// Reasons and actions of Events.
const (
	eventNotMade    = "RecorderNotMade"
	actionRecording = "Recording"
)

func (r *Reconciler) apply(ctx context.Context, o observed, a action) error {
	switch a {
	case create:
		pod := r.spec(o.pool).Pod()
		pod.Annotations[hashAnnotation] = o.hash
		if err := r.Client.Create(ctx, pod, FieldOwner); err != nil && !apierrors.IsAlreadyExists(err) {
			if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
				r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventNotMade, actionRecording, "The recorder can't be made: %s", err.Error())
			}
			return fmt.Errorf("creating the recorder: %w", err)
		}
	case remove:
		if err := r.Client.Delete(ctx, o.pod, client.Preconditions{UID: &o.pod.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the recorder: %w", err)
		}
	}
	r.tell(o)
	return nil
}

// tell has the recorder talked to while it runs.
func (r *Reconciler) tell(o observed) {
	if o.pod == nil || o.pod.Status.PodIP == "" || o.pod.Status.Phase == corev1.PodFailed || o.pod.Status.Phase == corev1.PodSucceeded {
		r.Workers.Forget(o.pool.Name)
		return
	}
	r.Workers.See(egress.Worker{
		Pool: o.pool.Name, Name: o.pod.Name, UID: string(o.pod.UID),
		Address: net.JoinHostPort(o.pod.Status.PodIP, strconv.Itoa(int(podspec.PortOf(o.pod, podspec.ControlPort)))),
	})
}

// spec returns what the recorder of a pool is made from: of the pool's template what says where its
// pods may run and what they run.
func (r *Reconciler) spec(pool *v1alpha1.MediaPool) podspec.Spec {
	template := v1alpha1.PodTemplate{
		Metadata: pool.Spec.Template.Metadata, Image: pool.Spec.Template.Image, NodeSelector: pool.Spec.Template.NodeSelector,
		Tolerations: pool.Spec.Template.Tolerations, PriorityClassName: pool.Spec.Template.PriorityClassName,
		ImagePullSecrets: pool.Spec.Template.ImagePullSecrets, Resources: pool.Spec.Egress.Resources,
	}
	kind := podspec.Recorder
	if compositor := pool.Spec.Egress.Compositor; compositor != nil {
		template.Image, kind.Limits = compositor.Image, composingLimits
	}
	return podspec.Spec{
		Kind: kind, Namespace: r.Namespace, Name: Name(pool.Name),
		Owner: metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "MediaPool", Name: pool.Name, UID: pool.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
		},
		Labels: map[string]string{v1alpha1.PoolLabel: pool.Name}, Template: template,
		Exposure: v1alpha1.Exposure{Type: v1alpha1.ExposureInternal}, GraceSeconds: graceSeconds, Image: r.Image,
		Volume: volume(pool.Spec.Egress.Storage), Keys: keys(pool.Spec.Egress.Storage),
	}
}

// keys returns the Secret with the keys of S3; "" when the pool uses none. The rest of S3 is told
// with each job: it may be wrong, and is put right while the pod has files that S3 does not take.
func keys(storage v1alpha1.EgressStorage) string {
	if storage.S3 == nil {
		return ""
	}
	return storage.S3.SecretName
}

// volume returns where the files are to be.
func volume(storage v1alpha1.EgressStorage) corev1.VolumeSource {
	if storage.ClaimName != "" {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: storage.ClaimName}}
	}
	size := defaultSize
	if storage.SizeLimit != nil {
		size = *storage.SizeLimit
	}
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size}}
}

// hash is the digest of everything that the recorder of a pool is made from.
func (r *Reconciler) hash(pool *v1alpha1.MediaPool) string {
	spec := r.spec(pool)
	made := []any{spec.Template, spec.Volume, spec.Image}
	if spec.Keys != "" {
		made = append(made, spec.Keys)
	}
	parts, err := json.Marshal(made)
	if err != nil {
		return "unknown" // plain data types always marshal
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:8])
}
