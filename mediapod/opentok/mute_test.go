package opentok

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// wants posts a server's wish for mute, and checks the answer.
func (w *world) wants(key, body string, want int) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+podhttp.MutePath(key), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		w.t.Error(err)
	}
	if answer.StatusCode != want {
		w.t.Errorf("%.80s in %s: got %d, want %d", body, key, answer.StatusCode, want)
	}
}

// The server's wishes for mute reach the clients that a moderator's would reach.
func TestTheServerForcesMute(t *testing.T) {
	w := newWorld(t, "A", "B")
	w.wants("team.other", `{"all":true}`, http.StatusNotFound)
	w.wants("team.room", `{"all":true}`, http.StatusNotAcceptable)
	a := w.join("A")
	camera := a.publish(cameraParams)
	a.told = nil
	for body, want := range map[string]int{
		`{"stream":"str_CAM_con_B"}`: http.StatusNotAcceptable,
		`{`:                          http.StatusBadRequest,
		`{"all":"yes"}`:              http.StatusBadRequest,
		`{"all":true,"excluded":[` + strings.Repeat(`"",`, podhttp.MaxExcluded) + `""]}`: http.StatusBadRequest,
		`{"all":true,"excluded":["` + strings.Repeat("a", maxMute) + `"]}`:               http.StatusBadRequest,
	} {
		w.wants("team.room", body, want)
	}
	w.wants("team.room", fmt.Sprintf(`{"stream":%q}`, camera), http.StatusNoContent)
	w.wants("team.room", fmt.Sprintf(`{"all":true,"excluded":[%q]}`, camera), http.StatusNoContent)
	w.wants("team.room", `{}`, http.StatusNoContent)
	// The client's steady form of ids has no number in it.
	a.expect(`muteForced {"streamId":"str_CAM_con_A"}`, `forceMuteChanged {"active":true}`, `forceMuteChanged {"active":false}`)
}
