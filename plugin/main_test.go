package plugin

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/wait"
)

// patience bounds how long a test waits for what takes moments.
const patience = 30 * time.Second

var update = flag.Bool("update", false, "write the golden files")

// testCluster is how the tests' API server is reached by somebody who may do everything.
var testCluster *rest.Config

func TestMain(m *testing.M) {
	os.Exit(apiserver.Run(m, func(config *rest.Config) error {
		testCluster = config
		log.SetLogger(logr.Discard())
		return nil
	}))
}

// world is a tenant's namespace and one of the operator, and whoever runs commands there.
type world struct {
	*testing.T
	client.WithWatch
	tenant, system string
	config         *rest.Config
	now            func() time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	objects, err := client.NewWithWatch(testCluster, client.Options{Scheme: scheme()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, WithWatch: objects, config: testCluster, now: func() time.Time { return time.Now().Add(100*24*time.Hour + time.Hour).UTC() }}
	w.tenant, w.system = w.namespace("team-"), w.namespace("system-")
	t.Cleanup(w.empty)
	return w
}

func (w *world) namespace(prefix string) string {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	w.create(namespace)
	return namespace.Name
}

// create creates objects, and then writes the status that they were given.
func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		wanted := object.DeepCopyObject().(client.Object)
		if err := w.Create(w.Context(), object); err != nil {
			w.Fatalf("creating %T %s: %v", object, object.GetName(), err)
		}
		switch wanted := wanted.(type) {
		case *v1alpha1.Session:
			object.(*v1alpha1.Session).Status = wanted.Status
		case *v1alpha1.Connection:
			object.(*v1alpha1.Connection).Status = wanted.Status
		case *v1alpha1.Webhook:
			object.(*v1alpha1.Webhook).Status = wanted.Status
		case *v1alpha1.MediaPool:
			object.(*v1alpha1.MediaPool).Status = wanted.Status
			if len(wanted.Status.Conditions) > 0 {
				object.(*v1alpha1.MediaPool).Status.ObservedGeneration = object.GetGeneration()
			}
		default:
			continue
		}
		w.writeStatus(object)
	}
}

// writeStatus writes the status of an object, also when the rest of it was changed meanwhile.
func (w *world) writeStatus(object client.Object) {
	w.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current := object.DeepCopyObject().(client.Object)
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(object), current); err != nil {
			return err
		}
		object.SetResourceVersion(current.GetResourceVersion())
		return w.Status().Update(w.Context(), object)
	})
	if err != nil {
		w.Fatalf("writing the status of %T %s: %v", object, object.GetName(), err)
	}
}

// empty removes what is seen from other namespaces.
func (w *world) empty() {
	ctx := context.WithoutCancel(w.Context())
	for _, list := range []client.ObjectList{&v1alpha1.ConnectionList{}, &v1alpha1.SessionList{}} {
		w.remove(ctx, list, client.InNamespace(w.tenant))
	}
	w.remove(ctx, &v1alpha1.MediaPoolList{})
	w.remove(ctx, &corev1.NodeList{})
}

func (w *world) remove(ctx context.Context, list client.ObjectList, options ...client.ListOption) {
	w.Helper()
	if err := w.List(ctx, list, options...); err != nil {
		w.Error(err)
		return
	}
	var all []client.Object
	switch list := list.(type) {
	case *v1alpha1.ConnectionList:
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	case *v1alpha1.SessionList:
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	case *v1alpha1.MediaPoolList:
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	case *corev1.NodeList:
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	}
	for _, object := range all {
		if len(object.GetFinalizers()) > 0 {
			object.SetFinalizers(nil)
			if err := client.IgnoreNotFound(w.Update(ctx, object)); err != nil {
				w.Error(err)
			}
		}
		if err := client.IgnoreNotFound(w.Delete(ctx, object)); err != nil {
			w.Error(err)
		}
	}
}

// output is what a command writes, which may be read while it runs.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// command is one that runs.
type command struct {
	*world
	out, errors output
	stop        context.CancelFunc
	ended       chan int
}

// streams has everything written to one place.
func streams(out *output) genericiooptions.IOStreams {
	return genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out}
}

// start starts a command in the world's namespaces.
func (w *world) start(args ...string) *command {
	return w.startExactly(slices.Concat(args, []string{"-n", w.tenant, "--system-namespace", w.system})...)
}

func (w *world) startExactly(args ...string) *command {
	ctx, cancel := context.WithCancel(w.Context())
	c := &command{world: w, stop: cancel, ended: make(chan int, 1)}
	s := newSettings("test", genericiooptions.IOStreams{In: strings.NewReader(""), Out: &c.out, ErrOut: &c.errors})
	s.config = func() (*rest.Config, error) { return w.config, nil }
	s.now = w.now
	go func() { c.ended <- run(ctx, args, s) }()
	w.Cleanup(cancel)
	return c
}

// says waits until the command has said something.
func (c *command) says(text string) {
	c.Helper()
	wait.For(c, patience, "the command to say "+text, wait.True(func() bool { return strings.Contains(c.normal(c.out.String()), text) }))
}

// end waits until the command has ended.
func (c *command) end(status int) {
	c.Helper()
	select {
	case got := <-c.ended:
		if got != status {
			c.Fatalf("it ended with status %d, want %d; it said\n%s%s", got, status, c.out.String(), c.errors.String())
		}
	case <-time.After(patience):
		c.Fatalf("it does not end; it said\n%s%s", c.out.String(), c.errors.String())
	}
}

// run runs a command that works, and returns what it prints.
func (w *world) run(args ...string) string {
	w.Helper()
	c := w.start(args...)
	c.end(0)
	return w.normal(c.out.String())
}

// fails runs a command that does not work, and wants its message to have some texts.
func (w *world) fails(args []string, texts ...string) {
	w.Helper()
	c := w.start(args...)
	c.end(StatusFailed)
	said := w.normal(c.errors.String())
	for _, text := range texts {
		if !strings.Contains(said, text) {
			w.Errorf("%s says\n%swant %q in it", strings.Join(args, " "), said, text)
		}
	}
	if !strings.HasPrefix(said, "error: ") || strings.Count(said, "\n") != 1 {
		w.Errorf("%s says\n%swant one line of an error", strings.Join(args, " "), said)
	}
}

var (
	ports    = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`)
	releases = regexp.MustCompile(`v1\.\d+\.\d+`)
)

// normal takes out of a text what differs from run to run, without a change of widths where there
// are columns.
func (w *world) normal(text string) string {
	for name, stands := range map[string]string{w.tenant: "team-xxxxx", w.system: "system-xxxxx"} {
		text = strings.ReplaceAll(text, name, stands)
	}
	return releases.ReplaceAllString(ports.ReplaceAllString(text, "127.0.0.1:PORT"), "v1.X.Y")
}

// golden compares a text with testdata/NAME.golden.
func (w *world) golden(name, text string) {
	w.Helper()
	for line := range strings.Lines(text) {
		if columns := len([]rune(strings.TrimRight(line, "\n"))); columns > width && !strings.Contains(name, "wide") && !strings.HasSuffix(name, ".json") {
			w.Errorf("%s: a line has %d columns, more than %d: %s", name, columns, width, line)
		}
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			w.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	if text != string(want) {
		w.Errorf("%s: got\n%s\nwant\n%s", name, text, want)
	}
}

// interrupted is a cluster whose watches end at once.
type interrupted struct{ client.WithWatch }

func (i *interrupted) Watch(ctx context.Context, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	w, err := i.WithWatch.Watch(ctx, list, options...)
	if err == nil {
		w.Stop()
	}
	return w, err
}
