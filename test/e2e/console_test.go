//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
)

// openConsole opens the gateway's console, and signs in by a field's kind and its secret.
func openConsole(t *testing.T, number int, by, secret string, viewport browser.Viewport) *browser.Page {
	t.Helper()
	p := chromium(t, number).Open(t, "by "+by, kube.GatewayURL+"/console/", viewport)
	p.Await(t, 20*time.Second, browser.Shown("secret"))
	if err := p.Evaluate(fmt.Sprintf("document.querySelector('#by-%s').click(); document.querySelector('#secret').value = %q", by, secret), nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Click(`[data-testid="submit"]`); err != nil {
		t.Fatal(err)
	}
	p.Await(t, 20*time.Second, browser.Shown("console"))
	return p
}

// lists is true when a part of the console has a text.
func lists(part, text string) string {
	return fmt.Sprintf("document.querySelector('[data-testid=%q]').innerText.includes(%q)", part, text)
}

// A tenant sees its rooms and who is in them, and neither those of others nor the pods. Whoever may
// list them in the cluster sees all.
func TestTheConsoleShowsWhatOneMaySee(t *testing.T) {
	r := newRoom(t)
	if err := kube.AllowREST(t.Context(), r.namespace, "a password of "+r.namespace); err != nil {
		t.Fatal(err)
	}
	r.admit(t, "alice", v1alpha1.RolePublisher)
	if _, err := joinWith(t, chromium(t, 0), r.namespace, "alice").PublishWith(cutPublication); err != nil {
		t.Fatal(err)
	}
	other := newRoom(t)

	tenant := openConsole(t, 0, "password", "a password of "+r.namespace, browser.Viewport{Width: 390, Height: 844, Phone: true})
	tenant.Await(t, 20*time.Second, lists("rooms", roomName))
	var seen string
	if err := tenant.Evaluate("document.body.innerText + document.querySelector('#fleet-link').checkVisibility()", &seen); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(seen, other.namespace) || !strings.HasSuffix(seen, "false") {
		t.Errorf("the tenant of %s sees %q", r.namespace, seen)
	}
	if err := tenant.Evaluate(fmt.Sprintf("[...document.querySelectorAll('[data-testid=rooms] a')].find(a => a.innerText.includes(%q)).click()", roomName), nil); err != nil {
		t.Fatal(err)
	}
	tenant.Await(t, 20*time.Second, lists("room", "alice"))

	token := viewer(t, r.namespace)
	all := openConsole(t, 1, "token", token, browser.Viewport{Width: 1280, Height: 800})
	for _, namespace := range []string{r.namespace, other.namespace} {
		all.Await(t, 20*time.Second, lists("rooms", namespace))
	}
	if err := all.Click(`[data-testid="to-fleet"]`); err != nil {
		t.Fatal(err)
	}
	all.Await(t, 20*time.Second, lists("view-fleet", "default"))
	for name, page := range map[string]*browser.Page{"console-tenant": tenant, "console-all": all} {
		(&roomPage{page}).picture(t, name)
	}
}

// viewer returns the token of an account that may list everything but Connections.
func viewer(t *testing.T, namespace string) string {
	t.Helper()
	account := namespace + ":viewer"
	for _, command := range []string{
		"create serviceaccount viewer -n " + namespace,
		"create clusterrolebinding viewer-of-" + namespace + " --clusterrole=view --serviceaccount=" + account,
	} {
		if _, err := kube.Kubectl(t.Context(), strings.Fields(command)...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := kube.Kubectl(context.WithoutCancel(t.Context()), "delete", "clusterrolebinding", "viewer-of-"+namespace); err != nil {
			t.Error(err)
		}
	})
	token, err := kube.Kubectl(t.Context(), "create", "token", "viewer", "-n", namespace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(token)
}
