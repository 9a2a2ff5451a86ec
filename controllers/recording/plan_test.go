package recording

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/fleet"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// applied is a Recording that waits for somebody in the room.
func applied() observed {
	return observed{
		recording: &v1alpha1.Recording{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: "monday", UID: "uid-monday", Generation: 1, Finalizers: []string{v1alpha1.RecordingFinalizer},
				CreationTimestamp: metav1.Time{Time: now.Add(-time.Hour)},
			},
			Spec: v1alpha1.RecordingSpec{SessionName: "demo", OutputMode: v1alpha1.RecordingOutputModeIndividual},
		},
		session: &v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo", UID: "uid-demo"},
			Spec:       v1alpha1.SessionSpec{SessionID: "Demo"},
			Status:     v1alpha1.SessionStatus{PodName: "pod-1"},
		},
		pool: &v1alpha1.MediaPool{
			ObjectMeta: metav1.ObjectMeta{Name: "standard"},
			Spec:       v1alpha1.MediaPoolSpec{PublicURL: "wss://rooms.example.org/", Egress: &v1alpha1.Egress{AutoStopSeconds: ptr.To(int32(120))}},
		},
		taken: map[string]bool{},
		pod:   fleet.PodView{Pod: fleet.Pod{Name: "pod-1", UID: "uid-pod", Address: "192.0.2.1:7443"}, State: fleet.Synced},
		now:   now,
	}
}

// running is a Recording that has started, with two users of whom one publishes.
func running() observed {
	o := applied()
	o.session.Status.ActiveConnections, o.session.Status.Publishers = 2, 1
	o.recording.Status = v1alpha1.RecordingStatus{
		State: v1alpha1.RecordingStateStarted, RecordingID: "Demo", SessionID: "Demo", SessionUID: "uid-demo", PoolName: "standard",
		StartedTime: &metav1.Time{Time: now.Add(-time.Minute)},
	}
	o.worker = egress.View{State: egress.Synced, Status: &egressv1.JobStatus{
		Uid: "uid-monday", State: egressv1.State_STATE_STARTED, StartedUnixMs: now.Add(-time.Minute).UnixMilli(),
	}}
	return o
}

