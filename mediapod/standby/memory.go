package standby

import (
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer"
)

// memory is a value of a room, other than media, that its standby knows. It never changes: another
// value is another memory.
type memory struct{ value media.Memory }

var _ shareable = (*memory)(nil)

// Every standby may know it, and nothing of it depends on who sends.
func (*memory) ProtectedBy(*peer.Protection) bool { return true }
func (*memory) Adopt(*peer.Protection)            {}
func (*memory) Announce(*peer.Protection)         {}
func (*memory) Freeze()                           {}
func (*memory) GoOn(uint16)                       {}
func (*memory) TakeRelayed(string, []byte)        {}

func (m *memory) export() (exported, error) {
	return exported{state: m.value, bound: func() {}, release: func() {}}, nil
}

// followedMemory is a memory of a room that is followed.
type followedMemory struct {
	value media.Memory
	said  bool // by the present stream
}

// Remember implements media.Engine. The standby knows the memory as soon as the link to it is free.
// Of a room that was lost, and is about to be let go, nothing is remembered any more.
func (e *Engine) Remember(uid, name string, value media.Memory) {
	at := key{memory: name}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, lost := e.lost[uid]
	switch {
	case value == nil:
		e.omit(uid, at)
	case e.rooms[uid] != nil || !lost:
		e.serve(uid).items[at] = &memory{value}
	}
	if r := e.rooms[uid]; r != nil && r.guard != nil && r.guard.link != nil {
		r.guard.link.recall()
	}
}

// Remembered implements media.Engine.
func (e *Engine) Remembered(uid string) map[string]media.Memory {
	f := e.takenOver(uid)
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	values := make(map[string]media.Memory, len(f.memories))
	for name, m := range f.memories {
		values[name] = m.value
	}
	return values
}

// recall has memories be sent. It does not block.
func (l *link) recall() {
	select {
	case l.recalled <- struct{}{}:
	default:
	}
}
