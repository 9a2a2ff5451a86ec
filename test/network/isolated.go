package network

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// own tells a process of the tests that its network namespace is its own.
const own = "MEDIAROOMS_TEST_NETWORK=own"

// Isolated reports whether this process has a network namespace of its own. If not, it runs the
// test again in a process that has, and that ends before this one is out of time.
func Isolated(t *testing.T) bool {
	t.Helper()
	name, value, _ := strings.Cut(own, "=")
	if os.Getenv(name) == value {
		return true
	}
	timeout := 5 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-10*time.Second)
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+timeout.String())
	command.Env = append(os.Environ(), own)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := command.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Error(err)
	}
	return false
}
