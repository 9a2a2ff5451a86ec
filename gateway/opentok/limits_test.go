package opentok

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/gateway/failures"
)

func TestTheLimitsAreThoseThatTheDocumentationSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "opentok.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| body | %d bytes |", maxBody),
		fmt.Sprintf("| time to send a body | %.0f s |", bodyTimeout.Seconds()),
		fmt.Sprintf("| path | %d bytes; query %d |", maxPath, maxQuery),
		fmt.Sprintf("| time to an answer | %.0f s |", requestTimeout.Seconds()),
		fmt.Sprintf("| `type` of a signal | %d bytes; `data` %d |", maxServerSignalType, maxServerSignalData),
		fmt.Sprintf("| `layoutClassList` | %d classes, of %d characters |", maxLayoutClasses, maxLayoutClass),
		fmt.Sprintf("| wrong tokens, of REST and to join | %d at once, then 1 in %.0f s |", failures.AtOnce, failures.Recovery.Seconds()),
		fmt.Sprintf("| joins | %d at once, then %d in 1 s |", joinsAtOnce, joinsPerSecond),
		fmt.Sprintf("| Connections whose clients have not come | %d; each join removes up to %d that are older than %.0f min |", maxUnused, maxSwept, unusedTimeout.Minutes()),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/opentok.md has no row that begins with %s", row)
		}
	}
}
