package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"mediarooms.dev/mediarooms/gateway/objects"
)

// problem is an answer other than success. Without a message it has no body (openvidu-rest 1.5).
type problem struct {
	status  int
	message string
}

// Error says what the caller is told.
func (p *problem) Error() string {
	if p.message == "" {
		return http.StatusText(p.status)
	}
	return p.message
}

// problemJSON is the structured body of an error.
type problemJSON struct {
	Timestamp int64  `json:"timestamp"`
	Status    int    `json:"status"`
	Error     string `json:"error"`
	Message   string `json:"message"`
	Path      string `json:"path"`
}

func (p *problem) body(path string, now time.Time) problemJSON {
	return problemJSON{Timestamp: now.UnixMilli(), Status: p.status, Error: http.StatusText(p.status), Message: p.message, Path: path}
}

func badRequest(format string, arguments ...any) *problem {
	return &problem{status: http.StatusBadRequest, message: fmt.Sprintf(format, arguments...)}
}

// Problems without a body.
var (
	errSessionUnknown         = &problem{status: http.StatusNotFound}
	errTokenSessionUnknown    = &problem{status: http.StatusNotFound, message: "There is no such session"}
	errConnectionUnknown      = &problem{status: http.StatusNotFound}
	errSessionUnknownBad      = &problem{status: http.StatusBadRequest} // where the reference answers 400 for an unknown session
	errSessionExists          = &problem{status: http.StatusConflict}
	errUnauthenticated        = &problem{status: http.StatusUnauthorized}
	errTooManyFailures        = &problem{status: http.StatusTooManyRequests}
	errSessionInactive        = &problem{status: http.StatusNotAcceptable}
	errRecipientUnknown       = &problem{status: http.StatusNotAcceptable, message: "'to' must contain ids of active connections of the session only"}
	errRoomUnreachable        = &problem{status: http.StatusServiceUnavailable, message: "The session's media pod can't be reached at the moment"}
	errTooManySignals         = &problem{status: http.StatusTooManyRequests, message: "Too many signals in the session. Ask again in a second"}
	errForbidden              = &problem{status: http.StatusForbidden}
	errSessionClosing         = &problem{status: http.StatusNotFound, message: "The session is being closed"}
	errStillClosing           = &problem{status: http.StatusInternalServerError, message: "The session is still being closed. Ask again"}
	errStillDisconnecting     = &problem{status: http.StatusInternalServerError, message: "The connection is still being ended. Ask again"}
	errStreamUnknown          = &problem{status: http.StatusNotFound}
	errStreamOfCamera         = &problem{status: http.StatusMethodNotAllowed}
	errStillPublishing        = &problem{status: http.StatusInternalServerError, message: "The stream is still being ended. Ask again"}
	errStillChanging          = &problem{status: http.StatusInternalServerError, message: "Others change the connection at the same time. Ask again"}
	errTokenNotMade           = &problem{status: http.StatusServiceUnavailable, message: "No token was made in time. Is the operator running?"}
	errIPCamUnavailable       = &problem{status: http.StatusNotImplemented, message: "IPCAM connections are not available yet"}
	errTenantNotSeen          = &problem{status: http.StatusServiceUnavailable, message: "The tenant's connections can't be seen. Is mediarooms-rest bound in its namespace?"}
	errKubernetesNotReachable = &problem{status: http.StatusServiceUnavailable, message: "The cluster's API server can't be reached at the moment"}
	errFilesUnreachable       = &problem{status: http.StatusServiceUnavailable, message: "The recorder that has the files can't be reached at the moment"}
	errInternal               = &problem{status: http.StatusInternalServerError, message: "Something went wrong here. The gateway's log says what"}
	errMalformedBody          = &problem{status: http.StatusForbidden, message: "The body must be one JSON object"}
	errNoText                 = &problem{status: http.StatusForbidden, message: "The body must be UTF-8"}
	errUnsupportedMedia       = &problem{status: http.StatusForbidden, message: "The body's Content-Type must be application/json"}
	errBodyTooLarge           = &problem{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("The body is too large: it may have at most %d bytes", maxBody)}
	errTooManyValues          = &problem{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("The body is too large: it may have at most %d elements and %d members", maxElements, maxMembers)}
)

// asProblem returns what the caller is told about an error, and whether the error is news for the
// log.
func asProblem(err error) (*problem, bool) {
	var known *problem
	var refused *objects.RefusedError
	switch {
	case errors.As(err, &known):
		return known, false
	case errors.As(err, &refused):
		return notAdmitted(refused), false
	case errors.Is(err, objects.ErrClosing):
		return errSessionClosing, false
	case errors.Is(err, objects.ErrExists):
		return errSessionExists, false
	case errors.Is(err, objects.ErrTenantNotSeen):
		return errTenantNotSeen, false
	case apierrors.IsInvalid(err):
		return badRequest("%s", invalid(err)), false
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return &problem{status: http.StatusForbidden, message: "The tenant's quota is used up"}, false
	case utilnet.IsConnectionRefused(err), utilnet.IsTimeout(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err):
		return errKubernetesNotReachable, true
	default:
		return errInternal, true
	}
}

// notAdmitted is what the caller is told when a Connection has got no token.
func notAdmitted(refused *objects.RefusedError) *problem {
	switch {
	case refused.Reason == objects.RefusalFull:
		return &problem{status: http.StatusConflict, message: "The session is full: " + refused.Message}
	case refused.Reason == objects.RefusalNoCapacity:
		return &problem{status: http.StatusServiceUnavailable, message: "There is no place: " + refused.Message}
	case refused.Message == "":
		return errTokenNotMade
	default:
		return &problem{status: http.StatusServiceUnavailable, message: "No token was made in time: " + refused.Message}
	}
}

// invalid returns what the schema says of an object, without the object's name, which callers do
// not know.
func invalid(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return "The request is not valid"
	}
	causes := make([]string, 0, len(status.Status().Details.Causes))
	for _, cause := range status.Status().Details.Causes {
		causes = append(causes, strings.TrimPrefix(cause.Field, "spec.")+": "+cause.Message)
	}
	return strings.Join(causes, "; ")
}
