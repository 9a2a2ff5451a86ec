package opentok

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/gateway/route"
)

// Names of errors that the client library passes on to the application.
const (
	nameAuthentication   = "OT_AUTHENTICATION_ERROR"
	nameInvalidSessionID = "OT_INVALID_SESSION_ID"
	nameInvalidParameter = "OT_INVALID_PARAMETER"
	nameLimit            = "OT_CONNECTION_LIMIT_EXCEEDED"
	nameConnectFailed    = "OT_CONNECT_FAILED"
)

// problem is an answer other than success (opentok-rest 1.3).
type problem struct {
	status  int
	message string
	// name is what the client library calls it; "" for what only server libraries are told.
	name string
}

// Error says what the caller is told.
func (p *problem) Error() string { return p.message }

// problemJSON is the body of an error.
type problemJSON struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Name    string `json:"name,omitempty"`
}

func badRequest(format string, arguments ...any) *problem {
	return &problem{status: http.StatusBadRequest, message: fmt.Sprintf(format, arguments...), name: nameInvalidParameter}
}

var (
	errUnknownPath = &problem{status: http.StatusNotFound, message: "There is nothing at this path"}
	errMethod      = &problem{status: http.StatusMethodNotAllowed, message: "There is nothing at this path for this method"}
	errPathTooLong = &problem{status: http.StatusRequestURITooLong, message: fmt.Sprintf("The path may have at most %d bytes, the query %d", maxPath, maxQuery)}

	errNoToken        = &problem{status: http.StatusUnauthorized, message: "The header X-OPENTOK-AUTH, or Authorization with Bearer, must have a REST token"}
	errUnknownProject = &problem{status: http.StatusUnauthorized, message: "There is no project with this API key or application id", name: nameAuthentication}
	errTooManyWrong   = &problem{http.StatusTooManyRequests, "Too many wrong tokens from this address", nameAuthentication}
	errOtherProject   = &problem{status: http.StatusForbidden, message: "The token is not of the project in the path"}

	errSessionID      = &problem{http.StatusBadRequest, "The session id must be one that POST /session/create returns: 1 to 64 letters, digits, _ and -", nameInvalidSessionID}
	errForeignSession = &problem{http.StatusBadRequest, "The session id is one of another project", nameInvalidSessionID}
	errSessionUnknown = &problem{http.StatusNotFound, "There is no session with this id", nameInvalidSessionID}
	errNobodyThere    = &problem{status: http.StatusNotFound, message: "Nobody is connected to the session, or not this connection"}
	errConnection     = &problem{status: http.StatusNotFound, message: "There is no such connection in the session"}
	errStream         = &problem{status: http.StatusNotFound, message: "There is no such stream in the session"}
	errArchive        = &problem{status: http.StatusNotFound, message: "There is no such archive"}
	errArchiving      = &problem{status: http.StatusConflict, message: "The session is being archived already"}
	errArchiveRuns    = &problem{status: http.StatusConflict, message: "The archive has not been stopped"}
	errArchiveStopped = &problem{status: http.StatusConflict, message: "The archive has been stopped already"}
	errArchiveGoing   = &problem{status: http.StatusInternalServerError, message: "The archive is still being deleted. Ask again"}
	errLink           = &problem{status: http.StatusForbidden, message: "The link is not valid, or has ended. Ask for the archive again"}
	errFiles          = &problem{status: http.StatusServiceUnavailable, message: "The recorder that has the files can't be reached at the moment"}
	errNoRecorder     = &problem{status: http.StatusNotImplemented, message: "The pool of the session does not record"}
	errNotComposed    = &problem{status: http.StatusNotImplemented, message: "The pool of the session does not compose: it has no compositor. Ask for 'outputMode' individual"}
	errNoLayout       = badRequest("The archive is not composed, and has no layout")
	errAllStreams     = &problem{status: http.StatusMethodNotAllowed, message: "The archive has all streams: its 'streamMode' is auto"}
	errCallback       = &problem{status: http.StatusNotFound, message: "There is no such callback"}
	errManyCallbacks  = &problem{status: http.StatusConflict, message: fmt.Sprintf("The project has %d Webhooks already, and may have no more", v1alpha1.MaxWebhooks)}
	errCallbackURL    = badRequest("'url' must start with http:// or https://, and have a host and no user name, fragment or space, of 2048 characters at most")
	errDisconnecting  = &problem{status: http.StatusInternalServerError, message: "The connection is still being ended. Ask again"}
	errChanging       = &problem{status: http.StatusInternalServerError, message: "Others change the connection at the same time. Ask again"}

	errCallbacksUnbound = &problem{status: http.StatusNotImplemented, message: "Callbacks are off: the role mediarooms-callbacks is not bound in the project's namespace"}

	errSignalTooLarge = &problem{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("'type' may have at most %d bytes, 'data' %d", maxServerSignalType, maxServerSignalData)}
	errSignalType     = badRequest("'type' may contain only letters, digits, -, _ and ~")

	errBody       = badRequest("The body must be one JSON object of the form that the endpoint takes")
	errForm       = badRequest("The body must be a form: application/x-www-form-urlencoded")
	errBodyTooBig = &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have at most %d bytes", maxBody), nameInvalidParameter}

	errUnreachable    = &problem{http.StatusServiceUnavailable, "The session's media pod can't be reached at the moment", nameConnectFailed}
	errTooManySignals = &problem{status: http.StatusTooManyRequests, message: "Too many signals in the session. Ask again in a second"}
	errTooManyJoins   = &problem{http.StatusServiceUnavailable, "Too many ask to join the session at the moment", nameConnectFailed}
	errStillClosing   = &problem{http.StatusServiceUnavailable, "The session is still being closed", nameConnectFailed}
	errTenantUnseen   = &problem{http.StatusServiceUnavailable, "The project's connections can't be seen. Is mediarooms-rest bound in its namespace?", nameConnectFailed}
	errKubernetes     = &problem{http.StatusServiceUnavailable, "The cluster's API server can't be reached at the moment", nameConnectFailed}
	errInternal       = &problem{http.StatusInternalServerError, "Something went wrong here. The gateway's log says what", nameConnectFailed}
	errQuota          = &problem{http.StatusConflict, "The project's quota is used up", nameLimit}
)

