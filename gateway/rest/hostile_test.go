package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/test/cost"
)

// onePassword is a tenant whose password is "right".
type onePassword struct{}

// Holder implements Tenants.
func (onePassword) Holder(_ context.Context, password string) (string, error) {
	if password == "right" {
		return "default", nil
	}
	return "", nil
}

// door is an API without a cluster: enough for everything that needs none.
func door(t *testing.T) *API {
	t.Helper()
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &API{tenants: onePassword{}, metrics: metrics, bodyTimeout: bodyTimeout, address: func(*http.Request) netip.Prefix { return netip.MustParsePrefix("10.0.0.7/32") }}
}

// knock asks for the version with a password.
func knock(api http.Handler, password string) int {
	request := httptest.NewRequest(http.MethodGet, "/openvidu/api/config/openvidu-version", nil)
	request.SetBasicAuth(username, password)
	response := httptest.NewRecorder()
	api.ServeHTTP(response, request)
	return response.Code
}

func TestTheRightPasswordIsNeverRefusedForOthersWrongOnes(t *testing.T) {
	api := door(t)
	for range 3 * failures.AtOnce {
		knock(api, "wrong")
	}
	for range 3 * failures.AtOnce {
		if got := knock(api, "right"); got != http.StatusOK {
			t.Fatalf("after wrong passwords from the same address: got %d", got)
		}
	}
	if got := knock(api, "wrong"); got != http.StatusTooManyRequests {
		t.Errorf("a wrong one after many: got %d", got)
	}
}

func TestWrongPasswordsAtTheSameTimeAreCountedEach(t *testing.T) {
	api := door(t)
	tries := &sync.WaitGroup{}
	got := make(chan int, 10*failures.AtOnce)
	begin, come := make(chan struct{}), make(chan struct{})
	api.tenants = crowd{gate{begin}, come}
	for range cap(got) {
		tries.Go(func() { got <- knock(api, "wrong") })
	}
	for range cap(got) {
		<-come
	}
	close(begin)
	tries.Wait()
	close(got)
	refused := 0
	for status := range got {
		if status == http.StatusUnauthorized {
			refused++
		}
	}
	if refused > failures.AtOnce {
		t.Errorf("%d of %d wrong passwords at the same time were answered, want %d", refused, cap(got), failures.AtOnce)
	}
}

// gate is tenants that are looked up only when the gate is open.
type gate struct{ open <-chan struct{} }

// Holder implements Tenants.
func (g gate) Holder(context.Context, string) (string, error) {
	<-g.open
	return "", nil
}

// crowd is a gate that tells of each who comes.
type crowd struct {
	gate
	come chan<- struct{}
}

// Holder implements Tenants.
func (c crowd) Holder(ctx context.Context, password string) (string, error) {
	c.come <- struct{}{}
	return c.gate.Holder(ctx, password)
}

func TestABodyThatNeverComesEndsTheConnection(t *testing.T) {
	api := door(t)
	api.bodyTimeout = 50 * time.Millisecond
	server := httptest.NewServer(api)
	defer server.Close()
	for name, head := range map[string]string{
		"without credentials": "POST /openvidu/api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		"chunked":             "POST /openvidu/api/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"to no endpoint":      "PUT /openvidu/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"public":              "GET /openvidu/api/openapi.json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
				t.Errorf("got %q and %v, want an answer and the end of the connection", answer, err)
			}
		})
	}
}

