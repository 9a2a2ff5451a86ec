package credential

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // T1 is HMAC-SHA-1.
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// t1Prefix is what a T1 token begins with.
const t1Prefix = "T1=="

// t1 is a T1 token, not verified (opentok-rest 3.1).
type t1 struct {
	apiKey    string
	signature string
	// data is what is signed, as it was sent.
	data string
}

func isT1(token string) bool { return strings.HasPrefix(token, t1Prefix) }

func parseT1(token string) (t1, error) {
	if len(token) > maxToken {
		return t1{}, ErrMalformed
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, t1Prefix))
	if err != nil {
		return t1{}, ErrMalformed
	}
	head, data, found := strings.Cut(string(text), ":")
	values, err := url.ParseQuery(head)
	if !found || err != nil || values.Get("partner_id") == "" {
		return t1{}, ErrMalformed
	}
	return t1{apiKey: values.Get("partner_id"), signature: values.Get("sig"), data: data}, nil
}

// signedBy says whether one of some secrets has signed the token. It compares with all of them.
func (t t1) signedBy(secrets [][]byte) bool {
	signed := false
	for _, secret := range secrets {
		mac := hmac.New(sha1.New, secret)
		_, _ = mac.Write([]byte(t.data))
		if hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(t.signature)) {
			signed = true
		}
	}
	return signed
}

// verifyT1 returns what a T1 token of the project says that has not expired.
func (p *Project) verifyT1(token string, now time.Time) (url.Values, error) {
	t, err := parseT1(token)
	switch {
	case err != nil:
		return nil, err
	case t.apiKey != p.APIKey:
		return nil, ErrForeign
	case !t.signedBy(p.Secrets):
		return nil, ErrForged
	}
	values, err := url.ParseQuery(t.data)
	if err != nil {
		return nil, ErrMalformed
	}
	expires, known := seconds(values.Get("expire_time"))
	if !known {
		if expires, known = seconds(values.Get("create_time")); known {
			expires = expires.Add(usualLife)
		}
	}
	if !known || now.After(expires.Add(skew)) {
		return nil, ErrExpired
	}
	return values, nil
}

// seconds reads an instant in seconds since 1970, which may have a fraction.
func seconds(text string) (instant time.Time, ok bool) {
	const last = 1 << 40 // beyond it the instant would not be one
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(value >= 0 && value <= last) {
		return time.Time{}, false
	}
	return time.Unix(int64(value), 0), true
}
