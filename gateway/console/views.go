package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

// maxText bounds a text of users in an answer, in bytes.
const maxText = 300

// States of rooms and pods.
const (
	stateReady    = "ready"
	stateWaiting  = "waiting"
	stateClosing  = "closing"
	stateDraining = "draining"
	stateFailed   = "failed"
)

// room is a Session. Times are in seconds since 1970; 0 is none.
type room struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	ID        string `json:"id"`
	State     string `json:"state"`
	// Reason and Message are those of the condition that says why the room is not ready.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	place
	figures
	Max       int32  `json:"max,omitempty"`
	Served    served `json:"served"`
	Recording bool   `json:"recording"`
	Created   int64  `json:"created"`
}

// place is where a room is.
type place struct {
	Pool string `json:"pool,omitempty"`
	Pod  string `json:"pod,omitempty"`
	Node string `json:"node,omitempty"`
	// Standby is the pod that follows; Protected the reason of the condition Protected, "" for
	// none.
	Standby   string `json:"standby,omitempty"`
	Protected string `json:"protected,omitempty"`
}

// figures are what is in a room, or in all.
type figures struct {
	People  int32 `json:"people"`
	Pending int32 `json:"pending"`
	Streams int32 `json:"streams"`
	UDP     int32 `json:"udp"`
	TCP     int32 `json:"tcp"`
}

func (f *figures) add(other figures) {
	f.People += other.People
	f.Pending += other.Pending
	f.Streams += other.Streams
	f.UDP += other.UDP
	f.TCP += other.TCP
}

// served is how a room has served its users in the last minute.
type served struct {
	Joins  int32 `json:"joins"`
	Failed int32 `json:"failed"`
	// Milliseconds that half of Joins took at most; 0 when that is not known.
	Milliseconds int32 `json:"milliseconds,omitempty"`
	LossPercent  int32 `json:"lossPercent"`
}

func servedOf(levels *v1alpha1.ServiceLevels) served {
	if levels == nil {
		return served{}
	}
	return served{levels.Joins, levels.FailedJoins, levels.MedianJoinMilliseconds, levels.WorstLossPercent}
}

func roomOf(session *v1alpha1.Session) room {
	status := &session.Status
	r := room{
		Namespace: session.Namespace, Name: session.Name, ID: naming.SessionID(session), State: stateReady,
		place: place{Pool: status.PoolName, Pod: status.PodName, Node: status.NodeName, Standby: status.StandbyPodName},
		figures: figures{
			People: status.ActiveConnections, Pending: status.PendingConnections, Streams: status.Publishers,
			UDP: status.MediaConnections.UDP, TCP: status.MediaConnections.TCP,
		},
		Served: servedOf(status.ServiceLevels), Recording: status.Recording, Created: seconds(session.CreationTimestamp.Time),
	}
	if session.Spec.MaxConnections != nil {
		r.Max = *session.Spec.MaxConnections
	}
	if protected := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionProtected); protected != nil {
		r.Protected = protected.Reason
	}
	switch {
	case !session.DeletionTimestamp.IsZero():
		r.State = stateClosing
	case !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady):
		r.State = stateWaiting
		r.Reason, r.Message = unmet(status.Conditions)
	}
	return r
}

// seconds returns a time in seconds since 1970; 0 for none.
func seconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}

// unmet says why something is not ready: the first condition in their order that is not met.
func unmet(conditions []metav1.Condition) (reason, message string) {
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status != metav1.ConditionTrue {
			return c.Reason, short(c.Message)
		}
	}
	return "", ""
}

// person is a Connection, without its token.
type person struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	// Label is what the client, or else the server, says of the user.
	Label    string   `json:"label,omitempty"`
	Role     string   `json:"role"`
	State    string   `json:"state"`
	Since    int64    `json:"since"`
	Left     string   `json:"left,omitempty"`
	IP       string   `json:"ip,omitempty"`
	Platform string   `json:"platform,omitempty"`
	Sends    []stream `json:"sends,omitempty"`
	Receives int      `json:"receives"`
}

