// Package bucket keeps files in S3. It is the authority on how objects are written, read and
// deleted there, on where the keys of the service come from, and on how its errors are said to
// people.
//
//	recording --Put--> Store --client of a Place--> S3
//	gateway   <-Open--'   '--reads--> the mounted Secret
//
// A request is sent a few times at most: who calls knows for how long it makes sense to try again.
package bucket

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The files of a mounted Secret.
const (
	accessKeyFile = "accessKeyId"
	secretKeyFile = "secretAccessKey"
	authorityFile = "ca.crt"
)

const (
	// maxSecretBytes bounds a file of the Secret; Kubernetes allows no more.
	maxSecretBytes = 1 << 20
	// maxPlaces bounds for how many places connections are kept open.
	maxPlaces = 16
	// dialTimeout bounds how long a connection to S3 takes, with the handshake of TLS as long
	// again, answerTimeout how long S3 may think about a request.
	dialTimeout   = 5 * time.Second
	answerTimeout = 30 * time.Second
	// writeTimeout is for how long S3 may take nothing of what is sent.
	writeTimeout = 30 * time.Second
	// maxTries bounds how often a request is sent that S3 could not answer.
	maxTries = 3
	// idleTimeout is for how long a connection is kept that nothing uses.
	idleTimeout = time.Minute
)

// ErrNotFound says that there is no such object.
var ErrNotFound = errors.New("S3 has no such object")

// Place is a bucket of a service.
type Place struct {
	// Endpoint is the URL of the service, without a path.
	Endpoint string
	Bucket   string
	Region   string
	// PathStyle has the bucket in the path of URLs, and not in the name of the host.
	PathStyle bool `json:",omitempty"`
}

// Store reaches the objects of any place, with one pair of keys. It is safe for concurrent use.
type Store struct {
	secret string

	mu      sync.Mutex // guards what follows
	clients map[Place]*client
}

// client is what reaches one place.
type client struct {
	*minio.Client

	transport *http.Transport
	digest    [sha256.Size]byte // of the keys that it was made with
}

// New returns a store whose keys are in the folder of a mounted Secret. They are read anew for each
// use, since a Secret may be changed at any time.
func New(secret string) *Store {
	return &Store{secret: secret, clients: map[Place]*client{}}
}

// Close closes connections that nothing uses.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

// drop forgets all clients. The store is locked.
func (s *Store) drop() {
	for place, c := range s.clients {
		c.transport.CloseIdleConnections()
		delete(s.clients, place)
	}
}

// keys are what a Secret has.
type keys struct {
	id, secret, authority string
}

func (s *Store) keys() (keys, error) {
	var k keys
	for name, into := range map[string]*string{accessKeyFile: &k.id, secretKeyFile: &k.secret, authorityFile: &k.authority} {
		raw, err := readSome(filepath.Join(s.secret, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return keys{}, fmt.Errorf("reading the Secret of S3: %w", err)
		}
		*into = strings.TrimSpace(string(raw))
		if *into == "" && name != authorityFile {
			return keys{}, fmt.Errorf("the Secret of S3 has no %s", name)
		}
	}
	return k, nil
}

func readSome(path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, maxSecretBytes))
}

// client returns what reaches a place with the keys of now.
func (s *Store) client(p Place) (*client, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(k.id + "\n" + k.secret + "\n" + k.authority))
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.clients[p]
	if before != nil && before.digest == digest {
		return before, nil
	}
	made, err := newClient(p, k)
	if err != nil {
		return nil, err
	}
	made.digest = digest
	if before != nil {
		before.transport.CloseIdleConnections()
	} else if len(s.clients) >= maxPlaces {
		s.drop()
	}
	s.clients[p] = made
	return made, nil
}

