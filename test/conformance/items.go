// Package conformance is the authority on which parts the client protocol has and which test shows
// each of them: the list of protocol items (items.go), what the tests share, and the tests, with a
// raw client (raw_*_test.go) and with the unmodified openvidu-browser in Chromium
// (browser_*_test.go). docs/protocol.md is generated from the list and from the calls of covers in
// the tests (test/conformance/table).
//
// The protocol is OpenVidu 2's between openvidu-browser 2.32 and its server. The sections are those
// of docs/spec/openvidu-rpc.md ("openvidu-rpc" in comments).
package conformance

import (
	"fmt"
	"slices"
)

// Item is one thing that the protocol says, small enough for a test.
type Item struct {
	// ID is stable: the section's number, "-" and a name. Tests name it in calls of covers.
	ID string
	// Title says in a few words what holds.
	Title string
}

// Section is a section of openvidu-rpc.
type Section struct {
	// Number is that of openvidu-rpc, such as "2.1".
	Number string
	// Title of the section.
	Title string
	// Items in the order of openvidu-rpc.
	Items []Item
}

// Sections returns all sections in the order of openvidu-rpc.
func Sections() []Section {
	return slices.Concat(transport, methods, notifications, media, reasons, codes, policies, extras, traps, sequences)
}

// Check gives an error for the first of the ids that no item has.
func Check(ids ...string) error {
	for _, id := range ids {
		if !known[id] {
			return fmt.Errorf("checking the protocol items: there is no item %q", id)
		}
	}
	return nil
}

// known are the ids of all items.
var known = func() map[string]bool {
	ids := map[string]bool{}
	for _, section := range Sections() {
		for _, item := range section.Items {
			ids[item.ID] = true
		}
	}
	return ids
}()