// stream is what a person sends.
type stream struct {
	ID        string `json:"id"`
	Kind      string `json:"kind,omitempty"`
	Audio     bool   `json:"audio"`
	Video     bool   `json:"video"`
	AudioOn   bool   `json:"audioOn"`
	VideoOn   bool   `json:"videoOn"`
	Width     int    `json:"width,omitempty"`
	Height    int    `json:"height,omitempty"`
	FrameRate int32  `json:"frameRate,omitempty"`
}

func personOf(connection *v1alpha1.Connection) person {
	status := &connection.Status
	p := person{
		Name: connection.Name, ID: status.ConnectionID, Label: labelOf(status), Role: string(connection.Spec.Role), State: strings.ToLower(string(status.State)),
		Since: since(connection), IP: status.IP, Platform: short(status.Platform), Receives: len(status.Subscribers),
	}
	if p.State == "" {
		p.State = stateWaiting
		p.Left, _ = unmet(status.Conditions)
	}
	if status.State == v1alpha1.ConnectionStateDisconnected {
		p.Left = status.DisconnectReason
	}
	for i := range status.Publishers {
		p.Sends = append(p.Sends, streamOf(&status.Publishers[i]))
	}
	return p
}

// labelOf returns the name in what the client or the server says of a user. It is what
// openvidu-browser and most applications write, or a plain text.
func labelOf(status *v1alpha1.ConnectionStatus) string {
	for _, data := range []string{status.ClientData, status.ServerData} {
		var named struct {
			ClientData string `json:"clientData"`
			Nickname   string `json:"nickname"`
			Name       string `json:"name"`
		}
		if err := json.Unmarshal([]byte(data), &named); err == nil {
			data = cmp.Or(named.ClientData, named.Nickname, named.Name)
		}
		if data != "" {
			return short(data)
		}
	}
	return ""
}

func since(connection *v1alpha1.Connection) int64 {
	at := &connection.CreationTimestamp
	switch status := &connection.Status; {
	case status.State == v1alpha1.ConnectionStateActive && status.ActiveTime != nil:
		at = status.ActiveTime
	case status.State == v1alpha1.ConnectionStateDisconnected && status.DisconnectedTime != nil:
		at = status.DisconnectedTime
	}
	return seconds(at.Time)
}

func streamOf(published *v1alpha1.PublisherStatus) stream {
	s := stream{
		ID: short(published.StreamID), Kind: strings.ToLower(short(published.TypeOfVideo)), Audio: published.HasAudio, Video: published.HasVideo,
		AudioOn: published.AudioActive, VideoOn: published.VideoActive, FrameRate: published.FrameRate,
	}
	var size struct{ Width, Height int }
	// What is no size is not shown.
	if json.Unmarshal([]byte(published.VideoDimensions), &size) == nil {
		s.Width, s.Height = size.Width, size.Height
	}
	return s
}

// short returns a text that is no longer than maxText.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// recording is a Recording.
type recording struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Room      string `json:"room"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	Started   int64  `json:"started,omitempty"`
	Seconds   int64  `json:"seconds,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
	Files     int    `json:"files,omitempty"`
	// Object is the name of the Recording.
	Object string `json:"object"`

	created int64
}

func recordingOf(r *v1alpha1.Recording) recording {
	status := &r.Status
	shown := recording{
		Namespace: r.Namespace, Name: cmp.Or(r.Spec.Name, r.Name), Room: r.Spec.SessionName, State: strings.ToLower(string(status.State)), Reason: status.Reason,
		Seconds: status.DurationSeconds, Bytes: status.SizeBytes, Files: len(status.Files), Object: r.Name, created: seconds(r.CreationTimestamp.Time),
	}
	if shown.State == "" {
		shown.State = stateWaiting
		shown.Reason, _ = unmet(status.Conditions)
	}
	if status.StartedTime != nil {
		shown.Started = status.StartedTime.Unix()
	}
	return shown
}

