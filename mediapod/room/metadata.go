package room

import (
	"slices"
	"time"
)

// MaxMetadataBytes is how much metadata the clients that are in a room may have brought together.
// All of it is in the answer to a join, and what is observed of the room goes to the operator.
const MaxMetadataBytes = 4 << 20

// maxLeftBytes is how much metadata is kept of clients that have left. It is for the operator
// alone, which has it already unless it was away.
const maxLeftBytes = 2 << 20

// metadataFits reports whether a client's metadata has place beside that of those who are in the
// room. The room is locked.
func (r *Room) metadataFits(client Client) bool {
	total := len(client.Metadata)
	for _, p := range r.participants {
		total += len(p.seat.client.Metadata)
	}
	return total <= MaxMetadataBytes
}

// refuseMetadata returns the error of a client whose metadata has no place. The log says so once a
// minute, and not for each client. The room is locked.
func (r *Room) refuseMetadata() error {
	if now := time.Now(); now.Sub(r.refusedMetadata) >= time.Minute {
		r.refusedMetadata = now
		r.registry.log.Info("Refusing who joins", "room", r.uid, "reason", ErrMetadata.Error())
	}
	return ErrMetadata
}

// forgetMetadata forgets the metadata of clients that have left, of those that left first first,
// beyond what is kept of them. The room is locked.
func (r *Room) forgetMetadata() {
	total := 0
	var left []*seat
	for _, s := range r.seats {
		if s.state == Disconnected && s.client.Metadata != "" {
			left = append(left, s)
			total += len(s.client.Metadata)
		}
	}
	if total <= maxLeftBytes {
		return
	}
	slices.SortFunc(left, func(a, b *seat) int { return a.left.Compare(b.left) })
	for _, s := range left {
		if total <= maxLeftBytes {
			return
		}
		total -= len(s.client.Metadata)
		s.client.Metadata = ""
	}
}
