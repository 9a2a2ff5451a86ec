package main

import (
	"crypto/x509"
	"flag"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// bare says that the test runs as the operator does in its image: without a single file.
const bare = "MEDIAROOMS_TEST_WITHOUT_FILES"

// Without authorities every https:// endpoint of a Webhook fails, and the way out that users find
// is not to check certificates at all.
func TestImageWithoutFilesHasAuthorities(t *testing.T) {
	if os.Getenv(bare) == "" {
		// The authorities are read when the program starts.
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), bare+"=1", "SSL_CERT_FILE="+t.TempDir()+"/none", "SSL_CERT_DIR="+t.TempDir())
		if output, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	n := 0
	for root := range bundle.Roots() {
		n++
		if root.Constraint != nil {
			continue // it is trusted with a condition, which its own certificate does not meet
		}
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		// No roots of its own, as with a Webhook that brings none.
		if _, err := certificate.Verify(x509.VerifyOptions{
			CurrentTime: certificate.NotBefore.Add(1), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}); err != nil {
			t.Errorf("%s: %v", certificate.Subject, err)
		}
	}
	if n < 50 {
		t.Errorf("there are %d authorities", n)
	}
}

func TestWebhookNetworks(t *testing.T) {
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config := parse(flags, []string{
		"--webhook-allowed-networks=10.0.0.0/8, fd00::/8", "--webhook-allowed-networks=127.0.0.1/32", "--webhook-forbidden-networks=10.96.0.0/12",
	})
	var got []string
	for _, network := range slices.Concat(config.Webhooks.Allowed, []netip.Prefix{{}}, config.Webhooks.Forbidden) {
		got = append(got, network.String())
	}
	if want := []string{"10.0.0.0/8", "fd00::/8", "127.0.0.1/32", "invalid Prefix", "10.96.0.0/12"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := flags.Parse([]string{"--webhook-allowed-networks=10.0.0.1"}); err == nil {
		t.Error("an address without a length is taken for a network")
	}
}
