package pace

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
)

// retry is when a pass is tried again that lost a race.
const retry = 50 * time.Millisecond

// AfterConflict takes what a pass gave. When somebody else wrote the object first, the pass is soon tried again, and that is no error: the watch brings
// what they wrote.
func AfterConflict(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: retry}, nil
	}
	return result, err
}
