package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/failures"
)

// cacheOfTests has two tenants with a room each, and their pods and Events.
type cacheOfTests struct{ namespaces []string }

func (c cacheOfTests) Recordings() bool { return true }
func (c cacheOfTests) Events() bool     { return true }

func (c cacheOfTests) session(namespace string) v1alpha1.Session {
	return v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "room"}, Status: v1alpha1.SessionStatus{PodName: "pod", ActiveConnections: 3}}
}

// recording is one of a film and of what somebody sent, who is there, and somebody who is not.
func (c cacheOfTests) recording(namespace string) v1alpha1.Recording {
	return v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "of-" + namespace, UID: types.UID("uid-of-" + namespace)},
		Spec:       v1alpha1.RecordingSpec{SessionName: "room"},
		Status: v1alpha1.RecordingStatus{PoolName: "pool", Files: []v1alpha1.RecordingFile{
			{Name: "film of all.mp4", ContentType: "video/mp4", SizeBytes: 12, HasAudio: true, HasVideo: true},
			{Name: "ada.webm", ContentType: "audio/webm", ConnectionID: "con_ada", StartOffsetMilliseconds: 1500, DurationMilliseconds: 2500, HasAudio: true},
			{Name: "gone.webm", ContentType: "video/webm", ConnectionID: "con_gone", HasVideo: true},
			{Name: "all.zip", ContentType: "application/zip"},
		}},
	}
}

// Get implements client.Reader.
func (c cacheOfTests) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	if recording, ok := object.(*v1alpha1.Recording); ok && key.Name == "of-"+key.Namespace && slices.Contains(c.namespaces, key.Namespace) {
		*recording = c.recording(key.Namespace)
		return nil
	}
	session, ok := object.(*v1alpha1.Session)
	if !ok || key.Name != "room" || !slices.Contains(c.namespaces, key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	*session = c.session(key.Namespace)
	return nil
}

// List implements client.Reader.
func (c cacheOfTests) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	asked := (&client.ListOptions{}).ApplyOptions(options).Namespace
	for _, namespace := range c.namespaces {
		if asked != "" && asked != namespace {
			continue
		}
		of := metav1.ObjectMeta{Namespace: namespace, Name: "of-" + namespace}
		switch list := list.(type) {
		case *v1alpha1.SessionList:
			list.Items = append(list.Items, c.session(namespace))
		case *v1alpha1.RecordingList:
			list.Items = append(list.Items, c.recording(namespace))
		case *corev1.EventList:
			list.Items = append(list.Items, corev1.Event{ObjectMeta: of, InvolvedObject: corev1.ObjectReference{Kind: kindSession, Namespace: namespace, Name: "room"}},
				corev1.Event{ObjectMeta: of, InvolvedObject: corev1.ObjectReference{Kind: kindPool, Name: "pool"}})
		}
	}
	switch list := list.(type) {
	case *v1alpha1.MediaPoolList:
		list.Items = []v1alpha1.MediaPool{{ObjectMeta: metav1.ObjectMeta{Name: "pool"}}}
	case *corev1.PodList:
		list.Items = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: map[string]string{v1alpha1.PoolLabel: "pool"}}}}
	}
	return nil
}

// serverOfTests answers reviews: users by token, and rights as user resource namespace.
type serverOfTests struct {
	client.Client
	rights []string

	mu    sync.Mutex // guards what follows
	asked int
	away  bool
}

// Create implements client.Client.
func (s *serverOfTests) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		if s.away {
			return errors.New("away")
		}
		review.Status.User.Username, review.Status.Authenticated = strings.CutPrefix(review.Spec.Token, "token-of-")
	case *authorizationv1.SubjectAccessReview:
		attributes := review.Spec.ResourceAttributes
		resource := strings.TrimSuffix(attributes.Resource+"/"+attributes.Subresource, "/")
		right := fmt.Sprintf("%s %s %s/%s %s", review.Spec.User, attributes.Verb, attributes.Group, resource, attributes.Namespace)
		review.Status.Allowed = slices.Contains(s.rights, strings.TrimSpace(right))
	}
	return nil
}

// Holder implements Tenants: the password of a namespace begins with "password-of-".
func (c cacheOfTests) Holder(_ context.Context, password string) (string, error) {
	namespace, found := strings.CutPrefix(password, "password-of-")
	if !found || !slices.Contains(c.namespaces, namespace) {
		return "", nil
	}
	return namespace, nil
}

