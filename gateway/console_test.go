package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/test/wait"
)

// seen is what a test looks at of an answer of the console.
type seen struct {
	status int
	header http.Header
	body   string

	Code   string
	Viewer struct {
		Name       string
		Tenant     bool
		Namespaces []string
	}
	Totals     struct{ Rooms, People int }
	Rooms      []struct{ Namespace, Name, ID, State, Pod string }
	Room       struct{ Namespace, Name string }
	People     []struct{ Name, Label, State string }
	Pools      []struct{ Name string }
	Pods       []struct{ Name string }
	Recordings []struct{ Namespace, Name string }
	Events     []struct{ Namespace, Kind, Name, Reason string }
	Unseen     []string
}

// rooms are the rooms of an answer.
func (s *seen) rooms() (all []string) {
	for _, r := range s.Rooms {
		all = append(all, r.Namespace+"/"+r.Name)
	}
	slices.Sort(all)
	return all
}

// startConsole starts a gateway with the console, which believes a header about addresses.
func startConsole(t *testing.T) *running {
	t.Helper()
	r := start(t, account, mtlstest.NewAuthority(t), func(c *gateway.Config) {
		c.Console = true
		c.TrustedProxyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	r.untilReady()
	return r
}

// see asks the console.
func (r *running) see(path string, authorize func(*http.Request)) *seen {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+r.config.Address+"/console/api/"+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	authorize(request)
	response, err := (&http.Client{Timeout: bound}).Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	s := &seen{status: response.StatusCode, header: response.Header, body: string(body)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, s); err != nil {
			r.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	return s
}

func byPassword(secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("OPENVIDUAPP", secret) }
}

func byToken(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// from has a request come from an address.
func from(address string, authorize func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("X-Forwarded-For", address)
		authorize(r)
	}
}

// become makes a namespace a tenant.
func become(t *testing.T, namespace, secret string) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mediarooms-rest"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "mediarooms-rest"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "mediarooms-gateway"}},
	})
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenant.SecretName},
		Data:       map[string][]byte{tenant.CurrentKey: []byte(secret)},
	})
}

// invite creates a Connection with a token.
func invite(t *testing.T, namespace, session, name string) {
	t.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ConnectionSpec{SessionName: session, Role: v1alpha1.RoleModerator},
	}
	create(t, connection)
	connection.Status.State = v1alpha1.ConnectionStateActive
	connection.Status.Token = "wss://rooms.example.org?token=" + tokenOfTests
	connection.Status.ClientData = `{"clientData":"Ada"}`
	if err := admin.Status().Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
}

// tokenOfTests must never be seen.
const tokenOfTests = "tok_SECRET"

// tell creates an Event of an object of this project, or of another API.
func tell(t *testing.T, namespace, version, kind, of, name string) {
	t.Helper()
	create(t, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name},
		InvolvedObject: corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: of, Name: name},
		Reason:         "Told", Message: "told of " + name, Type: corev1.EventTypeNormal,
	})
}

const ours = "mediarooms.dev/v1alpha1"

// user creates a service account and returns a token for it.
func user(t *testing.T, name string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	create(t, account)
	request := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// permit lets a service account list something; in a namespace, or in all for "".
func permit(t *testing.T, name, namespace, group string, resources ...string) {
	t.Helper()
	role := fmt.Sprintf("%s-%s-%s", name, namespace, resources[0])
	rules := []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: resources, Verbs: []string{"list"}}}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}}
	if namespace == "" {
		create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}, Rules: rules})
		create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}})
		return
	}
	create(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role}, Rules: rules})
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
	})
}

// eventuallySees waits until an answer is as wanted.
func (r *running) eventuallySees(path string, authorize func(*http.Request), what string, wanted func(*seen) bool) *seen {
	r.Helper()
	var last *seen
	wait.For(r.T, bound, what, func() error {
		if last = r.see(path, authorize); !wanted(last) {
			return fmt.Errorf("got %d %s", last.status, last.body)
		}
		return nil
	})
	return last
}

// made counts namespaces: this API server never quite deletes any.
var made atomic.Int32

