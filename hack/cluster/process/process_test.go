package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// own is an instance name that no other process of this machine bears.
func own(t *testing.T) string { return fmt.Sprintf("%s-%d", t.Name(), os.Getpid()) }

func find(t *testing.T, instance string) []Found {
	t.Helper()
	found, err := Find(instance)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestProcessesAreFoundWithTheirChildrenAndKilled(t *testing.T) {
	instance := own(t)
	c := Component{Instance: instance, Name: "node/sh", Log: filepath.Join(t.TempDir(), "log")}
	running, err := Start(c, "sh", "-c", "sleep 60 & wait")
	if err != nil {
		t.Fatal(err)
	}
	found := find(t, instance)
	// Until it has become sleep, the child looks like another shell.
	sleeps := func(f Found) bool { return f.Command == "sleep" }
	for deadline := time.After(10 * time.Second); !slices.ContainsFunc(found, sleeps); found = find(t, instance) {
		select {
		case <-deadline:
			t.Fatal("the shell has not started its child")
		case <-time.After(time.Millisecond):
		}
	}
	if len(found) != 2 {
		t.Fatalf("found %d processes, want the shell and its child", len(found))
	}
	for _, f := range found {
		if f.Name != c.Name {
			t.Errorf("found component %q, want %q", f.Name, c.Name)
		}
		if f.Main() != (f.PID == running.PID) {
			t.Errorf("%s (process %d): Main is %v; process %d was started", f.Command, f.PID, f.Main(), running.PID)
		}
	}
	if other := find(t, instance+"-other"); len(other) != 0 {
		t.Errorf("another instance has %d processes", len(other))
	}
	if err := Kill(found, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if left := find(t, instance); len(left) != 0 {
		t.Errorf("%d processes are left", len(left))
	}
	// To kill what is gone already is no error.
	if err := Kill(found, time.Second); err != nil {
		t.Error(err)
	}
}

func TestAnEarlyEndIsReportedWithTheLog(t *testing.T) {
	c := Component{Instance: own(t), Name: "sh", Log: filepath.Join(t.TempDir(), "log")}
	running, err := Start(c, "sh", "-c", "echo the reason; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-running.exited
	if err := running.Err(); err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want the exit status and the log", err)
	}
}

func TestTheEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("KUBECONFIG", "/somebody/else")
	c := Component{Instance: own(t), Name: "sh", Log: filepath.Join(t.TempDir(), "log")}
	running, err := Start(c, "sh", "-c", "echo [$KUBECONFIG]")
	if err != nil {
		t.Fatal(err)
	}
	<-running.exited
	if got := Tail(c.Log, 5); got != "[]" {
		t.Errorf("KUBECONFIG is %s", got)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("x\n", 20000)+"a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(path, 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
	if got := Tail(path+".none", 2); !strings.Contains(got, "no such file") {
		t.Errorf("got %q, want why there is nothing", got)
	}
}
