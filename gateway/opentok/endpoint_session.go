package opentok

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"time"

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
func (a *API) createSession(_ context.Context, c *call) (reply, error) {
	form, err := readForm(c)
	if err != nil {
		return reply{}, err
	}
	if err := checkSession(form); err != nil {
		return reply{}, err
	}
	now := time.Now()
	session := sessionJSON{
		SessionID: opentokid.NewSessionID(c.project.APIKey, now),
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

// checkSession fails for a session that can't be had. Media is always routed, so that
// p2p.preference is a wish that needs nothing; an option that is not known asks for nothing.
func checkSession(form url.Values) error {
	switch mode := form.Get("archiveMode"); mode {
	case "", "manual":
	case "always":
		return missing("'archiveMode' always")
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
