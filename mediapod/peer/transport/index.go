package transport

// The highest indices of SRTP and SRTCP packets (RFC 3711, section 9.2).
const (
	maxIndex        = 1<<48 - 1
	maxControlIndex = 1<<31 - 1
)

// estimate returns the SRTP packet index (RFC 3711, section 3.3.1) that a sequence number stands
// for: of those that end in it, the one that is nearest to an index. It is negative for what comes
// before all.
func estimate(near uint64, sequence uint16) int64 {
	return int64(near) + int64(int16(sequence-uint16(near)))
}

// outbound is how far one of our own RTP streams has come.
type outbound struct {
	highest uint64
	// first is the lowest index that may be used here: another process may have used all below it.
	first uint64
	// start is the first index of all, end the first one that may not be used when they are
	// bounded.
	start, end uint64
	resumed    bool // another process has begun the stream, and nothing of it was encrypted here yet
}

// outbounds are the indices of our own RTP streams, by SSRC.
type outbounds struct {
	all  map[uint32]*outbound
	ssrc uint32 // of last
	last *outbound
}

// of returns a stream; a new one begins with the given number.
func (o *outbounds) of(ssrc uint32, sequence uint16) *outbound {
	if o.last != nil && o.ssrc == ssrc {
		return o.last
	}
	found := o.all[ssrc]
	if found == nil {
		found = &outbound{highest: uint64(sequence), start: uint64(sequence), end: uint64(sequence) + Block}
		if o.all == nil {
			o.all = map[uint32]*outbound{}
		}
		o.all[ssrc] = found
	}
	o.ssrc, o.last = ssrc, found
	return found
}

// export returns the highest index of each stream.
func (o *outbounds) export() map[uint32]uint64 {
	indices := map[uint32]uint64{}
	for ssrc, one := range o.all {
		indices[ssrc] = one.highest
	}
	return indices
}

// resume makes outbounds go on after what another process has used, and may have used since.
func resume(indices map[uint32]uint64, margin uint16) outbounds {
	all := map[uint32]*outbound{}
	for ssrc, index := range indices {
		used := index + uint64(margin)
		all[ssrc] = &outbound{highest: used, first: used + 1, start: used + 1, end: used + 1 + Block, resumed: true}
	}
	return outbounds{all: all}
}
