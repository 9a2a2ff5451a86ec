package rooms

import (
	"cmp"
	"container/list"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// waiter is a Connection that was refused for now, and the limits that it met.
type waiter struct {
	connection Connection
	// came orders all waiters.
	came                           uint64
	maxConnections, podConnections int32 // the first is -1 for no limit
}

// fits says whether there is a place for it where so many are in its room, and on its pod.
func (w *waiter) fits(inRoom, onPod int32) bool {
	return (w.maxConnections < 0 || inRoom < w.maxConnections) && onPod < w.podConnections
}

// line is who waits, in the order in which they came, by Session. It is not safe for concurrent
// use.
type line struct {
	next  uint64
	names map[types.NamespacedName]*list.Element // of *waiter
	rooms map[types.UID]*list.List
}

func newLine() line {
	return line{names: make(map[types.NamespacedName]*list.Element), rooms: make(map[types.UID]*list.List)}
}

// add puts a connection at the end. One that waits already keeps its place; changed says that it
// has met other limits than before.
func (l *line) add(connection Connection, maxConnections *int32, podConnections int32) (changed bool) {
	limits := waiter{connection: connection, maxConnections: -1, podConnections: podConnections}
	if maxConnections != nil {
		limits.maxConnections = *maxConnections
	}
	if element, waits := l.names[connection.Name]; waits {
		w := waiterOf(element)
		if w.connection == connection {
			changed = w.maxConnections != limits.maxConnections || w.podConnections != limits.podConnections
			w.maxConnections, w.podConnections = limits.maxConnections, limits.podConnections
			return changed
		}
		l.remove(connection.Name, "") // another had the name
	}
	limits.came = l.next
	l.next++
	room, known := l.rooms[connection.Session]
	if !known {
		room = list.New()
		l.rooms[connection.Session] = room
	}
	l.names[connection.Name] = room.PushBack(&limits)
	return false
}

// remove takes out whoever waits by a name, and returns its room. uid "" stands for any.
func (l *line) remove(name types.NamespacedName, uid types.UID) (room types.UID, waited bool) {
	element, waits := l.names[name]
	if !waits {
		return "", false
	}
	connection := waiterOf(element).connection
	if uid != "" && connection.UID != uid {
		return "", false
	}
	delete(l.names, name)
	in := l.rooms[connection.Session]
	in.Remove(element)
	if in.Len() == 0 {
		delete(l.rooms, connection.Session)
	}
	return connection.Session, true
}

// of returns who waits for a room.
func (l *line) of(room types.UID) []types.NamespacedName {
	in, known := l.rooms[room]
	if !known {
		return nil
	}
	names := make([]types.NamespacedName, 0, in.Len())
	for element := in.Front(); element != nil; element = element.Next() {
		names = append(names, waiterOf(element).connection.Name)
	}
	return names
}

// first returns as many of those who wait for a room as there are places, where so many are in the
// room and on its pod.
func (l *line) first(room types.UID, inRoom, onPod int32) []*waiter {
	in, known := l.rooms[room]
	if !known {
		return nil
	}
	var found []*waiter
	for element := in.Front(); element != nil; element = element.Next() {
		w, more := waiterOf(element), int32(len(found))
		if !w.fits(inRoom+more, onPod+more) {
			break
		}
		found = append(found, w)
	}
	return found
}

// admissible returns, of those who fit into their rooms, those who find a place on a pod where so
// many are, in the order in which they came.
func admissible(waiters []*waiter, onPod int32) []types.NamespacedName {
	slices.SortFunc(waiters, func(a, b *waiter) int { return cmp.Compare(a.came, b.came) })
	var names []types.NamespacedName
	for _, w := range waiters {
		if onPod+int32(len(names)) >= w.podConnections {
			break
		}
		names = append(names, w.connection.Name)
	}
	return names
}

func waiterOf(element *list.Element) *waiter {
	w, _ := element.Value.(*waiter) // nothing else is put in
	return w
}
