package recorder

import (
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// What is done with the recorder of a pool, by what is there.
func TestPlans(t *testing.T) {
	r := Reconciler{Namespace: "system", Image: podspec.Image{Name: "image"}}
	there := func(pool *v1alpha1.MediaPool) observed {
		pod := r.spec(pool).Pod()
		pod.Annotations[hashAnnotation] = r.hash(pool)
		return observed{pool: pool, pod: pod, hash: r.hash(pool)}
	}
	pool := func() *v1alpha1.MediaPool {
		return &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "standard"}, Spec: v1alpha1.MediaPoolSpec{Egress: &v1alpha1.Egress{}}}
	}
	claim := func() *v1alpha1.MediaPool {
		p := pool()
		p.Spec.Egress.Storage.ClaimName = "recordings"
		return p
	}
	for sentence, test := range map[string]struct {
		of     *v1alpha1.MediaPool
		change func(o *observed)
		want   action
	}{
		"it is there":                          {pool(), func(*observed) {}, nothing},
		"there is none":                        {pool(), func(o *observed) { o.pod = nil }, create},
		"none is wanted":                       {pool(), func(o *observed) { o.pod, o.hash = nil, "" }, nothing},
		"it is not wanted any more":            {pool(), func(o *observed) { o.hash = "" }, remove},
		"it is not wanted, and has files":      {pool(), func(o *observed) { o.hash, o.kept = "", 1 }, nothing},
		"it is not wanted, and records":        {pool(), func(o *observed) { o.hash, o.running = "", 1 }, nothing},
		"it was evicted":                       {pool(), func(o *observed) { o.pod.Status.Phase, o.running = corev1.PodFailed, 1 }, remove},
		"it is going":                          {pool(), func(o *observed) { o.pod.DeletionTimestamp = ptr.To(metav1.Now()); o.hash = "other" }, nothing},
		"it is outdated":                       {pool(), func(o *observed) { o.hash = "other" }, remove},
		"it is outdated, and records":          {pool(), func(o *observed) { o.hash, o.running = "other", 1 }, nothing},
		"it is outdated, and has files":        {pool(), func(o *observed) { o.hash, o.kept = "other", 1 }, nothing},
		"it is outdated, and has files on PVC": {claim(), func(o *observed) { o.hash, o.kept = "other", 1 }, remove},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := there(test.of)
			test.change(&o)
			if got := plan(o); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPods(t *testing.T) {
	r := Reconciler{Namespace: "system", Image: podspec.Image{Name: "image"}}
	pool := &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "standard"}, Spec: v1alpha1.MediaPoolSpec{
		Exposure: v1alpha1.Exposure{Type: v1alpha1.ExposureHostNetwork}, Egress: &v1alpha1.Egress{},
		Template: v1alpha1.PodTemplate{NodeSelector: map[string]string{"media": ""}, Resources: &corev1.ResourceRequirements{}},
	}}
	pod := r.spec(pool).Pod()
	if pod.Name != "standard-recorder" || pod.Spec.HostNetwork || pod.Spec.NodeSelector["media"] != "" || len(pod.Spec.NodeSelector) != 1 {
		t.Errorf("it is %+v", pod)
	}
	if volume := volumeOf(pod); volume.EmptyDir == nil || volume.EmptyDir.SizeLimit.String() != "10Gi" {
		t.Errorf("its files are in %+v", volume)
	}
	if pod.Labels[v1alpha1.ComponentLabel] != v1alpha1.ComponentRecorder || podspec.PortOf(pod, podspec.ControlPort) != 7443 {
		t.Errorf("its labels are %v, its port %d", pod.Labels, podspec.PortOf(pod, podspec.ControlPort))
	}
	before := r.hash(pool)
	pool.Spec.Egress.Storage.SizeLimit = ptr.To(resource.MustParse("20Gi"))
	if volume := volumeOf(r.spec(pool).Pod()); volume.EmptyDir.SizeLimit.String() != "20Gi" || r.hash(pool) == before {
		t.Errorf("its files are in %+v", volume)
	}
	pool.Spec.Egress.Storage = v1alpha1.EgressStorage{ClaimName: "recordings"}
	if volume := volumeOf(r.spec(pool).Pod()); volume.PersistentVolumeClaim == nil || volume.PersistentVolumeClaim.ClaimName != "recordings" {
		t.Errorf("its files are in %+v", volume)
	}
}

