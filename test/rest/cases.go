// Package rest is the authority on which test shows each case of the catalogue of OpenVidu's REST
// API: the list of cases, and the tests of those that need a running gateway on a real cluster.
// docs/rest-cases.md is generated from the list and from the calls of Shows in tests
// (test/rest/table), here and in the folders of Folders.
//
// A case is something that OpenVidu's own end-to-end, integration and unit tests expect of a
// server. "§" names a section of docs/spec/openvidu-rest.md.
package rest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// Case is one thing that OpenVidu's tests expect.
type Case struct {
	// Number is stable: tests name it.
	Number int
	// Title says what is done and what is expected.
	Title string
	// Here says what Mediarooms does, when that or the way to test it is not what the title says.
	Here string
}

// ID is what tests call a case.
func (c Case) ID() string { return strconv.Itoa(c.Number) }

// Section is a part of the catalogue.
type Section struct {
	// Number of the section, such as "9.1".
	Number string
	// Title of the section.
	Title string
	// Cases in ascending order.
	Cases []Case
}

// Folders are those of the checkout whose tests show cases.
var Folders = []string{"test/rest", "test/nodeclient", "test/e2e", "test/conformance", "examples", "gateway", "gateway/rest", "controllers", "controllers/eventlog", "controllers/fleet", "controllers/session", "mediapod/room"}

// Sections returns all sections in ascending order.
func Sections() []Section { return slices.Concat(core, more) }

// Shows says which cases a test shows. docs/rest-cases.md is made of these calls, so the numbers
// must be literals.
func Shows(t testing.TB, numbers ...int) {
	t.Helper()
	for _, number := range numbers {
		if err := Check(strconv.Itoa(number)); err != nil {
			t.Fatal(err)
		}
	}
}

// Check gives an error for the first of the ids that no case has.
func Check(ids ...string) error {
	for _, id := range ids {
		if !known[id] {
			return fmt.Errorf("checking the REST cases: there is no case %q", id)
		}
	}
	return nil
}

// known are the ids of all cases.
var known = func() map[string]bool {
	ids := map[string]bool{}
	for _, section := range Sections() {
		for _, c := range section.Cases {
			ids[c.ID()] = true
		}
	}
	return ids
}()
