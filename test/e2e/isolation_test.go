//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// Being cut off is not being dead (docs/adr/0051): while the parts of Mediarooms can't reach each
// other, calls go on whose clients can reach their media pod.
func TestCutsBetweenThePartsEndNoCall(t *testing.T) {
	rig := newIsolationRig(t)
	for _, scene := range []struct {
		name string
		at   *network.Place
		lose []netip.Prefix
		// unheard says that the operator does not hear of the far pod, and can say so.
		unheard bool
	}{
		{"the operator and a pod", rig.operator, []netip.Prefix{host(rig.far.pod.Status.PodIP)}, true},
		{"the operator and all pods", rig.operator, rig.mediaPods(t), true},
		{"the operator and the API server", rig.operator, rig.apiServer(t), false},
		{"the nodes", rig.near.node, []netip.Prefix{host(rig.far.machine.IP), netip.MustParsePrefix(rig.far.machine.PodSubnet)}, true},
	} {
		for _, duration := range []time.Duration{5 * time.Second, 15 * time.Second, time.Minute} {
			t.Run(fmt.Sprintf("%s, for %v", scene.name, duration), func(t *testing.T) {
				rig.round(t, scene.at, scene.lose, duration, scene.unheard && duration > 10*time.Second)
			})
		}
	}
}

// isolationRig is a call on each node: one where the operator is, and one where it is not.
type isolationRig struct {
	operator  *network.Place
	near, far *side
	rounds    int
}

// side is a node with a pool of one media pod, and a call there whose clients come through the
// gateway of the node.
type side struct {
	machine cluster.Node
	node    *network.Place
	pod     *corev1.Pod
	gateway string // HOST:PORT
	// namespace and room name the Session.
	namespace, room string
	// a and b are browsers that see each other; nil where the operator is. raw is somebody there.
	a, b *guest
	raw  *rawclient.Client
}

func newIsolationRig(t *testing.T) *isolationRig {
	t.Helper()
	operators := running(t, "manager")
	if len(operators) != 1 {
		t.Fatalf("there are %d operators", len(operators))
	}
	operator := &operators[0]
	path, err := kube.PodNetwork(operator)
	if err != nil {
		t.Fatal(err)
	}
	rig := &isolationRig{operator: network.OpenPlace(t, "the operator", path)}
	namespace := kube.NewNamespace(t)
	for _, machine := range kube.Nodes {
		s := &side{
			machine: machine, namespace: namespace, room: "room-" + machine.Name,
			node: network.OpenPlace(t, machine.Name, "/run/netns/"+machine.NetNS),
		}
		gateway := gatewayOn(t, machine.Name)
		s.gateway = net.JoinHostPort(gateway.Status.PodIP, strconv.Itoa(portOf(gateway, "clients")))
		pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
			spec.Template.NodeSelector = map[string]string{"kubernetes.io/hostname": machine.Name}
		})
		session := &v1alpha1.Session{}
		session.Namespace, session.Name, session.Spec.PoolName = namespace, s.room, pool.Name
		if err := kube.Client.Create(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		key := client.ObjectKey{Namespace: cluster.Namespace, Name: kube.WaitSession(t, time.Minute, namespace, s.room).Status.PodName}
		s.pod = &corev1.Pod{}
		if err := kube.Client.Get(t.Context(), key, s.pod); err != nil {
			t.Fatal(err)
		}
		if machine.Name == operator.Spec.NodeName {
			rig.near = s
			s.raw = s.enters(t, "near")
		} else {
			rig.far = s
			s.calls(t)
		}
	}
	return rig
}

// running returns the pods of a part that are ready.
func running(t *testing.T, component string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	labels := client.MatchingLabels{"app.kubernetes.io/component": component}
	if err := kube.Client.List(t.Context(), &pods, client.InNamespace(cluster.Namespace), labels); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		return !pod.DeletionTimestamp.IsZero() || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}

