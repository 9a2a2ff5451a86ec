package control

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// pipe is a control stream without a network.
type pipe struct {
	grpc.ServerStream
	ctx  context.Context
	told chan *controlv1.OperatorMessage

	mu   sync.Mutex // guards what follows
	said []*controlv1.RoomStatus
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Recv() (*controlv1.OperatorMessage, error) {
	message, open := <-p.told
	if !open {
		return nil, io.EOF
	}
	return message, nil
}

func (p *pipe) Send(message *controlv1.PodMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if status := message.GetRoom(); status != nil {
		p.said = append(p.said, status)
	}
	return nil
}

// take returns what was said since it was last called.
func (p *pipe) take() []*controlv1.RoomStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := p.said
	p.said = nil
	return said
}

// Service levels are told once in 10 s at most, and go by themselves. A room without news is
// silent.
func TestServiceLevelsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rooms := room.NewRegistry(&mediatest.Engine{}, logr.Discard())
		server := NewServer(Options{Rooms: rooms, Log: logr.Discard(), Configure: func(Config) {}})
		p := &pipe{ctx: t.Context(), told: make(chan *controlv1.OperatorMessage)}
		ended := make(chan error, 1)
		go func() { ended <- server.Sync(p) }()
		greeting := hello("")
		greeting.GetHello().TakesParts = true
		for _, message := range []*controlv1.OperatorMessage{greeting, told("r", 1, "A", "B"), snapshotEnd()} {
			p.told <- message
		}
		said := func() []*controlv1.RoomStatus {
			synctest.Wait()
			return p.take()
		}
		if first := said(); len(first) != 1 || first[0].GetLevels() != nil {
			t.Errorf("at first %v", first)
		}
		time.Sleep(time.Minute)
		if idle := said(); len(idle) != 0 {
			t.Errorf("of an idle room %v", idle)
		}
		where, _ := rooms.Lookup("key-r")
		for _, name := range []string{"A", "B"} {
			request := room.JoinRequest{Token: "tok_" + name, Opened: time.Now().Add(-250 * time.Millisecond)}
			if err := where.Join(request, &link{}, func(room.Joined) {}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if joined := said(); len(joined) != 1 || joined[0].GetLevels() != nil {
			t.Errorf("at the joins %v", joined)
		}
		time.Sleep(10 * time.Second)
		measured := said()
		want := &controlv1.RoomLevels{Joins: 2, MedianJoinMs: 250}
		if len(measured) != 1 || !measured[0].GetChanges() || len(measured[0].GetConnections()) != 0 {
			t.Fatalf("then %v", measured)
		}
		got := measured[0].GetLevels()
		if got.GetSinceUnixMs() <= time.Now().Add(-10*time.Second).UnixMilli() {
			t.Errorf("since %d", got.GetSinceUnixMs())
		}
		got.SinceUnixMs = 0
		if !proto.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		time.Sleep(2 * time.Minute)
		if over := said(); len(over) != 1 || over[0].GetLevels() != nil {
			t.Errorf("in the end %v", over)
		}
		close(p.told)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		rooms.Stop()
		rooms.Wait()
	})
}
