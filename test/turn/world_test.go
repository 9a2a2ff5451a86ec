//go:build e2e

// Package turn is the authority on whether clients that reach a TURN server only can use rooms:
// Debian's coturn with the configuration of the example, a media pod, credentials as the operator
// derives them, and browsers that have no other way to the pod.
package turn

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// patience bounds how long the test waits for anything, on a machine that keeps up.
const patience = 20 * time.Second

// world is a media pod and its standby, a TURN server, and a network whose browsers reach only the
// last.
type world struct {
	t       *testing.T
	relay   *network.Relay
	ca      *mtlstest.Authority
	secret  string // of the TURN server
	pod     *pod
	standby *pod
	site    *browser.Site
	base    string // of the URLs that clients join with
	keys    token.Keys
	derived desired.Identities
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, relay: network.NewRelay(t), ca: mtlstest.NewAuthority(t), keys: token.Keys{Current: make([]byte, token.MinKeySize)},
	}
	w.runCoturn()
	w.pod = runPod(t, w.ca, w.relay.Server(), 1)
	w.standby = runPod(t, w.ca, w.relay.Server(), 2)
	w.serve()
	return w
}

// nextSecret is the one that the TURN server knows besides the example's, as in a rotation.
const nextSecret = "the-secret-of-tomorrow"

// runCoturn runs turnserver as the example does, on the machine that the browsers reach.
func (w *world) runCoturn() {
	w.t.Helper()
	configuration, args := example(w.t)
	found := regexp.MustCompile(`(?m)^static-auth-secret=(.+)$`).FindStringSubmatch(configuration)
	if found == nil {
		w.t.Fatal("the example has no static-auth-secret")
	}
	w.secret = found[1]
	folder := w.t.TempDir()
	here := strings.NewReplacer("/etc/turn", folder, "/run/turn", folder, "$(HOST_IP)", w.relay.Address().String())
	configuration = here.Replace(configuration) + "\nstatic-auth-secret=" + nextSecret + "\n"
	if err := os.WriteFile(filepath.Join(folder, "turnserver.conf"), []byte(configuration), 0o600); err != nil {
		w.t.Fatal(err)
	}
	for i, arg := range args {
		args[i] = here.Replace(arg)
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { // turnserver has ended
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err != nil || w.t.Failed() {
			w.t.Logf("turnserver: %s, %v", text, err)
		}
	})
	command := exec.Command("turnserver", args...)
	command.Stdout, command.Stderr = log, log
	w.relay.Run(w.t, command)
	wait.For(w.t, patience, "the TURN server to listen", func() error {
		return errors.Join(w.reaches("udp4"), w.reaches("tcp4"))
	})
}

// reaches asks the TURN server, as a client does that has no credential, for the client's address
// (RFC 8489, section 7.1).
func (w *world) reaches(protocol string) error {
	conn, err := network.Within(w.relay.Namespace(), func() (net.Conn, error) {
		return net.DialTimeout(protocol, w.turn(), time.Second)
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(request.Raw); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1500))
	return err
}

// turn is the address of the TURN server.
func (w *world) turn() string { return w.relay.Address().String() + ":3478" }

// example returns turnserver's configuration and arguments in the example.
func example(t *testing.T) (configuration string, args []string) {
	t.Helper()
	text, err := os.ReadFile("../../examples/turn/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	var daemons appsv1.DaemonSet
	for manifest := range strings.SplitSeq(string(text), "\n---\n") {
		for kind, object := range map[string]any{"Secret": &secret, "DaemonSet": &daemons} {
			if !strings.Contains(manifest, "\nkind: "+kind+"\n") {
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(manifest), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	return secret.StringData["turnserver.conf"], daemons.Spec.Template.Spec.Containers[0].Args
}

// serve serves the page, and passes WebSockets on as the gateway does, on the browsers' own
// machine: there is no way over the network.
func (w *world) serve() {
	w.t.Helper()
	listener, err := w.relay.Listen(w.t.Context(), "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	if w.site, err = browser.ServeOn(w.t.Context(), listener); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.site.Close() })
	config, err := mtls.Client(w.ca.Directory(w.t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		w.t.Fatal(err)
	}
	gateway := &http.Server{ReadHeaderTimeout: patience, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: w.pod.signals})
			r.Out.Header.Set(podhttp.HeaderAddress, "192.0.2.7")
		},
		Transport: &http.Transport{TLSClientConfig: config},
	}}
	if listener, err = w.relay.Listen(w.t.Context(), "127.0.0.1:0"); err != nil {
		w.t.Fatal(err)
	}
	w.base = "ws://" + listener.Addr().String() + podhttp.OpenViduPath
	go func() { _ = gateway.Serve(listener) }() // it returns when it is closed
	w.t.Cleanup(func() { _ = gateway.Close() })
}

// server is an entry of iceServers for the TURN server, over UDP or TCP.
func (w *world) server(protocol, secret string) []v1alpha1.IceServer {
	return []v1alpha1.IceServer{{URL: "turn:" + w.turn() + "?transport=" + protocol, StaticAuthSecret: secret}}
}

// admit gives the pod a room as the operator does at a time, with a Connection for each list of ICE
// servers. It returns what their clients join with.
func (w *world) admit(room string, now time.Time, servers ...[]v1alpha1.IceServer) (tokens []string) {
	w.t.Helper()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{UID: types.UID(room), Name: room, Namespace: "default"}}
	identity := func(c *v1alpha1.Connection) desired.Identity { return w.derived.Of(session.UID, w.keys, c) }
	in := desired.Input{
		Session:  session,
		State:    func(*v1alpha1.Connection) v1alpha1.ConnectionState { return v1alpha1.ConnectionStatePending },
		Identity: identity, Keys: w.keys, DefaultNamespace: "default", Now: now,
	}
	for i, own := range servers {
		c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(room, i))}}
		c.Spec.CustomIceServers = own
		in.Connections = append(in.Connections, c)
		tokens = append(tokens, token.URL(w.base, room, identity(c).Token))
	}
	secret := make([]byte, sha256.Size)
	in.Standby = &controlv1.RoomStandby{PodUid: w.standby.uid, Advertised: w.standby.advertised(), Secret: secret}
	told := desired.Room(in)
	told.Revision = 1
	w.pod.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: told}})
	w.pod.says("it has room "+room, func(m *controlv1.PodMessage) bool {
		return m.GetRoom().GetUid() == room && m.GetRoom().GetRevision() == 1
	})
	w.standby.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Standby{Standby: &controlv1.Standby{
		Uid: room, PodUid: w.pod.uid, Address: w.pod.control, Secret: secret,
	}}})
	w.standby.becomes(room, controlv1.StandbyState_STANDBY_STATE_READY)
	return tokens
}
