package finalizer

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Waits remembers since when the deletion of each object waits for somebody, such as a media pod;
// so a deletion can be bounded. It is of this process: a new leader gives each object the whole
// time, however long ago it was deleted. The zero value is ready to use. Safe for concurrent use.
type Waits struct {
	mu    sync.Mutex // guards what follows
	begun map[types.NamespacedName]wait
}

// wait is the one of an object. A later object of its name has another.
type wait struct {
	uid   types.UID
	since time.Time
}

// Begun returns since when an object waits. The first call, at now, is its beginning.
func (w *Waits) Begun(object client.Object, now time.Time) time.Time {
	name, uid := client.ObjectKeyFromObject(object), object.GetUID()
	w.mu.Lock()
	defer w.mu.Unlock()
	if begun, ok := w.begun[name]; ok && begun.uid == uid {
		return begun.since
	}
	if w.begun == nil {
		w.begun = make(map[types.NamespacedName]wait)
	}
	w.begun[name] = wait{uid: uid, since: now}
	return now
}

// Forget drops an object that is gone, whoever removed it.
func (w *Waits) Forget(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.begun, name)
}
