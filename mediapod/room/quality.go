package room

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// videoRampUp is how long a new stream may take to reach its bitrate: the browser begins low and
// finds out what the network carries.
const videoRampUp = 10 * time.Second

// qualityTicker measures all rooms in the background, while it is there. The registry's mutex
// guards it.
type qualityTicker struct {
	interval time.Duration
	stop     chan struct{} // nil when it does not run
}

// SetNetworkQualityInterval sets how often participants are told of changes of the publishers'
// network quality. 0 is never, and then nothing is measured for it. After Stop it does nothing.
func (g *Registry) SetNetworkQualityInterval(interval time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped || interval == g.quality.interval {
		return
	}
	g.stopMeasuring()
	if g.quality.interval = max(0, interval); g.quality.interval == 0 {
		return
	}
	stop := make(chan struct{})
	g.quality.stop = stop
	g.closing.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-ticker.C:
				for _, r := range g.rooms() {
					r.measure(now)
				}
			}
		}
	})
}

// stopMeasuring ends the background work. The registry is locked.
func (g *Registry) stopMeasuring() {
	if g.quality.stop != nil {
		close(g.quality.stop)
		g.quality.stop = nil
	}
}

// measure takes what is observed of every publisher, and tells everybody what has changed for them.
func (r *Room) measure(now time.Time) {
	streams, receptions := r.observe()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost(receptions)
	for i, s := range streams {
		if s.owner.publications.has(s) { // it has not ended meanwhile
			s.measure(receptions[i], now)
		}
	}
	for _, p := range r.participants {
		if level, known := p.publications.quality(); known {
			r.notifyQuality(p, level)
		}
	}
}

// observe returns the streams that were announced, and what was observed of each since it was asked
// for last; nil is nothing.
func (r *Room) observe() ([]*stream, []*media.Reception) {
	r.mu.Lock()
	streams := make([]*stream, 0, len(r.streams))
	for _, p := range r.participants {
		for _, s := range p.publications.sorted() {
			if s.live {
				streams = append(streams, s)
			}
		}
	}
	r.mu.Unlock()
	receptions := make([]*media.Reception, len(streams))
	for i, s := range streams {
		if reception, ok := s.publication.Reception(); ok {
			receptions[i] = &reception
		}
	}
	return streams, receptions
}

// quality is the network quality level of a publisher: that of the stream that arrives worst.
func (p *publications) quality() (worst int, known bool) {
	for _, s := range p.byID {
		if level, measured := s.meter.Level(); measured && (!known || level < worst) {
			worst, known = level, true
		}
	}
	return worst, known
}

// measure judges one observation of a stream; nil is none. Video that is not sent, or is not a
// camera's, may have any bitrate. The room is locked.
func (s *stream) measure(observed *media.Reception, now time.Time) {
	info := s.info
	if observed == nil {
		if info.HasAudio && info.AudioActive || info.HasVideo && info.VideoActive {
			s.meter.Miss()
		}
		return
	}
	reception := *observed
	if !info.VideoActive || info.TypeOfVideo != Camera || now.Sub(info.Created) < videoRampUp {
		reception.VideoKbps, reception.TargetKbps = 0, 0
	}
	s.meter.Measure(reception)
}

// notifyQuality tells everybody, the publisher too, who has not heard the level yet: all of them
// when it has changed, who came later otherwise. The room is locked.
func (r *Room) notifyQuality(publisher *Participant, level int) {
	for _, p := range r.participants {
		before, told := p.heardLevels[publisher.id]
		if told && before == level {
			continue
		}
		notification := NetworkQualityLevelChanged{ConnectionID: publisher.id, NewValue: level}
		if told {
			notification.OldValue = &before
		}
		if p.heardLevels == nil {
			p.heardLevels = make(map[string]int)
		}
		p.heardLevels[publisher.id] = level
		p.mailbox.notify(notification)
	}
}
