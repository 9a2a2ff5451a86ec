//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestTwoBrowsersJoinWithTheTokensOfStatusAndSeeAndHearEachOther(t *testing.T) {
	applySamples(t)
	a, b := call(t, cluster.DefaultTenant, guest1, guest2)

	for _, pair := range [][2]*guest{{a, b}, {b, a}} {
		receiver, sender := pair[0], pair[1]
		before, err := receiver.Received(sender.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Watch(sender.joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
		wait.For(t, 30*time.Second, receiver.Name+" to decode 3 s of video and hear the fake microphone", func() error {
			now, err := receiver.Received(sender.joined.ConnectionID)
			if err != nil {
				return err
			}
			if frames := now.Video.FramesDecoded - before.Video.FramesDecoded; frames < 3*frameRate {
				return fmt.Errorf("%d frames decoded", frames)
			}
			if packets := now.Audio.Packets - before.Audio.Packets; packets < 100 {
				return fmt.Errorf("%d audio packets came", packets)
			}
			if now.Audio.Energy <= 0 {
				return fmt.Errorf("the audio is silent: %+v", now.Audio)
			}
			return nil
		})
		gaps, err := receiver.Gaps(sender.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s from %s: no frame for at most %.0f ms, no audio packet for at most %.0f ms",
			receiver.Name, sender.Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
		if gaps.VideoMilliseconds > 1500 || gaps.AudioMilliseconds > 1500 {
			t.Errorf("%s from %s: media stopped for %+v", receiver.Name, sender.Name, gaps)
		}
		wait.For(t, 20*time.Second, "the picture to have the sent size", func() error {
			sent, err := sender.Sent()
			if err != nil {
				return err
			}
			got, err := receiver.Received(sender.joined.ConnectionID)
			if err != nil {
				return err
			}
			if sent.Video.Width != width || sent.Video.Height != height ||
				got.Video.Width != sent.Video.Width || got.Video.Height != sent.Video.Height {
				return fmt.Errorf("captured %s, sent %dx%d, received %dx%d", resolution,
					sent.Video.Width, sent.Video.Height, got.Video.Width, got.Video.Height)
			}
			return nil
		})
	}
}

func TestStatusShowsWhoIsInTheRoomAndWhatTheySend(t *testing.T) {
	applySamples(t)
	a, b := call(t, cluster.DefaultTenant, guest1, guest2)

	for _, pair := range [][2]*guest{{a, b}, {b, a}} {
		self, other := pair[0], pair[1]
		wait.For(t, 5*time.Second, "the status of "+self.connection+" to show its user", func() error {
			connection, err := kube.Connection(self.namespace, self.connection)
			if err != nil {
				return err
			}
			return complete(connection, self, other)
		})
		if !strings.Contains(self.joined.Data, self.clientData) {
			t.Errorf("%s was told %q of itself, want its client data in it", self.Name, self.joined.Data)
		}
	}
	wait.For(t, 5*time.Second, "the Session's counts to agree", func() error {
		session, err := kube.Session(cluster.DefaultTenant, demo)
		if err != nil {
			return err
		}
		s := session.Status
		if s.ActiveConnections != 2 || s.PendingConnections != 0 || s.Publishers != 2 {
			return fmt.Errorf("active %d, pending %d, publishers %d", s.ActiveConnections, s.PendingConnections, s.Publishers)
		}
		if s.SessionID != a.joined.SessionID {
			return fmt.Errorf("sessionID is %q, clients were told %q", s.SessionID, a.joined.SessionID)
		}
		return nil
	})
	get, err := kube.Kubectl(t.Context(), "get", "connections", "-o", "wide")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kubectl get connections -o wide\n%s", get)
}

// complete gives no error when the status of a Connection says everything about its user, who sends
// one stream and receives the other's.
func complete(connection *v1alpha1.Connection, self, other *guest) error {
	s := connection.Status
	var wrong []string
	check := func(right bool, format string, args ...any) {
		if !right {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(s.State == v1alpha1.ConnectionStateActive, "state is %q", s.State)
	check(s.ConnectionID == self.joined.ConnectionID, "connectionID is %q, the client has %q", s.ConnectionID, self.joined.ConnectionID)
	// Instants in the API have whole seconds.
	check(s.ActiveTime != nil && !s.ActiveTime.Time.Before(self.at.Truncate(time.Second)) && !s.ActiveTime.After(time.Now()),
		"activeTime is %v, the user joined at about %v", s.ActiveTime, self.at)
	check(s.CreatedTime != nil && s.ActiveTime != nil && !s.ActiveTime.Before(s.CreatedTime), "createdTime is %v, activeTime %v",
		s.CreatedTime, s.ActiveTime)
	check(s.DisconnectedTime == nil && s.DisconnectReason == "", "it is disconnected at %v: %q", s.DisconnectedTime, s.DisconnectReason)
	check(s.ClientData == self.clientData, "clientData is %q", s.ClientData)
	check(s.ServerData == connection.Spec.Data && s.ServerData != "", "serverData is %q, data is %q", s.ServerData, connection.Spec.Data)
	check(net.ParseIP(s.IP) != nil, "ip is %q", s.IP)
	check(strings.Contains(s.Platform, "Chrome"), "platform is %q", s.Platform)
	if len(s.Publishers) == 1 {
		p := s.Publishers[0]
		check(p.StreamID == self.streamID, "publishes %q, the client says %q", p.StreamID, self.streamID)
		check(p.HasAudio && p.HasVideo && p.AudioActive && p.VideoActive, "audio or video is missing: %+v", p)
		check(p.TypeOfVideo == "CAMERA" && p.FrameRate == frameRate, "video is %q at %d fps", p.TypeOfVideo, p.FrameRate)
		check(p.VideoDimensions == fmt.Sprintf(`{"width":%d,"height":%d}`, width, height), "videoDimensions is %q", p.VideoDimensions)
		check(!p.CreatedTime.Time.Before(self.at.Truncate(time.Second)), "published at %v", p.CreatedTime)
	} else {
		check(false, "%d publishers", len(s.Publishers))
	}
	subscribers := []string{}
	for _, subscriber := range s.Subscribers {
		subscribers = append(subscribers, subscriber.StreamID)
	}
	check(slices.Equal(subscribers, []string{other.streamID}), "receives %q, want %q", subscribers, other.streamID)
	if wrong != nil {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}