// refusedTokens are the errors of credential.
var refusedTokens = []error{
	credential.ErrMalformed, credential.ErrForeign, credential.ErrForged, credential.ErrExpired, credential.ErrOtherSession,
	credential.ErrNoConnectToken, credential.ErrNoRESTToken, credential.ErrRole,
}

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
		return errStillClosing, false
	case errors.Is(err, objects.ErrTenantNotSeen):
		return errTenantUnseen, false
	case errors.Is(err, route.ErrUnreachable):
		return errUnreachable, false
	case errors.Is(err, route.ErrTooMuch):
		return errTooManySignals, false
	case apierrors.IsInvalid(err):
		return badRequest("The token's data is not valid: it may have at most 10,000 characters"), false
	case overQuota(err):
		return errQuota, false
	case utilnet.IsConnectionRefused(err), utilnet.IsTimeout(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err):
		return errKubernetes, true
	}
	for _, refusal := range refusedTokens {
		if errors.Is(err, refusal) {
			return &problem{http.StatusUnauthorized, refusal.Error(), nameAuthentication}, false
		}
	}
	return errInternal, true
}

// overQuota says whether an error of the API server is about a quota of the namespace.
func overQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}

// notAdmitted is what the caller is told when a Connection has got no token.
func notAdmitted(refused *objects.RefusedError) *problem {
	switch refused.Reason {
	case objects.RefusalFull:
		return &problem{http.StatusConflict, "The session is full: " + refused.Message, nameLimit}
	case objects.RefusalNoCapacity:
		return &problem{http.StatusServiceUnavailable, "There is no place: " + refused.Message, nameConnectFailed}
	default:
		return &problem{http.StatusServiceUnavailable, "There was no place in time: " + refused.Message, nameConnectFailed}
	}
}
