package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// What a bad network is, and what is wanted on it (the goals of the project's issue on forwarding).
var (
	lossy  = roomclient.Conditions{Loss: 0.05, Delay: 25 * time.Millisecond}
	wide   = roomclient.Conditions{Kbps: 3000, Queue: 300 * time.Millisecond}
	narrow = roomclient.Conditions{Kbps: 500, Queue: 300 * time.Millisecond}
)

const (
	lossyTime    = time.Minute
	others       = 9 // subscribers without any loss
	impairedKbps = 1500
	layerTime    = 30 * time.Second // in which a layer must be reached at all
	narrowTime   = 20 * time.Second
	upperLayer   = 2
)

// measureImpaired prints how subscribers behind bad networks are served. The kernel's network
// emulator is not everywhere, so the paths are made worse at the receiving sockets
// (roomclient.Path), which is the same for both ends of them.
func measureImpaired(ctx context.Context, o options) (err error) {
	b, err := newLaboratory(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	table := newTable("what", "measured", "wanted")
	if err := b.measureLoss(ctx, table); err != nil {
		return fmt.Errorf("measuring loss: %w", err)
	}
	if err := b.measureCut(ctx, table); err != nil {
		return fmt.Errorf("measuring a cut: %w", err)
	}
	return table.print("Bad networks. Gaps are between the times at which frames are complete, without any jitter buffer;\nthose of the others are what the load itself adds on this machine now.")
}

// fact adds a row.
func (t *table) fact(what, measured, wanted string) { t.row(what, measured, wanted) }

// measureLoss has one subscriber lose packets at random.
func (b *laboratory) measureLoss(ctx context.Context, t *table) error {
	progress("%.0f %% loss and %v of round trip for one of %d subscribers, for %v", lossy.Loss*100, 2*lossy.Delay, others+1, lossyTime)
	return b.withPod(ctx, func(p *pod) error {
		good, err := b.media(nil)
		if err != nil {
			return err
		}
		bad, err := b.media(roomclient.NewPath(lossy))
		if err != nil {
			return err
		}
		run, err := start(ctx, loadtest.Setup{
			Target: p, Media: good, Impaired: bad,
			Load: loadtest.Load{
				Rooms: 1, Publishers: 1, Subscribers: others + 1, Impaired: 1, Ramp: (others + 2) * joinPace,
				Stream: roomclient.Stream{VideoFrameRate: framesPerSecond, Video: []roomclient.Layer{{Kbps: impairedKbps}}, AudioPacketBytes: 80},
			},
		})
		if err != nil {
			return err
		}
		defer run.Close()
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		run.Mark()
		if err := pause(ctx, lossyTime); err != nil {
			return err
		}
		totals := run.Totals()
		t.fact(fmt.Sprintf("%.0f %% loss, %v round trip: longest gap between frames in %v", lossy.Loss*100, 2*lossy.Delay, lossyTime),
			milliseconds(totals.Impaired.Longest), "no freeze over 200 ms")
		t.fact("its packets lost at first, and in the end",
			fmt.Sprintf("%.2f %%, %.3f %%", totals.Impaired.LostAtFirst()*100, totals.Impaired.Lost()*100), "")
		passed := totals.Elapsed.Seconds()
		t.fact("its frames a second, and those of the others", fmt.Sprintf("%.1f, %.1f", float64(totals.Impaired.Frames)/passed,
			float64(totals.Video.Frames)/others/passed), "the same")
		t.fact("its key frames asked for, and those that the publisher sent",
			fmt.Sprintf("%d, %d", totals.Impaired.KeyframeRequests, totals.Sent.Keyframes), "")
		t.fact("the others: packets lost, longest gap",
			fmt.Sprintf("%.3f %%, %s", totals.Video.LostAtFirst()*100, milliseconds(totals.Video.Longest)), "nothing")
		return nil
	})
}

// measureCut narrows the link of one subscriber of a simulcast publisher and widens it again.
func (b *laboratory) measureCut(ctx context.Context, t *table) error {
	progress("a link of %d kbps that is cut to %d and back", wide.Kbps, narrow.Kbps)
	return b.withPod(ctx, func(p *pod) error {
		good, err := b.media(nil)
		if err != nil {
			return err
		}
		path := roomclient.NewPath(wide)
		bad, err := b.media(path)
		if err != nil {
			return err
		}
		publishing, err := start(ctx, loadtest.Setup{Target: p, Media: good, Load: loadtest.Load{
			Rooms: 1, Publishers: 1,
			Stream: roomclient.Stream{VideoFrameRate: framesPerSecond, Video: loadtest.Simulcast(impairedKbps), AudioPacketBytes: 80},
		}})
		if err != nil {
			return err
		}
		defer publishing.Close()
		admission, err := p.Admit(ctx, 0, false)
		if err != nil {
			return err
		}
		s, leave, err := subscribe(ctx, admission, bad)
		if err != nil {
			return err
		}
		defer leave()
		select {
		case <-s.Begun():
		case <-time.After(layerTime):
			return fmt.Errorf("waiting for the first frame: none after %v", layerTime)
		}
		up, err := reach(ctx, s, func(layer int) bool { return layer == upperLayer })
		if err != nil {
			return fmt.Errorf("waiting for the upper layer at first: %w", err)
		}
		t.fact(fmt.Sprintf("%d kbps: upper layer after the first frame", wide.Kbps), seconds(max(0, up.Sub(s.Video().FirstFrame))), "")
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		s.Mark()
		path.Set(narrow)
		cut := time.Now()
		down, err := reach(ctx, s, func(layer int) bool { return layer < upperLayer })
		if err != nil {
			return fmt.Errorf("waiting for a lower layer: %w", err)
		}
		t.fact(fmt.Sprintf("cut to %d kbps: lower layer after", narrow.Kbps), seconds(down.Sub(cut)), "at most 2 s")
		if err := pause(ctx, narrowTime); err != nil {
			return err
		}
		seen := s.Video()
		t.fact(fmt.Sprintf("%d kbps for %v: longest gap between frames", narrow.Kbps, narrowTime), milliseconds(seen.Longest), "no freeze over 500 ms")
		t.fact("then packets lost in the end, and layers", fmt.Sprintf("%.2f %%, %s", seen.Lost()*100, changes(seen, cut)), "")
		s.Mark()
		path.Set(wide)
		mended := time.Now()
		again, err := reach(ctx, s, func(layer int) bool { return layer == upperLayer })
		if err != nil {
			return fmt.Errorf("waiting for the upper layer again: %w", err)
		}
		t.fact(fmt.Sprintf("back to %d kbps: upper layer after", wide.Kbps), seconds(again.Sub(mended)), "at most 10 s")
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		t.fact("since then: longest gap between frames", milliseconds(s.Video().Longest), "no freeze over 500 ms")
		return nil
	})
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// changes are the changes of layer since a time.
func changes(r roomclient.Reception, since time.Time) string {
	text := ""
	for _, c := range r.Changes {
		if c.At.After(since) {
			text += fmt.Sprintf(" %d at %.1f s", c.Layer, c.At.Sub(since).Seconds())
		}
	}
	return text
}

// withPod starts a media pod for the time of a measurement.
func (b *laboratory) withPod(ctx context.Context, measure func(p *pod) error) error {
	p, err := startPod(ctx, b.link, b.program, b.folder)
	if err != nil {
		return err
	}
	return errors.Join(measure(p), p.close())
}

// subscribe joins a room and receives the first stream that it finds.
func subscribe(ctx context.Context, admission roomclient.Options, media *roomclient.Media) (_ *roomclient.Subscriber, leave func(), err error) {
	client, err := roomclient.Dial(ctx, admission)
	if err != nil {
		return nil, nil, err
	}
	room, err := client.Join(ctx, "measured")
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	var streams []string
	for _, other := range room.Value {
		for _, stream := range other.Streams {
			streams = append(streams, stream.ID)
		}
	}
	if len(streams) == 0 {
		client.Close()
		return nil, nil, errors.New("nobody publishes")
	}
	s, err := client.Subscribe(ctx, media, streams[0])
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return s, func() {
		_ = client.Leave(context.WithoutCancel(ctx)) // nothing is measured any more
		_ = s.Close()
	}, nil
}

// layerStep is how often reach looks.
const layerStep = 10 * time.Millisecond

// reach waits until a subscriber receives a layer that matches, and returns since when it does.
func reach(ctx context.Context, s *roomclient.Subscriber, match func(layer int) bool) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, layerTime)
	defer cancel()
	for {
		seen := s.Video()
		if seen.Layer >= 0 && match(seen.Layer) {
			last := slices.MaxFunc(seen.Changes, func(a, b roomclient.LayerChange) int { return a.At.Compare(b.At) })
			return last.At, nil
		}
		if err := pause(ctx, layerStep); err != nil {
			return time.Time{}, fmt.Errorf("%w; now layer %d", err, seen.Layer)
		}
	}
}
