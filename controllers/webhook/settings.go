package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/opentok"
	"mediarooms.dev/mediarooms/controllers/openvidu"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// refusal is why a Webhook is not served. Its reason is one of Accepted.
type refusal struct {
	reason, message string
}

// Error implements error.
func (r *refusal) Error() string { return r.reason + ": " + r.message }

// prepare returns how a Webhook is served, and a refusal when nothing can be sent. It is pure.
// Events wait for what heals; a Webhook that is one too many gets none.
func prepare(hook *v1alpha1.Webhook, peers []v1alpha1.Webhook, secret map[string][]byte, guard Guard) (settings, *refusal) {
	s := settings{format: formats[hook.Spec.Format], retry: time.Duration(ptr.Deref(hook.Spec.RetrySeconds, 86400)) * time.Second}
	if len(hook.Spec.Events) > 0 {
		s.events = make(map[v1alpha1.WebhookEvent]bool, len(hook.Spec.Events))
		for _, name := range hook.Spec.Events {
			s.events[name] = true
		}
	}
	header, missing := headers(hook.Spec.Headers, secret)
	s.fingerprint = fingerprint(hook, header, missing)
	if older(hook, peers) >= v1alpha1.MaxWebhooks {
		return settings{closed: true, fingerprint: sha256.Sum256([]byte("closed"))}, &refusal{
			v1alpha1.ReasonTooManyWebhooks, fmt.Sprintf("the namespace has %d older Webhooks; nothing is sent to this one", v1alpha1.MaxWebhooks),
		}
	}
	if missing != nil {
		return s, missing
	}
	if parsed, err := url.Parse(hook.Spec.URL); err != nil || parsed.Host == "" {
		return s, &refusal{v1alpha1.ReasonInvalid, "`url` can't be read"}
	}
	config, err := tlsConfig(hook.Spec.TLSVerification != v1alpha1.TLSVerificationNone, hook.Spec.CABundle)
	if err != nil {
		return s, &refusal{v1alpha1.ReasonInvalid, err.Error()}
	}
	timeout := time.Duration(cmp.Or(hook.Spec.TimeoutSeconds, 10)) * time.Second
	s.target = newTarget(hook.Spec.URL, s.format, header, timeout, config, guard)
	return s, nil
}

// format is a form of the documents that are sent.
type format struct {
	// knows says which events have a document; nil is all.
	knows func(*controlv1.RoomEvent) bool
	body  func(*controlv1.RoomIdentity, *controlv1.RoomEvent) []byte
}

// has says whether an event has a document.
func (f format) has(event *controlv1.RoomEvent) bool { return f.knows == nil || f.knows(event) }

var formats = map[v1alpha1.WebhookFormat]format{
	"":                             {body: openvidu.Body},
	v1alpha1.WebhookFormatOpenVidu: {body: openvidu.Body},
	v1alpha1.WebhookFormatOpenTok:  {knows: opentok.Knows, body: opentok.Body},
}

// older counts the Webhooks that come before this one.
func older(hook *v1alpha1.Webhook, peers []v1alpha1.Webhook) int {
	n := 0
	for i := range peers {
		order := cmp.Or(peers[i].CreationTimestamp.Compare(hook.CreationTimestamp.Time), cmp.Compare(peers[i].Name, hook.Name))
		if order < 0 && peers[i].DeletionTimestamp.IsZero() {
			n++
		}
	}
	return n
}

// headers returns the headers with their values. What comes from the Secret is in no error.
func headers(wanted []v1alpha1.WebhookHeader, secret map[string][]byte) (http.Header, *refusal) {
	header := make(http.Header, len(wanted))
	for _, w := range wanted {
		value := w.Value
		if w.SecretKey != "" {
			stored, ok := secret[w.SecretKey]
			if !ok {
				return nil, &refusal{v1alpha1.ReasonHeaderSecretMissing, fmt.Sprintf(
					"Secret %q has no key %q, which header %q needs", v1alpha1.WebhookSecretName, w.SecretKey, w.Name)}
			}
			// Files that became a Secret end in a line feed.
			value = strings.TrimSpace(string(stored))
			if !printable(value) {
				return nil, &refusal{v1alpha1.ReasonHeaderSecretMissing, fmt.Sprintf(
					"key %q of Secret %q holds no text of 1 to %d printable ASCII characters, which header %q needs",
					w.SecretKey, v1alpha1.WebhookSecretName, maxHeaderValue, w.Name)}
			}
		}
		header.Set(w.Name, value)
	}
	return header, nil
}

// maxHeaderValue bounds a value from the Secret, in bytes, as the schema does one in the spec.
const maxHeaderValue = 4096

func printable(value string) bool {
	if value == "" || len(value) > maxHeaderValue {
		return false
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// fingerprint is the same for the same spec and the same headers, of which it gives nothing away.
func fingerprint(hook *v1alpha1.Webhook, header http.Header, missing *refusal) [sha256.Size]byte {
	digest := sha256.New()
	write := func(text string) {
		digest.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		digest.Write([]byte(text))
	}
	write(string(hook.UID))
	write(fmt.Sprint(hook.Generation, missing != nil))
	for _, h := range hook.Spec.Headers {
		write(h.Name)
		write(header.Get(h.Name))
	}
	return [sha256.Size]byte(digest.Sum(nil))
}
