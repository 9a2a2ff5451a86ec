package layers

// Bound is the most that a receiver wants of a video; 0 is no bound.
type Bound struct {
	// Pixels is the size of a picture, FPS how many there are in a second.
	Pixels, FPS int
}

// Limits are the most that a receiver is to get of a video.
type Limits struct {
	// Kbps is its limit; 0 is none.
	Kbps int
	Bound
}

const (
	// reached is by how much temporal layers may exceed a bound to be sent, and kept by how much to
	// be sent on, in percent: what is measured varies.
	reached = 110
	kept    = 130
)

// highest returns the index of the best layer that is not larger than the bound, or else of the
// lowest. What is not known of a layer does not exceed the bound.
func (b Bound) highest(all []Layer) int {
	lowest, best := -1, -1
	for i, l := range all {
		if !l.Alive {
			continue
		}
		if lowest < 0 {
			lowest = i
		}
		if b.Pixels == 0 || l.Pixels <= b.Pixels {
			best = i
		}
	}
	switch {
	case best >= 0:
		return best
	case lowest >= 0:
		return lowest
	}
	return len(all) - 1 // all have stopped
}

// temporal returns the highest temporal layer of a layer that the bound allows. before is the
// highest that the receiver has had.
func (b Bound) temporal(l Layer, before int) int {
	most := 0
	for next := 1; next < Temporal; next++ {
		tolerated := reached
		if next <= before {
			tolerated = kept
		}
		if b.FPS == 0 || l.UpTo[next] == l.UpTo[most] || l.FPS[next]*100 <= b.FPS*tolerated {
			most = next
			continue
		}
		break
	}
	return most
}

// within puts into seen what there is for the receiver: the layers up to the best that the bound
// allows, as large as they are with the temporal layers that it allows.
func (b Bound) within(all []Layer, before int, seen *[Max]Layer) []Layer {
	n := copy(seen[:], all[:b.highest(all)+1])
	for i := range n {
		l := &seen[i]
		if most := b.temporal(*l, before); most < Temporal-1 {
			for t := most + 1; t < Temporal; t++ {
				l.UpTo[t] = l.UpTo[most]
			}
			l.Kbps = min(l.Kbps, l.UpTo[most])
		}
	}
	return seen[:n]
}