// isolated makes two tenants with a room each, and what belongs to it.
func isolated(t *testing.T, kind string) (one, other string) {
	t.Helper()
	suffix := fmt.Sprintf("%s-%d", kind, made.Add(1))
	one, other = "one-"+suffix, "other-"+suffix
	for _, namespace := range []string{one, other} {
		become(t, namespace, "SECRET_of_"+namespace)
		place(t, namespace, "room", "pod-"+suffix)
		invite(t, namespace, "room", "ada")
		create(t, &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "recording"}, Spec: v1alpha1.RecordingSpec{SessionName: "room"}})
		tell(t, namespace, ours, "Session", namespace, "room")
		tell(t, namespace, "v1", "Pod", namespace, "pod")
	}
	return one, other
}

// whole says that a gateway has seen all that isolated has made in a namespace.
func whole(namespace string) func(*seen) bool {
	return func(s *seen) bool {
		return s.status == http.StatusOK && slices.Contains(s.rooms(), namespace+"/room") &&
			slices.ContainsFunc(s.Recordings, func(r struct{ Namespace, Name string }) bool { return r.Namespace == namespace }) &&
			slices.ContainsFunc(s.Events, func(e struct{ Namespace, Kind, Name, Reason string }) bool { return e.Namespace == namespace })
	}
}

func TestATenantSeesItsOwnRoomsOnly(t *testing.T) {
	one, other := isolated(t, "tenants")
	create(t, &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "of-all"}, Spec: v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org"}})
	place(t, "default", "of-default", "pod-x")
	tell(t, "default", ours, "MediaPool", "", "of-all")
	tell(t, "default", ours, "Session", "default", "of-default")
	r := startConsole(t)
	for _, own := range []string{one, other} {
		foreign := one
		if own == one {
			foreign = other
		}
		authorize := byPassword("SECRET_of_" + own)
		s := r.eventuallySees("overview", authorize, "everything of "+own, whole(own))
		if got := s.rooms(); !slices.Equal(got, []string{own + "/room"}) || s.Totals.Rooms != 1 {
			t.Errorf("%s sees the rooms %v, %d in all", own, got, s.Totals.Rooms)
		}
		if s.Pools != nil || s.Pods != nil {
			t.Errorf("%s sees pools and pods: %s", own, s.body)
		}
		for _, secret := range []string{foreign, "of-all", "of-default", tokenOfTests, "told of pod"} {
			if strings.Contains(s.body, secret) {
				t.Errorf("%s sees %s: %s", own, secret, s.body)
			}
		}
		room := r.eventuallySees("room?name=room&namespace="+own, authorize, "the people of "+own, func(s *seen) bool { return len(s.People) == 1 })
		if room.People[0].Label != "Ada" || strings.Contains(room.body, tokenOfTests) {
			t.Errorf("%s sees of its people: %s", own, room.body)
		}
		for path, want := range map[string]int{
			"room?name=room&namespace=" + foreign:   http.StatusNotFound,
			"room?name=other&namespace=" + own:      http.StatusNotFound,
			"room?name=room":                        http.StatusBadRequest,
			"overview?namespace=" + foreign:         http.StatusForbidden,
			"overview?namespace=kube-system":        http.StatusForbidden,
			"overview?namespace=../" + foreign:      http.StatusBadRequest,
			"overview?search=x&namespace=" + own:    http.StatusOK,
			"overview?search=" + long(101):          http.StatusBadRequest,
			"overview?search=x&other=" + long(2000): http.StatusBadRequest,
			"secrets":                               http.StatusNotFound,
		} {
			if got := r.see(path, authorize); got.status != want || strings.Contains(got.body, foreign) {
				t.Errorf("%s asks for %s: got %d %s, want %d", own, path, got.status, got.body, want)
			}
		}
	}
	s := r.eventuallySees("overview", byPassword(password), "the Event of the default tenant", func(s *seen) bool { return len(s.Events) > 0 })
	if strings.Contains(s.body, "of-all") {
		t.Errorf("the tenant of the namespace default sees the Events of pools, which are there, too: %s", s.body)
	}
}

func long(length int) string { return strings.Repeat("x", length) }

