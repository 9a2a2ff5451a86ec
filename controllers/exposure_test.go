package controllers_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Each pod has the Services that its pool says, changes of them reach those that there are, and a
// load balancer may have only a name.
func TestServicesAreAsThePoolSays(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(func(s *v1alpha1.MediaPoolSpec) {
		s.Exposure.Type = v1alpha1.ExposureLoadBalancer
		s.Exposure.Service = v1alpha1.ExposureService{
			Annotations: map[string]string{"example.org/kind": "nlb"}, LoadBalancerClass: "example.org/nlb", PerProtocol: true,
		}
	})
	service := func(suffix string) *corev1.Service {
		var found *corev1.Service
		w.eventually("there is a Service"+suffix, func() error {
			var pods corev1.PodList
			if err := w.List(t.Context(), &pods, client.InNamespace(systemNamespace)); err != nil {
				return err
			}
			if len(pods.Items) != 1 || pods.Items[0].Status.PodIP == "" {
				return fmt.Errorf("there are %d pods", len(pods.Items))
			}
			found = &corev1.Service{}
			return w.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: pods.Items[0].Name + suffix}, found)
		})
		return found
	}
	udp, tcp := service(""), service("-tcp")
	t.Cleanup(func() { // there is no garbage collector here
		for _, s := range []*corev1.Service{udp, tcp} {
			_ = w.Delete(w.Context(), s)
		}
	})
	for _, s := range []*corev1.Service{udp, tcp} {
		if s.Annotations["example.org/kind"] != "nlb" || *s.Spec.LoadBalancerClass != "example.org/nlb" || len(s.Spec.Ports) != 1 {
			t.Errorf("Service %s is %v %+v", s.Name, s.Annotations, s.Spec)
		}
	}
	udp.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "localhost"}}
	tcp.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.8"}}
	for _, s := range []*corev1.Service{udp, tcp} {
		if err := w.Status().Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	w.ready(pool)
	w.eventually("the pod knows both load balancers", func() error {
		found := map[string]bool{}
		for _, a := range w.kubelet.pod(udp.Name).Config().GetAdvertised() {
			found[fmt.Sprintf("%s %t %t", a.Ip, a.UdpPort != 0, a.TcpPort != 0)] = true
		}
		if !found["127.0.0.1 true false"] || !found["198.51.100.8 false true"] {
			return fmt.Errorf("it knows %v", found)
		}
		return nil
	})
	w.change(pool, func() { pool.Spec.Exposure.Service.ExternalTrafficPolicy = v1alpha1.ExternalTrafficCluster })
	w.eventually("the Service has another policy", func() error {
		if s := service(""); s.UID != udp.UID || s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyCluster {
			return fmt.Errorf("it is %+v", s.Spec)
		}
		return nil
	})
}
