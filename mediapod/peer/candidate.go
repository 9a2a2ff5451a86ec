package peer

import (
	"fmt"
	"strings"

	"github.com/pion/ice/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

const maxCandidateBytes = 1024

// checkCandidate validates a client's candidate. That is all that is done with it: the agent learns
// where its peer is from the peer's checks (RFC 8445, section 7.3.1.3), and checks only there. So
// none needs to be kept for a connection that does not exist yet, and none can point our traffic at
// somebody else.
func checkCandidate(c media.ICECandidate) error {
	if c.Candidate == "" {
		return nil // end of candidates
	}
	if len(c.Candidate) > maxCandidateBytes || len(c.SDPMid) > maxTokenBytes {
		return fmt.Errorf("%w: it has more than %d bytes", media.ErrCandidate, maxCandidateBytes)
	}
	text := strings.TrimPrefix(strings.TrimPrefix(c.Candidate, "a="), "candidate:")
	if _, err := ice.UnmarshalCandidate(text); err != nil {
		return fmt.Errorf("%w: %w", media.ErrCandidate, err)
	}
	return nil
}
