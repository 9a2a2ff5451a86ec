//go:build e2e

package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	// crowdSize is how many clients are in the room; each receives all others.
	crowdSize = 10
	// crowdBrowsers is how many browsers they are in.
	crowdBrowsers = 2
	// Each video is looked at every crowdWindow, for crowdTime.
	crowdTime   = time.Minute
	crowdWindow = 5 * time.Second
)

// crowdPublication is small and without sound: the machine encodes ten and decodes ninety of them.
// At twice this frame rate that takes one core, with sound more than two.
var crowdPublication = browser.Publication{Resolution: "160x120", FrameRate: 5, AudioSource: false}

// startCrowdBrowsers starts the browsers of the crowd.
func startCrowdBrowsers(t *testing.T) []*browser.Browser {
	t.Helper()
	var started []*browser.Browser
	for range crowdBrowsers {
		b, err := browser.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		started = append(started, b)
	}
	return started
}

func TestTenClientsSeeEachOtherForAMinute(t *testing.T) {
	// Without a standby: two pods that wait for processor time behind ten browsers can't keep to a
	// lease of 0.6 s, and hold media back.
	room := newRoomWith(t, func(spec *v1alpha1.SessionSpec) { spec.Standby = v1alpha1.StandbyNone })
	var crowd []*guest
	open := startCrowdBrowsers(t)
	for number := range crowdSize {
		name := fmt.Sprintf("guest-%02d", number+1)
		room.admit(t, name, v1alpha1.RolePublisher)
		newcomer := joinWith(t, smallPages{open[number%crowdBrowsers]}, room.namespace, name)
		stream, err := newcomer.PublishWith(crowdPublication)
		if err != nil {
			t.Fatalf("publishing as %s: %v", name, err)
		}
		newcomer.streamID = stream.StreamID
		crowd = append(crowd, newcomer)
		// One after the other: a room does not fill in an instant.
		took := wait.For(t, 30*time.Second, fmt.Sprintf("all %d to see each other", len(crowd)), func() error {
			return eachSeesAll(crowd)
		})
		t.Logf("%s and all others see each other after %v", name, took.Round(time.Millisecond))
	}

	first, last := decoded(t, crowd), map[view]int64(nil)
	previous := first
	tick := time.NewTicker(crowdWindow)
	defer tick.Stop()
	for window := range int(crowdTime / crowdWindow) {
		<-tick.C
		last = decoded(t, crowd)
		if want := crowdSize * (crowdSize - 1); len(last) != want {
			t.Errorf("there are %d videos in window %d, want %d", len(last), window, want)
		}
		for v, frames := range last {
			if frames <= previous[v] {
				t.Errorf("%s saw nothing new of %s from second %d to %d: %d frames", v.receiver, v.sender,
					window*int(crowdWindow/time.Second), (window+1)*int(crowdWindow/time.Second), frames)
			}
		}
		previous = last
	}
	least, sum := int64(0), int64(0)
	for v, frames := range last {
		advanced := frames - first[v]
		sum += advanced
		if least == 0 || advanced < least {
			least = advanced
		}
	}
	t.Logf("%d videos for %v: %d frames decoded of the slowest, %d on average, %d were sent at most",
		len(last), crowdTime, least, sum/int64(max(1, len(last))), int(crowdTime/time.Second)*crowdPublication.FrameRate)
	for _, g := range crowd {
		g.undisturbed(t)
	}
}

// smallPages is a browser that does not draw much: what is outside of the window costs nothing.
type smallPages struct {
	*browser.Browser
}

// OpenParticipant implements opener.
func (b smallPages) OpenParticipant(t testing.TB, site *browser.Site, name string) *browser.Participant {
	p, _ := b.OpenParticipantOn(t, site, name, browser.Viewport{Width: 320, Height: 240})
	return p
}

// view is one's view of another, by their connection names.
type view struct {
	receiver, sender string
}

// eachSeesAll gives no error when everybody has decoded video of everybody else.
func eachSeesAll(crowd []*guest) error {
	for _, g := range crowd {
		frames, err := g.FramesDecoded()
		if err != nil {
			return err
		}
		for _, other := range crowd {
			if other != g && frames[other.joined.ConnectionID] < 1 {
				return fmt.Errorf("%s does not see %s", g.Name, other.Name)
			}
		}
	}
	return nil
}

// decoded is how many frames everybody has decoded of everybody else, at about the same time.
func decoded(t *testing.T, crowd []*guest) map[view]int64 {
	t.Helper()
	names := map[string]string{}
	for _, g := range crowd {
		names[g.joined.ConnectionID] = g.Name
	}
	var mu sync.Mutex // guards all
	all := map[view]int64{}
	var group sync.WaitGroup
	for _, g := range crowd {
		group.Go(func() {
			frames, err := g.FramesDecoded()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for sender, n := range frames {
				all[view{g.Name, names[sender]}] = n
			}
		})
	}
	group.Wait()
	return all
}
