package browser

import (
	"fmt"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/wait"
)

// Await waits until a JavaScript expression is true on the page. When it does not become so in
// time, the test ends with the text of the page.
func (p *Page) Await(t testing.TB, within time.Duration, expression string) {
	t.Helper()
	wait.For(t, within, expression, func() error {
		var seen struct {
			Holds bool
			Text  string
		}
		if err := p.Evaluate("({Holds: Boolean("+expression+"), Text: document.body.innerText})", &seen); err != nil {
			t.Fatal(err)
		}
		if !seen.Holds {
			return fmt.Errorf("the page says:\n%s", seen.Text)
		}
		return nil
	})
}

// Shown is an expression that is true while the element with a data-testid is visible.
func Shown(testID string) string {
	return fmt.Sprintf(`document.querySelector('[data-testid=%q]')?.checkVisibility()`, testID)
}
