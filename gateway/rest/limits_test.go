package rest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/gateway/failures"
)

func TestTheLimitsAreThoseThatTheDocumentationSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| wrong passwords | %d at once, then 1 in %.0f s |", failures.AtOnce, failures.Recovery.Seconds()),
		fmt.Sprintf("| addresses whose wrong passwords are remembered | %d |", failures.MaxAddresses),
		fmt.Sprintf("| body | %d bytes, %d elements, %d members |", maxBody, maxElements, maxMembers),
		fmt.Sprintf("| time to send a body | %.0f s |", bodyTimeout.Seconds()),
		fmt.Sprintf("| path | %d bytes |", maxPath),
		fmt.Sprintf("| query of a `GET` of sessions and connections | %d bytes |", maxQuery),
		fmt.Sprintf("| time to an answer | %.0f s |", requestTimeout.Seconds()),
		fmt.Sprintf("| `data` | %d characters |", maxData),
		fmt.Sprintf("| `customIceServers` | %d |", maxIceServers),
		fmt.Sprintf("| `allowedFilters` | %d, of %d bytes |", maxFilters, maxFilterName),
		fmt.Sprintf("| `to` of `POST signal` | %d |", maxRecipients),
		fmt.Sprintf("| `customSessionId` | %d characters |", maxSessionID),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/rest.md has no row that begins with %s", row)
		}
	}
}
