package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

// Formats of -o.
const (
	formatTable = ""
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

// format is the flag -o.
type format struct {
	chosen string
	wide   bool // wide is allowed
}

// add adds the flag to a command.
func (f *format) add(command *cobra.Command, wide bool) {
	f.wide = wide
	command.Flags().VarP(f, "output", "o", "the form of the output: "+f.allowed())
	complete(command, "output", func(string) []string { return strings.Split(f.allowed(), ", ") })
}

func (f *format) allowed() string {
	if f.wide {
		return "json, yaml, wide"
	}
	return "json, yaml"
}

// String implements pflag.Value.
func (f *format) String() string { return f.chosen }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	if text == formatJSON || text == formatYAML || text == formatWide && f.wide {
		f.chosen = text
		return nil
	}
	return fmt.Errorf("%q is none of %s", text, f.allowed())
}

// structured says whether the output is for programs.
func (f *format) structured() bool { return f.chosen == formatJSON || f.chosen == formatYAML }

// write writes a value in the chosen form for programs.
func (f *format) write(to io.Writer, value any) error {
	var text []byte
	var err error
	if f.chosen == formatYAML {
		text, err = yaml.Marshal(value)
	} else {
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(text, '\n')
	}
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	_, err = to.Write(text)
	return err
}

// table is a table for people.
type table struct {
	rows [][]string
}

func newTable(header ...string) *table { return &table{rows: [][]string{header}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(to io.Writer) error {
	// Tabs between cells, two spaces at least, no space at the end of a line.
	text := &strings.Builder{}
	writer := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(writer, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	if err := writer.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// printable returns a text as a terminal may show it. Users choose some of the texts: what would
// steer a terminal, or turn the direction of the line, is shown as its code.
func printable(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Bidi_Control, r) {
			out.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		out.WriteString(quoted[1 : len(quoted)-1])
	}
	return out.String()
}

// age is how long ago something was, as kubectl writes it.
func (s *settings) age(since time.Time) string {
	if since.IsZero() {
		return none
	}
	return duration.HumanDuration(max(0, s.now().Sub(since)))
}

// none stands in a cell where there is nothing.
const none = "-"

func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

// count writes a number of things: "1 user", "2 users".
func count[N int | int32 | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// width is how many columns text for people has at most.
const width = 80

// wrapped writes a text in lines of at most width columns, each of them indented. A word that is
// longer stays whole.
func wrapped(text string, indent string) string {
	var out strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			out.WriteString(indent)
			column = len(indent)
		case column+1+len([]rune(word)) > width:
			out.WriteString("\n" + indent)
			column = len(indent)
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += len([]rune(word))
	}
	return out.String()
}
