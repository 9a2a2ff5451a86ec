package fleet

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Nodes tells the fleet which nodes are not heard of.
type Nodes struct {
	Client client.Client
	Fleet  *Fleet
}

// Setup adds the controller to the manager.
func (n *Nodes) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("fleet-nodes").For(&corev1.Node{}).Complete(n)
}

// Reconcile takes in one node.
func (n *Nodes) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var node corev1.Node
	if err := n.Client.Get(ctx, request.NamespacedName, &node); apierrors.IsNotFound(err) {
		n.Fleet.seeNode(request.Name, false) // its pods are gone, or go
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	n.Fleet.seeNode(node.Name, slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue
	}))
	return ctrl.Result{}, nil
}

// seeNode takes in whether a node is down: not ready, or not heard of.
func (f *Fleet) seeNode(name string, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if down {
		f.down[name] = true
	} else {
		delete(f.down, name)
	}
}
