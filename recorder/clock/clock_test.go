package clock

import (
	"testing"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

const audio, video = 1, 2

// sender is a stream whose clock runs at another rate, and says another time, than ours.
type sender struct {
	clock   *Clock
	ahead   time.Duration
	rate    float64
	stalled time.Duration // of the audio: its timestamps do not go on
	seed    uint32
}

func newSender(ahead time.Duration, rate float64) *sender {
	s := &sender{clock: New(), ahead: ahead, rate: rate, seed: 4_294_000_000} // timestamps wrap soon
	s.clock.Add(audio, 48_000)
	s.clock.Add(video, 90_000)
	return s
}

// own is the time of the sender after so much of ours.
func (s *sender) own(after time.Duration) time.Duration {
	return time.Duration(float64(after) * s.rate)
}

func (s *sender) stamp(id int, after time.Duration) uint32 {
	rate := 90_000.0
	if id == audio {
		rate = 48_000
		after -= s.stalled
	}
	return s.seed + uint32(int64(s.own(after).Seconds()*rate))
}

// report is as the sender's own clock says.
func (s *sender) report(id int, after time.Duration) {
	at := epoch.Add(s.own(after) + s.ahead)
	ntp := uint64(at.Unix()+2_208_988_800)<<32 | uint64(at.Nanosecond())<<32/uint64(time.Second)
	s.clock.Report(id, ntp, s.stamp(id, after))
}

// place returns how far from when it was made a frame is placed that takes a while to arrive.
func (s *sender) place(id int, after, transit time.Duration) time.Duration {
	return s.clock.Place(id, s.stamp(id, after), epoch.Add(after+transit)).Sub(epoch.Add(after))
}

// step is from frame to frame.
const step = 20 * time.Millisecond

func within(d, of time.Duration) bool { return d <= of && d >= -of }

func TestJitterDoesNotShow(t *testing.T) {
	s := newSender(0, 1)
	for i := range 500 {
		transit := 20*time.Millisecond + time.Duration(i*7919%60)*time.Millisecond
		if i == 0 {
			transit = 20 * time.Millisecond
		}
		if shift := s.place(audio, time.Duration(i)*step, transit) - 20*time.Millisecond; !within(shift, 25*time.Millisecond) {
			t.Fatalf("frame %d is %v from its place", i, shift)
		}
	}
}

func TestReportsBringTracksTogether(t *testing.T) {
	s := newSender(-3*time.Hour, 1) // its clock is wrong
	apart := time.Duration(0)
	for i := range 1500 {
		after := time.Duration(i) * step
		if i%50 == 10 {
			s.report(audio, after)
			s.report(video, after)
		}
		// The picture takes longer, and is placed where the sound is that was made with it.
		apart = s.place(video, after, 150*time.Millisecond) - s.place(audio, after, 30*time.Millisecond)
	}
	if !within(apart, 5*time.Millisecond) {
		t.Errorf("sound and picture are %v apart", apart)
	}
}

func TestAClockThatDriftsIsFollowed(t *testing.T) {
	for _, reported := range []bool{false, true} {
		s := newSender(time.Minute, 1.0002) // 17 s a day
		for i := range 60 * 50 * 20 {       // 20 minutes
			after := time.Duration(i) * step
			if reported && i%50 == 0 {
				s.report(audio, after)
				s.report(video, after)
			}
			a, v := s.place(audio, after, 30*time.Millisecond), s.place(video, after, 60*time.Millisecond)
			if i > 1000 && (!within(a-v, 80*time.Millisecond) || !within(a-30*time.Millisecond, 80*time.Millisecond)) {
				t.Fatalf("reported %t: after %v the sound is %v late and the picture %v", reported, after, a, v)
			}
		}
	}
}

func TestAStallBecomesAGap(t *testing.T) {
	s := newSender(0, 1)
	run := func(from, to time.Duration) (shift time.Duration) {
		for after := from; after < to; after += step {
			if after%time.Second == 0 {
				s.report(video, after)
			}
			shift = s.place(audio, after, 30*time.Millisecond)
			s.place(video, after, 30*time.Millisecond)
		}
		return shift - 30*time.Millisecond
	}
	if shift := run(0, 20*time.Second); !within(shift, 20*time.Millisecond) {
		t.Errorf("before, the sound is %v late", shift)
	}
	s.stalled = 5 * time.Second
	if shift := run(25*time.Second, 30*time.Second); !within(shift, 50*time.Millisecond) {
		t.Errorf("after a stall of 5 s the sound is %v late", shift)
	}
}

func TestCorrectionsAreSmooth(t *testing.T) {
	s := newSender(0, 1)
	last := time.Duration(0)
	for i := range 1000 {
		transit := 30 * time.Millisecond
		if i >= 300 { // another path, which takes longer
			transit = 150 * time.Millisecond
		}
		shift := s.place(audio, time.Duration(i)*step, transit)
		if i > 0 && !within(shift-last, step/10) {
			t.Fatalf("frame %d jumps by %v", i, shift-last)
		}
		last = shift
	}
	if !within(last-150*time.Millisecond, 10*time.Millisecond) {
		t.Errorf("in the end the sound is %v late", last)
	}
}

func TestATrackThatIsNotKnownIsPlacedWhereItArrives(t *testing.T) {
	c := New()
	c.Report(9, 1, 1)
	if at := c.Place(9, 1, epoch); !at.Equal(epoch) {
		t.Errorf("it is placed at %v", at)
	}
}

func TestFramesStayInOrder(t *testing.T) {
	s := newSender(0, 1)
	var last time.Time
	shift := time.Duration(0)
	for i := range 500 {
		after, transit := time.Duration(i)*step, 30*time.Millisecond
		if i < 100 { // the first ones come late
			transit = 900 * time.Millisecond
		}
		at := s.clock.Place(audio, s.stamp(audio, after), epoch.Add(after+transit))
		if at.Before(last) {
			t.Fatalf("frame %d is %v before the one before", i, last.Sub(at))
		}
		last, shift = at, at.Sub(epoch.Add(after))
	}
	if !within(shift-30*time.Millisecond, 110*time.Millisecond) {
		t.Errorf("in the end the sound is %v late", shift)
	}
}
