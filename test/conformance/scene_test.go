//go:build e2e

package conformance

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

var update = flag.Bool("update", false, "write the golden transcripts")

// scene is a room with raw clients, and the transcript of what each of them gets in each step.
type scene struct {
	*room
	t *testing.T
	// members are all who ever joined, present those who are in the room.
	members, present []*member
	// seen is how many messages of each member are in the transcript, or before it.
	seen map[*member]int
	// names of ids in the transcript.
	names      map[string]string
	barriers   int
	transcript bytes.Buffer
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return &scene{room: newRoom(t, nil), t: t, seen: map[*member]int{}, names: map[string]string{}}
}

// threeClients is a scene in which a moderator a, a publisher b and a subscriber c have joined.
func threeClients(t *testing.T) (s *scene, a, b, c *member) {
	t.Helper()
	s = newScene(t)
	a, b, c = s.enter("a", v1alpha1.RoleModerator), s.enter("b", v1alpha1.RolePublisher), s.enter("c", v1alpha1.RoleSubscriber)
	s.forget()
	return s, a, b, c
}

// enter lets a member with a new Connection join.
func (s *scene) enter(name string, role v1alpha1.Role) *member {
	s.t.Helper()
	m := s.join(s.t, name, role)
	s.members, s.present = append(s.members, m), append(s.present, m)
	s.name(m)
	return m
}

func (s *scene) name(m *member) {
	s.names[m.ID()] = "con-" + m.Name
	s.names[m.Joined.RPCSessionID] = "private-" + m.Name
}

// exit takes a member that has left or was evicted off the list.
func (s *scene) exit(m *member) {
	s.present = slices.DeleteFunc(s.present, func(other *member) bool { return other == m })
}

// barrier waits until every present member has got everything that was sent before: a signal to all
// goes behind it.
func (s *scene) barrier() {
	s.t.Helper()
	if len(s.present) == 0 {
		return
	}
	s.barriers++
	data := strconv.Itoa(s.barriers)
	message, err := json.Marshal(map[string]any{"to": []string{}, "type": barrierType, "data": data})
	if err != nil {
		s.t.Fatal(err)
	}
	s.present[len(s.present)-1].call("sendMessage", map[string]any{"message": string(message)})
	for _, m := range s.present {
		m.Gets("sendMessage", map[string]any{"type": barrierType, "data": data})
	}
}

const barrierType = "signal:barrier"

// forget leaves out of the transcript what the members got so far.
func (s *scene) forget() {
	s.t.Helper()
	s.barrier()
	for _, m := range s.present {
		s.seen[m] = len(m.Messages())
	}
}

// step does something and writes down what each member gets because of it.
func (s *scene) step(what string, do func()) {
	s.t.Helper()
	do()
	s.barrier()
	fmt.Fprintf(&s.transcript, "# %s\n", what)
	for _, m := range s.members {
		all := m.Messages()
		for _, message := range all[s.seen[m]:] {
			if line := s.line(message); line != "" {
				fmt.Fprintf(&s.transcript, "%s <- %s\n", m.Name, line)
			}
		}
		s.seen[m] = len(all)
	}
}

var streamIDs = regexp.MustCompile(`str_([A-Z]{3})_[A-Z][0-9A-Za-z]{3}_(con_[A-Z][0-9A-Za-z]{9})`)

// line is a message as the transcript has it: ids as names, and what differs from run to run left
// out. It is "" for pings and barriers.
func (s *scene) line(message roomclient.Message) string {
	var parsed struct {
		Method string         `json:"method"`
		Params map[string]any `json:"params"`
		Result map[string]any `json:"result"`
		Error  map[string]any `json:"error"`
	}
	if err := json.Unmarshal(message.Raw, &parsed); err != nil {
		s.t.Fatal(err)
	}
	title, body := parsed.Method, parsed.Params
	switch {
	case message.Answers == "ping" || message.Answers == "sendMessage" || body["type"] == barrierType:
		return ""
	case message.Answers != "":
		title, body = "answer of "+message.Answers, parsed.Result
	}
	if parsed.Error != nil {
		body = parsed.Error
	}
	text, err := json.Marshal(blur(body))
	if err != nil {
		s.t.Fatal(err)
	}
	line := title + " " + string(text)
	for _, id := range streamIDs.FindAllStringSubmatch(line, -1) {
		if s.names[id[0]] == "" {
			s.names[id[0]] = fmt.Sprintf("stream-%s-%s", id[1], strings.TrimPrefix(s.names[id[2]], "con-"))
		}
		line = strings.ReplaceAll(line, id[0], s.names[id[0]])
	}
	for id, name := range s.names {
		line = strings.ReplaceAll(line, id, name)
	}
	return strings.ReplaceAll(line, `"`+s.room.name+`"`, `"room"`)
}

// blur replaces values that differ from run to run.
func blur(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			switch name {
			case "createdAt", "life":
				v[name] = 0
			case "sdpAnswer", "sdpOffer":
				v[name] = "SDP"
			case "finalUserId", "version", "url":
				v[name] = "-"
			default:
				v[name] = blur(member)
			}
		}
	case []any:
		for i := range v {
			v[i] = blur(v[i])
		}
	}
	return value
}

// golden compares the transcript with the one that is kept.
func (s *scene) golden(name string) {
	s.t.Helper()
	golden(s.t, name, s.transcript.Bytes())
}

// golden compares a transcript with the one that is kept.
func golden(t *testing.T, name string, transcript []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, transcript, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, transcript) {
		t.Errorf("the order at each client is not that of %s.\ngot:\n%s\nwant:\n%s", file, transcript, want)
	}
}
