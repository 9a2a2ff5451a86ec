package tenant

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const application = "78d335fa-323d-0114-9c3d-d6f0d48968cf"

// publicKey returns a public key of a size, as PEM.
func publicKey(t *testing.T, bits int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// projectSecret returns the Secret of a project that was made at a minute.
func projectSecret(namespace string, minute int, data map[string]string) corev1.Secret {
	made := secret(namespace, ProjectSecretName, data)
	made.CreationTimestamp = metav1.NewTime(time.Unix(0, 0).Add(time.Duration(minute) * time.Minute))
	return made
}

func TestAProjectIsFoundByItsNames(t *testing.T) {
	projects := &Projects{Reader: secrets{
		projectSecret("a", 1, map[string]string{APIKeyKey: "46000001\n", APISecretKey: "MY_SECRET\n", PreviousAPISecretKey: "OLD_SECRET"}),
		projectSecret("b", 2, map[string]string{
			APIKeyKey: "46000002", APISecretKey: "8--bytes", ApplicationIDKey: application, PublicKeyKey: publicKey(t, 2048), PreviousPublicKeyKey: publicKey(t, 3072),
		}),
		secret("c", SecretName, map[string]string{APIKeyKey: "46000003", APISecretKey: "of-another-kind"}),
		projectSecret("d", 3, map[string]string{APIKeyKey: "4600-0004", APISecretKey: "MY_SECRET"}),
		projectSecret("e", 4, map[string]string{APIKeyKey: "46000005", APISecretKey: "7-bytes", PublicKeyKey: "none"}),
	}}
	for name, want := range map[string]struct {
		namespace     string
		secrets, keys int
	}{
		"46000001": {"a", 2, 0}, "46000002": {"b", 1, 2}, application: {"b", 1, 2}, "46000005": {"e", 0, 0},
		"46000003": {}, "4600-0004": {}, "": {}, "46000001\n": {}, "MY_SECRET": {},
	} {
		got, err := projects.Find(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got == nil {
			got = &Project{}
		}
		if got.Namespace != want.namespace || len(got.Secrets) != want.secrets || len(got.PublicKeys) != want.keys {
			t.Errorf("%q: got a project of %q with %d secrets and %d keys, want %+v", name, got.Namespace, len(got.Secrets), len(got.PublicKeys), want)
		}
	}
	if got, _ := projects.Find(t.Context(), "46000001"); got == nil || string(got.Secrets[0]) != "MY_SECRET" || string(got.Secrets[1]) != "OLD_SECRET" {
		t.Errorf("got %+v", got)
	}
}

func TestAnAPIKeyThatTwoHaveIsThatOfTheOlderSecret(t *testing.T) {
	first := projectSecret("z-first", 1, map[string]string{APIKeyKey: "1", APISecretKey: "of-the-first"})
	second := projectSecret("a-second", 2, map[string]string{APIKeyKey: "1", APISecretKey: "of-the-second", ApplicationIDKey: application})
	third := projectSecret("third", 3, map[string]string{APIKeyKey: "3", APISecretKey: "of-the-third", ApplicationIDKey: "1"})
	unusable := projectSecret("unusable", 0, map[string]string{APIKeyKey: "no key", ApplicationIDKey: "1"})
	for name, order := range map[string]secrets{"the oldest first": {unusable, first, second, third}, "the oldest last": {third, second, first, unusable}} {
		projects := &Projects{Reader: order}
		// Who has lost one name is not served by the other, either.
		for key, want := range map[string]string{"1": "z-first", application: "", "3": ""} {
			got, err := projects.Find(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if namespace := namespaceOf(got); namespace != want {
				t.Errorf("%s: %s: got %q, want %q", name, key, namespace, want)
			}
		}
	}
}

func namespaceOf(project *Project) string {
	if project == nil {
		return ""
	}
	return project.Namespace
}

func TestWhatIsWrongWithAProjectIsSaidOncePerChange(t *testing.T) {
	var lines []string
	ctx := logr.NewContext(t.Context(), funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{}))
	wrong := projectSecret("a", 1, map[string]string{APIKeyKey: "1", APISecretKey: "7-bytes", PublicKeyKey: publicKey(t, 1024)})
	projects := &Projects{}
	for i, version := range []string{"1", "1", "2"} {
		wrong.ResourceVersion = version
		projects.Reader = secrets{wrong}
		if got, err := projects.Find(ctx, "1"); err != nil || len(got.Secrets) != 0 || len(got.PublicKeys) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		if want := []int{2, 2, 4}[i]; len(lines) != want {
			t.Fatalf("after %d times there are %d lines: %q", i+1, len(lines), lines)
		}
	}
	if all := strings.Join(lines, "\n"); strings.Contains(all, "7-bytes") || !strings.Contains(all, `"key"="apiSecret"`) || !strings.Contains(all, `"key"="publicKey"`) {
		t.Errorf("the lines are %s", all)
	}
}
