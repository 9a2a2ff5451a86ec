package webhook

import "sigs.k8s.io/controller-runtime/pkg/client"

// apply has the Webhook served as planned.
func (r *Reconciler) apply(o observed, p plan) {
	r.Deliverer.configure(client.ObjectKeyFromObject(o.hook), p.settings)
}
