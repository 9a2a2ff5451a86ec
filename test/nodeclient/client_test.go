//go:build e2e

package nodeclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// Keys of a tenant's Secret.
const (
	secretName     = "mediarooms-rest"
	currentSecret  = "secret"
	previousSecret = "previous-secret"
)

// patience is how long anything may take on a small machine.
const patience = 20 * time.Second

// application is a server application that uses the package: it has an OpenVidu object named
// openvidu, and what else its lines make.
type application struct {
	place
	t *testing.T
	// namespace is its tenant's.
	namespace string
	// password is its tenant's, at first.
	password string
}

// newApplication makes a tenant with a password and an application that knows it.
func newApplication(t *testing.T, at place) *application {
	t.Helper()
	app := &application{place: at, t: t, namespace: kube.NewNamespace(t)}
	app.password = "the_password-of-" + app.namespace
	if _, err := kube.Kubectl(t.Context(), "create", "rolebinding", "mediarooms-rest", "-n", app.namespace,
		"--clusterrole=mediarooms-rest", "--serviceaccount="+cluster.Namespace+":mediarooms-gateway"); err != nil {
		t.Fatal(err)
	}
	app.setSecret(map[string]string{currentSecret: app.password})
	app.answers(app.password, http.StatusOK, inARow)
	app.login("openvidu", app.password)
	return app
}

// setSecret says which passwords the tenant has.
func (a *application) setSecret(passwords map[string]string) {
	a.t.Helper()
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: secretName},
		Data:       map[string][]byte{},
	}
	for key, password := range passwords {
		secret.Data[key] = []byte(password)
	}
	err := kube.Client.Patch(context.Background(), secret, client.Apply, client.FieldOwner("test"), client.ForceOwnership) //nolint:staticcheck // A typed object.
	if err != nil {
		a.t.Fatalf("setting the tenant's Secret: %v", err)
	}
}

// login makes an OpenVidu object with a password. The URL has a path, which the package drops.
func (a *application) login(name, password string) {
	a.t.Helper()
	a.does(fmt.Sprintf("%s = new OpenViduNodeClient.OpenVidu(%q, %q)", name, kube.GatewayURL+"/some/path", password))
	a.does(name + ".enableProdMode()")
}

// inARow is how many connections in a row must answer alike: each of them may be to any of the two
// gateways.
const inARow = 12

// answers waits until the gateways answer a password with a status. It asks slowly while they
// don't: wrong passwords are limited.
func (a *application) answers(password string, want, inARow int) {
	a.t.Helper()
	fresh := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	ask := func() error {
		request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, kube.GatewayURL+"/openvidu/api/sessions", http.NoBody)
		if err != nil {
			return err
		}
		request.SetBasicAuth("OPENVIDUAPP", password)
		answer, err := fresh.Do(request)
		if err != nil {
			return err
		}
		if answer.StatusCode != want {
			err = fmt.Errorf("got %s", answer.Status)
		}
		return errors.Join(err, answer.Body.Close())
	}
	next := time.Now()
	wait.For(a.t, time.Minute, fmt.Sprintf("the gateways to answer a password with %d", want), func() error {
		if time.Now().Before(next) {
			return errors.New("it was tried a moment ago")
		}
		next = time.Now().Add(500 * time.Millisecond)
		for range inARow {
			if err := ask(); err != nil {
				return err
			}
		}
		return nil
	})
}

// does runs a line of the application.
func (a *application) does(line string) {
	a.t.Helper()
	if err := a.Evaluate(fmt.Sprintf("(async () => { %s })()", line), nil); err != nil {
		a.t.Fatalf("%s: %v", line, err)
	}
}

// text is what an expression gives that is a string.
func (a *application) text(expression string) string {
	a.t.Helper()
	var text string
	if err := a.Evaluate(expression, &text); err != nil {
		a.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// gives checks what an expression gives, or its promise resolves to, as JSON. What is undefined
// there is absent or null.
func (a *application) gives(expression, want string) {
	a.t.Helper()
	var value json.RawMessage
	if err := a.Evaluate(expression, &value); err != nil {
		a.t.Fatalf("%s: %v", expression, err)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, value); err != nil {
		a.t.Fatal(err)
	}
	if got.String() != want {
		a.t.Errorf("%s gives\n%s, want\n%s", expression, got.String(), want)
	}
}

// fails checks that a promise is rejected with an Error that has this message.
func (a *application) fails(expression, message string) {
	a.t.Helper()
	a.gives(expression+".then(() => 'it is fulfilled', (error) => `${error}`)", fmt.Sprintf("%q", "Error: "+message))
}
