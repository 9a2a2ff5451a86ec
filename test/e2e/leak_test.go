//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// Rounds of TestFiftyRounds..., and how much may differ afterwards. Memory, in bytes, by what a Go
// heap and its fragments vary by when nothing is kept: 50 rounds that kept one peer connection each
// would keep 100 of them, at 100 kB and more each. Goroutines by those that collect the metrics:
// they count themselves, and how many of them work at the same moment is chance. 50 rounds that
// kept one each would keep 50.
const (
	rounds            = 50
	gatherTolerance   = 2
	heapTolerance     = 2 << 20
	residentTolerance = 24 << 20
)

// figures are what a media pod says of itself that must come back.
var figures = []string{"go_goroutines", "process_open_fds", "go_memstats_heap_alloc_bytes", "process_resident_memory_bytes"}

func TestFiftyRoundsOfJoinsAndLeavesLeaveNothingBehindInThePod(t *testing.T) {
	namespace := kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "room")
	pod := kube.WaitSession(t, 20*time.Second, namespace, "room").Status.PodName
	media := rawclient.NewMedia(t)
	// The first rounds start what stays: listeners, pools of buffers, and the like.
	for i := range 5 {
		round(t, namespace, media, fmt.Sprintf("warm-up-%d", i))
	}
	before := settled(t, pod, nil)
	start := time.Now()
	for i := range rounds {
		round(t, namespace, media, fmt.Sprintf("round-%d", i))
	}
	t.Logf("%d rounds took %v", rounds, time.Since(start))
	if session, err := kube.Session(namespace, "room"); err != nil || session.Status.PodName != pod {
		t.Fatalf("the Session moved from pod %s during the test (%v)", pod, err)
	}
	after := settled(t, pod, before)
	for _, name := range figures {
		t.Logf("%-32s before %12.0f, after %12.0f", name, before[name], after[name])
	}
}

// round lets a publisher and a subscriber join, exchange media and leave, and deletes their
// Connections. The subscriber of every other round is lost without a word.
func round(t *testing.T, namespace string, media *roomclient.Media, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	sender := kube.CreateConnection(t, namespace, "room", name+"-sender", nil)
	receiver := kube.CreateConnection(t, namespace, "room", name+"-receiver", nil)

	a := signalling(t, namespace, sender.Name)
	b := signalling(t, namespace, receiver.Name)
	publisher, err := a.Publish(ctx, media, roomclient.Stream{
		VideoFrameRate: 30, Video: roomclient.Fixed(3, 1000), AudioPacketBytes: 80,
	})
	if err != nil {
		t.Fatalf("%s: publishing: %v", name, err)
	}
	subscriber, err := b.Subscribe(ctx, media, publisher.StreamID)
	if err != nil {
		t.Fatalf("%s: subscribing: %v", name, err)
	}
	wait.For(t, 10*time.Second, name+" to receive media", func() error {
		if subscriber.VideoPackets() < 20 || subscriber.AudioPackets() < 5 {
			return fmt.Errorf("%d video and %d audio packets", subscriber.VideoPackets(), subscriber.AudioPackets())
		}
		return nil
	})
	if err := a.Leave(ctx); err != nil {
		t.Errorf("%s: leaving: %v", name, err)
	}
	b.Close() // lost; the deletion below evicts it within its reconnection window
	if err := publisher.Close(); err != nil {
		t.Errorf("%s: closing: %v", name, err)
	}
	if err := subscriber.Close(); err != nil {
		t.Errorf("%s: closing: %v", name, err)
	}
	for _, connection := range []client.Object{sender, receiver} {
		if err := kube.Client.Delete(ctx, connection); err != nil {
			t.Fatal(err)
		}
	}
	for _, connection := range []client.Object{sender, receiver} {
		wait.For(t, 10*time.Second, connection.GetName()+" to be gone", func() error { return kube.Gone(connection) })
	}
}

// settled waits until a pod's figures do not fall any more for a while, and are what they were
// before unless that is nil, and returns the least. Reading the metrics makes garbage, so that the
// collector runs and the heap shows what is kept.
func settled(t *testing.T, pod string, before cluster.Metrics) cluster.Metrics {
	t.Helper()
	lowest := cluster.Metrics{}
	var lastFall time.Time
	wait.For(t, 150*time.Second, "the pod's figures to come back", func() error {
		metrics, err := kube.PodMetrics(t.Context(), pod, "8080")
		if err != nil {
			return err
		}
		for _, name := range figures {
			value, known := metrics[name]
			if !known {
				return fmt.Errorf("the pod has no metric %s", name)
			}
			least, seen := lowest[name]
			if !seen || value < least {
				lowest[name] = value
			}
			// Goroutines and files count one by one, but of memory a little less at every
			// collection is no news.
			if isMemory := strings.HasSuffix(name, "_bytes"); !seen || value < least && !isMemory || value < least*0.95 {
				lastFall = time.Now()
			}
		}
		// Sockets and timers of a user who left end within 10 s (openvidu-rpc 7.6), and the garbage
		// collector has run by then.
		if calm := time.Since(lastFall); calm < 12*time.Second {
			return fmt.Errorf("figures fell %v ago", calm)
		}
		if before == nil {
			return nil
		}
		for name, tolerance := range map[string]float64{
			"go_goroutines": gatherTolerance, "process_open_fds": 0,
			"go_memstats_heap_alloc_bytes": heapTolerance, "process_resident_memory_bytes": residentTolerance,
		} {
			if lowest[name] > before[name]+tolerance {
				return fmt.Errorf("%s: %.0f, before %.0f, tolerance %.0f", name, lowest[name], before[name], tolerance)
			}
		}
		return nil
	})
	return maps.Clone(lowest)
}
