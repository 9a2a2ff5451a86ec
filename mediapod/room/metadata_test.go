package room

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
)

// What clients bring along is bounded for all who are in a room together, and for those who have
// left.
func TestMetadataOfARoomIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 64 << 10
		var names []string
		for i := range MaxMetadataBytes/each + 1 {
			names = append(names, fmt.Sprint(i))
		}
		s := newScene(t, names...)
		refusals := 0
		s.registry.log = funcr.New(func(_, line string) {
			if strings.Contains(line, ErrMetadata.Error()) {
				refusals++
			}
		}, funcr.Options{})
		room, _ := s.registry.Lookup("room")
		join := func(name string, size int) (*Participant, error) {
			var p *Participant
			request := JoinRequest{Token: "tok_" + name, Client: Client{Metadata: strings.Repeat("x", size)}}
			err := room.Join(request, &recorder{scene: s}, func(j Joined) { p = j.Participant })
			return p, err
		}
		var in []*Participant
		for i := range MaxMetadataBytes / each {
			p, err := join(names[i], each)
			s.must(err)
			in = append(in, p)
		}
		next := names[len(in)]
		if _, err := join(next, 1); !errors.Is(err, ErrMetadata) {
			t.Errorf("a byte too much: %v", err)
		}
		if err := room.Join(JoinRequest{Claims: &asPrivileged, Client: Client{Metadata: "x"}}, &recorder{scene: s}, func(Joined) {}); !errors.Is(err, ErrMetadata) {
			t.Errorf("a byte too much, by the secret: %v", err)
		}
		if refusals != 1 {
			t.Errorf("the log says it %d times", refusals)
		}
		if _, err := join("unknown", each); !errors.Is(err, ErrToken) {
			t.Errorf("a wrong token: %v", err)
		}
		s.must(in[0].Leave())
		last, err := join(next, each) // its token is as good as before
		if err != nil {
			t.Fatalf("in the place of who has left: %v", err)
		}
		for _, p := range append(in[1:], last) {
			time.Sleep(time.Second)
			s.must(p.Leave())
		}
		kept, forgotten := 0, ""
		snapshot, _ := s.registry.Snapshot("room-uid")
		for _, c := range snapshot.Connections {
			kept += len(c.Client.Metadata)
			if c.State == Disconnected && c.Client.Metadata == "" {
				forgotten += c.UID + " "
			}
		}
		want := ""
		for _, name := range names[:len(names)-maxLeftBytes/each] { // who has left first
			want += "uid-" + name + " "
		}
		if kept != maxLeftBytes || forgotten != want {
			t.Errorf("of those who have left %d bytes are kept, and nothing of %s", kept, forgotten)
		}
	})
}
