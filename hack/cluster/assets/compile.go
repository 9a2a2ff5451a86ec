package assets

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// reportEvery is how often a long build says how far it is.
const reportEvery = 5 * time.Second

// quick are flags that spare a third of the compiler's work. Nobody debugs these programs, and none
// is busy. Without inlining, a function is compiled once and not again wherever it is called; the
// patterns are for the addresses of Kubernetes' own modules and of those that it uses. What is said
// of all, and -trimpath, is what hack/build says, so that both share the standard library's
// packages.
var quick = []string{
	"-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false",
	"-gcflags=....io/...=-dwarf=false -l", "-gcflags=....com/...=-dwarf=false -l",
}

// collector makes the Go tools collect less garbage, up to an amount of memory that any machine
// has.
var collector = []string{"GOGC=400", "GOMEMLIMIT=1GiB"}

// packagePath matches what "go build -v" prints per package that it builds.
var packagePath = regexp.MustCompile(`^[A-Za-z0-9._~/-]+$`)

// compile builds Kubernetes into one static binary.
func compile(ctx context.Context, source, version, output string, log io.Writer) error {
	minor := strings.Split(strings.TrimPrefix(version, "v"), ".")
	stamp := "k8s.io/component-base/version."
	ldflags := fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s -X %[1]sgitTreeState=clean",
		stamp, version, minor[0], minor[1])
	flags := append(slices.Clone(quick), "-ldflags", ldflags)

	fmt.Fprintf(log, "    building Kubernetes %s from its Go module (once; some minutes)\n", version)
	var stale int
	download := progress{log: log, describe: func(lines int) string { return fmt.Sprintf("fetching modules: %d", lines) }}
	listed, err := download.run(ctx, source, append(append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, flags...), ".")...)
	if err != nil {
		return fmt.Errorf("fetching Kubernetes: %w", err)
	}
	stale = len(strings.Fields(listed))

	packages := progress{log: log, describe: func(lines int) string {
		if lines >= stale {
			return "linking"
		}
		return fmt.Sprintf("compiled %d of %d packages", lines, stale)
	}}
	if _, err := packages.run(ctx, source, append(append([]string{"build", "-v", "-o", output}, flags...), ".")...); err != nil {
		return fmt.Errorf("building Kubernetes: %w", err)
	}
	return nil
}

// progress runs the go command and says every few seconds how many steps it
// has made: one per line of its error output.
type progress struct {
	log      io.Writer
	describe func(lines int) string

	mu    sync.Mutex // guards lines and other
	lines int
	other []string // what was not progress: errors
}

func (p *progress) run(ctx context.Context, dir string, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "CGO_ENABLED=0"), collector...)
	var out strings.Builder
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", fmt.Errorf("preparing the go command: %w", err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("starting the go command: %w", err)
	}
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(reportEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.mu.Lock()
				fmt.Fprintf(p.log, "    %s, %s\n", p.describe(p.lines), time.Since(start).Round(time.Second))
				p.mu.Unlock()
			}
		}
	}()
	scanner := bufio.NewScanner(stderr)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.line(scanner.Text())
	}
	err = cmd.Wait()
	close(done)
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, strings.Join(p.other, "\n"))
	}
	return out.String(), nil
}

func (p *progress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if packagePath.MatchString(text) || strings.HasPrefix(text, "go: downloading") {
		p.lines++
		return
	}
	const most = 30
	if p.other = append(p.other, text); len(p.other) > most {
		p.other = p.other[1:]
	}
}
