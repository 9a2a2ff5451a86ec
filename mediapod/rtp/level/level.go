// Package level is the single authority on who speaks, by the level of the sound that senders tell
// with each packet (RFC 6464, section 3). Times are arguments: it has no clock.
package level

import "time"

const (
	// quietest is the lowest level that counts as speech, in dB below the loudest there can be: a
	// voice near a microphone has 20 to 40, a quiet room 60 to 90, a muted track 127.
	quietest = 50
	// pause is what may lie between two words.
	pause = time.Second
	// mask leaves of the extension's byte the level; the other bit is what the sender takes for a
	// voice, which not all of them tell.
	mask = 0x7f
)

// Meter follows one stream of sound. Its zero value is silent. It is not safe for concurrent use.
type Meter struct {
	loudAt time.Time
}

// Add takes the header extension of a packet.
func (m *Meter) Add(extension []byte, at time.Time) {
	if len(extension) > 0 && extension[0]&mask <= quietest {
		m.loudAt = at
	}
}

// Speaking reports whether somebody speaks.
func (m *Meter) Speaking(now time.Time) bool {
	return !m.loudAt.IsZero() && now.Sub(m.loudAt) < pause
}
