package recorder_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/mediapod"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/recorder"
	"mediarooms.dev/mediarooms/recorder/matroska"
	"mediarooms.dev/mediarooms/test/wait"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// What a process of a test is told: to be a recorder, and where.
const (
	processDirectory = "TEST_RECORDER_DIRECTORY"
	processTLS       = "TEST_RECORDER_TLS"
	processFFmpeg    = "TEST_RECORDER_FFMPEG"
)

// TestMain is also the recorder's program, for tests that kill it.
func TestMain(m *testing.M) {
	if directory := os.Getenv(processDirectory); directory != "" {
		if err := runProcess(directory, os.Getenv(processTLS)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func config(directory, tls string) recorder.Config {
	return recorder.Config{
		ControlAddress: "127.0.0.1:0", FilesAddress: "127.0.0.1:0", HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		TLSDirectory: tls, Directory: directory, StreamsMax: 50, PodUID: "worker-uid", Version: "test",
		FFmpeg: cmp.Or(os.Getenv(processFFmpeg), "ffmpeg"),
	}
}

func runProcess(directory, tls string) error {
	r, err := recorder.New(logr.Discard(), config(directory, tls))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, r.ControlAddress(), r.FilesAddress())
	return r.Run(context.Background())
}

// world is a media pod, a recorder, and what an operator and a gateway have of them.
type world struct {
	t         *testing.T
	ca        *mtlstest.Authority
	pod       *mediapod.Pod
	stopPod   func()
	control   controlv1.MediaPod_SyncClient
	gateway   *http.Client // towards the media pod
	media     *roomclient.Media
	directory string

	worker *worker
}

// worker is a recorder as its operator has it.
type worker struct {
	control, files string
	end            func() // and wait for it
	kill           func()
	stream         egressv1.Worker_SyncClient
	connection     *grpc.ClientConn

	mu       sync.Mutex // guards what follows
	statuses map[string]*egressv1.JobStatus
	synced   bool
	states   []egressv1.State
	messages []string
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, ca: mtlstest.NewAuthority(t), directory: t.TempDir()}
	w.startPod(names...)
	var err error
	if w.media, err = roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" }); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) startPod(names ...string) {
	w.t.Helper()
	var err error
	w.pod, err = mediapod.New(logr.Discard(), mediapod.Config{
		ControlAddress: "127.0.0.1:0", SignallingAddress: "127.0.0.1:0", HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		TLSDirectory: w.ca.Directory(w.t, mtls.MediaPod), PodUID: "pod-uid", Version: "test", Limits: signalling.DefaultLimits(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	pod := w.pod
	go func() { ended <- pod.Run(ctx) }()
	w.stopPod = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the pod ended with %v", err)
		}
	})
	w.t.Cleanup(w.stopPod)
	tls, err := mtls.Client(w.ca.Directory(w.t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: tls}}
	w.t.Cleanup(w.gateway.CloseIdleConnections)

	connection := w.dial(mtls.Manager, mtls.MediaPod, w.pod.ControlAddress(), true)
	if w.control, err = controlv1.NewMediaPodClient(connection).Sync(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	port := int32(w.pod.MediaPort())
	room := &controlv1.Room{Uid: "room-uid", Revision: 1, Generation: 1, Key: "room", SessionId: "room"}
	for _, name := range names {
		digest := token.Digest("tok_" + name)
		room.Connections = append(room.Connections, &controlv1.Connection{
			Uid: "uid-" + name, Generation: 1, ConnectionId: "con_" + name, TokenSha256: digest[:], RpcSessionId: "rpc-" + name,
			Role: controlv1.Role_ROLE_PUBLISHER, Record: !strings.HasPrefix(name, "Private"), ServerData: "server " + name,
		})
	}
	for _, message := range []*controlv1.OperatorMessage{
		{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: "pod-uid"}}},
		{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised: []*controlv1.TransportAddress{{Ip: "127.0.0.1", UdpPort: port, TcpPort: port}}, ReconnectWindowSeconds: 10,
		}}},
		{Message: &controlv1.OperatorMessage_Room{Room: room}},
		{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	} {
		if err := w.control.Send(message); err != nil {
			w.t.Fatal(err)
		}
	}
	control, applied := w.control, make(chan struct{})
	go func() {
		for told := false; ; {
			message, err := control.Recv()
			if err != nil {
				return
			}
			if message.GetRoom().GetRevision() == 1 && !told {
				told = true
				close(applied)
			}
		}
	}()
	select {
	case <-applied:
	case <-time.After(patience):
		w.t.Fatal("the room is not applied")
	}
}