// Each sentence is a state that is observed; the golden file has what is planned then, and what
// status says.
func TestPlans(t *testing.T) {
	type state struct {
		of     func() observed
		change func(o *observed)
	}
	joined := func(o *observed) { o.session.Status.ActiveConnections = 1 }
	idle := func(ago time.Duration) func(*observed) {
		return func(o *observed) {
			o.session.Status.Publishers, o.recording.Status.IdleSinceTime = 0, &metav1.Time{Time: now.Add(-ago)}
		}
	}
	lost := func(o *observed) { // the recorder has another volume than when it was ready
		status := &o.recording.Status
		status.State, status.Reason, status.DurationSeconds, status.Location = v1alpha1.RecordingStateReady, "automaticStop", 61, "s3://rooms/Demo/uid-monday/"
		status.Files = []v1alpha1.RecordingFile{{Name: "Demo.zip", SizeBytes: 1}}
	}
	states := map[string]state{
		"it waits for somebody in the room": {applied, func(*observed) {}},
		"it is new":                         {applied, func(o *observed) { o.recording.Finalizers = nil }},
		"somebody has come":                 {applied, joined},
		"somebody has come and publishes":   {applied, func(o *observed) { joined(o); o.session.Status.Publishers = 1 }},
		"its identifier is taken twice":     {applied, func(o *observed) { joined(o); o.taken["Demo"], o.taken["Demo~1"] = true, true }},
		"it is another tenant's":            {applied, func(o *observed) { joined(o); o.folder = "team." }},
		"it has a name and a bound": {applied, func(o *observed) {
			joined(o)
			o.recording.Spec.Name, o.recording.Spec.MaxDurationSeconds = "m", ptr.To(int64(60))
		}},
		"there is no Session":         {applied, func(o *observed) { o.session, o.pool = nil, nil }},
		"its Session waits for a pod": {applied, func(o *observed) { o.session.Status.PodName = "" }},
		"its pool does not record":    {applied, func(o *observed) { joined(o); o.pool.Spec.Egress = nil }},
		"another one runs":            {applied, func(o *observed) { joined(o); o.rival = "sunday" }},
		"it would be a grid":          {applied, func(o *observed) { joined(o); o.recording.Spec.OutputMode = v1alpha1.RecordingOutputModeComposed }},
		"it is a grid": {applied, func(o *observed) {
			joined(o)
			o.recording.Spec.OutputMode, o.recording.Spec.Resolution, o.recording.Spec.FrameRate = v1alpha1.RecordingOutputModeComposedQuickStart, "1920x1080", 30
			o.pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
		}},
		"it is the sound of a grid": {applied, func(o *observed) {
			joined(o)
			o.recording.Spec.OutputMode, o.recording.Spec.HasVideo = v1alpha1.RecordingOutputModeComposed, ptr.To(false)
			o.pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
		}},
		"it has a layout of its own": {applied, func(o *observed) {
			joined(o)
			o.recording.Spec.OutputMode, o.recording.Spec.Layout = v1alpha1.RecordingOutputModeComposed, v1alpha1.RecordingLayoutCustom
			o.pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
		}},
		"it is being composed": {running, func(o *observed) {
			o.recording.Status.Reason, o.recording.Status.State = "automaticStop", v1alpha1.RecordingStateStopped
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_STOPPED, Message: "Composing 40 %"}
		}},
		"it is composed": {running, func(o *observed) {
			o.recording.Status.Reason, o.recording.Status.State = "automaticStop", v1alpha1.RecordingStateStopped
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_READY, DurationMs: 61400, SizeBytes: 9, Files: []*egressv1.File{
				{Name: "m.mp4", SizeBytes: 9, DurationMs: 61400}, {Name: "Demo.jpg", SizeBytes: 1},
			}}
		}},
		"it is stopped before it began":      {applied, func(o *observed) { o.recording.Spec.Stop = true }},
		"it runs":                            {running, func(*observed) {}},
		"the room is on another pod":         {running, func(o *observed) { o.pod.UID, o.pod.Address = "uid-other", "192.0.2.2:7443" }},
		"the room is on no pod":              {running, func(o *observed) { o.pod = fleet.PodView{State: fleet.Lost} }},
		"the recorder is away":               {running, func(o *observed) { o.worker.State = egress.Down }},
		"it is stopped":                      {running, func(o *observed) { o.recording.Spec.Stop = true }},
		"its Session is being deleted":       {running, func(o *observed) { o.session.DeletionTimestamp = &metav1.Time{Time: now} }},
		"its Session is gone":                {running, func(o *observed) { o.session = nil }},
		"its Session is another one now":     {running, func(o *observed) { o.session.UID = "uid-later" }},
		"its Session is gone after all left": {running, func(o *observed) { idle(time.Second)(o); o.session = nil }},
		"all have left":                      {running, func(o *observed) { o.session.Status.ActiveConnections, o.session.Status.Publishers = 0, 0 }},
		"all have left, and no time is given": {running, func(o *observed) {
			o.session.Status.ActiveConnections, o.session.Status.Publishers = 0, 0
			o.pool.Spec.Egress.AutoStopSeconds = ptr.To(int32(0))
		}},
		"nobody publishes, some are there":  {running, func(o *observed) { o.session.Status.Publishers = 0 }},
		"nobody has published for a minute": {running, idle(time.Minute)},
		"nobody has published for too long": {running, idle(2 * time.Minute)},
		"somebody publishes again in time":  {running, func(o *observed) { idle(time.Minute)(o); o.session.Status.Publishers = 1 }},
		"the recorder waits for media": {running, func(o *observed) {
			o.recording.Status.State, o.worker.Status.State = v1alpha1.RecordingStateStarting, egressv1.State_STATE_STARTING
		}},
		"the recorder waits, and nobody publishes": {running, func(o *observed) {
			idle(time.Second)(o)
			o.recording.Status.State, o.worker.Status.State = v1alpha1.RecordingStateStarting, egressv1.State_STATE_STARTING
		}},
		"the recorder has stopped it": {running, func(o *observed) {
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_STOPPED}
		}},
		"the recorder has failed": {running, func(o *observed) {
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_FAILED, Message: "the disk is full\x00"}
		}},
		"its files are ready": {running, func(o *observed) {
			o.recording.Status.Reason, o.recording.Spec.Stop = "recordingStoppedByServer", true
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_READY, DurationMs: 61400, SizeBytes: 3565158, Files: []*egressv1.File{
				{Name: "a.webm", SizeBytes: 3565158, DurationMs: 61400}, {Name: "Demo.zip", SizeBytes: 3565158},
			}}
		}},
		"its files go to S3": {running, func(o *observed) {
			o.pool.Spec.Egress.Storage.S3 = &v1alpha1.S3Storage{Endpoint: "https://s3.example.org", Bucket: "rooms", Prefix: "team", SecretName: "s3"}
			o.recording.Status.Reason, o.recording.Status.State = "automaticStop", v1alpha1.RecordingStateStopped
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_STOPPED, Message: "bringing Demo.zip to S3: S3 at https://s3.example.org has no bucket \"rooms\""}
		}},
		"its files are in S3": {running, func(o *observed) {
			o.pool.Spec.Egress.Storage.S3 = &v1alpha1.S3Storage{Endpoint: "https://s3.example.org", Bucket: "rooms", Region: "eu", PathStyle: ptr.To(false), SecretName: "s3"}
			o.recording.Status.Reason, o.recording.Status.State = "automaticStop", v1alpha1.RecordingStateStopped
			o.worker.Status = &egressv1.JobStatus{
				State: egressv1.State_STATE_READY, Location: "s3://rooms/Demo/uid-monday/", Files: []*egressv1.File{{Name: "Demo.zip", SizeBytes: 1}},
			}
		}},
		"its files are looked for in S3": {running, func(o *observed) {
			lost(o)
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_STARTING, Message: "looking for the recording in S3: S3 at https://s3.example.org can't be reached"}
		}},
		"its files are not found": {running, func(o *observed) {
			lost(o)
			o.worker.Status = &egressv1.JobStatus{State: egressv1.State_STATE_FAILED, Message: "nothing was published while it was recorded"}
		}},
		"its files are lost": {running, func(o *observed) {
			o.recording.Status.Reason, o.recording.Status.State, o.worker.Status = "automaticStop", v1alpha1.RecordingStateReady, nil
		}},
	}
	var out strings.Builder
	for _, sentence := range slices.Sorted(maps.Keys(states)) {
		o := states[sentence].of()
		states[sentence].change(&o)
		p := makePlan(o)
		fmt.Fprintln(&out, sentence)
		for _, a := range p.actions {
			if a.reason == "" {
				t.Errorf("%s: %s has no reason", sentence, a.kind)
			}
			fmt.Fprintf(&out, "    -> %s: %s\n", a.kind, a.reason)
			if j := a.job; j != nil {
				fmt.Fprintf(&out, "       folder %s, session %s, name %s, at most %d s, on %s, stop %q\n",
					j.GetRecordingId(), j.GetSessionId(), j.GetName(), j.GetMaxDurationSeconds(), j.GetSource().GetAddress(), j.GetStopReason())
				if j.GetMode() != egressv1.OutputMode_OUTPUT_MODE_INDIVIDUAL {
					fmt.Fprintf(&out, "       as %s, %dx%d, %d a second\n", j.GetMode(), j.GetPicture().GetWidth(), j.GetPicture().GetHeight(), j.GetPicture().GetFrameRate())
				}
				if s3 := j.GetS3(); s3 != nil {
					fmt.Fprintf(&out, "       to %s, bucket %s in %s, below %q, path style %t\n",
						s3.GetEndpoint(), s3.GetBucket(), s3.GetRegion(), s3.GetPrefix(), s3.GetPathStyle())
				}
			}
		}
		after := makeStatus(o, p, true)
		fmt.Fprintf(&out, "    %s, id %q, ended %q, idle %t, %d s, %q, %s\n", after.State, after.RecordingID, after.Reason, after.IdleSinceTime != nil,
			after.DurationSeconds, after.Size, after.URL)
		if after.Location != "" {
			fmt.Fprintf(&out, "    at %s\n", after.Location)
		}
		for _, c := range after.Conditions {
			fmt.Fprintf(&out, "    %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
		if p.again != 0 {
			fmt.Fprintf(&out, "    again after %s\n", p.again)
		}
	}
	path := filepath.Join("testdata", "plans.golden")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		t.Errorf("the plans differ from %s (go test -update writes it):\n%s", path, got)
	}
}

