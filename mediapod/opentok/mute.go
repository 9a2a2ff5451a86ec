package opentok

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
)

const (
	// maxMute bounds a server's wish for mute, in bytes.
	maxMute = 128 << 10
	// muteTimeout bounds how long a gateway may take to send it.
	muteTimeout = 10 * time.Second
)

// serveMute asks for audio to be muted, or not any more, as a podhttp.Mute says: 204 when those who
// are meant were told, 404 when there is no such room, 406 when nobody is there or the stream is
// not, 429 when the server says too much in the room, 400 when it can't be read.
func (f *FrontEnd) serveMute(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(muteTimeout)); err != nil {
		f.config.Log.V(1).Info("Reading a wish for mute without a deadline", "reason", err.Error())
	}
	where, found := f.config.Rooms.Lookup(r.PathValue("key"))
	if !found {
		http.Error(w, "no such room", http.StatusNotFound)
		return
	}
	var wish podhttp.Mute
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMute)).Decode(&wish); err != nil || len(wish.Excluded) > podhttp.MaxExcluded {
		http.Error(w, "what is to be muted can't be read", http.StatusBadRequest)
		return
	}
	switch err := mute(where, wish); {
	case errors.Is(err, room.ErrClosed):
		http.Error(w, "no such room", http.StatusNotFound)
	case is[room.LimitError](err):
		http.Error(w, "too much was said in the room", http.StatusTooManyRequests)
	case errors.Is(err, room.ErrEmpty), is[room.NotFoundError](err):
		http.Error(w, "nobody is there, or not this stream", http.StatusNotAcceptable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func mute(where *room.Room, wish podhttp.Mute) error {
	switch {
	case wish.Stream != "":
		return where.ForceMute(wish.Stream)
	case wish.All:
		return where.ForceMuteAll(wish.Excluded)
	default:
		return where.DisableForceMute()
	}
}