// pool is a MediaPool.
type pool struct {
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	Pods      int32  `json:"pods"`
	ReadyPods int32  `json:"readyPods"`
	MaxPods   int32  `json:"maxPods"`
	Rooms     int32  `json:"rooms"`
	FreeRooms int32  `json:"freeRooms"`
	People    int32  `json:"people"`
	Exposure  string `json:"exposure"`
}

func poolOf(p *v1alpha1.MediaPool) pool {
	status := &p.Status
	shown := pool{
		Name: p.Name, Ready: meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady), Pods: status.Pods, ReadyPods: status.ReadyPods,
		MaxPods: p.Spec.MaxPods, Rooms: status.Sessions, FreeRooms: status.FreeSessions, Exposure: string(p.Spec.Exposure.Type),
	}
	if !shown.Ready {
		shown.Reason, shown.Message = unmet(status.Conditions)
	}
	if progressing := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionProgressing); progressing != nil && progressing.Status == metav1.ConditionFalse {
		shown.Reason, shown.Message = progressing.Reason, short(progressing.Message)
	}
	return shown
}

// pod is a media pod or recorder, with the rooms on it.
type pod struct {
	Name      string `json:"name"`
	Pool      string `json:"pool"`
	Node      string `json:"node,omitempty"`
	Recorder  bool   `json:"recorder"`
	State     string `json:"state"`
	Rooms     int32  `json:"rooms"`
	MaxRooms  int32  `json:"maxRooms,omitempty"`
	People    int32  `json:"people"`
	Pending   int32  `json:"pending"`
	MaxPeople int32  `json:"maxPeople,omitempty"`
	Streams   int32  `json:"streams"`
	Followed  int32  `json:"followed"`
	Created   int64  `json:"created"`
}

func podOf(p *corev1.Pod) pod {
	return pod{
		Name: p.Name, Pool: p.Labels[v1alpha1.PoolLabel], Node: p.Spec.NodeName, State: podState(p),
		Recorder: p.Labels[v1alpha1.ComponentLabel] == v1alpha1.ComponentRecorder, Created: seconds(p.CreationTimestamp.Time),
	}
}

func podState(p *corev1.Pod) string {
	switch {
	case !p.DeletionTimestamp.IsZero():
		return stateClosing
	case p.Status.Phase == corev1.PodFailed, p.Status.Phase == corev1.PodSucceeded:
		return stateFailed
	case p.Annotations[v1alpha1.DrainingAnnotation] != "":
		return stateDraining
	case slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }):
		return stateReady
	}
	return stateWaiting
}

// event is an Event of one of these objects.
type event struct {
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Warning   bool   `json:"warning"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Last      int64  `json:"last"`
	Count     int32  `json:"count"`
}

func eventOf(e *corev1.Event) event {
	shown := event{
		Namespace: e.InvolvedObject.Namespace, Kind: e.InvolvedObject.Kind, Name: e.InvolvedObject.Name, Warning: e.Type == corev1.EventTypeWarning,
		Reason: e.Reason, Message: short(e.Message), Last: seconds(lastSeen(e)), Count: max(e.Count, 1),
	}
	if e.Series != nil {
		shown.Count = max(e.Series.Count, shown.Count)
	}
	return shown
}

// lastSeen is when an Event was last written, in whatever way.
func lastSeen(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	for _, at := range []time.Time{e.EventTime.Time, e.LastTimestamp.Time} {
		if at.After(last) {
			last = at
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(last) {
		last = e.Series.LastObservedTime.Time
	}
	return last
}

// TrimEvent keeps of an Event what the console shows: a cache may have many.
func TrimEvent(object any) (any, error) {
	e, ok := object.(*corev1.Event)
	if !ok {
		return object, nil
	}
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, Name: e.Name, UID: e.UID, ResourceVersion: e.ResourceVersion, CreationTimestamp: e.CreationTimestamp,
		},
		InvolvedObject: corev1.ObjectReference{Kind: e.InvolvedObject.Kind, Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name},
		Type:           e.Type, Reason: e.Reason, Message: short(e.Message), Count: e.Count, EventTime: e.EventTime, LastTimestamp: e.LastTimestamp, Series: e.Series,
	}, nil
}
