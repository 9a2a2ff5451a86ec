package signalling

import (
	"errors"
	"net/http"
	"time"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// RoomHandler is Handler for a protocol whose clients name a room in their URL, by the key in the
// parameter sessionId. A handshake is answered 503 when the room is on another media pod now, or
// may come here, and 409 when the client that a gateway resumes has to know that it lost its socket
// (package podhttp).
func (s *Server) RoomHandler(rooms *room.Registry, protocol Protocol) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rooms.Moved(r.URL.Query().Get("sessionId")) {
			http.Error(w, "the session is on another media pod", http.StatusServiceUnavailable)
			return
		}
		if status := resumable(rooms, r); status != http.StatusOK {
			http.Error(w, "the client can't be resumed", status)
			return
		}
		s.serve(protocol, w, r)
	})
}

// resumable returns with which status to refuse a handshake by which a gateway resumes a client, or
// OK. Of a conflict the client must know, so it has to lose its socket; an unavailable room may
// come here.
func resumable(rooms *room.Registry, r *http.Request) int {
	told := podhttp.ReadClient(r)
	if told.Resume == "" {
		return http.StatusOK
	}
	resumption, valid := podhttp.ParseResumption(told.Resume)
	if !valid {
		return http.StatusConflict
	}
	key := r.URL.Query().Get("sessionId")
	if resumption.PrivateID == "" {
		if _, here := rooms.Lookup(key); !here && key != "" {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	switch err := rooms.Unnoticed(key, resumption.PrivateID, time.Now().Add(-told.Held)); {
	case errors.Is(err, room.ErrNotYet):
		return http.StatusServiceUnavailable
	case err != nil:
		return http.StatusConflict
	}
	return http.StatusOK
}
