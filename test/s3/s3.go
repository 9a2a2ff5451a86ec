// Package s3 is a service with the API of Amazon S3, for tests of what keeps files there. It is
// rclone's gofakes3, in memory: it checks signatures, checksums and buckets as a real one does.
package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"mediarooms.dev/mediarooms/test/wait"
)

// The keys that a server takes.
const (
	AccessKey = "test-access"
	SecretKey = "test-secret" //nolint:gosec // of a server that lives as long as a test
)

// patience is how long a port may still be somebody else's.
const patience = time.Minute

// Server is such a service, on the loopback interface.
type Server struct {
	t       testing.TB
	backend *s3mem.Backend
	handler http.Handler
	address string
	server  *http.Server
	ended   chan struct{}

	mu      sync.Mutex // guards what follows
	refused string
	puts    []string
}

// New starts a server with some buckets. It ends with the test.
func New(t testing.TB, buckets ...string) *Server {
	t.Helper()
	s := &Server{t: t, backend: s3mem.New(), address: "127.0.0.1:0"}
	s.handler = s.watch(gofakes3.New(s.backend, gofakes3.WithV4Auth(map[string]string{AccessKey: SecretKey})).Server())
	for _, name := range buckets {
		s.Make(name)
	}
	s.Open()
	t.Cleanup(s.Close)
	return s
}

// URL is the endpoint.
func (s *Server) URL() string { return "http://" + s.address }

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// watch notes what is written, and refuses what is to be refused.
func (s *Server) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		refused := s.refused != "" && strings.HasSuffix(r.URL.Path, s.refused)
		if !refused && r.Method == http.MethodPut {
			s.puts = append(s.puts, path.Base(r.URL.Path))
		}
		s.mu.Unlock()
		if refused {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Refuse has all requests for a file fail from now on; "" for none.
func (s *Server) Refuse(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = name
}

// Puts are the names of the files that were written since it was last called, in order.
func (s *Server) Puts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	puts := s.puts
	s.puts = nil
	return puts
}

// Open has a server that is away be back, at the same address.
func (s *Server) Open() {
	s.t.Helper()
	var listener net.Listener
	wait.For(s.t, patience, "the address of S3 to be free", func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.address)
		return err
	})
	s.address = listener.Addr().String()
	server, ended := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("S3 has ended with %v", err)
		}
	}()
}

// Close has the server be away: nothing listens at its address. What it has stays.
func (s *Server) Close() {
	_ = s.server.Close() // its clients are cut off
	<-s.ended
}

// Make makes a bucket.
func (s *Server) Make(bucket string) {
	s.t.Helper()
	if err := s.backend.CreateBucket(context.Background(), bucket); err != nil {
		s.t.Fatal(err)
	}
}

// Drop deletes a bucket, which must be empty.
func (s *Server) Drop(bucket string) {
	s.t.Helper()
	if err := s.backend.DeleteBucket(context.Background(), bucket); err != nil {
		s.t.Fatal(err)
	}
}

// Keys are those of all objects of a bucket.
func (s *Server) Keys(bucket string) []string {
	s.t.Helper()
	list, err := s.backend.ListBucket(context.Background(), bucket, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		s.t.Fatal(err)
	}
	var keys []string
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	return keys
}

// Content is that of an object.
func (s *Server) Content(bucket, key string) []byte {
	s.t.Helper()
	object, err := s.backend.GetObject(context.Background(), bucket, key, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer object.Contents.Close()
	raw, err := io.ReadAll(object.Contents)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// Secret writes keys into a folder as a mounted Secret has them, and returns the folder.
func Secret(t testing.TB, id, secret string) string {
	t.Helper()
	folder := t.TempDir()
	WriteSecret(t, folder, id, secret)
	return folder
}

// WriteSecret changes the keys in the folder of a mounted Secret.
func WriteSecret(t testing.TB, folder, id, secret string) {
	t.Helper()
	for name, value := range map[string]string{"accessKeyId": id, "secretAccessKey": secret} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