// gatewayOn returns the gateway on a node. After a rollout they may all be on another one; then one
// of them makes room for its successor.
func gatewayOn(t *testing.T, node string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	deleted := false
	wait.For(t, time.Minute, "a gateway on "+node, func() error {
		gateways := running(t, "gateway")
		for i := range gateways {
			if gateways[i].Spec.NodeName == node {
				found = &gateways[i]
				return nil
			}
		}
		if len(gateways) > 1 && !deleted {
			deleted = true
			if err := kube.Client.Delete(t.Context(), &gateways[0]); err != nil {
				t.Fatal(err)
			}
		}
		return fmt.Errorf("there are %d elsewhere", len(gateways))
	})
	return found
}

func portOf(pod *corev1.Pod, name string) int {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return int(port.ContainerPort)
			}
		}
	}
	return 0
}

// calls lets two browsers see each other. They come through the gateway of the node.
func (s *side) calls(t *testing.T) {
	t.Helper()
	guests := make([]*guest, 2)
	for n := range guests {
		name := fmt.Sprintf("%s-%d", s.room, n)
		kube.CreateConnection(t, s.namespace, s.room, name, nil)
		b, err := browser.StartAt(browser.Place{Addresses: map[string]string{strings.TrimPrefix(kube.GatewayURL, "http://"): s.gateway}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		guests[n] = joinWith(t, b, s.namespace, name)
		guests[n].publishSmall(t)
	}
	s.a, s.b = guests[0], guests[1]
	s.a.advances(t, s.b, 20*time.Second)
	s.b.advances(t, s.a, 20*time.Second)
}

// enters lets somebody join, without media, through the gateway of the node.
func (s *side) enters(t *testing.T, connection string) *rawclient.Client {
	t.Helper()
	kube.CreateConnection(t, s.namespace, s.room, connection, nil)
	return s.joins(t, connection, kube.WaitConnection(t, 20*time.Second, s.namespace, connection).Status.Token)
}

func (s *side) joins(t *testing.T, name, token string) *rawclient.Client {
	t.Helper()
	c := rawclient.Dial(t, name, 20*time.Second, roomclient.Options{Token: token, Endpoint: "ws://" + s.gateway})
	c.Joins()
	return c
}

func host(ip string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(ip), 32) }

// mediaPods are the addresses of all media pods.
func (r *isolationRig) mediaPods(t *testing.T) []netip.Prefix {
	t.Helper()
	var pods corev1.PodList
	labels := client.MatchingLabels{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod}
	if err := kube.Client.List(t.Context(), &pods, client.InNamespace(cluster.Namespace), labels); err != nil {
		t.Fatal(err)
	}
	var all []netip.Prefix
	for _, pod := range pods.Items {
		if pod.Status.PodIP != "" {
			all = append(all, host(pod.Status.PodIP))
		}
	}
	return all
}

// apiServer is the address by which pods reach the API server.
func (r *isolationRig) apiServer(t *testing.T) []netip.Prefix {
	t.Helper()
	service := &corev1.Service{}
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, service); err != nil {
		t.Fatal(err)
	}
	return []netip.Prefix{host(service.Spec.ClusterIP)}
}

