package mediapod

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// No goroutine outlives its test. A process of a test's own is a media pod, and nothing else.
func TestMain(m *testing.M) {
	if config := os.Getenv(rolePod); config != "" {
		if err := servePod(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
