package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// table is a table for people. It is printed when it is complete, so that progress does not run
// into it.
type table struct {
	text   strings.Builder
	writer *tabwriter.Writer
}

func newTable(columns ...string) *table {
	t := &table{}
	t.writer = tabwriter.NewWriter(&t.text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t.writer, strings.Join(columns, "\t"))
	return t
}

// row adds a row.
func (t *table) row(cells ...string) {
	fmt.Fprintln(t.writer, strings.Join(cells, "\t"))
}

// print writes the table below a title to the standard output.
func (t *table) print(title string) error {
	if err := t.writer.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(os.Stdout, "\n%s\n\n%s", title, t.text.String())
	return err
}
