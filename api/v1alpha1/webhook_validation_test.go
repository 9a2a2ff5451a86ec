package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

const minimalWebhook = `
apiVersion: mediarooms.dev/v1alpha1
kind: Webhook
metadata: {name: backend, namespace: default}
spec: {url: "https://app.example.org/events"}
`

const (
	hookScheme     = "`url` must start with http:// or https://"
	hookHost       = "`url` must have a host name or an address (IPv6 in brackets), a port, if any, from 1 to 65535, and no user name, fragment or space"
	headerOne      = "spec.headers[0]: Invalid value: exactly one of `value` and `secretKey` must be set"
	headerLetters  = "`name` may contain only letters, digits, `-`, `_` and `.`"
	headerReserved = "`name` may not be a header that HTTP or Mediarooms sets itself"
	headerValue    = "`value` must consist of printable ASCII characters, with no space at either end"
	headerKey      = "`secretKey` must be a key of a Secret: letters, digits, `-`, `_` and `.`"
	certificate    = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
)

// webhookURLs tries URLs of endpoints.
func webhookURLs() map[string]creation {
	table := make(map[string]creation)
	for _, url := range []string{
		"http://app", "https://app.example.org", "https://app.example.org:8443/a/b?c=d&e=%20", "http://192.0.2.1:80/", "http://[2001:db8::1]:8080/x",
		"http://app_1.svc?x", "https://a:65535",
	} {
		table["url is "+url] = creation{change: change{"spec.url": url}}
	}
	for url, want := range map[string]string{
		"ftp://app": hookScheme, "app.example.org/events": hookScheme, "HTTP://app": hookScheme, "/events": hookScheme,
		"http://": hookHost, "http:///events": hookHost, "http://app:0": hookHost, "http://app:65536": hookHost, "http://app:": hookHost,
		"http://user:secret@app/": hookHost, "http://app/#part": hookHost, "http://app/a b": hookHost, "http://[2001:db8::1/": hookHost,
		"http://2001:db8::1/": hookHost, "http://-app": hookHost, "http://hörer/": hookHost,
	} {
		table["url is "+url] = creation{change: change{"spec.url": url}, want: fmt.Sprintf("spec.url: Invalid value: %q: %s", url, want)}
	}
	return table
}

// header returns the change to one header with some fields.
func header(fields ...any) change {
	one := make(map[string]any)
	for i := 0; i < len(fields); i += 2 {
		one[fields[i].(string)] = fields[i+1]
	}
	return change{"spec.headers": []any{one}}
}

// webhookHeaders tries names of headers.
func webhookHeaders() map[string]creation {
	table := make(map[string]creation)
	for _, name := range []string{"Authorization", "X-Api-Key", "Content-Type", "x_y.z", "Hostess"} {
		table["a header is "+name] = creation{change: header("name", name, "value", "v")}
	}
	for name, want := range map[string]string{
		"Host": headerReserved, "content-length": headerReserved, "Transfer-Encoding": headerReserved, "Connection": headerReserved,
		"Mediarooms-Event-Id": headerReserved, "proxy-authorization": headerReserved,
		"a b": headerLetters, "a:": headerLetters, "ä": headerLetters, "a\r\nb": headerLetters,
	} {
		table[fmt.Sprintf("a header is %q", name)] = creation{change: header("name", name, "value", "v"), want: want}
	}
	return table
}

