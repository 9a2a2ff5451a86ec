package controllers_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/uninstall"
)

// uninstaller applies the roles of config/uninstall and returns a client with the rights that they
// give the Job.
func (w *world) uninstaller() client.Client {
	w.Helper()
	text, err := os.ReadFile(filepath.Join("..", "config", "uninstall", "job.yaml"))
	if err != nil {
		w.Fatal(err)
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			w.Fatal(err)
		}
		if err := w.Create(w.Context(), object); err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() {
			if err := w.Delete(context.Background(), object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
				w.Error(err)
			}
		})
	}
	config := rest.CopyConfig(cluster)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + systemNamespace + ":mediarooms-uninstall",
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// TestTheWayOut removes the operator first and everything else then. The Job, with its rights only,
// lets it go, but for what somebody else holds.
func TestTheWayOut(t *testing.T) {
	w := newWorld(t)
	job := w.uninstaller()
	pool := w.pool(nil)
	session := w.session("stuck", nil)
	guest := w.connection("stuck", "stuck", nil)
	held := w.session("held", nil)
	for _, object := range []client.Object{session, guest, held} {
		w.await(object, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	}
	recording := &v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: "stuck", Finalizers: []string{v1alpha1.RecordingFinalizer}},
		Spec:       v1alpha1.RecordingSpec{SessionName: session.Name},
	}
	if err := w.Create(t.Context(), recording); err != nil {
		t.Fatal(err)
	}
	const others = "example.org/backup"
	w.eventually("somebody else's finalizer is there", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(held), held); err != nil {
			return err
		}
		held.Finalizers = append(held.Finalizers, others)
		return w.Update(t.Context(), held)
	})
	w.stop()
	t.Cleanup(func() { w.startOperator() }) // which clears up
	for _, object := range []client.Object{guest, recording, session, held, pool} {
		if err := w.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Errorf("%s went without its operator: %v", object.GetName(), err)
		}
	}

	report, err := uninstall.ReleaseFinalizers(t.Context(), job, "another")
	if err != nil || report != (uninstall.Report{}) {
		t.Errorf("the Job of another installation has released %+v, %v", report, err)
	}
	report, err = uninstall.ReleaseFinalizers(t.Context(), job, "")
	if want := (uninstall.Report{Connections: 1, Recordings: 1, Sessions: 2, MediaPools: 1}); err != nil || report != want {
		t.Errorf("released %+v, %v; want %+v", report, err, want)
	}
	for _, object := range []client.Object{guest, recording, session, pool} {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s is still there: %v", object.GetName(), err)
		}
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(held), held); err != nil {
		t.Fatal(err)
	}
	if len(held.Finalizers) != 1 || held.Finalizers[0] != others {
		t.Errorf("the finalizers of what somebody else holds are %v", held.Finalizers)
	}
	held.Finalizers = nil
	if err := w.Update(t.Context(), held); err != nil {
		t.Error(err)
	}
	// The pods of the pool are left to the garbage collector, which there is none of here.
	err = w.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(systemNamespace), client.GracePeriodSeconds(0))
	if err != nil {
		t.Error(err)
	}
}

// TestTheWayOutWaitsForTheOperator has the Job refuse to work while an operator holds the Lease.
func TestTheWayOutWaitsForTheOperator(t *testing.T) {
	w := newWorld(t)
	job, name, now := w.uninstaller(), types.NamespacedName{Namespace: systemNamespace, Name: "mediarooms-manager"}, time.Now()
	if err := uninstall.Idle(t.Context(), job, name, now); err != nil {
		t.Errorf("without a Lease: %v", err)
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("manager-1"), RenewTime: &metav1.MicroTime{Time: now}, LeaseDurationSeconds: ptr.To[int32](8),
		},
	}
	if err := w.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Delete(context.Background(), lease); err != nil {
			t.Error(err)
		}
	})
	if err := uninstall.Idle(t.Context(), job, name, now.Add(7*time.Second)); err == nil || !strings.Contains(err.Error(), "manager-1") {
		t.Errorf("with an operator at work: %v", err)
	}
	if err := uninstall.Idle(t.Context(), job, name, now.Add(9*time.Second)); err != nil {
		t.Errorf("with an operator that was killed: %v", err)
	}
	lease.Spec.HolderIdentity = ptr.To("")
	if err := w.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := uninstall.Idle(t.Context(), job, name, now); err != nil {
		t.Errorf("with an operator that has ended: %v", err)
	}
}