// dial connects one part to another.
func (w *world) dial(from, to, address string, wait bool) *grpc.ClientConn {
	w.t.Helper()
	tls, err := mtls.Client(w.ca.Directory(w.t, from), to)
	if err != nil {
		w.t.Fatal(err)
	}
	options := grpc.WithDefaultCallOptions(grpc.WaitForReady(wait)) // handshakes take long on a busy machine
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(tls)), options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func (w *world) join(name string) *roomclient.Client {
	w.t.Helper()
	client, err := roomclient.Dial(w.t.Context(), roomclient.Options{
		Token: token.URL("ws://anything", "room", "tok_"+name), Endpoint: "wss://" + w.pod.SignallingAddress(),
		HTTPClient: w.gateway, Header: http.Header{podhttp.HeaderAddress: {"192.0.2.7"}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	if _, err := client.Join(w.t.Context(), "client "+name); err != nil {
		w.t.Fatal(err)
	}
	return client
}

var camera = roomclient.Stream{VideoFrameRate: 15, Video: roomclient.Fixed(2, 600), AudioPacketBytes: 80}

// perSecond is how many packets it sends a second.
const perSecond = 15*2 + 50

func (w *world) publish(client *roomclient.Client, stream roomclient.Stream) *roomclient.Publisher {
	w.t.Helper()
	published, err := client.Publish(w.t.Context(), w.media, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = published.Close() })
	return published
}

// record starts a recorder in this process, or one of its own that can be killed, and operates it.
func (w *world) record(process bool, change ...func(*recorder.Config)) {
	w.t.Helper()
	tls := w.ca.Directory(w.t, mtls.Worker)
	if process {
		w.worker = w.spawn(tls)
	} else {
		w.worker = w.serve(tls, change...)
	}
	w.worker.connection = w.dial(mtls.Manager, mtls.Worker, w.worker.control, true)
	var err error
	if w.worker.stream, err = egressv1.NewWorkerClient(w.worker.connection).Sync(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.order(&egressv1.Order{Message: &egressv1.Order_Hello{Hello: &egressv1.Hello{Version: "test", PodUid: "worker-uid"}}})
	go w.worker.hear(w.worker.stream)
	w.await("the worker has told everything", func() error {
		w.worker.mu.Lock()
		defer w.worker.mu.Unlock()
		if !w.worker.synced {
			return errors.New("no end of the snapshot")
		}
		return nil
	})
}

func (w *world) serve(tls string, change ...func(*recorder.Config)) *worker {
	w.t.Helper()
	c := config(w.directory, tls)
	for _, change := range change {
		change(&c)
	}
	r, err := recorder.New(logr.Discard(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the recorder ended with %v", err)
		}
	})
	w.t.Cleanup(end)
	return &worker{control: r.ControlAddress(), files: r.FilesAddress(), end: end, statuses: map[string]*egressv1.JobStatus{}}
}

func (w *world) spawn(tls string) *worker {
	w.t.Helper()
	process := exec.Command(os.Args[0]) //nolint:gosec // this very program
	process.Env = append(os.Environ(), processDirectory+"="+w.directory, processTLS+"="+tls)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		w.t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = process.Process.Kill() // SIGKILL
		_ = process.Wait()         // it was killed
	})
	w.t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Fatalf("the recorder's process says nothing: %v", err)
	}
	addresses := strings.Fields(line)
	return &worker{control: addresses[0], files: addresses[1], end: kill, kill: kill, statuses: map[string]*egressv1.JobStatus{}}
}

func (w *world) order(order *egressv1.Order) {
	w.t.Helper()
	if err := w.worker.stream.Send(order); err != nil {
		w.t.Fatal(err)
	}
}

