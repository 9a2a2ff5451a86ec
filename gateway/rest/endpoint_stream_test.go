package rest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

// publish lets a Connection send streams, as the operator reports it.
func (w *world) publish(connection *v1alpha1.Connection, streamIDs ...string) {
	w.Helper()
	before := connection.DeepCopy()
	connection.Status.Publishers = nil
	for _, id := range streamIDs {
		connection.Status.Publishers = append(connection.Status.Publishers, v1alpha1.PublisherStatus{StreamID: id, HasAudio: true, CreatedTime: metav1.Now()})
	}
	if err := w.Status().Patch(w.Context(), connection, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
}

// The numbers are those of section 9 of the REST reference.
func TestEndOfAStream(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	w.want(200, "POST", "/sessions", `{"customSessionId":"idle"}`)
	id := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	w.join(id)
	stream := "str_CAM_A1b2_" + id
	for _, test := range []struct {
		name, path string
		status     int
	}{
		{"85 unknown session", "/sessions/NOT_EXISTS/stream/" + stream, 400},
		{"85 unknown stream", "/sessions/S1/stream/str_CAM_XXXX_con_x", 404},
		{"85 unknown stream of somebody who is there", "/sessions/S1/stream/str_CAM_Other_" + id, 404},
		{"85 session that is not active", "/sessions/idle/stream/" + stream, 404},
		{"85 no stream", "/sessions/S1/stream/", 403},
		{"85 a stream", "/sessions/S1/stream/" + stream, 204},
		{"85 the stream again", "/sessions/S1/stream/" + stream, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.call("DELETE", test.path, ""); got.status != test.status || got.body != "" {
				t.Errorf("got %d %q, want %d", got.status, got.body, test.status)
			}
		})
	}
	if got := w.only().Spec.Moderation.EndedStreamIDs; !slices.Equal(got, []string{stream}) {
		t.Errorf("the Connection's ended streams are %q", got)
	}
	for gateway := range w.gateways {
		var body struct{ Publishers []any }
		w.callAt(gateway, "GET", "/sessions/S1/connection/"+id, "").decode(t, &body)
		if body.Publishers == nil || len(body.Publishers) != 0 {
			t.Errorf("gateway %d shows %v", gateway, body.Publishers)
		}
	}
}

func TestAStreamThatIsJustBeginning(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	id := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	w.join(id)
	stream := "str_MIC_New1_" + id
	ended := make(chan answer, 1)
	go func() { ended <- w.call("DELETE", "/sessions/S1/stream/"+stream, "") }()
	select {
	case got := <-ended:
		t.Fatalf("got %d", got.status)
	case <-time.After(100 * time.Millisecond):
	}
	w.publish(w.only(), stream)
	if got := <-ended; got.status != 204 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestTheStreamOfACameraIsNotEnded(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	w.create(&v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Name: "camera"}, Spec: v1alpha1.ConnectionSpec{
		SessionName: objects.Names("S1")[0], Type: v1alpha1.ConnectionTypeIPCam, IPCam: &v1alpha1.IPCam{RTSPURI: "rtsp://camera.example.com/live"},
	}})
	w.publish(w.only(), "str_IPC_A1b2_ipc_camera")
	// Case 149.
	w.want(405, "DELETE", "/sessions/S1/stream/str_IPC_A1b2_ipc_camera", "")
}

func TestOnlyTheNewestEndedStreamsAreKept(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	id := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	w.join(id)
	var streams []string
	for i := range v1alpha1.MaxEndedStreamIDs + 2 {
		streams = append(streams, fmt.Sprintf("str_CAM_A%03d_%s", i, id))
		w.publish(w.only(), streams[i])
		w.want(204, "DELETE", "/sessions/S1/stream/"+streams[i], "")
	}
	if got := w.only().Spec.Moderation.EndedStreamIDs; !slices.Equal(got, streams[2:]) {
		t.Errorf("got %q", got)
	}

	// Changes at the same time lose nothing.
	together := []string{"str_CAM_Aaaa_" + id, "str_CAM_Bbbb_" + id, "str_CAM_Cccc_" + id}
	w.publish(w.only(), together...)
	var group sync.WaitGroup
	for i, stream := range together {
		group.Go(func() {
			if got := w.callAt(i%2, "DELETE", "/sessions/S1/stream/"+stream, ""); got.status != 204 {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	group.Wait()
	kept := w.only().Spec.Moderation.EndedStreamIDs
	for _, stream := range together {
		if !slices.Contains(kept, stream) {
			t.Errorf("%s is not among %q", stream, kept)
		}
	}
}

func TestAStreamThatHasEndedIsReceivedByNobody(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	leaver := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	stayer := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	receiver := w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	kept, ended := "str_CAM_Kept_"+leaver, "str_MIC_Ends_"+stayer
	for _, id := range []string{leaver, stayer, receiver} {
		w.join(id)
	}
	var members v1alpha1.ConnectionList
	if err := w.List(t.Context(), &members, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range members.Items {
		member := &members.Items[i]
		switch objects.ConnectionID(member) {
		case leaver:
			w.publish(member, kept)
		case stayer:
			w.publish(member, ended)
		case receiver:
			before := member.DeepCopy()
			member.Status.Subscribers = []v1alpha1.SubscriberStatus{{StreamID: kept}, {StreamID: ended}}
			if err := w.Status().Patch(t.Context(), member, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
		}
	}
	shows := func(streamIDs ...string) {
		t.Helper()
		type member struct {
			ConnectionID string
			Subscribers  []struct{ StreamID string }
		}
		var one member
		w.want(200, "GET", "/sessions/S1/connection/"+receiver, "").decode(t, &one)
		var all struct{ Connections struct{ Content []member } }
		w.want(200, "GET", "/sessions/S1", "").decode(t, &all)
		for _, shown := range append(all.Connections.Content, one) {
			var got []string
			for _, subscriber := range shown.Subscribers {
				got = append(got, subscriber.StreamID)
			}
			if shown.ConnectionID == receiver && !slices.Equal(got, streamIDs) {
				t.Errorf("it receives %q, want %q", got, streamIDs)
			}
		}
	}
	shows(kept, ended)
	// What the receiver's Connection says is not changed yet.
	w.want(204, "DELETE", "/sessions/S1/stream/"+ended, "")
	shows(kept)
	w.want(204, "DELETE", "/sessions/S1/connection/"+leaver, "")
	shows()
}
