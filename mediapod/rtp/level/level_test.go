package level

import (
	"testing"
	"time"
)

func TestSpeakingIsLoud(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		extension []byte
		speaking  bool
	}{
		"a voice":                       {[]byte{30}, true},
		"a voice, as the sender thinks": {[]byte{0x80 | 30}, true},
		"the quietest voice":            {[]byte{50}, true},
		"a quiet room":                  {[]byte{51}, false},
		"a noise, as the sender thinks": {[]byte{0x80 | 70}, false},
		"a muted track":                 {[]byte{127}, false},
		"two-byte form with padding":    {[]byte{30, 0}, true},
		"no level":                      {nil, false},
	} {
		var m Meter
		if m.Speaking(epoch) {
			t.Errorf("%s: speaking before the first packet", name)
		}
		m.Add(c.extension, epoch)
		m.Add([]byte{127}, epoch.Add(20*time.Millisecond))
		if got := m.Speaking(epoch.Add(pause - 1)); got != c.speaking {
			t.Errorf("%s: speaking is %v", name, got)
		}
		if m.Speaking(epoch.Add(pause)) {
			t.Errorf("%s: still speaking", name)
		}
	}
}