func newClient(p Place, k keys) (*client, error) {
	endpoint, err := url.Parse(p.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q of S3: it must be a URL with http:// or https://", p.Endpoint)
	}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.authority != "" {
		if trusted.RootCAs, err = x509.SystemCertPool(); err != nil {
			trusted.RootCAs = x509.NewCertPool()
		}
		if !trusted.RootCAs.AppendCertsFromPEM([]byte(k.authority)) {
			return nil, fmt.Errorf("the %s of the Secret of S3 has no certificate in PEM", authorityFile)
		}
	}
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: trusted, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout: idleTimeout, DisableCompression: true,
	}
	lookup := minio.BucketLookupDNS
	if p.PathStyle {
		lookup = minio.BucketLookupPath
	}
	made, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(k.id, k.secret, ""), Secure: endpoint.Scheme == "https", Transport: transport,
		Region: p.Region, BucketLookup: lookup, MaxRetries: maxTries,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing for S3 at %s: %w", p.Endpoint, err)
	}
	return &client{Client: made, transport: transport}, nil
}

// dial opens a connection that ends when nothing that is written is taken.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &impatient{connection}, nil
}

// impatient is a connection that waits only so long to write.
type impatient struct {
	net.Conn
}

// Write implements net.Conn.
func (i *impatient) Write(b []byte) (int, error) {
	if err := i.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return i.Conn.Write(b)
}

// Put writes an object: all of a reader, which has so many bytes. When it returns nil, S3 has said
// that it has as many; what goes wrong on the way is found by a checksum.
func (s *Store) Put(ctx context.Context, p Place, key, contentType string, from io.Reader, size int64) error {
	c, err := s.client(p)
	if err != nil {
		return err
	}
	if _, err := c.PutObject(ctx, p.Bucket, key, from, size, minio.PutObjectOptions{ContentType: contentType, SendContentMd5: true}); err != nil {
		return explain(p, err)
	}
	said, err := c.StatObject(ctx, p.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return explain(p, err)
	}
	if said.Size != size {
		return fmt.Errorf("S3 has %d bytes of the %d that it was sent", said.Size, size)
	}
	return nil
}

// Object is an object that is read. Seeking costs nothing before something is read.
type Object struct {
	io.ReadSeekCloser

	Size     int64
	Modified time.Time
	// ETag is what names its content, with the quotation marks of HTTP; "" for none.
	ETag string
}

// Open begins to read an object. The context is that of reading, too.
func (s *Store) Open(ctx context.Context, p Place, key string) (*Object, error) {
	c, err := s.client(p)
	if err != nil {
		return nil, err
	}
	object, err := c.GetObject(ctx, p.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, explain(p, err)
	}
	said, err := object.Stat()
	if err != nil {
		return nil, errors.Join(explain(p, err), object.Close())
	}
	opened := &Object{ReadSeekCloser: object, Size: said.Size, Modified: said.LastModified}
	if said.ETag != "" {
		opened.ETag = `"` + said.ETag + `"`
	}
	return opened, nil
}

// Read returns what an object has, which is at most so many bytes.
func (s *Store) Read(ctx context.Context, p Place, key string, most int64) ([]byte, error) {
	object, err := s.Open(ctx, p, key)
	if errors.Is(err, ErrNotFound) {
		err = s.missing(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if object.Size > most {
		return nil, fmt.Errorf("the object %s has %d bytes; it may have %d", key, object.Size, most)
	}
	raw, err := io.ReadAll(io.LimitReader(object, most))
	if err != nil {
		return nil, explain(p, err)
	}
	return raw, nil
}

// missing says what is not there: an object, or the whole bucket, of which HEAD does not tell.
func (s *Store) missing(ctx context.Context, p Place) error {
	c, err := s.client(p)
	if err != nil {
		return err
	}
	if there, err := c.BucketExists(ctx, p.Bucket); err == nil && !there {
		return explainAnswer(p, minio.ErrorResponse{Code: minio.NoSuchBucket})
	}
	return ErrNotFound
}

// Delete deletes objects. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, p Place, keys ...string) error {
	c, err := s.client(p)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := c.RemoveObject(ctx, p.Bucket, key, minio.RemoveObjectOptions{}); err != nil {
			if said := minio.ToErrorResponse(err).Code; said != minio.NoSuchKey {
				return explain(p, err)
			}
		}
	}
	return nil
}
