package signalling

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// joinTimeout is how long a socket may be open without having joined a room, or having taken a
// connection up again.
const joinTimeout = 60 * time.Second

// Why sockets that have not joined end.
var (
	errNotJoined = errors.New("no session joined within 60 s")
	errCrowded   = errors.New("too many connections that have not joined a session")
)

// lobby holds the sockets that have not joined a room. They have places of their own, so that
// whoever only opens sockets takes none from those who join, and must leave after a while. When
// there are too many the oldest one goes: a client joins within a moment, and a first handshake
// that is refused would leave it hanging. Safe for concurrent use; its lock is a leaf.
type lobby struct {
	places, perAddress int

	mu      sync.Mutex // guards what follows
	waiting list.List  // of *visit, oldest first
	from    map[*budget]int
}

// visit is the time that one socket spends in the lobby.
type visit struct {
	lobby   *lobby
	address *budget
	timer   *time.Timer // sends the socket away

	// What follows is guarded by the lobby.
	place   *list.Element // nil when it is over
	crowded bool
}

func newLobby(places, perAddress int) *lobby {
	return &lobby{places: places, perAddress: perAddress, from: make(map[*budget]int)}
}

// enter lets a socket of an address in; leave must follow. sendAway is called, on a goroutine of
// its own, when it must go.
func (l *lobby) enter(address *budget, sendAway func(error)) *visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[address] >= l.perAddress {
		l.makePlace(address)
	}
	if l.waiting.Len() >= l.places {
		l.makePlace(nil)
	}
	v := &visit{lobby: l, address: address}
	v.timer = time.AfterFunc(joinTimeout, func() { sendAway(v.reason()) })
	v.place = l.waiting.PushBack(v)
	l.from[address]++
	return v
}

// makePlace sends the oldest socket away, unless the address is nil that of the address. The lobby
// is locked.
func (l *lobby) makePlace(address *budget) {
	for place := l.waiting.Front(); place != nil; place = place.Next() {
		if oldest, ok := place.Value.(*visit); ok && (address == nil || oldest.address == address) {
			oldest.end()
			oldest.crowded = true
			oldest.timer.Reset(0)
			return
		}
	}
}

// end takes the visit off the list. The lobby is locked.
func (v *visit) end() {
	if v.place == nil {
		return
	}
	v.lobby.waiting.Remove(v.place)
	v.place = nil
	if v.lobby.from[v.address]--; v.lobby.from[v.address] == 0 {
		delete(v.lobby.from, v.address)
	}
}

// leave says that the socket has joined or is closed.
func (v *visit) leave() {
	v.lobby.mu.Lock()
	defer v.lobby.mu.Unlock()
	v.end()
	v.timer.Stop()
}

func (v *visit) reason() error {
	v.lobby.mu.Lock()
	defer v.lobby.mu.Unlock()
	if v.crowded {
		return errCrowded
	}
	return errNotJoined
}

// waitingSockets returns how many sockets have not joined.
func (l *lobby) waitingSockets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.Len()
}