// hear keeps what the worker tells.
func (w *worker) hear(stream egressv1.Worker_SyncClient) {
	for {
		report, err := stream.Recv()
		if err != nil {
			return
		}
		w.mu.Lock()
		if status := report.GetStatus(); status != nil {
			w.statuses[status.GetUid()] = status
			w.states = append(w.states, status.GetState())
			w.messages = append(w.messages, status.GetMessage())
		}
		if report.GetSnapshotEnd() != nil {
			w.synced = true
		}
		w.mu.Unlock()
	}
}

func (w *world) status(uid string) *egressv1.JobStatus {
	w.worker.mu.Lock()
	defer w.worker.mu.Unlock()
	return w.worker.statuses[uid]
}

func (w *world) await(what string, condition func() error) {
	w.t.Helper()
	wait.For(w.t, patience, what, condition)
}

// awaitState waits until a recording is in a state.
func (w *world) awaitState(uid string, want egressv1.State) *egressv1.JobStatus {
	w.t.Helper()
	w.await(uid+" to be "+want.String(), func() error {
		if status := w.status(uid); status.GetState() != want {
			return fmt.Errorf("it is %v", status)
		}
		return nil
	})
	return w.status(uid)
}

// job is one that records everything of the room.
func (w *world) job() *egressv1.Job {
	return &egressv1.Job{
		Uid: "uid-1", RecordingId: "rec-1", SessionId: "room", Name: "the name", Mode: egressv1.OutputMode_OUTPUT_MODE_INDIVIDUAL,
		HasAudio: true, HasVideo: true, CreatedUnixMs: time.Now().UnixMilli(),
		Source: &egressv1.Source{RoomUid: "room-uid", Address: w.pod.ControlAddress(), PodUid: "pod-uid"},
	}
}

func (w *world) want(jobs ...*egressv1.Job) {
	w.t.Helper()
	for _, job := range jobs {
		w.order(&egressv1.Order{Message: &egressv1.Order_Job{Job: job}})
	}
}

func (w *world) snapshotEnd() {
	w.t.Helper()
	w.order(&egressv1.Order{Message: &egressv1.Order_SnapshotEnd{SnapshotEnd: &egressv1.SnapshotEnd{}}})
}

// stop orders the end of a recording and waits until it is ready.
func (w *world) stop(job *egressv1.Job) *egressv1.JobStatus {
	w.t.Helper()
	job.Stop, job.StopReason = true, "recordingStoppedByServer"
	w.want(job)
	return w.awaitState(job.GetUid(), egressv1.State_STATE_READY)
}

// get fetches a file as a part does, with a range or without.
func (w *world) get(part, path, ranges string) (*http.Response, []byte, error) {
	w.t.Helper()
	tls, err := mtls.Client(w.ca.Directory(w.t, part), mtls.Worker)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tls}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "https://"+w.worker.files+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if ranges != "" {
		request.Header.Set("Range", ranges)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// stamped is what the load client writes into the end of each payload.
type stamped struct {
	frame uint32
	sent  time.Time
	at    time.Duration // in the file
	key   bool
}

// frames reads a file: what was stamped, by the track.
func frames(t *testing.T, path string) map[uint64][]stamped {
	t.Helper()
	all := map[uint64][]stamped{}
	err := matroska.Read(path, func(b matroska.Block) error {
		const bytes, magic = 18, 0x6d724c54
		if len(b.Data) < bytes || binary.BigEndian.Uint32(b.Data[len(b.Data)-bytes:]) != magic {
			return fmt.Errorf("a frame of track %d at %v has no stamp at its end: %d bytes", b.Track, b.At, len(b.Data))
		}
		stamp := b.Data[len(b.Data)-bytes:]
		all[b.Track] = append(all[b.Track], stamped{
			frame: binary.BigEndian.Uint32(stamp[12:]), sent: time.Unix(0, int64(binary.BigEndian.Uint64(stamp[4:]))), at: b.At, key: b.Key,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unbroken checks that each frame is there once, in order.
func unbroken(t *testing.T, what string, all []stamped) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		if all[i].frame != all[i-1].frame+1 {
			t.Errorf("%s: frame %d follows %d", what, all[i].frame, all[i-1].frame)
		}
		if all[i].at <= all[i-1].at {
			t.Errorf("%s: frame %d at %v follows one at %v", what, all[i].frame, all[i].at, all[i-1].at)
		}
	}
}

func (w *world) path(name string) string { return filepath.Join(w.directory, "rec-1", name) }