func consoleOfTests(t *testing.T, namespaces []string, rights ...string) (*Console, *serverOfTests) {
	t.Helper()
	known, server := cacheOfTests{namespaces}, &serverOfTests{rights: rights}
	c, err := New(Config{
		Files: recordersOfTests{}, LinkKey: func() ([]byte, error) { return []byte("the key of the gateways"), nil },
		Tenants: known, Failures: &failures.Counter{}, Live: server, Reader: known, Watched: known, Namespace: "system", Registry: prometheus.NewRegistry(),
		Address: func(*http.Request) netip.Prefix { return netip.MustParsePrefix("192.0.2.1/32") },
		People: func(_ context.Context, namespace string) ([]v1alpha1.Connection, error) {
			if namespace == "no-tenant" {
				return nil, ErrPeopleUnseen
			}
			return []v1alpha1.Connection{
				{ObjectMeta: metav1.ObjectMeta{Name: "ada"}, Spec: v1alpha1.ConnectionSpec{SessionName: "room"}, Status: v1alpha1.ConnectionStatus{Token: "tok_SECRET", ClientData: "Ada", ConnectionID: "con_ada"}},
				{ObjectMeta: metav1.ObjectMeta{Name: "mallory"}, Spec: v1alpha1.ConnectionSpec{SessionName: "elsewhere"}},
			}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

// ask asks the console with a credential: password-of-X or token-of-Y.
func ask(c *Console, path, credential string) (int, string) {
	request := httptest.NewRequest(http.MethodGet, apiPrefix+path, nil)
	if strings.HasPrefix(credential, "password") {
		request.SetBasicAuth(username, credential)
	} else if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	recorded := httptest.NewRecorder()
	c.ServeHTTP(recorded, request)
	return recorded.Code, recorded.Body.String()
}

func TestWhoSeesWhat(t *testing.T) {
	const group = "mediarooms.dev/"
	c, _ := consoleOfTests(t, []string{"one", "two", "no-tenant"},
		"some list "+group+"sessions one",
		"people list "+group+"sessions two", "people list "+group+"connections two", "people list /events two",
		"all list "+group+"sessions", "all list "+group+"connections", "all list "+group+"recordings", "all list /events",
		"fleet list "+group+"sessions", "fleet list "+group+"mediapools", "fleet list /pods system", "fleet list /events",
	)
	for _, test := range []struct {
		who, path string
		status    int
		// sees are the names in the answer, of these: rooms, recordings, events, pool events,
		// pools, pods, people.
		sees string
	}{
		{"", "overview", 401, ""},
		{"password-of-three", "overview", 401, ""},
		{"nonsense", "overview", 401, ""},
		{"token-of-nobody", "overview", 403, ""},
		{"token-of-nobody", "room?namespace=one&name=room", 404, ""},
		{"password-of-one", "overview", 200, "room one, recording one, event one"},
		{"password-of-one", "overview?namespace=one", 200, "room one, recording one, event one"},
		{"password-of-one", "overview?namespace=two", 403, ""},
		{"password-of-one", "room?namespace=one&name=room", 200, "recording one, event one, person ada"},
		{"password-of-one", "room?namespace=two&name=room", 404, ""},
		{"password-of-one", "room?namespace=one&name=other", 404, ""},
		{"token-of-some", "overview", 200, "room one"},
		{"token-of-some", "overview?namespace=two", 403, ""},
		{"token-of-some", "room?namespace=one&name=room", 200, ""},
		{"token-of-some", "room?namespace=two&name=room", 404, ""},
		{"token-of-people", "overview", 200, "room two, event two"},
		{"token-of-people", "room?namespace=two&name=room", 200, "event two, person ada"},
		{"token-of-all", "overview", 200, "room one, room two, room no-tenant, recording one, recording two, recording no-tenant, event one, event two, event no-tenant"},
		{"token-of-all", "overview?namespace=two", 200, "room two, recording two, event two"},
		{"token-of-all", "room?namespace=no-tenant&name=room", 200, "recording no-tenant, event no-tenant"},
		{"token-of-fleet", "overview?namespace=one", 200, "room one, event one, pool event, pool, pod"},
	} {
		t.Run(test.who+" "+test.path, func(t *testing.T) {
			status, body := ask(c, test.path, test.who)
			if status != test.status {
				t.Fatalf("got %d %s, want %d", status, body, test.status)
			}
			if strings.Contains(body, "tok_SECRET") || strings.Contains(body, "mallory") {
				t.Errorf("sees %s", body)
			}
			if got := namesIn(t, body); got != test.sees {
				t.Errorf("sees %q, want %q", got, test.sees)
			}
		})
	}
}

// namesIn says what is in an answer.
func namesIn(t *testing.T, body string) string {
	t.Helper()
	var answer struct {
		Rooms       []room
		Recordings  []recording
		Events      []event
		Pools, Pods []struct{ Name string }
		People      []person
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	order := func(namespace string) int { return slices.Index([]string{"one", "two", "no-tenant"}, namespace) }
	var rooms, recordings, events, others []string
	slices.SortFunc(answer.Rooms, func(a, b room) int { return order(a.Namespace) - order(b.Namespace) })
	slices.SortFunc(answer.Recordings, func(a, b recording) int { return order(a.Namespace) - order(b.Namespace) })
	slices.SortFunc(answer.Events, func(a, b event) int { return order(a.Namespace) - order(b.Namespace) })
	for _, r := range answer.Rooms {
		rooms = append(rooms, "room "+r.Namespace)
	}
	for _, r := range answer.Recordings {
		recordings = append(recordings, "recording "+r.Namespace)
	}
	for _, e := range answer.Events {
		if e.Kind == kindPool {
			others = append(others, "pool event")
			continue
		}
		events = append(events, "event "+e.Namespace)
	}
	for range answer.Pools {
		others = append(others, "pool")
	}
	for range answer.Pods {
		others = append(others, "pod")
	}
	for _, p := range answer.People {
		others = append(others, "person "+p.Name)
	}
	return strings.Join(slices.Concat(rooms, recordings, events, others), ", ")
}

func TestAnswersOfTheAPIServerHoldForAWhile(t *testing.T) {
	c, server := consoleOfTests(t, []string{"one"}, "all list mediarooms.dev/sessions")
	if status, body := ask(c, "overview", "token-of-all"); status != http.StatusOK {
		t.Fatalf("got %d %s", status, body)
	}
	asked := server.asked
	server.away = true
	for range 10 {
		if status, _ := ask(c, "overview", "token-of-all"); status != http.StatusOK {
			t.Fatalf("a token that is known: got %d", status)
		}
	}
	if server.asked != asked {
		t.Errorf("ten more looks were %d more questions", server.asked-asked)
	}
	for range 2 * failures.AtOnce {
		if status, _ := ask(c, "overview", "token-of-other"); status != http.StatusServiceUnavailable {
			t.Fatalf("while the API server is away: got %d", status)
		}
	}
	c.visitors.digests = nil // as if a minute had passed
	if status, _ := ask(c, "overview", "token-of-all"); status != http.StatusServiceUnavailable {
		t.Errorf("an answer that is too old: got %d", status)
	}
}

func TestGuessesAreBounded(t *testing.T) {
	c, server := consoleOfTests(t, []string{"one"}, "all list mediarooms.dev/sessions")
	if status, _ := ask(c, "overview", "token-of-all"); status != http.StatusOK {
		t.Fatalf("got %d", status)
	}
	for i := range failures.AtOnce {
		if status, _ := ask(c, "overview", []string{"password-of-nobody", "nonsense"}[i%2]); status != http.StatusUnauthorized {
			t.Fatalf("guess %d: got %d", i, status)
		}
	}
	asked := server.asked
	for _, guess := range []string{"password-of-nobody", "nonsense", "token-of-new"} {
		if status, _ := ask(c, "overview", guess); status != http.StatusTooManyRequests {
			t.Errorf("%s after many guesses: got %d", guess, status)
		}
	}
	if server.asked != asked {
		t.Error("the API server is asked of guesses beyond the limit")
	}
	for _, right := range []string{"password-of-one", "token-of-all"} {
		if status, _ := ask(c, "overview", right); status != http.StatusOK {
			t.Errorf("%s after guesses of others: got %d", right, status)
		}
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	c, _ := consoleOfTests(t, []string{"one"}, "all list mediarooms.dev/sessions")
	for i := range 2 * maxVisitors {
		if status, _ := ask(c, "room?namespace=one&name=room", fmt.Sprintf("token-of-%d", i)); status != http.StatusNotFound {
			t.Fatalf("got %d", status)
		}
	}
	for i := range 2 * maxRights {
		ask(c, fmt.Sprintf("overview?namespace=n%d", i), "token-of-0")
	}
	if got := len(c.visitors.digests); got > maxVisitors {
		t.Errorf("%d visitors are remembered", got)
	}
	for _, known := range c.visitors.digests {
		if len(known.rights) > maxRights {
			t.Errorf("%d rights are remembered", len(known.rights))
		}
	}
	many := make([]string, maxNamespaces+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	c, _ = consoleOfTests(t, many, "some list mediarooms.dev/sessions n1")
	if status, body := ask(c, "overview", "token-of-some"); status != http.StatusForbidden || !strings.Contains(body, "many-namespaces") {
		t.Errorf("in many namespaces: got %d %s", status, body)
	}
	if status, _ := ask(c, "overview?namespace=n1", "token-of-some"); status != http.StatusOK {
		t.Errorf("one of many namespaces: got %d", status)
	}
}

func TestTextsOfUsersAreBounded(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"Ada":                    "Ada",
		`{"clientData":"Ada"}`:   "Ada",
		`{"nickname":"Ada"}`:     "Ada",
		`{"clientData":7}`:       `{"clientData":7}`,
		`{"other":"Ada"}`:        "",
		strings.Repeat("ä", 400): strings.Repeat("ä", maxText/2) + "…",
	} {
		if got := labelOf(&v1alpha1.ConnectionStatus{ClientData: text}); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := labelOf(&v1alpha1.ConnectionStatus{ClientData: "{}", ServerData: "Ada"}); got != "Ada" {
		t.Errorf("the server's name of a user is shown as %q", got)
	}
}