// hostileBodies are bodies of the largest size that may hide much work.
func hostileBodies() map[string]string {
	fill := func(start, part, end string) string {
		return start + strings.Repeat(part, (maxBody-len(start)-len(end))/len(part)) + end
	}
	numbered := func(start, format, end string) string {
		text := []byte(start)
		for i := 0; len(text)+len(format)+len(end)+8 < maxBody; i++ {
			text = fmt.Appendf(text, format, i)
		}
		return string(text[:len(text)-1]) + end
	}
	// Of what is beyond the bounds nothing is made. This is just below.
	most := func(start, part, end string) string {
		elements, members := countValues([]byte(part))
		times := maxElements/elements - 8
		if members > 0 {
			times = min(times, maxMembers/members-8)
		}
		text := start + strings.Repeat(part, times) + end
		return strings.Repeat(" ", maxBody-len(text)) + text
	}
	var names []byte
	for i := range maxMembers {
		names = fmt.Appendf(names, `"%0*d":[],`, (maxBody-64)/maxMembers-6, i)
	}
	bodies := map[string]string{
		"spaces":                  fill(" ", " ", "{}"),
		"spaces in between":       fill(`{"a":`, " ", "1}"),
		"an open array":           fill(`{"a":`, "[", ""),
		"deep arrays":             `{"a":` + strings.Repeat("[", maxBody/2-8) + strings.Repeat("]", maxBody/2-8) + "}",
		"deep objects":            strings.Repeat(`{"a":`, maxBody/6) + "1" + strings.Repeat("}", maxBody/6),
		"empty arrays":            fill(`{"to":[[]`, ",[]", `]}`),
		"empty objects":           fill(`{"customIceServers":[{}`, ",{}", `]}`),
		"zeros":                   fill(`{"session":"s","to":[0`, ",0", `]}`),
		"most empty arrays":       most(`{"to":[[]`, ",[[]]", `]}`),
		"most empty objects":      most(`{"customIceServers":[{}`, `,{"":{}}`, `]}`),
		"most zeros":              most(`{"session":"s","to":[0`, ",0", `]}`),
		"most of a member":        most(`{"a":1`, `,"a":1`, "}"),
		"most recipients":         most(`{"session":"s","to":["x"`, `,"con_Ab12345678"`, "]}"),
		"members":                 numbered("{", `"a%d":1,`, "}"),
		"the same member":         fill(`{"a":1`, `,"a":1`, "}"),
		"members in other case":   fill(`{"session":"s"`, `,"SESSION":"s"`, "}"),
		"recipients":              numbered(`{"session":"s","to":[`, `"con_%d",`, "]}"),
		"the same recipient":      fill(`{"session":"s","to":["x"`, `,"x"`, "]}"),
		"many bodies":             fill("{}", "{}", ""),
		"escapes in a name":       fill(`{"`, `\u0061`, `":1}`),
		"half surrogates":         fill(`{"data":"`, `\ud800`, `"}`),
		"invalid UTF-8":           fill(`{"data":"`, "\xff", `"}`),
		"text and no text":        fill(`{"data":"`, "a\xff", `"}`),
		"filters":                 fill(`{"kurentoOptions":{"allowedFilters":["x"`, `,"x"`, "]}}"),
		"one ICE server":          fill(`{"customIceServers":[{"url":"stun:`, "a.", `"}]}`),
		"an ICE server with dots": fill(`{"customIceServers":[{"url":"stun:`, "a-.", `"}]}`),
		"an IPv6 ICE server":      fill(`{"customIceServers":[{"url":"stun:[`, "::", `]"}]}`),
	}
	for _, key := range []string{
		"customSessionId", "mediaMode", "data", "role", "type", "session", "rtspUri", "recordingMode", "forcedVideoCodec",
	} {
		for name, part := range map[string]string{"letters": "a", "escapes": `\u0061`, "dashes": "-", "slashes": "%2f", "emoji": "\U0001F600"} {
			bodies[key+" of "+name] = fill(`{"type":"IPCAM","`+key+`":"`, part, `"}`)
			bodies["a WebRTC "+key+" of "+name] = fill(`{"`+key+`":"`, part, `"}`)
		}
	}
	for _, key := range []string{"name", "mediaNode", "resolution", "recordingLayout", "outputMode", "customLayout", "frameRate"} {
		bodies["recording "+key] = fill(`{"defaultRecordingProperties":{"`+key+`":"`, "1", `"}}`)
	}
	bodies["a pool"] = fill(`{"mediaNode":{"id":"`, "a", `"}}`)
	for name, part := range map[string]string{"digits": "9", "zeros": "0"} {
		bodies["a number of "+name] = fill(`{"type":"IPCAM","networkCache":1`, part, "}")
		bodies["a fraction of "+name] = fill(`{"type":"IPCAM","networkCache":1.`, part, "}")
		bodies["an exponent of "+name] = fill(`{"type":"IPCAM","networkCache":1e1`, part, "}")
	}
	servers := make([]string, maxIceServers)
	for i := range servers {
		servers[i] = `{"url":"turn:` + strings.Repeat("a.", maxBody/maxIceServers/2-64) + `","username":"u","credential":"c"}`
	}
	bodies["as many ICE servers as may be"] = `{"customIceServers":[` + strings.Join(servers, ",") + `]}`
	bodies["most members"] = "{" + string(names[:len(names)-1]) + "}"
	return bodies
}

// readAll does all that is done with a body before the cluster is asked.
func readAll(text string) error {
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
	request.Header.Set("Content-Type", "application/json")
	body, err := readBody(httptest.NewRecorder(), request)
	if err != nil {
		return err
	}
	_, _, session := parseSession(body)
	_, _, connection := parseConnection(context.Background(), body, "s", oneHost(""), time.Unix(0, 0))
	_, signal := parseSignal(body)
	_, update := parseUpdate(body)
	return errors.Join(session, connection, signal, update)
}

