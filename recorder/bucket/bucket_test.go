package bucket_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mediarooms.dev/mediarooms/recorder/bucket"
	"mediarooms.dev/mediarooms/test/s3"
)

// No goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a store, and a place of a server that has its bucket.
func open(t *testing.T) (*bucket.Store, bucket.Place, *s3.Server) {
	t.Helper()
	server := s3.New(t, "recordings")
	store := bucket.New(s3.Secret(t, s3.AccessKey, s3.SecretKey))
	t.Cleanup(store.Close)
	return store, bucket.Place{Endpoint: server.URL(), Bucket: "recordings", Region: "us-east-1", PathStyle: true}, server
}

// noise is content that is the same every time.
func noise(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // it never fails
	return content
}

func put(store *bucket.Store, place bucket.Place, key string, content []byte) error {
	return store.Put(context.Background(), place, key, "video/webm", bytes.NewReader(content), int64(len(content)))
}

func TestObjects(t *testing.T) {
	for what, size := range map[string]int{"none": 0, "one part": 1000, "many parts": 40 << 20} {
		t.Run(what, func(t *testing.T) {
			store, place, server := open(t)
			content := noise(size)
			if err := put(store, place, "a/b/c.webm", content); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(server.Content("recordings", "a/b/c.webm"), content) {
				t.Error("S3 has something else")
			}
			object, err := store.Open(t.Context(), place, "a/b/c.webm")
			if err != nil {
				t.Fatal(err)
			}
			defer object.Close()
			if object.Size != int64(size) || object.ETag == "" || object.Modified.IsZero() {
				t.Errorf("it is %+v", object)
			}
			from := int64(size) / 2
			if _, err := object.Seek(from, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(object); err != nil || !bytes.Equal(rest, content[from:]) {
				t.Errorf("the second half has %d bytes, %v", len(rest), err)
			}
			if raw, err := store.Read(t.Context(), place, "a/b/c.webm", 1000); size <= 1000 && (err != nil || !bytes.Equal(raw, content)) || size > 1000 && err == nil {
				t.Errorf("read are %d bytes, %v", len(raw), err)
			}
			if err := store.Delete(t.Context(), place, "a/b/c.webm", "never/there"); err != nil {
				t.Error(err)
			}
			if _, err := store.Read(t.Context(), place, "a/b/c.webm", 1000); !errors.Is(err, bucket.ErrNotFound) {
				t.Errorf("a deleted object is read: %v", err)
			}
		})
	}
}

// What is wrong is said in the words of who can put it right, and no key is said.
func TestWhatIsWrongIsSaid(t *testing.T) {
	for want, change := range map[string]func(*s3.Server, *bucket.Place, string){
		`has no bucket "recordings"`:                  func(server *s3.Server, _ *bucket.Place, _ string) { server.Drop("recordings") },
		"does not know the accessKeyId of the Secret": func(_ *s3.Server, _ *bucket.Place, secret string) { s3.WriteSecret(t, secret, "unknown", s3.SecretKey) },
		"the secretAccessKey of the Secret is not": func(_ *s3.Server, _ *bucket.Place, secret string) {
			s3.WriteSecret(t, secret, s3.AccessKey, "wrong-one")
		},
		"the Secret of S3 has no accessKeyId":        func(_ *s3.Server, _ *bucket.Place, secret string) { s3.WriteSecret(t, secret, "", s3.SecretKey) },
		"can't be reached":                           func(server *s3.Server, _ *bucket.Place, _ string) { server.Close() },
		"it must be a URL with http:// or https://":  func(_ *s3.Server, place *bucket.Place, _ string) { place.Endpoint = "127.0.0.1" },
		"the Secret of S3 has no certificate in PEM": func(_ *s3.Server, _ *bucket.Place, secret string) { write(t, secret, "ca.crt", "none") },
		"the Secret of S3 has no secretAccessKey":    func(_ *s3.Server, _ *bucket.Place, secret string) { remove(t, secret, "secretAccessKey") },
		"server gave HTTP response to HTTPS client": func(_ *s3.Server, place *bucket.Place, _ string) {
			place.Endpoint = strings.Replace(place.Endpoint, "http", "https", 1)
		},
		"does not work now: it answers 503 SlowDown": func(_ *s3.Server, place *bucket.Place, _ string) { place.Endpoint = answering(t, 503, "SlowDown") },
		"with this accessKeyId nobody may write":     func(_ *s3.Server, place *bucket.Place, _ string) { place.Endpoint = answering(t, 403, "AccessDenied") },
		`does not have bucket "recordings" in region "u`: func(_ *s3.Server, place *bucket.Place, _ string) {
			place.Endpoint = answering(t, 301, "PermanentRedirect")
		},
		"the clocks of the recorder and of S3": func(_ *s3.Server, place *bucket.Place, _ string) {
			place.Endpoint = answering(t, 403, "RequestTimeTooSkewed")
		},
		"it answers 418 Teapot": func(_ *s3.Server, place *bucket.Place, _ string) { place.Endpoint = answering(t, 418, "Teapot") },
	} {
		t.Run(want, func(t *testing.T) {
			server := s3.New(t, "recordings")
			secret := s3.Secret(t, s3.AccessKey, s3.SecretKey)
			store := bucket.New(secret)
			defer store.Close()
			place := bucket.Place{Endpoint: server.URL(), Bucket: "recordings", Region: "us-east-1", PathStyle: true}
			change(server, &place, secret)
			err := put(store, place, "a", []byte("content"))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("it is said that %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), s3.SecretKey) || strings.Contains(err.Error(), "wrong-one")) {
				t.Errorf("a key is said: %v", err)
			}
		})
	}
}

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, folder, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
}

// answering is the endpoint of a service that answers all requests with an error.
func answering(t *testing.T, status int, code string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>"+s3.SecretKey+"</Message></Error>")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Where a bucket is gone, nothing is taken for deleted.
func TestABucketThatIsGoneIsNotAnObjectThatIsGone(t *testing.T) {
	store, place, server := open(t)
	server.Drop("recordings")
	if _, err := store.Read(t.Context(), place, "a", 1000); err == nil || errors.Is(err, bucket.ErrNotFound) || !strings.Contains(err.Error(), "no bucket") {
		t.Errorf("reading: %v", err)
	}
	server.Make("recordings")
	if _, err := store.Read(t.Context(), place, "a", 1000); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("reading: %v", err)
	}
}

// A Secret that changes is used at once, and so is the certificate in it.
func TestASecretMayChange(t *testing.T) {
	server := s3.New(t, "recordings")
	secured := httptest.NewUnstartedServer(server.Handler())
	secured.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail
	secured.StartTLS()
	defer secured.Close()
	secret := s3.Secret(t, s3.AccessKey, "old")
	store := bucket.New(secret)
	defer store.Close()
	place := bucket.Place{Endpoint: secured.URL, Bucket: "recordings", Region: "us-east-1", PathStyle: true}
	if err := put(store, place, "a", []byte("content")); err == nil || !strings.Contains(err.Error(), "is not trusted") {
		t.Errorf("without the authority: %v", err)
	}
	write(t, secret, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw})))
	if err := put(store, place, "a", []byte("content")); err == nil || !strings.Contains(err.Error(), "secretAccessKey") {
		t.Errorf("with the old key: %v", err)
	}
	s3.WriteSecret(t, secret, s3.AccessKey, s3.SecretKey)
	if err := put(store, place, "a", []byte("content")); err != nil {
		t.Error(err)
	}
}
