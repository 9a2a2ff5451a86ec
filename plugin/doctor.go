package plugin

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mediarooms.dev/mediarooms/plugin/doctor"
)

// examining is what doctor is asked for.
type examining struct {
	call               bool
	pool, netInterface string
	duration           time.Duration
}

func (s *settings) doctorCommand() *cobra.Command {
	var shown format
	var x examining
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation and say what to do",
		Long: `Check an installation and say what to do: the API server, your rights, the custom
resources and their version, operator and gateway, certificates, pools, their
ports and addresses, the way to the gateway, clocks and Webhooks. With --call also
whether media comes through, by a short call of two that this program makes.

The exit status is 0 without problems, 2 with some, 1 if it could not look.`,
		Example: `  kubectl mediarooms doctor
  kubectl mediarooms doctor --call -n team-a`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			installation, err := s.installation(x)
			if err != nil {
				return err
			}
			said := func(finding doctor.Finding) { writeFinding(s.Out, finding) }
			if shown.structured() {
				said = nil
			}
			report := doctor.Examine(command.Context(), installation, said)
			if err := command.Context().Err(); err != nil {
				return err
			}
			return s.conclude(report, &shown)
		},
	}
	shown.add(command, false)
	flags := command.Flags()
	flags.BoolVar(&x.call, "call", false, "make a test call: a room in the namespace, for some seconds")
	flags.StringVar(&x.pool, "pool", "", "the MediaPool of the test call; the default pool if absent")
	flags.DurationVar(&x.duration, "duration", 3*time.Second, "how long the test call measures")
	flags.StringVar(&x.netInterface, "interface", "", "the one network interface for media of the test call")
	return command
}

func (s *settings) installation(x examining) (doctor.Installation, error) {
	var installation doctor.Installation
	if x.duration < doctor.MinCallDuration || x.duration > doctor.MaxCallDuration {
		return installation, fmt.Errorf("--duration is %s: it must be from %s to %s", x.duration, doctor.MinCallDuration, doctor.MaxCallDuration)
	}
	c, err := s.open()
	if err != nil {
		return installation, err
	}
	installation = doctor.Installation{
		Objects: c, Config: c.config, SystemNamespace: s.systemNamespace, Namespace: c.namespace, Now: s.now,
	}
	if x.call {
		installation.Call = &doctor.Call{Pool: x.pool, Duration: x.duration, Interface: x.netInterface}
	}
	return installation, nil
}

// marks of verdicts, of one width.
var marks = map[doctor.Verdict]string{doctor.OK: "ok  ", doctor.Warning: "WARN", doctor.Problem: "FAIL", doctor.Skipped: "skip"}

// writeFinding writes what was found, in lines that fit a terminal, and what to do below it.
func writeFinding(to io.Writer, finding doctor.Finding) {
	text := printable(finding.Check + ": " + finding.Text)
	const indent = "      "
	lines := wrapped(text, indent)
	fmt.Fprintf(to, "%s  %s\n", marks[finding.Verdict], lines[len(indent):])
	if finding.Remedy != "" {
		fmt.Fprintln(to, wrapped("-> "+printable(finding.Remedy), indent))
	}
}

// conclude sums up.
func (s *settings) conclude(report doctor.Report, shown *format) error {
	problems, warnings := report.Count(doctor.Problem), report.Count(doctor.Warning)
	if shown.structured() {
		if err := shown.write(s.Out, report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.Out, "\n%s, %s\n", count(problems, "problem"), count(warnings, "warning"))
	}
	if problems > 0 {
		return errUnhealthy
	}
	return nil
}