var webhookValidation = kind{
	base: minimalWebhook,
	creations: merged(
		webhookURLs(),
		text("spec.className", nil, 40, ": Invalid value: \"\": `className` must ", nil),
		webhookHeaders(),
		map[string]creation{
			"a Webhook has a url":                  {},
			"there is no spec":                     {change: change{"spec": removed}, want: "spec: Required value"},
			"className is in upper case":           {change: change{"spec.className": "Team"}, want: "spec.className: Invalid value: \"Team\": `className` must be lower-case letters, digits and `-`, with a letter or digit at both ends"},
			"there is no url":                      {change: change{"spec": map[string]any{}}, want: "spec.url: Required value"},
			"there is an unknown field":            {change: change{"spec.secret": "x"}, want: "unknown field \"spec.secret\""},
			"events are an empty list":             {change: change{"spec.events": []any{}}, want: "spec.events in body should have at least 1 items"},
			"events have one twice":                {change: change{"spec.events": []any{"signalSent", "signalSent"}}, want: "spec.events[1]: Duplicate value: \"signalSent\""},
			"events are a text":                    {change: change{"spec.events": "signalSent"}, want: "spec.events in body must be of type array: \"string\""},
			"an event is not one of this version":  {change: change{"spec.events": []any{"HANodeRegistered"}}},
			"events are too many":                  {change: change{"spec.events": tooManyEvents()}, bound: "spec.events maxItems 17", want: "spec.events: Too many: 18: must have at most 17 items"},
			"a header has a value from the Secret": {change: header("name", "Authorization", "secretKey", "backend.authorization")},
			"a header has neither":                 {change: header("name", "Authorization"), want: headerOne},
			"a header has both":                    {change: header("name", "Authorization", "value", "v", "secretKey", "k"), want: headerOne},
			"a header has no name":                 {change: header("value", "v"), want: "spec.headers[0].name: Required value"},
			"a header is there twice": {
				change: change{"spec.headers": []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "A", "value": "2"}}},
				want:   "spec.headers[1]: Duplicate value: {\"name\":\"A\"}",
			},
			"a value has inner spaces":          {change: header("name", "A", "value", "Bearer abc")},
			"a value ends in a space":           {change: header("name", "A", "value", "abc "), want: headerValue},
			"a value has two lines":             {change: header("name", "A", "value", "abc\r\nB: c"), want: headerValue},
			"a value is not ASCII":              {change: header("name", "A", "value", "größe"), want: headerValue},
			"a secretKey has a slash":           {change: header("name", "A", "secretKey", "a/b"), want: headerKey},
			"caBundle is no PEM":                {change: change{"spec.caBundle": "AAAA"}, want: "spec.caBundle: Invalid value: \"AAAA\": `caBundle` must hold certificates in PEM"},
			"caBundle is PEM":                   {change: change{"spec.caBundle": certificate}},
			"caBundle goes with Full":           {change: change{"spec.caBundle": certificate, "spec.tlsVerification": "Full"}},
			"caBundle does not go with None":    {change: change{"spec.caBundle": certificate, "spec.tlsVerification": "None"}, want: "spec.caBundle: Invalid value: `caBundle` may not be set when `tlsVerification` is None"},
			"a user may not set the status":     {change: change{"status": map[string]any{"pendingEvents": int64(3)}}},
			"any certificate is good enough":    {change: change{"spec.tlsVerification": "None"}},
			"retrySeconds is 0: it tries once":  {change: change{"spec.retrySeconds": int64(0)}},
			"all of the names are valid events": {change: change{"spec.events": allEvents()}},
		},
		enum("spec.events[]", func(v any) change { return change{"spec.events": []any{v}} }, allEventNames...),
		list("spec.headers", 16, func(i int) any { return map[string]any{"name": fmt.Sprint("X-", i), "value": "v"} }),
		text("spec.headers[].name", func(v any) change { return header("name", v, "value", "v") }, 128, ": Invalid value: \"\": `name` may contain only", nil),
		text("spec.headers[].value", func(v any) change { return header("name", "A", "value", v) }, 4096, ": Invalid value: \"\": `value` must consist", nil),
		text("spec.headers[].secretKey", func(v any) change { return header("name", "A", "secretKey", v) }, 253, ": Invalid value: \"\": `secretKey` must be", nil),
		text("spec.url", nil, 2048, ": Invalid value: \"\": `url` must ", func(n int) string { return "http://a/" + strings.Repeat("a", n-9) }),
		text("spec.caBundle", nil, 65536, ": Invalid value: \"\": `caBundle` must ", func(n int) string { return certificate + strings.Repeat("\n", n-len(certificate)) }),
		enum("spec.tlsVerification", nil, "Full", "None"),
		enum("spec.format", nil, "OpenVidu", "OpenTok"),
		integer("spec.timeoutSeconds", nil, 1, 30),
		integer("spec.retrySeconds", nil, 0, 604800),
	),
	updates: map[string]update{
		"className is changed": {
			before: change{"spec.className": "one"}, after: change{"spec.className": "two"},
			want: "spec.className: Invalid value: `className` may not be changed, set or unset after creation",
		},
		"className is set":   {after: change{"spec.className": "two"}, want: "`className` may not be changed, set or unset after creation"},
		"className is unset": {before: change{"spec.className": "one"}, after: change{"spec.className": removed}, want: "`className` may not be changed, set or unset after creation"},
		"everything may be changed": {
			after: change{
				"spec.url": "http://other", "spec.events": []any{"signalSent"}, "spec.timeoutSeconds": int64(1), "spec.retrySeconds": int64(1),
				"spec.tlsVerification": "None", "spec.headers": []any{map[string]any{"name": "A", "secretKey": "a"}},
			},
		},
		"verification is switched off under a bundle": {
			before: change{"spec.caBundle": certificate}, after: change{"spec.tlsVerification": "None"},
			want: "`caBundle` may not be set when `tlsVerification` is None",
		},
	},
}

var allEventNames = []string{
	"sessionCreated", "sessionDestroyed", "participantJoined", "participantLeft", "webrtcConnectionCreated", "webrtcConnectionDestroyed",
	"recordingStatusChanged", "filterEventDispatched", "signalSent", "mediaNodeStatusChanged", "autoscaling", "nodeCrashed", "nodeRecovered",
	"broadcastStarted", "broadcastStopped", "HANodeRegistered", "HANodeDeregistered",
}

func allEvents() []any {
	var all []any
	for _, name := range allEventNames {
		all = append(all, name)
	}
	return all
}

func tooManyEvents() []any { return append(allEvents(), "signalSent") }

func TestWebhookValidation(t *testing.T) { testValidation(t, webhookValidation) }
