package fleet

import "time"

// A pod that is not heard is cut off. Being cut off is not being dead: with users in its rooms it
// is given up only on a second sign, by somebody else (decision 51).
const (
	// silence is how long nothing is heard of a pod until it is cut off. One without users is given
	// up then.
	silence = 4 * time.Second
	// patience is the same for a pod that hosts rooms, but was never heard of by this leader.
	patience = 8 * time.Second
	// silenceBound is how long others may be heard, and a pod with users not, until it is given up
	// without a second sign.
	silenceBound = 2 * time.Minute
	// unsynced is how long a pod that is heard of, and was sent everything, may take to say that it
	// is through with it. One that never is can't be told of anything any more.
	unsynced = 30 * time.Second
)

// Sign is why a pod is given up that nobody has seen end.
type Sign string

// Signs.
const (
	// SignNodeNotReady: it is not heard, and the API server does not hear of its node either.
	SignNodeNotReady Sign = "NodeNotReady"
	// SignPodNotReady: it is not heard, and does not answer its kubelet either.
	SignPodNotReady Sign = "PodNotReady"
	// SignSilence: it is not heard, while others are, for longer than it may be.
	SignSilence Sign = "Silence"
	// SignNotSynced: it is heard, but does not apply what it is sent.
	SignNotSynced Sign = "NotSynced"
)

// Because says why, for people.
func (s Sign) Because() string {
	switch s {
	case SignNodeNotReady:
		return "the operator does not hear of the pod, nor Kubernetes of its node"
	case SignPodNotReady:
		return "the pod answers neither the operator nor its kubelet"
	case SignSilence:
		return "the operator does not hear of the pod"
	case SignNotSynced:
		return "the pod does not apply what it is sent"
	}
	return "the pod has ended"
}

// signs is what speaks for and against a pod that is talked to.
type signs struct {
	// heard says that this leader has heard of it. silent is for how long it was not heard, or
	// dialled in vain; missed is how much of that counts against it: while others were heard.
	heard          bool
	silent, missed time.Duration
	// unsynced is for how long it has not been through with what it was sent, although others were.
	unsynced time.Duration
	// hosting says that there are rooms on it, occupied that somebody may be in one.
	hosting, occupied bool
	// notReady says that it does not answer its kubelet any more, nodeDown that its node is not
	// heard.
	notReady, nodeDown bool
}

// cutOff says whether a pod can't be reached. One that starts may take its time.
func (s signs) cutOff() bool {
	if s.heard {
		return s.silent >= silence
	}
	return s.hosting && s.silent >= patience
}

// verdict says whether a pod is given up, and why. It is pure.
func (s signs) verdict() (Sign, bool) {
	quiet, behind := silence, unsynced
	if !s.heard {
		quiet = patience
	}
	if s.occupied {
		quiet, behind = silenceBound, silenceBound
	}
	switch {
	case s.cutOff() && s.nodeDown:
		return SignNodeNotReady, true
	case s.cutOff() && s.notReady:
		return SignPodNotReady, true
	case s.cutOff() && s.missed >= quiet:
		return SignSilence, true
	case s.heard && s.unsynced >= behind:
		return SignNotSynced, true
	}
	return "", false
}
