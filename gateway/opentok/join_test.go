package opentok

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/opentokid"
	"mediarooms.dev/mediarooms/test/operatortest"
)

func (w *world) now() time.Time { return time.Now() }

// sessions returns the Sessions of the project.
func (w *world) sessions() []v1alpha1.Session {
	w.Helper()
	var list v1alpha1.SessionList
	if err := w.List(w.Context(), &list, client.InNamespace(w.project.Namespace)); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

func TestATokenLetsInAnyNumberOfTimes(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	if len(w.sessions()) != 0 {
		t.Fatal("session/create makes an object")
	}
	token := connectToken(t, session, jwt.MapClaims{"role": "moderator", "connection_data": `{"name":"ä"}`, "initial_layout_class_list": "focus"})
	urls := map[string]bool{}
	for range 3 {
		got := w.ask(session, token)
		var answer joinAnswer
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != http.StatusOK {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		address, err := url.Parse(answer.URL)
		if err != nil || address.Scheme != "ws" || address.Host != "localhost:4443" || address.Path != "/opentok" ||
			address.Query().Get("sessionId") == "" || !strings.HasPrefix(address.Query().Get("token"), "tok_") {
			t.Errorf("the URL is %s", answer.URL)
		}
		urls[answer.URL] = true
		if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("the headers are %v", got.header)
		}
	}
	made := w.sessions()
	if len(urls) != 3 || len(made) != 1 || made[0].Spec.SessionID != session || made[0].Spec.WhenEmpty != v1alpha1.WhenEmptyDelete {
		t.Errorf("there are %d URLs and the Sessions %+v", len(urls), made)
	}
	var connections v1alpha1.ConnectionList
	if err := w.List(t.Context(), &connections, client.InNamespace(w.project.Namespace)); err != nil || len(connections.Items) != 3 {
		t.Fatalf("there are %d Connections, %v", len(connections.Items), err)
	}
	spec := connections.Items[0].Spec
	if spec.Role != v1alpha1.RoleModerator || spec.Data != `{"name":"ä"}` || spec.WhenDisconnected != v1alpha1.WhenDisconnectedDelete || spec.SessionName != made[0].Name {
		t.Errorf("a Connection is %+v", spec)
	}
	if got := readLayout(&connections.Items[0]).Initial; len(got) != 1 || got[0] != "focus" {
		t.Errorf("the layout classes are %q", got)
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	for role, want := range map[string]v1alpha1.Role{
		"subscriber": v1alpha1.RoleSubscriber, "publisher": v1alpha1.RolePublisher, "publisheronly": v1alpha1.RolePublisherOnly, "moderator": v1alpha1.RoleModerator,
	} {
		if got := w.enter(session, jwt.MapClaims{"role": role}).Spec.Role; got != want {
			t.Errorf("%s: got %s", role, got)
		}
	}
}

func TestManyJoinANewSessionAtOnce(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	token := connectToken(t, session, nil)
	var joining sync.WaitGroup
	for range 8 {
		joining.Go(func() {
			if got := w.ask(session, token); got.status != http.StatusOK {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	joining.Wait()
	if made := w.sessions(); len(made) != 1 {
		t.Errorf("there are %d Sessions", len(made))
	}
}

func TestASessionThatIsClosingIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	w.enter(session, nil)
	before := w.sessions()[0]
	if err := w.Delete(t.Context(), &before); err != nil {
		t.Fatal(err)
	}
	w.enter(session, nil)
	if after := w.sessions(); len(after) != 1 || after[0].UID == before.UID {
		t.Errorf("the Sessions are %+v", after)
	}
}

func TestADeclaredSessionIsJoined(t *testing.T) {
	w := newWorld(t)
	if got := w.ask("demo", connectToken(t, "demo", nil)); got.status != http.StatusNotFound {
		t.Errorf("before it is declared: got %d %s", got.status, got.body)
	}
	declared := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: w.project.Namespace, Name: "demo"}}
	if err := w.Create(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	if got := w.enter("demo", nil); got.Spec.SessionName != "demo" {
		t.Errorf("the Connection is of Session %s", got.Spec.SessionName)
	}
	if got := w.want(200, http.MethodGet, below+"/session/demo/stream", ""); !strings.Contains(got.body, `"count":1`) {
		t.Errorf("got %s", got.body)
	}
}

// Wrong tokens are counted by address, to join as for REST. A right one is always good.
func TestGuessingTokensIsRefused(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	rest := func(token string) answer {
		request := w.request(http.MethodGet, below+"/session/"+session+"/connection", "")
		request.Header.Set(authHeader, token)
		return w.do(request)
	}
	for range failures.AtOnce / 2 {
		if got := w.ask(session, "wrong"); got.status != http.StatusUnauthorized {
			t.Fatalf("a wrong token to join: got %d %s", got.status, got.body)
		}
		if got := rest("wrong"); got.status != http.StatusForbidden {
			t.Fatalf("a wrong token of REST: got %d %s", got.status, got.body)
		}
	}
	for _, got := range []answer{w.ask(session, "wrong"), rest("wrong")} {
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, nameAuthentication) {
			t.Errorf("after %d wrong ones: got %d %s", failures.AtOnce, got.status, got.body)
		}
	}
	w.enter(session, nil)
	if got := rest(restTokenOf(t, nil)); got.status != http.StatusOK {
		t.Errorf("a right token: got %d %s", got.status, got.body)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	w := newWorld(t)
	session, other := w.newSession(), w.newSession()
	foreign := opentokid.NewSessionID("5", time.Now())
	for name, test := range map[string]struct {
		session, token string
		status         int
		want           string
	}{
		"a token of another session":   {session, connectToken(t, other, nil), 401, nameAuthentication},
		"an expired token":             {session, connectToken(t, session, jwt.MapClaims{"exp": 1}), 401, nameAuthentication},
		"a REST token":                 {session, restTokenOf(t, nil), 401, nameAuthentication},
		"any text":                     {session, "token", 401, nameAuthentication},
		"another secret":               {session, sign(t, jwt.MapClaims{"iss": apiKey, "session_id": session, "scope": "session.connect", "exp": 1 << 40}, "x"), 401, nameAuthentication},
		"a role that does not exist":   {session, connectToken(t, session, jwt.MapClaims{"role": "admin"}), 401, nameAuthentication},
		"a session of another project": {foreign, connectToken(t, foreign, nil), 400, nameInvalidSessionID},
		"a session id with a slash":    {"a/b", connectToken(t, "a/b", nil), 400, nameInvalidSessionID},
		"a session id that is long":    {strings.Repeat("a", 65), connectToken(t, strings.Repeat("a", 65), nil), 400, nameInvalidSessionID},
		"another tenant's session":     {"team.S1", connectToken(t, "team.S1", nil), 400, nameInvalidSessionID},
		"a session that is unknown":    {"demo", connectToken(t, "demo", nil), 404, nameInvalidSessionID},
		"no session":                   {"", connectToken(t, "", nil), 400, nameInvalidParameter},
		"no token":                     {session, "", 400, nameInvalidParameter},
		"data that is long":            {session, connectToken(t, session, jwt.MapClaims{"connection_data": strings.Repeat("a", 10001)}), 400, nameInvalidParameter},
	} {
		got := w.ask(test.session, test.token)
		var problem problemJSON
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != test.status || problem.Name != test.want {
			t.Errorf("%s: got %d %s, want %d and %s", name, got.status, got.body, test.status, test.want)
		}
	}
	var connections v1alpha1.ConnectionList
	if err := w.List(t.Context(), &connections, client.InNamespace(w.project.Namespace)); err != nil || len(connections.Items) != 0 {
		t.Errorf("%d have got in, %v", len(connections.Items), err)
	}
	request := w.request(http.MethodPost, JoinPath, `{"apiKey":"5","sessionId":"`+session+`","token":"x"}`)
	if got := w.do(request); got.status != http.StatusUnauthorized {
		t.Errorf("an unknown API key: got %d %s", got.status, got.body)
	}
	for body, want := range map[string]int{"": 400, "[]": 400, `{"apiKey":5}`: 400, `{"token":"` + strings.Repeat("a", maxBody) + `"}`: 413} {
		w.want(want, http.MethodPost, JoinPath, body)
	}
}

func TestThereIsNoPlace(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	for reason, want := range map[string]struct {
		status int
		name   string
	}{
		v1alpha1.ReasonSessionFull: {http.StatusConflict, nameLimit},
		v1alpha1.ReasonNoCapacity:  {http.StatusServiceUnavailable, nameConnectFailed},
	} {
		w.operator.Behave(operatortest.Behaviour{Refuses: reason})
		got := w.ask(session, connectToken(t, session, nil))
		var problem problemJSON
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != want.status || problem.Name != want.name ||
			(got.header.Get("Retry-After") != "") != (want.status == http.StatusServiceUnavailable) {
			t.Errorf("%s: got %d %v %s", reason, got.status, got.header, got.body)
		}
	}
}

func TestPagesOfAnyOriginMayAsk(t *testing.T) {
	w := newWorld(t)
	request := w.request(http.MethodOptions, JoinPath, "")
	request.Header.Set("Origin", "https://app.example.org")
	request.Header.Set("Access-Control-Request-Method", "POST")
	got := w.do(request)
	if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Headers") != "Content-Type" ||
		got.header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("got %d %v", got.status, got.header)
	}
	// REST tokens are no matter of pages.
	request = w.request(http.MethodOptions, createPath, "")
	if got := w.do(request); got.status != http.StatusMethodNotAllowed || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("REST: got %d %v", got.status, got.header)
	}
}

func TestConnectionsThatNobodyUsedAreRemoved(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	token := connectToken(t, session, nil)
	for range 3 {
		if got := w.ask(session, token); got.status != http.StatusOK {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	used := w.enter(session, nil)
	made := w.sessions()[0]
	made.Status.PendingConnections = 3
	api := w.gateway.Config.Handler.(*API)
	waiting := func(wanted int) {
		t.Helper()
		eventually(t, "the cache to see them", func() bool {
			var seen v1alpha1.ConnectionList
			if err := api.objects.Cached.List(t.Context(), &seen, client.InNamespace(made.Namespace)); err != nil {
				t.Fatal(err)
			}
			count := 0
			for i := range seen.Items {
				if waits(&seen.Items[i]) && seen.Items[i].Status.Token != "" {
					count++
				}
			}
			return count == wanted
		})
	}
	waiting(3)
	if err := api.sweep(t.Context(), &made, time.Now()); err != nil {
		t.Fatal(err)
	}
	waiting(3)
	if err := api.sweep(t.Context(), &made, time.Now().Add(2*unusedTimeout)); err != nil {
		t.Fatal(err)
	}
	waiting(0)
	if got := w.want(200, http.MethodGet, below+"/session/"+session+"/connection", ""); !strings.Contains(got.body, objects.ConnectionID(used)) {
		t.Errorf("who is in the room: %s", got.body)
	}
}

func TestJoinsOfASessionAreBounded(t *testing.T) {
	var j joins
	now := time.Unix(0, 0)
	allowed := 0
	for range 2 * joinsAtOnce {
		if j.allow("a", now) {
			allowed++
		}
	}
	if allowed != joinsAtOnce || !j.allow("b", now) || !j.allow("a", now.Add(time.Second)) {
		t.Errorf("%d have joined at once", allowed)
	}
	for i := range 2 * maxJoined {
		j.allow(time.Unix(int64(i), 0).String(), now)
	}
	if len(j.recent) > maxJoined {
		t.Errorf("%d sessions are remembered", len(j.recent))
	}
}
