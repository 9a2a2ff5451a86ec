package openvidu

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
func (unread) Move()                        {}

// heap is how many bytes are in use.
func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// The answer to a join in parts is the same as at once.
func TestAJoinIsAnsweredInParts(t *testing.T) {
	result := joinResult{ID: "con_A", Metadata: "a"}
	var others []room.Announcement
	var want []participant
	for i, data := range []string{
		"", `{"a":"\"<b>"}`, strings.Repeat("x", joinPartBytes), strings.Repeat("ü€\U0001f600\"", 8000), "x" + strings.Repeat("\U0001f600", 4*joinPartBytes),
	} {
		other := room.Announcement{ConnectionID: fmt.Sprint("con_", i), ClientData: data, ServerData: strings.Repeat("s", i)}
		if i%2 == 1 {
			other.Streams = []room.Stream{{ID: "str_B"}}
		}
		others, want = append(others, other), append(want, wireParticipant(other))
	}
	for n := range len(others) + 1 {
		var got []byte
		for part, err := range joinParts(json.RawMessage("7"), result, others[:n], "private") {
			if err != nil {
				t.Fatal(err)
			}
			if len(part) > 8*joinPartBytes {
				t.Errorf("a part has %d bytes", len(part))
			}
			got = append(got, part...)
		}
		var answer struct {
			ID     int
			Result struct {
				ID, Metadata, SessionID string
				Value                   []participant
			}
		}
		if err := json.Unmarshal(got, &answer); err != nil {
			t.Fatalf("%d others: %v", n, err)
		}
		r := answer.Result
		if answer.ID != 7 || r.ID != "con_A" || r.Metadata != "a" || r.SessionID != "private" || r.Value == nil || !reflect.DeepEqual(r.Value, append([]participant{}, want[:n]...)) {
			t.Errorf("%d others: got %.300s", n, got)
		}
	}
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