// A recorder that composes has another image, and more memory unless the pool says how much.
func TestThePodComposes(t *testing.T) {
	r := Reconciler{Namespace: "system", Image: podspec.Image{Name: "image"}}
	pool := &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "standard"}, Spec: v1alpha1.MediaPoolSpec{
		Egress: &v1alpha1.Egress{}, Template: v1alpha1.PodTemplate{Image: "theirs"},
	}}
	before := r.hash(pool)
	for _, test := range []struct {
		requests, limits, wantRequest, wantLimit string
	}{{"", "", "128Mi", "2Gi"}, {"256Mi", "", "256Mi", "2Gi"}, {"3Gi", "", "3Gi", "3Gi"}, {"", "1Gi", "", "1Gi"}} {
		pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
		pool.Spec.Egress.Resources = &corev1.ResourceRequirements{Requests: memory(test.requests), Limits: memory(test.limits)}
		container := r.spec(pool).Pod().Spec.Containers[0]
		request, requested := container.Resources.Requests[corev1.ResourceMemory]
		if container.Image != "composes" || container.Resources.Limits.Memory().String() != test.wantLimit || requested && request.String() != test.wantRequest || requested != (test.wantRequest != "") {
			t.Errorf("with %+v it is %s with %+v", test, container.Image, container.Resources)
		}
	}
	if r.hash(pool) == before {
		t.Error("it is the same pod as before")
	}
}

func memory(quantity string) corev1.ResourceList {
	if quantity == "" {
		return nil
	}
	return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}
}

// The pod has the keys of S3, and of their Secret nothing else. What else there is to S3 is told
// with jobs: it does not replace the pod.
func TestThePodHasTheKeysOfS3(t *testing.T) {
	r := Reconciler{Namespace: "system", Image: podspec.Image{Name: "image"}}
	pool := &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "standard"}, Spec: v1alpha1.MediaPoolSpec{Egress: &v1alpha1.Egress{}}}
	without, plain := r.hash(pool), r.spec(pool).Pod()
	pool.Spec.Egress.Storage.S3 = &v1alpha1.S3Storage{Endpoint: "https://s3.example.org", Bucket: "rooms", SecretName: "rooms-s3"}
	with, pod := r.hash(pool), r.spec(pool).Pod()
	var added []any
	for _, volume := range pod.Spec.Volumes[len(plain.Spec.Volumes):] {
		added = append(added, volume)
	}
	container, before := pod.Spec.Containers[0], plain.Spec.Containers[0]
	for _, mount := range container.VolumeMounts[len(before.VolumeMounts):] {
		added = append(added, mount)
	}
	for _, argument := range container.Args {
		if !slices.Contains(before.Args, argument) {
			added = append(added, argument)
		}
	}
	got, err := yaml.Marshal(append(added, pod.Spec.DNSPolicy))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/s3.golden")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the pod of a pool with S3 has in addition\n%s", got)
	}
	if volume := volumeOf(pod); volume.EmptyDir == nil || plain.Spec.DNSPolicy != corev1.DNSDefault {
		t.Errorf("its files are in %+v; without S3 it asks %s", volume, plain.Spec.DNSPolicy)
	}
	pool.Spec.Egress.Storage.S3.Bucket = "other"
	if without == with || r.hash(pool) != with {
		t.Errorf("the pods are %s without S3, %s with it, and %s with another bucket", without, with, r.hash(pool))
	}
	pool.Spec.Egress.Storage.S3.SecretName = "other"
	if r.hash(pool) == with {
		t.Error("another Secret is the same pod")
	}
}

// Files that S3 has do not keep a pod with an emptyDir.
func TestFilesInS3DoNotKeepAPod(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	recording := func(name, location string, state v1alpha1.RecordingState) *v1alpha1.Recording {
		return &v1alpha1.Recording{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Status:     v1alpha1.RecordingStatus{PoolName: "standard", State: state, Location: location},
		}
	}
	r := Reconciler{Namespace: "system", Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		recording("a", "s3://rooms/a/", v1alpha1.RecordingStateReady), recording("b", "", v1alpha1.RecordingStateReady),
		recording("c", "", v1alpha1.RecordingStateStopped),
	).Build()}
	pool := &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "standard"}}
	o, err := r.observe(t.Context(), pool)
	if err != nil || o.kept != 1 || o.running != 1 {
		t.Errorf("observed are %d that run and %d that are kept, %v", o.running, o.kept, err)
	}
}
