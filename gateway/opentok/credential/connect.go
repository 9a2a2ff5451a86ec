package credential

import (
	"cmp"
	"strings"
	"time"
)

// Role is what a connect token lets its bearer do.
type Role string

// The roles of OpenTok.
const (
	// RoleSubscriber receives streams.
	RoleSubscriber Role = "subscriber"
	// RolePublisher also sends streams. It is the role of a token that names none.
	RolePublisher Role = "publisher"
	// RolePublisherOnly sends streams, and is not to receive any.
	RolePublisherOnly Role = "publisheronly"
	// RoleModerator also moderates others.
	RoleModerator Role = "moderator"
)

// Connect is what a connect token says.
type Connect struct {
	// SessionID is the session that it is for.
	SessionID string
	// Role is what its bearer may do.
	Role Role
	// Data is told to everybody in the session; "" for none.
	Data string
	// LayoutClasses are those that the bearer's streams begin with.
	LayoutClasses []string
}

// VerifyConnect returns what a connect token says that is valid now, for a session. It fails with
// one of this package's errors but ErrNoRESTToken. A token may be used any number of times.
func (p *Project) VerifyConnect(token, sessionID string, now time.Time) (Connect, error) {
	said, err := p.connect(token, now)
	switch {
	case err != nil:
		return Connect{}, err
	case said.SessionID != sessionID:
		return Connect{}, ErrOtherSession
	}
	switch said.Role {
	case RoleSubscriber, RolePublisher, RolePublisherOnly, RoleModerator:
		return said, nil
	}
	return Connect{}, ErrRole
}

// connect returns what a connect token of any form says, whichever session it is for.
func (p *Project) connect(token string, now time.Time) (Connect, error) {
	if !isT1(token) {
		return p.connectJWT(token, now)
	}
	values, err := p.verifyT1(token, now)
	switch {
	case err != nil:
		return Connect{}, err
	case values.Get("session_id") == "" || cmp.Or(values.Get("scope"), connectScope) != connectScope:
		return Connect{}, ErrNoConnectToken
	}
	return Connect{
		SessionID:     values.Get("session_id"),
		Role:          cmp.Or(Role(values.Get("role")), RolePublisher),
		Data:          values.Get("connection_data"),
		LayoutClasses: strings.Fields(values.Get("initial_layout_class_list")),
	}, nil
}

func (p *Project) connectJWT(token string, now time.Time) (Connect, error) {
	claims, err := p.verify(token, now)
	if err != nil {
		return Connect{}, err
	}
	session, _ := text(claims.SessionID)
	if scope, _ := text(claims.Scope); session == "" || scope != connectScope {
		return Connect{}, ErrNoConnectToken
	}
	if claims.ExpiresAt == nil && (claims.IssuedAt == nil || now.After(claims.IssuedAt.Add(usualLife+skew))) {
		return Connect{}, ErrExpired
	}
	role, given := text(claims.Role)
	if !given && claims.Role != nil {
		return Connect{}, ErrRole
	}
	return Connect{
		SessionID:     session,
		Role:          cmp.Or(Role(role), RolePublisher),
		Data:          claims.Data,
		LayoutClasses: strings.Fields(claims.LayoutClasses),
	}, nil
}
