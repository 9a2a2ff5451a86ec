//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// The timers of the protocol (openvidu-rpc 7.6) that decide what a cut means.
const (
	pingInterval    = 5 * time.Second
	watchdog        = 3 * pingInterval
	reconnectWindow = 10 * time.Second
)

// cuts is how often the network is cut for some seconds, at as many places between two pings.
// Half a minute is the same wherever it begins, but for when the client notices: longCuts are
// enough, unless MEDIAROOMS_ROUNDS says more.
const (
	cuts     = 10
	longCuts = 3
)

// cutPublication is small: several browsers run at once.
var cutPublication = browser.Publication{Resolution: "160x120", FrameRate: 10}

// slowPublication is for several such calls at once: a browser that has no CPU to spare may confirm
// a message and close its socket before its page has had it.
var slowPublication = browser.Publication{Resolution: "160x120", FrameRate: 5}

// What a cut of everything, both ways, without a word means by the protocol. A client pings every 5
// s and takes its socket for lost when an answer does not come within 5 s; the pod takes it for
// lost 15 s after its last message, and evicts it 10 s after that.
//
//	        the client                                         the pod
//	3 s     notices only if it pings during the cut, at once   notices nothing, or another socket
//	8 s     notices 5 s after its first ping during the cut    another socket; or its watchdog, 10 s to 15 s after the
//	                                                           beginning, and the client is back within its window
//	30 s    as above, but nothing can be reached               evicts 20 s to 25 s after the beginning
//
// So for 3 s and 8 s the same participant goes on, whenever the pings are; for 30 s it is evicted
// before the network is back. The rounds begin at different times between two pings.
func TestNetworkCuts(t *testing.T) {
	segment, err := network.SegmentOf(kube.Nodes[0].IP)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	gateway := net.JoinHostPort(kube.Nodes[0].IP, strconv.Itoa(gatewayNodePort(t)))
	// They are watched from a browser whose network is never cut.
	observers := chromium(t, 0)
	play := func(t *testing.T, number int, duration time.Duration, outcome func(*testing.T, *cutRig, time.Duration)) {
		outcome(t, newCutRig(t, segment.NewMachine(t, number), gateway, observers), duration)
	}
	// Two at once: they wait most of the time, and three take more CPU than there may be.
	t.Run("short", func(t *testing.T) {
		for number, duration := range []time.Duration{3 * time.Second, 8 * time.Second} {
			t.Run(duration.String(), func(t *testing.T) {
				t.Parallel()
				play(t, number, duration, survive)
			})
		}
	})
	t.Run("long", func(t *testing.T) { play(t, 2, 30*time.Second, perish) })
}

// gatewayNodePort is the port of the nodes on which the gateway can be reached.
func gatewayNodePort(t *testing.T) int {
	t.Helper()
	service := &corev1.Service{}
	name := client.ObjectKey{Namespace: cluster.Namespace, Name: "mediarooms-gateway"}
	if err := kube.Client.Get(t.Context(), name, service); err != nil {
		t.Fatal(err)
	}
	if len(service.Spec.Ports) == 0 || service.Spec.Ports[0].NodePort == 0 {
		t.Fatalf("the gateway's Service has no node port: %+v", service.Spec)
	}
	return int(service.Spec.Ports[0].NodePort)
}

// cutRig is a room, a browser on a machine whose network can be cut, and somebody else in the room.
type cutRig struct {
	room
	machine  *network.Machine
	client   opener
	observer *guest
}

func newCutRig(t *testing.T, machine *network.Machine, gateway string, observers opener) *cutRig {
	t.Helper()
	inside := siteOn(t, machine)
	// The token names an address of this machine. There is nothing in between that would keep the
	// connections of the browser alive.
	b, err := browser.StartAt(browser.Place{
		NetworkNamespace: machine.Namespace(),
		Addresses:        map[string]string{strings.TrimPrefix(kube.GatewayURL, "http://"): gateway},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	rig := &cutRig{room: newRoom(t), machine: machine, client: onSite{b, inside}}
	rig.admit(t, "observer", v1alpha1.RolePublisher)
	rig.observer = joinWith(t, observers, rig.namespace, "observer")
	rig.observer.publishes(t, slowPublication)
	return rig
}

// siteOn serves the page on a host, until the end of the test.
func siteOn(t *testing.T, machine clientHost) *browser.Site {
	t.Helper()
	listener, err := machine.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inside, err := browser.ServeOn(t.Context(), listener)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inside.Close() }) // nobody is left to be served
	return inside
}

// onSite is a browser that opens the page of its own site.
type onSite struct {
	in   opener
	site *browser.Site
}

// OpenParticipant implements opener.
func (b onSite) OpenParticipant(t testing.TB, _ *browser.Site, name string) *browser.Participant {
	return b.in.OpenParticipant(t, b.site, name)
}

// publishSmall publishes what costs little.
func (g *guest) publishSmall(t *testing.T) {
	t.Helper()
	g.publishes(t, cutPublication)
}