// round cuts for a while, and checks that both calls go on and that status is right afterwards.
// Somebody joins and somebody leaves meanwhile.
func (r *isolationRig) round(t *testing.T, at *network.Place, lose []netip.Prefix, duration time.Duration, told bool) {
	r.rounds++
	late, leaves := fmt.Sprintf("late-%d", r.rounds), fmt.Sprintf("leaves-%d", r.rounds)
	kube.CreateConnection(t, r.far.namespace, r.far.room, late, nil)
	token := kube.WaitConnection(t, 20*time.Second, r.far.namespace, late).Status.Token
	leaving := r.far.enters(t, leaves)
	for _, pair := range [][2]*guest{{r.far.a, r.far.b}, {r.far.b, r.far.a}} {
		if err := pair[0].Watch(pair[1].joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, 20*time.Second, "all to be well before", func() error { return r.well(map[*side]int32{r.near: 1, r.far: 3}) })

	began := time.Now()
	if err := at.Lose(t.Context(), lose...); err != nil {
		t.Fatal(err)
	}
	came := r.far.joins(t, late, token)
	if err := leaving.Leave(t.Context()); err != nil {
		t.Errorf("leaving during the cut: %v", err)
	}
	if told {
		wait.For(t, 12*time.Second, "the Session to say that its pod is not heard of", func() error { return r.says(r.far, v1alpha1.ReasonPodUnreachable) })
	}
	r.far.a.advances(t, r.far.b, 20*time.Second)
	r.far.b.advances(t, r.far.a, 20*time.Second)
	<-time.After(time.Until(began.Add(duration)))
	// It is cut indeed: nobody knows who came.
	if connection, err := kube.Connection(r.far.namespace, late); err != nil || connection.Status.State != v1alpha1.ConnectionStatePending {
		t.Errorf("during the cut Connection %s is %+v, %v", late, connection.Status, err)
	}
	if err := at.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An operator that the API server has not heard for some seconds ends, and is started again by
	// its kubelet, which takes its time after some attempts.
	took := wait.For(t, 2*time.Minute, "the status to be right", func() error {
		if err := disconnectedBy(r.far.namespace, leaves, "disconnect"); err != nil {
			return err
		}
		return r.well(map[*side]int32{r.near: 1, r.far: 3})
	})
	for _, pair := range [][2]*guest{{r.far.a, r.far.b}, {r.far.b, r.far.a}} {
		g, other := pair[0], pair[1]
		g.advances(t, other, 20*time.Second)
		gaps, err := g.Gaps(other.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s saw nothing of %s for at most %.0f ms", g.Name, other.Name, gaps.VideoMilliseconds)
		g.undisturbedSince(t, began)
		g.stillThere(t)
		r.sameConnection(t, g.connection, g.joined.ConnectionID)
	}
	r.sameConnection(t, "near", r.near.raw.ID())
	r.sameConnection(t, late, came.ID())
	for _, c := range []*rawclient.Client{r.near.raw, came} {
		if err := c.Err(); err != nil {
			t.Errorf("the socket of %s has ended: %v", c.Name, err)
		}
	}
	t.Logf("the status was right %v after the cut", took.Round(time.Millisecond))
	if err := came.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// well gives no error when the calls are on the pods where they began, with so many users, and
// status says that all is well.
func (r *isolationRig) well(users map[*side]int32) error {
	for s, want := range users {
		session, err := kube.Session(s.namespace, s.room)
		if err != nil {
			return err
		}
		if session.Status.PodName != s.pod.Name {
			return fmt.Errorf("%s is on %s, and was on %s", s.room, session.Status.PodName, s.pod.Name)
		}
		if err := r.says(s, v1alpha1.ReasonReady); err != nil {
			return err
		}
		if err := active(s.namespace, s.room, want); err != nil {
			return err
		}
	}
	return nil
}

// says gives no error when a Session is ready for a reason.
func (r *isolationRig) says(s *side, reason string) error {
	session, err := kube.Session(s.namespace, s.room)
	if err != nil {
		return err
	}
	if ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != reason {
		return fmt.Errorf("%s is %+v", s.room, ready)
	}
	return nil
}

// sameConnection checks that a user is in the room as who joined.
func (r *isolationRig) sameConnection(t *testing.T, name, id string) {
	t.Helper()
	connection, err := kube.Connection(r.far.namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	if s := connection.Status; s.State != v1alpha1.ConnectionStateActive || s.ConnectionID != id {
		t.Errorf("Connection %s is %s, with id %s; its user is %s", name, s.State, s.ConnectionID, id)
	}
}