func TestWrongPasswordsOfTheConsoleAreThoseOfREST(t *testing.T) {
	r := startConsole(t)
	nobody := func(*http.Request) {}
	for range 2 * failures.AtOnce {
		if got := r.see("overview", from("192.0.2.200", nobody)); got.status != http.StatusUnauthorized {
			t.Fatalf("without a credential: got %d", got.status)
		}
	}
	guess := from("192.0.2.200", byPassword("WRONG_PASSWORD"))
	token := from("192.0.2.200", byToken("wrong.token.here"))
	for name, authorize := range map[string]func(*http.Request){"password": guess, "token": token} {
		got := r.eventuallySees("overview", authorize, "the answer for a wrong "+name, func(s *seen) bool { return s.status == http.StatusUnauthorized })
		if got.Code != "unauthenticated" || strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("a wrong %s: got %s with %v", name, got.body, got.header)
		}
	}
	byREST := func() int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.config.Address+"/openvidu/api/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		guess(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	for name, try := range map[string]func() int{
		"password": func() int { return r.see("overview", guess).status }, "token": func() int { return r.see("overview", token).status }, "password for REST": byREST,
	} {
		wait.For(t, bound, "one more wrong "+name+" to be too many", func() error {
			// Every few seconds the address may try once more.
			for range 2 * failures.AtOnce {
				if got := r.see("overview", guess); got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "" {
					break
				}
			}
			if got := try(); got != http.StatusTooManyRequests {
				return fmt.Errorf("got %d", got)
			}
			return nil
		})
	}
	if got := r.see("overview", from("192.0.2.200", byPassword(password))); got.status != http.StatusOK {
		t.Errorf("the right password after many wrong ones: got %d", got.status)
	}
	for name, value := range map[string]string{"no scheme": "OPENVIDUAPP", "no token": "Bearer ", "too long": "Bearer " + long(9000), "bad base64": "Basic ###"} {
		got := r.see("overview", from("192.0.2.201", func(r *http.Request) { r.Header.Set("Authorization", value) }))
		if got.status != http.StatusUnauthorized {
			t.Errorf("%s: got %d", name, got.status)
		}
	}
}

func TestATokenSeesWhatItsUserMayList(t *testing.T) {
	one, other := isolated(t, "tokens")
	create(t, &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "of-tokens"}, Spec: v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org"}})
	tell(t, "default", ours, "MediaPool", "", "of-tokens")
	startPod(t, mtlstest.NewAuthority(t), "pod-tokens")
	r := startConsole(t)

	nobody := byToken(user(t, "nobody"))
	if got := r.see("overview", nobody); got.status != http.StatusForbidden || got.Code != "forbidden" {
		t.Errorf("without rights: got %d %s", got.status, got.body)
	}
	if got := r.see("overview?namespace="+one, nobody); got.status != http.StatusForbidden {
		t.Errorf("without rights, a namespace: got %d %s", got.status, got.body)
	}
	if got := r.see("room?name=room&namespace="+one, nobody); got.status != http.StatusNotFound {
		t.Errorf("without rights, a room: got %d %s", got.status, got.body)
	}

	permit(t, "some", one, v1alpha1.GroupVersion.Group, "sessions")
	some := byToken(user(t, "some"))
	s := r.eventuallySees("overview", some, "the room of one namespace", func(s *seen) bool { return s.status == http.StatusOK })
	if got := s.rooms(); !slices.Equal(got, []string{one + "/room"}) || s.Viewer.Name != "system:serviceaccount:default:some" || s.Viewer.Tenant {
		t.Errorf("with rights in %s: sees %v as %v", one, got, s.Viewer)
	}
	if s.Recordings != nil || s.Events != nil || s.Pools != nil || s.Pods != nil || strings.Contains(s.body, other) {
		t.Errorf("with rights on sessions only: sees %s", s.body)
	}
	if got := r.see("room?name=room&namespace="+one, some); got.status != http.StatusOK || got.People != nil || strings.Contains(got.body, "Ada") {
		t.Errorf("with rights on sessions only, a room: sees %s", got.body)
	}
	if got := r.see("room?name=room&namespace="+other, some); got.status != http.StatusNotFound {
		t.Errorf("another namespace's room: got %d %s", got.status, got.body)
	}
	if got := r.see("overview?namespace="+other, some); got.status != http.StatusForbidden || got.Code != "namespace" {
		t.Errorf("another namespace: got %d %s", got.status, got.body)
	}

	permit(t, "platform", "", v1alpha1.GroupVersion.Group, "sessions", "connections", "recordings", "mediapools")
	permit(t, "platform", "", "", "events", "pods")
	platform := byToken(user(t, "platform"))
	s = r.eventuallySees("overview", platform, "everything of both namespaces", func(s *seen) bool {
		return whole(one)(s) && whole(other)(s) && strings.Contains(s.body, "told of of-tokens") && len(s.Pods) > 0
	})
	if s.Viewer.Namespaces != nil || !slices.ContainsFunc(s.Pools, func(p struct{ Name string }) bool { return p.Name == "of-tokens" }) || s.Pods[0].Name != "pod-tokens" {
		t.Errorf("the platform team sees %s", s.body)
	}
	if s := r.see("overview?namespace="+one, platform); s.status != http.StatusOK || !slices.Equal(s.rooms(), []string{one + "/room"}) {
		t.Errorf("the platform team, of one namespace: sees %v", s.rooms())
	}
	r.eventuallySees("room?name=room&namespace="+other, platform, "the people of a tenant", func(s *seen) bool { return len(s.People) == 1 && !strings.Contains(s.body, tokenOfTests) })

	// In a namespace of no tenant the gateway has no rights on Connections, whoever asks.
	none := fmt.Sprintf("none-%d", made.Add(1))
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: none}})
	place(t, none, "room", "pod-tokens")
	got := r.eventuallySees("room?name=room&namespace="+none, platform, "the room of no tenant", func(s *seen) bool { return s.status == http.StatusOK })
	if got.People != nil || !slices.Contains(got.Unseen, "connections") {
		t.Errorf("in a namespace of no tenant: sees %s", got.body)
	}
}

