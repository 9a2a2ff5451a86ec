package transport

import "fmt"

// Rank is the place of a process in the order in which a connection's peer prefers the processes
// that it is told of: the one that it connected to has 0, the one that is to take over from there
// 1, and so on. A browser keeps a pair of candidates in reserve only when that has the higher
// priority.
type Rank uint8

// MaxRank is the highest there is: a priority above it would be higher than that of a browser's own
// candidates, which then would decide (RFC 8445, section 6.1.2.3).
const MaxRank Rank = 120

// Priorities of candidates (RFC 8445, section 5.1.2). Below one rank's lie both of the rank before
// it.
const (
	basePriority = 1_000_000_000
	rankPriority = 4_000_000
	tcpPenalty   = 2_000_000
)

// Priority is that of the candidate at the i-th address of a process of this rank.
func (r Rank) Priority(tcp bool, i int) uint32 { return r.priority(tcp) - uint32(i) }

func (r Rank) priority(tcp bool) uint32 {
	priority := uint32(basePriority + rankPriority*int(min(r, MaxRank)))
	if tcp {
		priority -= tcpPenalty
	}
	return priority
}

// check tells whether there is such a rank.
func (r Rank) check() error {
	if r > MaxRank {
		return fmt.Errorf("the rank is %d, at most %d is allowed", r, MaxRank)
	}
	return nil
}
