package opentok

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/opentokid"
)

// sessionJSON is a session as session/create shows it.
type sessionJSON struct {
	SessionID      string `json:"session_id" xml:"session_id"`
	ProjectID      string `json:"project_id" xml:"project_id"`
	PartnerID      string `json:"partner_id" xml:"partner_id"`
	CreatedAt      string `json:"create_dt" xml:"create_dt"`
	MediaServerURL string `json:"media_server_url" xml:"media_server_url"`
}

// sessionsXML is the same for libraries that do not ask for JSON.
type sessionsXML struct {
	XMLName xml.Name `xml:"sessions"`
	Session sessionJSON
}

// createSession serves POST /session/create (opentok-rest 4.1). It makes an id and no object.
func (a *API) createSession(ctx context.Context, c *call) (reply, error) {
	form, err := readForm(c)
	if err != nil {
		return reply{}, err
	}
	if err := checkSession(form); err != nil {
		return reply{}, err
	}
	now := time.Now()
	id := opentokid.NewSessionID(c.project.APIKey, now)
	if form.Get("archiveMode") == archiveAlways {
		resolution, err := a.alwaysArchived(ctx, form)
		if err != nil {
			return reply{}, err
		}
		id = opentokid.NewArchivedSessionID(c.project.APIKey, resolution, now)
	}
	session := sessionJSON{
		SessionID: id,
		ProjectID: c.project.APIKey,
		PartnerID: c.project.APIKey,
		CreatedAt: now.UTC().Format("Mon Jan 02 15:04:05 MST 2006"),
	}
	if strings.Contains(strings.ToLower(c.r.Header.Get("Accept")), "json") {
		return reply{status: http.StatusOK, body: []sessionJSON{session}}, nil
	}
	text, err := xml.Marshal(sessionsXML{Session: session})
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: xml.Header + string(text), media: "application/xml; charset=utf-8"}, nil
}

// archiveAlways has a session archived whenever somebody publishes in it.
const archiveAlways = "always"

// alwaysArchived returns the resolution of the archives of a session that is always archived. It
// fails where nobody would record it.
func (a *API) alwaysArchived(ctx context.Context, form url.Values) (resolution string, err error) {
	resolution = cmp.Or(form.Get("archiveResolution"), opentokid.Resolutions[0])
	switch {
	case !slices.Contains(opentokid.Resolutions, resolution):
		return "", badRequest("'archiveResolution' must be one of %s", strings.Join(opentokid.Resolutions, ", "))
	case form.Get("archiveName") != "":
		return "", missing("'archiveName' beside 'archiveMode' always")
	}
	pool, err := a.objects.DefaultPool(ctx)
	if err == nil && pool.Spec.Egress == nil {
		err = errNoRecorder
	}
	return resolution, err
}

// archiving has a new Session recorded as its id says: composed where its pool does that.
func (a *API) archiving(ctx context.Context, spec *v1alpha1.SessionSpec) error {
	resolution, always := opentokid.ArchivedOf(spec.SessionID)
	if !always {
		return nil
	}
	pool, err := a.objects.DefaultPool(ctx)
	if err != nil {
		return err
	}
	spec.RecordingMode = v1alpha1.RecordingModeAlways
	spec.DefaultRecordingProperties = &v1alpha1.RecordingProperties{OutputMode: v1alpha1.RecordingOutputModeIndividual}
	if pool.Spec.Egress != nil && pool.Spec.Egress.Compositor != nil {
		spec.DefaultRecordingProperties.OutputMode = v1alpha1.RecordingOutputModeComposed
		spec.DefaultRecordingProperties.Resolution = resolution
	}
	return nil
}

// checkSession fails for a session that can't be had. Media is always routed, so that
// p2p.preference is a wish that needs nothing; an option that is not known asks for nothing.
func checkSession(form url.Values) error {
	switch mode := form.Get("archiveMode"); mode {
	case "", manual, archiveAlways:
	default:
		return badRequest("'archiveMode' must be manual or always")
	}
	switch preference := form.Get("p2p.preference"); preference {
	case "", "enabled", "disabled":
	default:
		return badRequest("'p2p.preference' must be enabled or disabled")
	}
	if form.Get("e2ee") == "true" {
		return missing("'e2ee'")
	}
	return nil
}
