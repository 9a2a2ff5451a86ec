//go:build e2e

package rest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/openapi"
)

// prefix is the path below which the reference's paths are.
const prefix = "/openvidu/api"

// emptyList is a list of sessions or connections without any.
const emptyList = `{"numberOfElements":0,"content":[]}`

// unique returns a name that nothing else has.
func unique(kind string) string { return kind + "-" + rand.Text()[:12] }

// answer is what the gateway said.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request, whose path is the whole one, and checks that the OpenAPI description
// promises such an answer.
func send(ctx context.Context, request *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	response, err := http.DefaultClient.Do(request.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading an answer: %w", err)
	}
	got := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	promised := openapi.Answer{Method: request.Method, Path: request.URL.Path, Status: got.status, Header: got.header, Body: body}
	if request.GetBody != nil {
		sent, err := request.GetBody()
		if err == nil {
			promised.Request, err = io.ReadAll(sent)
		}
		if err != nil {
			return got, fmt.Errorf("reading what was sent: %w", err)
		}
	}
	return got, openapi.Served().Check(promised)
}

// request makes a request without credentials, as the clients do: what has no body is sent as a
// form. The path is below prefix unless it starts with it.
func request(method, path, body string) (*http.Request, error) {
	if !strings.HasPrefix(path, "/openvidu/") {
		path = prefix + path
	}
	var content io.Reader = http.NoBody
	kind := "application/x-www-form-urlencoded"
	if body != "" {
		content, kind = strings.NewReader(body), "application/json"
	}
	made, err := http.NewRequest(method, kube.GatewayURL+path, content) //nolint:noctx // send gives it one
	if err != nil {
		return nil, err
	}
	made.Header.Set("Content-Type", kind)
	return made, nil
}

// ask sends a request that change, unless nil, has changed first. It comes without credentials.
func ask(t *testing.T, method, path, body string, change func(*http.Request)) answer {
	t.Helper()
	made, err := request(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(made)
	}
	got, err := send(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// as gives a request the credentials of a secret.
func as(secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("OPENVIDUAPP", secret) }
}

// known gives no error when the gateways let the tenant in. There are several, so that once is not
// enough.
func (n *tenant) known(ctx context.Context) error {
	for range 8 {
		made, err := request(http.MethodGet, "/sessions", "")
		if err != nil {
			return err
		}
		as(n.secret)(made)
		made.Close = true // the next one may go to another gateway
		got, err := send(ctx, made)
		if err != nil {
			return err
		}
		if got.status != http.StatusOK {
			return fmt.Errorf("the gateway answers with %d", got.status)
		}
	}
	return nil
}

// call sends a request of the tenant's.
func (n *tenant) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	return ask(t, method, path, body, as(n.secret))
}

// want sends a request of the tenant's and checks the status.
func (n *tenant) want(t *testing.T, status int, method, path, body string) answer {
	t.Helper()
	got := n.call(t, method, path, body)
	if got.status != status {
		t.Fatalf("%s %s %s: got %d %s, want %d", method, path, body, got.status, got.body, status)
	}
	return got
}

// session makes a session with an id of its own and other properties, JSON members such as
// `"mediaMode":"ROUTED"`, and returns the id. It goes at the end of the test.
func (n *tenant) session(t *testing.T, properties string) string {
	t.Helper()
	id := unique("S")
	if properties != "" {
		properties = "," + properties
	}
	n.want(t, 200, http.MethodPost, "/sessions", fmt.Sprintf(`{"customSessionId":%q%s}`, id, properties))
	t.Cleanup(func() {
		if t.Failed() {
			kube.DumpOnce(t, n.namespace.Name)
		}
		made, err := request(http.MethodDelete, "/sessions/"+id, "")
		if err != nil {
			t.Fatal(err)
		}
		as(n.secret)(made)
		if got, err := send(context.Background(), made); err != nil || got.status != http.StatusNoContent && got.status != http.StatusNotFound {
			t.Errorf("deleting session %s: got %d %s, %v", id, got.status, got.body, err)
		}
	})
	return id
}

// connection makes a connection of a session and returns what REST says of it.
func (n *tenant) connection(t *testing.T, session, body string) connection {
	t.Helper()
	got := n.want(t, 200, http.MethodPost, "/sessions/"+session+"/connection", body)
	var c connection
	got.decode(t, &c)
	c.text = got.body
	return c
}

// read returns what REST says of a connection now.
func (n *tenant) read(t *testing.T, session, id string) connection {
	t.Helper()
	got := n.want(t, 200, http.MethodGet, "/sessions/"+session+"/connection/"+id, "")
	var c connection
	got.decode(t, &c)
	c.text = got.body
	return c
}

// connection is a connection as REST shows it, as far as tests look at it. Which keys there are,
// the OpenAPI description says.
type connection struct {
	// text is the whole of it.
	text             string
	ID               string
	ConnectionID     string
	SessionID        string
	Status           string
	CreatedAt        int64
	ActiveAt         *int64
	Type             string
	Role             *string
	Record           bool
	Token            *string
	ServerData       string
	ClientData       *string
	Platform         *string
	Location         *string
	IP               *string
	KurentoOptions   json.RawMessage
	CustomIceServers json.RawMessage
	Publishers       []struct {
		CreatedAt    int64
		StreamID     string
		MediaOptions json.RawMessage
	}
	Subscribers []struct {
		CreatedAt int64
		StreamID  string
	}
}

// connections is a list of connections.
type connections struct {
	NumberOfElements int
	Content          []connection
}

// decode reads the body.
func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("reading %s: %v", a.body, err)
	}
}

// keys are the names of the members of a JSON object, in their order.
func keys(t *testing.T, text string) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	if _, err := decoder.Token(); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	var names []string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatalf("reading %s: %v", text, err)
		}
		names = append(names, fmt.Sprint(name))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatalf("reading %s: %v", text, err)
		}
	}
	return names
}

// row is a request and the status that it must get.
type row struct {
	method, path, body string
	status             int
}

// all sends requests of the tenant's, one after the other, and checks their statuses.
func (n *tenant) all(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		if got := n.call(t, r.method, r.path, r.body); got.status != r.status {
			t.Errorf("%s %s %s: got %d %s, want %d", r.method, r.path, r.body, got.status, got.body, r.status)
		}
	}
}
