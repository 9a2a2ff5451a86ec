package loadtest

import (
	"testing"

	"go.uber.org/goleak"
)

// Every load ends: no goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