func (g *guest) publishes(t *testing.T, publication browser.Publication) {
	t.Helper()
	stream, err := g.PublishWith(publication)
	if err != nil {
		t.Fatalf("publishing as %s: %v", g.Name, err)
	}
	g.streamID = stream.StreamID
}

// enter lets somebody join from the machine, and waits until both see each other.
func (r *cutRig) enter(t *testing.T, name string) *guest {
	t.Helper()
	r.admit(t, name, v1alpha1.RolePublisher)
	g := joinWith(t, r.client, r.namespace, name)
	g.publishes(t, slowPublication)
	g.advances(t, r.observer, 20*time.Second)
	r.observer.advances(t, g, 20*time.Second)
	return g
}

// advances waits until a guest has seen a second more of another. It returns how long that took.
func (g *guest) advances(t *testing.T, other *guest, within time.Duration) time.Duration {
	t.Helper()
	from := int64(-1)
	return wait.For(t, within, fmt.Sprintf("%s to see %s move", g.Name, other.Name), func() error {
		media, err := g.Received(other.joined.ConnectionID)
		if err != nil {
			return err
		}
		decoded := media.Video.FramesDecoded
		if from < 0 || decoded < from {
			from = decoded // a new peer connection counts anew
		}
		if decoded < from+int64(cutPublication.FrameRate) {
			return fmt.Errorf("%d frames decoded, %d before; ICE is %s", decoded, from, media.ICEState)
		}
		return nil
	})
}

// outage is a time without network.
type outage struct {
	began time.Time
	total time.Time // from then on nothing passed: to cut takes a while on a busy computer
	ended time.Time
}

// cut cuts the network of a guest for a while, beginning a given time before it pings.
func (r *cutRig) cut(t *testing.T, g *guest, beforePing, duration time.Duration) (o outage) {
	t.Helper()
	last := g.lastPing(t)
	begin := last.Add(pingInterval - beforePing)
	for time.Until(begin) < 0 {
		begin = begin.Add(pingInterval)
	}
	<-time.After(time.Until(begin))
	o.began = time.Now()
	if err := r.machine.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.total = time.Now()
	// What others do meanwhile must not be lost.
	if err := r.observer.Signal("meanwhile", o.began.String()); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(o.began.Add(duration)))
	if err := r.machine.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ended = time.Now()
	return o
}

// frames are the messages on a guest's sockets.
func (g *guest) frames() []browser.Frame {
	return g.Tab.(*browser.Page).Frames()
}

// lastPing is when a guest sent its last ping.
func (g *guest) lastPing(t *testing.T) time.Time {
	t.Helper()
	var last time.Time
	for _, frame := range g.frames() {
		if frame.Sent && frame.Method == "ping" {
			last = frame.At
		}
	}
	if last.IsZero() {
		t.Fatalf("%s has sent no ping", g.Name)
	}
	return last
}

// lastMessage is when a guest sent its last message before a time.
func (g *guest) lastMessage(before time.Time) time.Time {
	var last time.Time
	for _, frame := range g.frames() {
		if frame.Sent && frame.At.Before(before) {
			last = frame.At
		}
	}
	return last
}

// pongAfter gives no error when a ping that a guest sent after a time has been answered.
func (g *guest) pongAfter(sent time.Time) error {
	pings := map[int64]bool{}
	for _, frame := range g.frames() {
		switch {
		case frame.ID == nil:
		case frame.Sent && frame.Method == "ping" && frame.At.After(sent):
			pings[*frame.ID] = true
		case !frame.Sent && frame.Result != nil && pings[*frame.ID]:
			return nil
		}
	}
	return fmt.Errorf("none of %d pings was answered", len(pings))
}

// count counts a guest's events of the session with a name since a time.
func (g *guest) count(t *testing.T, since time.Time, match func(browser.Event) bool) int {
	t.Helper()
	events, err := g.Events()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, event := range events {
		if event.On == "session" && !event.Time().Before(since) && match(event) {
			n++
		}
	}
	return n
}

func named(name string) func(browser.Event) bool {
	return func(e browser.Event) bool { return e.Name == name }
}

