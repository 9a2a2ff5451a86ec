package peer

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

const (
	audio = webrtc.RTPCodecTypeAudio
	video = webrtc.RTPCodecTypeVideo
)

var both = media.PublicationOptions{StreamID: "str_CAM_test", HasAudio: true, HasVideo: true}

func TestThreeSubscribersGetEverything(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264} {
		t.Run(mime, func(t *testing.T) {
			e := newEngine(t)
			p := e.NewPublication(both)
			s := newSource(t, 65_500, clientOptions{video: []string{mime}}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, mime)
			s.publish(p)
			s.send(5)
			var clients []*client
			for range 3 {
				c, _ := subscribe(t, e, p, clientOptions{})
				clients = append(clients, c)
			}
			s.sendUntil("everybody gets media", func() bool {
				for _, c := range clients {
					if len(c.got(audio)) < 50 || len(c.got(video)) < 50 {
						return false
					}
				}
				return true
			})
			for _, c := range clients {
				c.continuous(audio)
				c.continuous(video)
				if got := c.codec(video); got != mime {
					t.Errorf("video comes in %s", got)
				}
			}
		})
	}
}