func TestPassedStates(t *testing.T) {
	for _, test := range []struct {
		before, after v1alpha1.RecordingState
		want          string
	}{
		{"", v1alpha1.RecordingStateStarting, "[]"},
		{"", v1alpha1.RecordingStateStarted, "[Started]"},
		{v1alpha1.RecordingStateStarted, v1alpha1.RecordingStateStarted, "[]"},
		{v1alpha1.RecordingStateStarted, v1alpha1.RecordingStateReady, "[Stopped Ready]"},
		{v1alpha1.RecordingStateStarting, v1alpha1.RecordingStateReady, "[Started Stopped Ready]"},
		{v1alpha1.RecordingStateStarting, v1alpha1.RecordingStateFailed, "[Stopped Failed]"},
		{v1alpha1.RecordingStateStopped, v1alpha1.RecordingStateFailed, "[Failed]"},
	} {
		if got := fmt.Sprint(passed(test.before, test.after)); got != test.want {
			t.Errorf("from %q to %s are %s, want %s", test.before, test.after, got, test.want)
		}
	}
}

// What a Session with recordingMode Always gets.
func TestAlways(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo", UID: "0123456789"}}
	before := func(change func(*v1alpha1.Recording)) []v1alpha1.Recording {
		r := v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Name: "demo-01234567-1"}}
		r.Status = v1alpha1.RecordingStatus{SessionUID: "0123456789", State: v1alpha1.RecordingStateReady, Reason: "automaticStop"}
		change(&r)
		return []v1alpha1.Recording{r}
	}
	for sentence, test := range map[string]struct {
		there []v1alpha1.Recording
		want  string
	}{
		"there is none":                    {nil, "demo-01234567-1"},
		"one has stopped by itself":        {before(func(*v1alpha1.Recording) {}), "demo-01234567-2"},
		"one runs":                         {before(func(r *v1alpha1.Recording) { r.Status.State = v1alpha1.RecordingStateStarted }), ""},
		"one is about to begin":            {before(func(r *v1alpha1.Recording) { r.Status = v1alpha1.RecordingStatus{} }), ""},
		"one was stopped by hand":          {before(func(r *v1alpha1.Recording) { r.Status.Reason = "recordingStoppedByServer" }), ""},
		"one is being stopped by hand":     {before(func(r *v1alpha1.Recording) { r.Spec.Stop = true }), ""},
		"the Session before had one":       {before(func(r *v1alpha1.Recording) { r.Status.SessionUID = "other"; r.Name = "demo-other-1" }), "demo-01234567-1"},
		"somebody else has taken the name": {before(func(r *v1alpha1.Recording) { r.Status.SessionUID = "other" }), "demo-01234567-2"},
		"one was refused before it began":  {before(func(r *v1alpha1.Recording) { r.Status = v1alpha1.RecordingStatus{State: v1alpha1.RecordingStateFailed} }), "demo-01234567-2"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := ""
			if r := due(session, test.there); r != nil {
				got = r.Name
			}
			if got != test.want {
				t.Errorf("it gets %q, want %q", got, test.want)
			}
		})
	}
	session.Spec.DefaultRecordingProperties = &v1alpha1.RecordingProperties{
		OutputMode: v1alpha1.RecordingOutputModeIndividual, Name: "daily", HasVideo: ptr.To(false), IgnoreFailedStreams: true,
	}
	got := due(session, nil).Spec
	if got.OutputMode != v1alpha1.RecordingOutputModeIndividual || got.Name != "daily" || *got.HasVideo || !got.IgnoreFailedStreams || got.SessionName != "demo" {
		t.Errorf("it gets %+v", got)
	}
}

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1.0Ki", 3565158: "3.4Mi", 5 << 30: "5.0Gi", 4096 << 40: "4096.0Ti"} {
		if got := humanSize(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}
