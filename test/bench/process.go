package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is how much CPU a process has used, user and system, to the nanosecond: by the clock of
// the process (clock_getcpuclockid(3)).
func cpuTime(pid int) (time.Duration, error) {
	const ofScheduler = 2
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|ofScheduler, &used); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// residentBytes is how much memory of a process is resident.
func residentBytes(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("parsing /proc/%d/status: no VmRSS in it", pid)
}
