package opentok

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// This file holds what clients call about each other.

// signalPrefix is what types of signals begin with in rooms, as OpenVidu has it (openvidu-rpc 3.6).
// Clients of this protocol leave it out on the wire.
const signalPrefix = "signal:"

// untyped is the type by which clients of OpenVidu send a signal without one.
const untyped = "signal"

var signalType = regexp.MustCompile(`^[A-Za-z0-9_~-]*$`)

// signal sends a message to one client, or to all (opentok-rpc 2.13).
func signal(_ context.Context, c *call) error {
	to := c.params.optionalText("to", maxName)
	kind := c.params.optionalText("type", maxSignalType)
	data := c.params.optionalText("data", maxSignalData)
	if !signalType.MatchString(kind) {
		c.params.wrong("type", "of letters, digits, -, _ and ~")
	}
	if err := c.params.failure(); err != nil {
		return err
	}
	var message room.Signal
	if kind != "" {
		typed := signalPrefix + kind
		message.Type, message.Topic = &typed, &kind
	}
	if c.params.has("data") {
		message.Data = &data
	}
	var recipients []string
	if to != "" {
		recipients = []string{to}
	}
	return c.participant.Signal(recipients, message)
}

// withoutPrefix returns the type of a signal as clients get it, nil for none.
func withoutPrefix(kind *string) *string {
	if kind == nil {
		return nil
	}
	plain := strings.TrimPrefix(*kind, signalPrefix)
	if plain == untyped || plain == "" {
		return nil
	}
	return &plain
}

func forceDisconnect(_ context.Context, c *call) error {
	connection := c.params.text("connectionId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.ForceDisconnect(connection, c.done)
}

func forceUnpublish(_ context.Context, c *call) error {
	stream := c.params.text("streamId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.ForceUnpublish(stream, c.done)
}

// forceMute asks for a stream to be muted (opentok-rpc 2.16).
func forceMute(_ context.Context, c *call) error {
	stream := c.params.text("streamId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.ForceMute(stream, c.done)
}

// forceMuteAll asks for all streams to be muted, also those to come (opentok-rpc 2.17).
func forceMuteAll(_ context.Context, c *call) error {
	excluded := c.params.texts("excludedStreamIds", maxExcluded)
	if err := c.params.failure(); err != nil {
		return err
	}
	return c.participant.ForceMuteAll(excluded, c.done)
}

func disableForceMute(_ context.Context, c *call) error {
	return c.participant.DisableForceMute(c.done)
}

// is reports whether an error is, or wraps, one of the type.
func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
