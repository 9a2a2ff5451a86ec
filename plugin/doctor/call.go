package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Call is a test call: a room of two, one of whom sends, that is removed afterwards.
type Call struct {
	// Pool hosts the room; "" is the default pool.
	Pool string
	// Duration is how long media is measured, from one second to a minute.
	Duration time.Duration
	// Interface is the one network interface for media; "" is all but loopback.
	Interface string
}

// Bounds of Call.Duration.
const (
	MinCallDuration = time.Second
	MaxCallDuration = time.Minute
)

const (
	checkCall = "test call"
	// callPatience bounds how long the room and its tokens, and then a join, may take.
	callPatience = 30 * time.Second
	// callPoll is how often it is looked whether a token is there.
	callPoll = 200 * time.Millisecond
	// removalTime bounds how long removing the room may take.
	removalTime = 10 * time.Second
	// remedyUDP is what to do when no media comes.
	remedyUDP = "does UDP come through from here to the media ports of the pods (exposure.portRange, or the ports of their Services)? " +
		"The test call uses nothing else; browsers go on over TCP, where media is late whenever packets are lost"
	// maxLoss is the share of packets that may be lost.
	maxLoss = 0.01
)

// call makes the test call.
func (e *examination) call(ctx context.Context) {
	if e.Call == nil {
		e.skip(checkCall, "none was made; --call makes one, to see whether UDP comes through")
		return
	}
	if e.missing["sessions"] || e.missing["connections"] {
		return
	}
	totals, err := e.play(ctx)
	if err != nil {
		e.problem(checkCall, err.Error(), "what was found above may say why")
		return
	}
	e.judge(totals)
}

// play makes a room, plays the call, and removes the room.
func (e *examination) play(ctx context.Context) (totals *loadtest.Totals, err error) {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, GenerateName: "doctor-"},
		Spec:       v1alpha1.SessionSpec{PoolName: e.Call.Pool},
	}
	if err := e.Objects.Create(ctx, session); err != nil {
		return nil, fmt.Errorf("making a room: %w", err)
	}
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTime)
		defer cancel()
		if failure := client.IgnoreNotFound(e.Objects.Delete(removing, session)); failure != nil {
			err = errors.Join(err, fmt.Errorf("removing the room %s: %w", session.Name, failure))
		}
	}()
	var tokens strings.Builder
	for _, role := range []v1alpha1.Role{v1alpha1.RolePublisher, v1alpha1.RoleSubscriber} {
		token, err := e.admit(ctx, session, role)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(&tokens, token)
	}
	return e.measure(ctx, tokens.String())
}

// admit makes a Connection and waits for its token.
func (e *examination) admit(ctx context.Context, session *v1alpha1.Session, role v1alpha1.Role) (string, error) {
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, GenerateName: session.Name + "-"},
		Spec:       v1alpha1.ConnectionSpec{SessionName: session.Name, Role: role},
	}
	if err := e.Objects.Create(ctx, connection); err != nil {
		return "", fmt.Errorf("making a Connection: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	again := time.NewTicker(callPoll)
	defer again.Stop()
	for {
		if err := e.Objects.Get(ctx, client.ObjectKeyFromObject(connection), connection); err != nil {
			return "", fmt.Errorf("reading Connection %s: %w", connection.Name, err)
		}
		ready := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status == metav1.ConditionTrue && connection.Status.Token != "" {
			return connection.Status.Token, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			why := "the operator has decided nothing"
			if ready != nil {
				why = fmt.Sprintf("%s: %s", ready.Reason, ready.Message)
			}
			return "", fmt.Errorf("no token has come within %s (%s)", callPatience, why)
		}
	}
}

// measure plays the call with two tokens.
func (e *examination) measure(ctx context.Context, tokens string) (*loadtest.Totals, error) {
	target, err := loadtest.ReadTokens(strings.NewReader(tokens), "", e.HTTP)
	if err != nil {
		return nil, err
	}
	media, err := roomclient.NewMediaWith(roomclient.MediaOptions{Feedback: 100 * time.Millisecond, Device: e.Call.Interface, Sample: 7})
	if err != nil {
		return nil, fmt.Errorf("preparing media: %w", err)
	}
	run, err := loadtest.Start(ctx, loadtest.Setup{Target: target, Media: media, Load: loadtest.Load{
		Rooms: 1, Publishers: 1, Subscribers: 1, Patience: callPatience,
		Stream: roomclient.Stream{AudioPacketBytes: 80, VideoFrameRate: 30, TemporalLayers: 1, Video: []roomclient.Layer{{Width: 1280, Height: 720, Kbps: 1000}}},
	}})
	if err != nil {
		return nil, err
	}
	defer run.Close()
	if err := run.WaitJoined(ctx); err != nil {
		return nil, err
	}
	run.Mark()
	over := time.NewTimer(e.Call.Duration)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	totals := run.Totals()
	return &totals, nil
}

// judge says what a call was like.
func (e *examination) judge(totals *loadtest.Totals) {
	loss := totals.Video.Lost()
	switch {
	case totals.Joins.Failed+totals.Publishes.Failed > 0:
		e.problem(checkCall, "joining did not work: "+reasons(totals), remedyUDP)
	case totals.Video.Frames == 0:
		e.problem(checkCall, "both have joined, and no picture came", remedyUDP)
	case loss > maxLoss:
		e.warn(checkCall, fmt.Sprintf("media goes over UDP, and %.1f %% of the packets are lost", 100*loss),
			"if other traffic has no such loss, raise the nodes' buffers: sysctl -w net.core.rmem_max=16777216 net.core.wmem_max=16777216")
	default:
		e.ok(checkCall, fmt.Sprintf("media goes over UDP, %d pictures in %s, %.1f %% of packets lost", totals.Video.Frames, e.Call.Duration, 100*loss))
	}
}

// reasons says why joins and publications failed.
func reasons(totals *loadtest.Totals) string {
	all := maps.Clone(totals.Joins.Errors)
	if all == nil {
		all = map[string]int{}
	}
	maps.Copy(all, totals.Publishes.Errors)
	return strings.Join(slices.Sorted(maps.Keys(all)), "; ")
}
