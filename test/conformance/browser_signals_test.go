//go:build e2e

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// signalled are the signals that a guest got: type, data and the sender's connection id.
func signalled(g *guest) []string {
	var signals []string
	for _, e := range g.events() {
		if e.On == "session" && e.Name == "signal" {
			signals = append(signals, fmt.Sprintf("%s %q from %s", e.Type, e.Data, e.ConnectionID))
		}
	}
	return signals
}

// wantSignals waits until a guest has exactly these signals.
func wantSignals(g *guest, want []string) {
	g.t.Helper()
	wait.For(g.t, patience, g.Name+" to have its signals", func() error {
		if got := signalled(g); !slices.Equal(got, want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

func TestSignalsGoToAllOrToThoseNamed(t *testing.T) {
	t.Parallel()
	covers(t, "2.9-sendMessage", "3.6-sendMessage", "9-25")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	b := r.enter(t, "b", v1alpha1.RoleSubscriber)
	c := r.enter(t, "c", v1alpha1.RoleModerator)
	everybody := []*guest{a, b, c}
	for _, g := range everybody {
		g.must(g.Listen("chat"))
	}
	want := map[*guest][]string{}
	send := func(from *guest, kind, data, arrives string, to ...*guest) {
		t.Helper()
		var ids []string
		for _, g := range to {
			ids = append(ids, g.id())
		}
		from.must(from.Signal(kind, data, ids...))
		if len(to) == 0 {
			to = everybody
		}
		for _, g := range slices.Compact(to) {
			want[g] = append(want[g], fmt.Sprintf("%s %q from %s", arrives, data, from.id()))
			wantSignals(g, want[g])
		}
	}
	send(a, "chat", "to all", "signal:chat")
	send(b, "", "without a type", "signal:signal")
	send(c, "chat", "to one", "signal:chat", a)
	send(a, "other", "to two, and to itself", "signal:other", a, b)
	send(b, "chat", "twice the same", "signal:chat", c, c)
	send(b, "chat", "", "signal:chat")
	send(c, "chat", "ünïcode \" \\ \u2028 🎥", "signal:chat")
	for _, g := range everybody {
		typed := 0
		for _, e := range g.events() {
			if e.Name == "signal:chat" {
				typed++
			}
		}
		if wanted := len(slices.DeleteFunc(slices.Clone(want[g]), func(s string) bool { return s[:len("signal:chat")] != "signal:chat" })); typed != wanted {
			t.Errorf("the listener of %s for signal:chat was called %d times, want %d", g.Name, typed, wanted)
		}
		g.undisturbed()
	}
}

func TestManySignalsArriveInTheirOrder(t *testing.T) {
	t.Parallel()
	covers(t, "2.9-sendMessage", "1.5-order")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	b := r.enter(t, "b", v1alpha1.RoleSubscriber)
	const count = 100
	a.must(a.Signals("count", count))
	for _, g := range []*guest{a, b} {
		wait.For(t, patience, g.Name+" to get all signals", func() error {
			if n := g.count("signal"); n != count {
				return fmt.Errorf("got %d", n)
			}
			return nil
		})
		next := 0
		for _, e := range g.events() {
			if e.Name != "signal" {
				continue
			}
			if e.Data != strconv.Itoa(next) {
				t.Fatalf("%s got signal %s where %d was due", g.Name, e.Data, next)
			}
			next++
		}
	}
}

func TestASignalThatIsTooBigHarmsItsSenderOnly(t *testing.T) {
	t.Parallel()
	covers(t, "1.2-size")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	b := r.enter(t, "b", v1alpha1.RolePublisher)
	b.publish(browser.Publication{})
	// Far more than the reference's 50 KiB is fine.
	a.must(a.BigSignal(500_000))
	got := b.gets("signal", nil)
	if len(got.Data) != 500_000 {
		t.Errorf("%d bytes of 500,000 arrived", len(got.Data))
	}
	if err := a.BigSignal(2 << 20); err == nil {
		t.Error("a signal of 2 MiB was accepted")
	}
	a.receives(b)
	b.undisturbed()
	if n := b.count("signal"); n != 1 {
		t.Errorf("%s got %d signals, want 1", b.Name, n)
	}
	// The sender itself goes on, at the latest after a reconnection.
	wait.For(t, 2*patience, "the sender to signal again", func() error { return a.Signal("small", "again") })
	b.gets("signal", func(e browser.Event) bool { return e.Type == "signal:small" && e.Data == "again" })
}

func TestTheServerSignals(t *testing.T) {
	t.Parallel()
	covers(t, "3.6-server")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "a", v1alpha1.RolePublisher)
	b := r.enter(t, "b", v1alpha1.RoleSubscriber)
	for _, g := range []*guest{a, b} {
		g.must(g.Listen("news"))
	}
	post := func(want int, body map[string]any) {
		t.Helper()
		if got := postSignal(t, body); got != want {
			t.Errorf("POST /signal %v gave status %d, want %d", body, got, want)
		}
	}
	post(http.StatusOK, map[string]any{"session": r.name, "type": "news", "data": "to all"})
	post(http.StatusOK, map[string]any{"session": r.name, "type": "signal:news", "data": "to one", "to": []string{b.id()}})
	post(http.StatusOK, map[string]any{"session": r.name, "data": "untyped"})
	post(http.StatusNotAcceptable, map[string]any{"session": r.name, "data": "lost", "to": []string{a.id(), "con_NobodyHere"}})
	post(http.StatusNotFound, map[string]any{"session": "nowhere", "data": "lost"})
	// Two things tell the end of the list: another signal, and who has it.
	b.must(b.Signal("end", "end"))
	toAll, toOne := `signal:news "to all" from `, `signal:news "to one" from `
	untyped := fmt.Sprintf("%s %q from ", typeOfUntyped(a), "untyped")
	end := fmt.Sprintf("signal:end %q from %s", "end", b.id())
	wantSignals(a, []string{toAll, untyped, end})
	wantSignals(b, []string{toAll, toOne, untyped, end})
	for g, want := range map[*guest]int{a: 1, b: 2} {
		n := 0
		for _, e := range g.events() {
			if e.Name == "signal:news" {
				n++
			}
		}
		if n != want {
			t.Errorf("the listener of %s for signal:news was called %d times, want %d", g.Name, n, want)
		}
	}
}

// typeOfUntyped is the type that the package gives a signal without one.
func typeOfUntyped(g *guest) string {
	g.t.Helper()
	return g.gets("signal", func(e browser.Event) bool { return e.Data == "untyped" }).Type
}

// postSignal calls the gateway's REST API and returns the status of its answer.
func postSignal(t *testing.T, body map[string]any) int {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, kube.GatewayURL+"/openvidu/api/signal", bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	password, err := kube.Clientset.CoreV1().Secrets(cluster.DefaultTenant).Get(t.Context(), "mediarooms-rest", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("OPENVIDUAPP", string(password.Data["secret"]))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
