package roomclient

import "time"

// gapMemory is how many gaps between frames the average is taken of.
const gapMemory = 30

// cadence knows how far apart frames usually are. Its zero value is ready. It is not safe for
// concurrent use.
type cadence struct {
	gaps [gapMemory]time.Duration // the newest ones, in a ring
	sum  time.Duration
	seen int
}

// freezes enters a gap, and reports whether it is a freeze beside those before it: see
// Reception.Freezes.
func (c *cadence) freezes(gap time.Duration) bool {
	freeze := false
	if n := time.Duration(min(c.seen, gapMemory)); n > 0 {
		average := c.sum / n
		freeze = gap > max(3*average, average+150*time.Millisecond)
	}
	oldest := &c.gaps[c.seen%gapMemory]
	c.sum += gap - *oldest
	*oldest = gap
	c.seen++
	return freeze
}