// ratio is cost.Ratio, the least of some: what disturbs makes it more only, and what is not bounded
// is thousands of times as much each time.
func ratio(bytes int, work func()) float64 {
	least := cost.Ratio(bytes, work)
	for i := 0; i < 4 && least > cost.Most; i++ {
		least = min(least, cost.Ratio(bytes, work))
	}
	return least
}

func TestTheWorkForABodyIsBoundedByItsSize(t *testing.T) {
	for name, body := range hostileBodies() {
		if len(body) > maxBody || len(body) < maxBody/2 {
			t.Errorf("%s: it has %d bytes", name, len(body))
		}
		if got := ratio(len(body), func() { _ = readAll(body) }); got > cost.Most {
			t.Errorf("%s: reading it takes %.0f times as long as copying it", name, got)
		}
	}
}

func TestTheWorkForARequestIsBoundedByItsSize(t *testing.T) {
	// The server takes no more of a request's header.
	const most = 16 << 10
	api := door(t)
	fill := func(part string) string { return strings.Repeat(part, most/len(part)) }
	for name, change := range map[string]func(*http.Request){
		"slashes":            func(r *http.Request) { r.URL.Path = "/openvidu/" + fill("/") },
		"segments":           func(r *http.Request) { r.URL.Path = "/openvidu/api/" + fill("a/") },
		"an old path":        func(r *http.Request) { r.URL.Path = "/api/" + fill("a/") },
		"an id":              func(r *http.Request) { r.URL.Path = "/openvidu/api/sessions/" + fill("a") },
		"ampersands":         func(r *http.Request) { r.URL.RawQuery = fill("&") },
		"parameters":         func(r *http.Request) { r.URL.RawQuery = fill("a=&") },
		"the same parameter": func(r *http.Request) { r.URL.RawQuery = fill("pendingConnections=&") },
		"an escaped query":   func(r *http.Request) { r.URL.RawQuery = "pendingConnections=" + fill("%41") },
		"broken escapes":     func(r *http.Request) { r.URL.RawQuery = fill("%&") },
		"semicolons":         func(r *http.Request) { r.URL.RawQuery = fill(";") },
		"credentials":        func(r *http.Request) { r.Header.Set("Authorization", "Basic "+fill("A")) },
		"colons":             func(r *http.Request) { r.SetBasicAuth(username, strings.Repeat(":", most/2)) },
		"no credentials":     func(r *http.Request) { r.Header.Set("Authorization", fill("Basic ")) },
		"an origin":          func(r *http.Request) { r.Header.Set("Origin", fill("http://")) },
		"a preflight": func(r *http.Request) {
			r.Method = http.MethodOptions
			r.Header["Origin"], r.Header["Access-Control-Request-Method"] = []string{"x"}, []string{fill("X")}
			r.Header["Access-Control-Request-Headers"] = strings.Split(fill("x,"), ",")
		},
		"a content type": func(r *http.Request) { r.Header.Set("Content-Type", "a/b"+fill(";a=1")) },
	} {
		request := httptest.NewRequest(http.MethodGet, "/openvidu/api/config/openvidu-version", nil)
		change(request)
		ask := func() {
			response := httptest.NewRecorder()
			api.ServeHTTP(response, request)
			_, _ = viewOf(request, true) // what a query can say
		}
		if got := ratio(most, ask); got > cost.Most {
			t.Errorf("%s: the answer takes %.0f times as long as copying the request", name, got)
		}
	}
}

func TestABodyOfTooManyValuesIsRefused(t *testing.T) {
	list := func(elements int) string {
		return `{"session":"s","to":["a,{[:\\",",\""` + strings.Repeat(",0", elements-4) + "]}"
	}
	object := func(members int) string { return `{"session":"s"` + strings.Repeat(`,"a":{}`, members-1) + "}" }
	for text, refused := range map[string]bool{list(maxElements): false, list(maxElements + 1): true, object(maxMembers): false, object(maxMembers + 1): true} {
		if err := readAll(text); errors.Is(err, errTooManyValues) != refused {
			t.Errorf("%s...: got %v", text[:40], err)
		}
	}
}

func TestABodyThatIsNoTextIsRefused(t *testing.T) {
	if err := readAll("{\"data\":\"a\xffb\"}"); !errors.Is(err, errNoText) {
		t.Errorf("got %v", err)
	}
}
