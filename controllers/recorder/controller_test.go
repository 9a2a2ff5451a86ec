package recorder

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
