package mediapod

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// intrude joins as a recorder with the server's secret, as a gateway lets it.
func (w *world) intrude(secret string) (*roomclient.Client, *roomclient.Joined) {
	w.t.Helper()
	salt := []byte("sixteen bytes ok")
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(secret))
	client, err := roomclient.Dial(w.t.Context(), roomclient.Options{
		Token:      token.URL("ws://anything", "room", "") + "&secret=" + url.QueryEscape(secret) + "&recorder=true",
		Endpoint:   "wss://" + w.pod.listeners.signalling.Addr().String(),
		HTTPClient: w.gateway,
		Header:     http.Header{podhttp.HeaderSecretDigests: {hex.EncodeToString(salt) + ":" + hex.EncodeToString(mac.Sum(nil))}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	parameters := client.JoinParameters()
	parameters["secret"], parameters["recorder"] = secret, true
	var joined roomclient.Joined
	if err := client.Call(w.t.Context(), "joinRoom", parameters, &joined); err != nil {
		w.t.Fatal(err)
	}
	return client, &joined
}

// tell posts a signal of the server, as a gateway does.
func (w *world) tell(body string) int {
	w.t.Helper()
	answer, err := w.gateway.Post("https://"+w.pod.listeners.signalling.Addr().String()+"/rooms/room/signal", "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode
}

// hears waits until a client is told something.
func (w *world) hears(client *roomclient.Client, method, params string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.WaitNotification(ctx, method, func(got json.RawMessage) bool { return string(got) == params }); err != nil {
		w.t.Errorf("%s %s: %v", method, params, err)
	}
}

func TestWhatOperatorAndGatewayChangeAtRunTime(t *testing.T) {
	w := newWorld(t)
	w.operate("A", "B")
	media, err := roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" })
	if err != nil {
		t.Fatal(err)
	}
	if got := w.tell(`{}`); got != http.StatusNotAcceptable {
		t.Errorf("a signal to nobody: %d", got)
	}
	a, _ := w.join("A")
	b, _ := w.join("B")
	recorder, joined := w.intrude("s&cret")
	if joined.ID != "RECORDER" || len(joined.Value) != 2 {
		t.Errorf("the recorder got %+v", joined)
	}
	everybody := []*roomclient.Client{a, b, recorder}

	if got := w.tell(`{"type":"news","data":"extra"}`); got != http.StatusNoContent {
		t.Errorf("a signal: %d", got)
	}
	for _, client := range everybody {
		w.hears(client, "sendMessage", `{"data":"extra","type":"signal:news"}`)
	}

	port := int32(w.mediaPort())
	w.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
		Advertised:             []*controlv1.TransportAddress{{Ip: "127.0.0.1", UdpPort: port, TcpPort: port}},
		ReconnectWindowSeconds: 10, NetworkQualityIntervalSeconds: 1,
	}}})
	published, err := a.Publish(t.Context(), media, roomclient.Stream{VideoFrameRate: 30, Video: roomclient.Fixed(4, 1000), AudioPacketBytes: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer published.Close()
	for _, client := range everybody {
		w.hears(client, "networkQualityLevelChanged", `{"connectionId":"con_A","newValue":5}`)
	}

	moderated := desired(2, "A", "B")
	moderated.GetRoom().Connections[0].Moderation = &controlv1.Moderation{VideoBlocked: true}
	w.send(moderated)
	for _, client := range everybody {
		w.hears(client, "participantUnpublished", `{"connectionId":"con_A","reason":"forceUnpublishByServer"}`)
	}
	w.until("A's stream has ended", func(status *controlv1.RoomStatus) bool {
		return status.GetRevision() == 2 && len(status.GetConnections()) == 2 && len(status.GetConnections()[0].GetPublishers()) == 0
	})

	demoted := desired(3, "A", "B")
	demoted.GetRoom().Connections[1].Role = controlv1.Role_ROLE_MODERATOR
	demoted.GetRoom().Connections[1].Record = true
	w.send(demoted)
	w.hears(b, "connectionPropertyChanged", `{"property":"role","newValue":"MODERATOR"}`)
	w.hears(b, "connectionPropertyChanged", `{"property":"record","newValue":"true"}`)

	for _, client := range []*roomclient.Client{a, b} {
		if err := client.Call(t.Context(), "leaveRoom", map[string]any{}, nil); err != nil {
			t.Error(err)
		}
	}
	w.hears(recorder, "participantEvicted", `{"connectionId":"RECORDER","reason":"sessionClosedByServer"}`)
}