// survive cuts so shortly that the participant goes on, as often as it takes, with the same one.
func survive(t *testing.T, rig *cutRig, duration time.Duration) {
	g := rig.enter(t, "traveller")
	entered := time.Now()
	for round := range cuts {
		beforePing := pingInterval/cuts*time.Duration(round) + pingInterval/cuts/2
		cut := rig.cut(t, g, beforePing, duration)
		began, ended := cut.began, cut.ended

		wait.For(t, 30*time.Second, "the client's socket to work again", func() error {
			if reconnecting, reconnected := g.count(t, began, named("reconnecting")), g.count(t, began, named("reconnected")); reconnecting != reconnected {
				return fmt.Errorf("%d times reconnecting, %d times reconnected", reconnecting, reconnected)
			}
			return g.pongAfter(ended)
		})
		socket := time.Since(ended)
		g.advances(t, rig.observer, 20*time.Second)
		rig.observer.advances(t, g, 20*time.Second)
		heard := 0
		wait.For(t, 5*time.Second, "the client to get the signal that was sent meanwhile", func() error {
			heard = g.count(t, began, func(e browser.Event) bool { return e.Type == "signal:meanwhile" && e.Data == began.String() })
			if heard == 0 {
				return fmt.Errorf("it did not come")
			}
			return nil
		})
		t.Logf("round %d, cut %v before a ping: reconnected %d times; all was well %v (socket) and %v (pictures) after the cut; the signal came %d times",
			round+1, beforePing, g.count(t, began, named("reconnected")), socket.Round(time.Millisecond), time.Since(ended).Round(time.Millisecond), heard)
	}
	for _, end := range []*guest{g, rig.observer} {
		events, err := end.Events()
		if err != nil {
			t.Fatal(err)
		}
		created := 0
		for _, event := range events {
			switch event.Name {
			case "sessionDisconnected", "connectionDestroyed", "streamDestroyed", "failed":
				t.Errorf("%s got %+v", end.Name, event)
			case "streamCreated", "connectionCreated":
				created++
			}
		}
		// The own connection and stream, and those of the other.
		if created != 4 {
			t.Errorf("%s was told of %d connections and streams, want 4", end.Name, created)
		}
	}
	rig.observer.undisturbedSince(t, entered)
	connection, err := kube.Connection(rig.namespace, g.connection)
	if err != nil {
		t.Fatal(err)
	}
	if s := connection.Status; s.State != v1alpha1.ConnectionStateActive || len(s.Publishers) != 1 || s.Publishers[0].StreamID != g.streamID {
		t.Errorf("Connection %s: %s, publishers %+v; want it active with its stream", g.connection, s.State, s.Publishers)
	}
}

// perish cuts so long that the participant is evicted. Each round has a participant of its own.
func perish(t *testing.T, rig *cutRig, duration time.Duration) {
	rounds := roundsOr(longCuts)
	for round := range rounds {
		perishOnce(t, rig, round, pingInterval/time.Duration(2*rounds)*time.Duration(2*round+1), duration)
	}
}

func perishOnce(t *testing.T, rig *cutRig, round int, beforePing, duration time.Duration) {
	g := rig.enter(t, "traveller-"+strconv.Itoa(round+1))
	defer g.Close()
	cut := rig.cut(t, g, beforePing, duration)
	began, ended := cut.began, cut.ended

	left := rig.observer.told(t, browser.Event{
		On: "session", Name: "connectionDestroyed", ConnectionID: g.joined.ConnectionID, Reason: "networkDisconnect",
	})
	rig.observer.told(t, browser.Event{
		On: "session", Name: "streamDestroyed", ConnectionID: g.joined.ConnectionID, StreamID: g.streamID, Reason: "networkDisconnect",
	})
	// Its UDP fails during the cut, and after it nobody answers a client that was given up.
	g.UseTCP()
	// Any message is a sign of life, as a ping is.
	const early, late = 500 * time.Millisecond, 3 * time.Second
	// Of a message that was sent while the network was being cut it is not known whether it has
	// arrived.
	took, least := left.Time().Sub(g.lastMessage(began)), left.Time().Sub(g.lastMessage(cut.total))
	if took < watchdog+reconnectWindow-early || least > watchdog+reconnectWindow+late {
		t.Errorf("round %d: evicted %v to %v after its last message, want %v", round+1, least, took, watchdog+reconnectWindow)
	}
	wait.For(t, 5*time.Second, "the status to say that the network was lost", func() error {
		return disconnectedBy(rig.namespace, g.connection, "networkDisconnect")
	})
	out := g.disconnected(t, 30*time.Second)
	if out.Reason != "networkDisconnect" {
		t.Errorf("round %d: the client was told reason %q, want networkDisconnect", round+1, out.Reason)
	}
	for name, want := range map[string]int{"reconnecting": 1, "reconnected": 0, "sessionDisconnected": 1} {
		if got := g.count(t, began, named(name)); got != want {
			t.Errorf("round %d: the client got %s %d times, want %d", round+1, name, got, want)
		}
	}
	rig.observer.undisturbedSince(t, began)
	t.Logf("round %d, cut %v before a ping: evicted %v after its last message and %v before the end of the cut; the client knew %v after it",
		round+1, beforePing, took.Round(time.Millisecond), ended.Sub(left.Time()).Round(time.Millisecond), out.Time().Sub(ended).Round(time.Millisecond))
}

// disconnectedBy gives no error when a Connection's status says that its user has left for a
// reason.
func disconnectedBy(namespace, name, reason string) error {
	connection, err := kube.Connection(namespace, name)
	if err != nil {
		return err
	}
	if s := connection.Status; s.State != v1alpha1.ConnectionStateDisconnected || s.DisconnectReason != reason {
		return fmt.Errorf("it is %s for %q", s.State, s.DisconnectReason)
	}
	return nil
}
