package gateway

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/test/workertest"
)

// Files come from the recorder of the pool, which talks to gateways alone.
func TestFilesComeFromTheRecorder(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	worker, err := workertest.Start(workertest.Config{FilesAddress: "127.0.0.1:0", Identity: authority.Memory(t, mtls.Worker)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Stop)
	worker.Set(&egressv1.JobStatus{Uid: "uid-1", State: egressv1.State_STATE_READY, Files: []*egressv1.File{{Name: "demo.zip"}}})
	host, port, err := net.SplitHostPort(worker.FilesAddress())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	pod := func(name, pool string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name, Labels: map[string]string{
				v1alpha1.ComponentLabel: v1alpha1.ComponentRecorder, v1alpha1.PoolLabel: pool,
			}},
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "files", ContainerPort: int32(number)}}}}},
			Status: corev1.PodStatus{PodIP: host, Phase: phase},
		}
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(pod("standard-recorder", "standard", corev1.PodRunning), pod("ended-recorder", "ended", corev1.PodFailed)).Build()
	identity, err := mtls.Client(authority.Directory(t, mtls.Gateway), mtls.Worker)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorders(reader, "system", identity)
	t.Cleanup(r.client.CloseIdleConnections)
	response, err := r.Fetch(t.Context(), "standard", http.MethodGet, "/recordings/uid-1/demo.zip", http.Header{"Range": {"bytes=2-3"}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusPartialContent || string(body) != workertest.Content[2:4] {
		t.Errorf("got %d %q, %v", response.StatusCode, body, err)
	}
	for _, pool := range []string{"ended", "other"} {
		if _, err := r.Fetch(t.Context(), pool, http.MethodGet, "/recordings/uid-1/demo.zip", nil); err == nil || !strings.Contains(err.Error(), "none runs") {
			t.Errorf("pool %s: got %v", pool, err)
		}
	}
	stranger, err := mtls.Client(authority.Directory(t, mtls.MediaPod), mtls.Worker)
	if err != nil {
		t.Fatal(err)
	}
	other := newRecorders(reader, "system", stranger)
	t.Cleanup(other.client.CloseIdleConnections)
	if _, err := other.Fetch(t.Context(), "standard", http.MethodGet, "/recordings/uid-1/demo.zip", nil); err == nil {
		t.Error("a media pod gets files")
	}
}