func TestTheConsoleAnswersOnlyWhatIsNew(t *testing.T) {
	r := startConsole(t)
	first := r.see("overview", byPassword(password))
	tag := first.header.Get("ETag")
	again := r.see("overview", func(r *http.Request) {
		byPassword(password)(r)
		r.Header.Set("If-None-Match", tag)
	})
	if first.status != http.StatusOK || tag == "" || again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("got %d %q, then %d %s", first.status, tag, again.status, again.body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": ""} {
		if got := first.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	place(t, "default", "newest", "pod-y")
	r.eventuallySees("overview", func(r *http.Request) {
		byPassword(password)(r)
		r.Header.Set("If-None-Match", tag)
	}, "the new room", func(s *seen) bool { return slices.Contains(s.rooms(), "default/newest") })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.config.Address+"/console/api/overview", nil)
	if err != nil {
		t.Fatal(err)
	}
	byPassword(password)(request)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", response.StatusCode)
	}
}

func TestTheConsoleIsOffByDefault(t *testing.T) {
	r := start(t, account, mtlstest.NewAuthority(t), nil)
	r.untilReady()
	for _, path := range []string{"/console", "/console/", "/console/api/overview"} {
		if status, body, _ := r.get(r.config.Address, path); status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
}

// mayReview says whether the gateway may ask the API server about tokens.
func mayReview(t *testing.T) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: account.Impersonate.UserName, Groups: account.Impersonate.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews"},
	}}
	if err := admin.Create(context.Background(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestAGatewayWithoutTheRightsOfTheConsoleServes(t *testing.T) {
	binding := &rbacv1.ClusterRoleBinding{}
	if err := admin.Get(t.Context(), client.ObjectKey{Name: "mediarooms-console"}, binding); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		binding.ResourceVersion, binding.UID = "", ""
		if err := admin.Create(context.Background(), binding); err != nil {
			t.Error(err)
		}
		eventually(t, "the rights of the console to be back", func() bool { return mayReview(t) })
	})
	eventually(t, "the rights of the console to be gone", func() bool { return !mayReview(t) })
	r := startConsole(t)
	s := r.eventuallySees("overview", byPassword(password), "an answer", func(s *seen) bool { return s.status == http.StatusOK })
	if !slices.Equal(s.Unseen, []string{"recordings", "events"}) || s.Recordings != nil || s.Events != nil {
		t.Errorf("without rights on them it shows %s", s.body)
	}
	if got := r.see("overview", byToken("some.token.here")); got.status != http.StatusServiceUnavailable {
		t.Errorf("a token that can't be reviewed: got %d %s", got.status, got.body)
	}
}
