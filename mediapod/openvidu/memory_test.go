package openvidu

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/test/wait"
)

// What a large message took is not kept for the next one of its socket.
func TestMessagesLeaveNoMemoryBehind(t *testing.T) {
	const sockets, size = 50, 512 << 10
	p := newPod(t, signalling.DefaultLimits())
	before := heap()
	for range sockets {
		p.dial().refused("nothing", `{"x":"`+strings.Repeat("x", size)+`"}`)
	}
	if more := heap() - before; more > 10*size {
		t.Errorf("%d sockets have had a message of %d bytes, and take %d bytes", sockets, size, more)
	}
}

// unread is the sink of a participant that nobody is behind.
type unread struct{}

func (unread) Notify(room.Notification)     {}
func (unread) Release() []room.Notification { return nil }
func (unread) Finish()                      {}

// heap is how many bytes are in use.
func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// The answer to a join has everybody's metadata. Whoever joins again and again, and reads none of
// the answers, must not have the pod keep one for each.
func TestAnswersThatNobodyReadsTakeLittleMemory(t *testing.T) {
	const present, deaf, answer = 100, 20, 100 * maxMetadata
	var names []string
	for i := range present + deaf {
		names = append(names, fmt.Sprintf("%03d", i))
	}
	p := newPod(t, signalling.DefaultLimits(), names...)
	where, _ := p.rooms.Lookup("team.room")
	for _, name := range names[:present] {
		request := room.JoinRequest{Token: "tok_" + name, Client: room.Client{Metadata: strings.Repeat("x", maxMetadata)}}
		if err := where.Join(request, unread{}, func(room.Joined) {}); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	for _, name := range names[present:] {
		c := p.dial()
		c.deaf.Store(true)
		c.call("ping", `{}`) // the last answer that it reads
		c.request("joinRoom", joinParams("wss://host?sessionId=team.room&token=tok_"+name, "team.room"))
	}
	wait.For(t, 10*time.Second, "all are in the room", func() error {
		if p.rooms.Totals().ActiveConnections < present+deaf {
			return errors.New("some are missing")
		}
		return nil
	})
	if more := heap() - before; more > answer {
		t.Errorf("%d answers of %d bytes that wait for their readers take %d bytes", deaf, answer, more)
	}
}
