package bucket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
)

// explain says what is wrong in the words of who can do something about it. What S3 says itself is
// not repeated: it may quote what was sent.
func explain(p Place, err error) error {
	var said minio.ErrorResponse
	if errors.As(err, &said) {
		return explainAnswer(p, said)
	}
	var untrusted *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &untrusted) || errors.As(err, &unknown) {
		return fmt.Errorf("the certificate of S3 at %s is not trusted; the Secret may name who signs it, as %s: %w", p.Endpoint, authorityFile, err)
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // the URL says nothing to who reads this
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("S3 at %s can't be reached: %w", p.Endpoint, err)
	}
	return fmt.Errorf("talking with S3 at %s: %w", p.Endpoint, err)
}

// explainAnswer says what an answer of S3 means.
func explainAnswer(p Place, said minio.ErrorResponse) error {
	switch said.Code {
	case minio.NoSuchKey:
		return ErrNotFound
	case minio.NoSuchBucket:
		return fmt.Errorf("S3 at %s has no bucket %q", p.Endpoint, p.Bucket)
	case "InvalidAccessKeyId":
		return fmt.Errorf("S3 at %s does not know the %s of the Secret", p.Endpoint, accessKeyFile)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("the %s of the Secret is not the one that S3 at %s has for its %s", secretKeyFile, p.Endpoint, accessKeyFile)
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		return fmt.Errorf("S3 at %s refuses: with this %s nobody may write, read and delete in bucket %q", p.Endpoint, accessKeyFile, p.Bucket)
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException":
		return fmt.Errorf("S3 at %s does not have bucket %q in region %q", p.Endpoint, p.Bucket, p.Region)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("the clocks of the recorder and of S3 at %s differ too much", p.Endpoint)
	}
	if said.StatusCode >= http.StatusInternalServerError || said.Code == "SlowDown" {
		return fmt.Errorf("S3 at %s does not work now: it answers %d %s", p.Endpoint, said.StatusCode, clip(said.Code))
	}
	return fmt.Errorf("S3 at %s refuses: it answers %d %s", p.Endpoint, said.StatusCode, clip(said.Code))
}

// maxCode bounds what is repeated of an answer.
const maxCode = 64

func clip(code string) string { return code[:min(len(code), maxCode)] }
