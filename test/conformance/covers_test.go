package conformance

import "testing"

// covers says which protocol items a test shows. docs/protocol.md is made of these calls, so the
// ids must be literals.
func covers(t testing.TB, ids ...string) {
	t.Helper()
	if err := Check(ids...); err != nil {
		t.Fatal(err)
	}
}
