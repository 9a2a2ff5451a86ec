package mediapod

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// restFor answers as a gateway's REST API does for one room, whose connections are A, B and so on.
// It counts what is deleted.
func (w *world) restFor(secret string) (url string, deleted *atomic.Int32) {
	deleted = &atomic.Int32{}
	var given atomic.Int32
	base := "wss://" + w.pod.listeners.signalling.Addr().String()
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if _, password, _ := request.BasicAuth(); password != secret {
			answer.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch request.Method + " " + strings.TrimPrefix(request.URL.Path, "/openvidu/api/") {
		case "POST sessions":
			fmt.Fprint(answer, `{"id":"room"}`)
		case "POST sessions/room/connection":
			name := string('A' + given.Add(1) - 1)
			fmt.Fprintf(answer, `{"token":%q}`, token.URL(base, "room", "tok_"+name))
		case "DELETE sessions/room":
			deleted.Add(1)
			answer.WriteHeader(http.StatusNoContent)
		default:
			answer.WriteHeader(http.StatusNotFound)
		}
	}))
	w.t.Cleanup(server.Close)
	return server.URL, deleted
}

func TestALoadIsPlayedAndTold(t *testing.T) {
	w := newWorld(t)
	w.operate("A", "B", "C", "D")
	address, deleted := w.restFor("s3cret")
	media := browserMedia(t, nil)
	load := loadtest.Load{
		Rooms: 1, Publishers: 2, Subscribers: 2, Mutual: true, Impaired: 1,
		Stream: roomclient.Stream{VideoFrameRate: 30, Video: loadtest.Simulcast(800), AudioPacketBytes: 80},
	}
	target, err := loadtest.NewGateway(address, "s3cret", "load", w.gateway)
	if err != nil {
		t.Fatal(err)
	}
	run, err := loadtest.Start(t.Context(), loadtest.Setup{
		Load: load, Target: target, Media: media,
		Impaired: browserMedia(t, roomclient.NewPath(roomclient.Conditions{Loss: 0.02, Delay: 5 * time.Millisecond})),
	})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			run.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := run.WaitJoined(ctx); err != nil {
		t.Fatal(err)
	}
	run.Mark()
	// Each publisher receives the other one, and each subscriber both.
	var totals loadtest.Totals
	wait.For(t, 20*time.Second, "media", func() error {
		totals = run.Totals()
		if totals.Video.Streams == 4 && totals.Video.Frames > 120 && totals.Video.Layers[2] == 4 && totals.Impaired.Repaired > 0 && totals.Audio.Packets > 100 {
			return nil
		}
		return fmt.Errorf("so far: %+v", loadtest.NewReport(load, &totals))
	})
	report := loadtest.NewReport(load, &totals)
	var table strings.Builder
	if err := report.Write(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s\n%s", table.String(), totals.Line(4))
	if report.Joins.Succeeded != 4 || report.Joins.Failed != 0 || report.Publishes.Succeeded != 2 || report.Joins.Milliseconds.P50 <= 0 {
		t.Errorf("joins %+v, publishes %+v", report.Joins, report.Publishes)
	}
	if report.Video.Mbps < 1 || report.Video.DelayMilliseconds.P50 <= 0 || report.Sent.Packets == 0 || report.Impaired.LostAtFirst == 0 {
		t.Errorf("video %+v, sent %+v, impaired %+v", report.Video, report.Sent, report.Impaired)
	}
	limits := loadtest.NoLimits()
	if missed := limits.Check(report); len(missed) > 0 {
		t.Errorf("without limits: %v", missed)
	}
	limits.MinJoinSuccess, limits.MaxDelayP50, limits.MinMbps = 1, time.Microsecond, 0.5
	if missed := limits.Check(report); len(missed) != 1 || !strings.HasPrefix(missed[0], "delay p50 is ") {
		t.Errorf("missed: %v", missed)
	}

	run.Close()
	closed = true
	if err := target.Close(t.Context()); err != nil || deleted.Load() != 1 {
		t.Errorf("closing: %v, %d sessions deleted", err, deleted.Load())
	}
	_, metrics := get(t, w.pod.listeners.metrics.Addr().String(), "/metrics")
	if !strings.Contains(metrics, "\nmediarooms_participants 0\n") {
		t.Error("somebody is still there")
	}
}

func TestALoadTellsWhyNobodyGotIn(t *testing.T) {
	w := newWorld(t)
	w.operate("A")
	address, _ := w.restFor("another")
	target, err := loadtest.NewGateway(address, "s3cret", "load", w.gateway)
	if err != nil {
		t.Fatal(err)
	}
	load := loadtest.Load{Rooms: 1, Publishers: 1, Stream: roomclient.Stream{AudioPacketBytes: 80}}
	run, err := loadtest.Start(t.Context(), loadtest.Setup{Load: load, Target: target, Media: browserMedia(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := run.WaitJoined(t.Context()); err != nil {
		t.Fatal(err)
	}
	totals := run.Totals()
	if totals.Joins.Failed != 1 || totals.Joins.Success() != 0 || totals.Joins.Errors["asking for admission: making a session: status 401: "] != 1 {
		t.Errorf("%+v", totals.Joins)
	}
}
