package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// suiteStart is how long a suite may take until its first test begins.
const suiteStart = 5 * time.Minute

// Suite is a package of tests that share the cluster under test. Its Run is what TestMain calls.
type Suite struct {
	// Name is what errors call it.
	Name string
	// Parallel is how many of the tests that say t.Parallel run at once unless -parallel says
	// otherwise: they mostly wait.
	Parallel int
	// Prepare makes what the tests share. The installation works by then.
	Prepare func(context.Context, *Cluster, Samples) error
	// End, unless nil, ends what Prepare made, and gives an error when the tests have left
	// something behind. It is not called after an error of Prepare.
	End func() error
}

// Run runs the tests of a package, and returns the code to exit with.
func (s Suite) Run(m *testing.M) int {
	if err := s.prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		return 1
	}
	code := m.Run()
	if s.End != nil {
		if err := s.End(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
			return 1
		}
	}
	return code
}

func (s Suite) prepare() error {
	// m.Run reads the flags of the command line, which may say otherwise.
	if err := flag.Set("test.parallel", strconv.Itoa(s.Parallel)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), suiteStart)
	defer cancel()
	c, err := Open()
	if err != nil {
		return err
	}
	samples, err := c.Prepare(ctx)
	if err != nil {
		return err
	}
	return s.Prepare(ctx, c, samples)
}
