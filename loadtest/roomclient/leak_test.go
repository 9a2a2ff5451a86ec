package roomclient

import (
	"testing"

	"go.uber.org/goleak"
)

// Every client ends: no goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
