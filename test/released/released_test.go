// Package released is the authority on what parts of the release before understand: while an
// installation is upgraded, they talk to those of this one.
package released

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
)

var update = flag.Bool("update", false, "write what this version sends: only when it is released")

// golden has each message that a stream carries, all fields set, as a release sends it.
const golden = "testdata/messages.json"

// sent is a message: its name, its bytes, and what they say.
type sent struct {
	Name string          `json:"name"`
	Wire string          `json:"wire"`
	Says json.RawMessage `json:"says"`
}

func TestWhatTheReleaseBeforeSendsIsUnderstood(t *testing.T) {
	if *update {
		write(t)
	}
	content, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var messages []sent
	if err := json.Unmarshal(content, &messages); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, one := range messages {
		kinds[one.Name]++
		if err := one.understood(); err != nil {
			t.Errorf("%s %s: %v", one.Name, one.Says, err)
		}
	}
	for name := range carriers() {
		if kinds[name] == 0 {
			t.Errorf("there is no %s", name)
		}
	}
}

// understood gives no error when the bytes say what they said, also with a field that this version
// does not know.
func (s sent) understood() error {
	found, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(s.Name))
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(s.Wire)
	if err != nil {
		return err
	}
	want := found.New().Interface()
	if err := protojson.Unmarshal(s.Says, want); err != nil {
		return err
	}
	got := found.New().Interface()
	if err := proto.Unmarshal(raw, got); err != nil {
		return err
	}
	if !proto.Equal(got, want) {
		return fmt.Errorf("it says %v now", got)
	}
	newer := found.New()
	unknown := protowire.AppendBytes(protowire.AppendTag(nil, 5000, protowire.BytesType), []byte("of a later version"))
	if err := proto.Unmarshal(append(raw, unknown...), newer.Interface()); err != nil {
		return fmt.Errorf("with an unknown field: %w", err)
	}
	if kept := newer.GetUnknown(); string(kept) != string(unknown) {
		return fmt.Errorf("an unknown field is taken for something: %v", newer.Interface())
	}
	newer.SetUnknown(nil)
	if !proto.Equal(newer.Interface(), want) {
		return fmt.Errorf("with an unknown field it says %v", newer.Interface())
	}
	return nil
}

// carriers are the messages that carry one of many others: those of streams, and events.
func carriers() map[string]protoreflect.MessageType {
	all := map[string]protoreflect.MessageType{}
	for _, file := range []protoreflect.FileDescriptor{
		controlv1.File_internal_control_v1_control_proto, standbyv1.File_internal_standby_v1_standby_proto,
		egressv1.File_internal_egress_v1_egress_proto, tapv1.File_internal_tap_v1_tap_proto,
	} {
		for i := range file.Messages().Len() {
			message := file.Messages().Get(i)
			if oneofs := message.Oneofs(); oneofs.Len() == 0 || oneofs.Get(0).IsSynthetic() {
				continue
			}
			if found, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName()); err == nil {
				all[string(message.FullName())] = found
			}
		}
	}
	return all
}

// write writes the messages of this version.
func write(t *testing.T) {
	t.Helper()
	var all []sent
	for name, kind := range carriers() {
		for _, message := range variants(kind) {
			wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(message.Interface())
			if err != nil {
				t.Fatal(err)
			}
			says, err := protojson.Marshal(message.Interface())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, sent{name, base64.StdEncoding.EncodeToString(wire), says})
		}
	}
	slices.SortFunc(all, func(a, b sent) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Wire, b.Wire)) })
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// variants makes a message with each member of its oneof.
func variants(kind protoreflect.MessageType) []protoreflect.Message {
	f := &filler{}
	var all []protoreflect.Message
	members := kind.Descriptor().Oneofs().Get(0).Fields()
	for i := range members.Len() {
		all = append(all, f.fill(kind.New(), members.Get(i)))
	}
	return all
}

// filler sets fields to values of which no two are alike.
type filler struct{ count int64 }

// fill sets all fields, but of a oneof only the member, or the first.
func (f *filler) fill(m protoreflect.Message, member protoreflect.FieldDescriptor) protoreflect.Message {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if of := field.ContainingOneof(); of != nil && !of.IsSynthetic() {
			chosen := of.Fields().Get(0)
			if member != nil && member.ContainingOneof() == of {
				chosen = member
			}
			if field != chosen {
				continue
			}
		}
		switch {
		case field.IsMap():
			entries := m.Mutable(field).Map()
			entries.Set(f.scalar(field.MapKey()).MapKey(), f.value(field.MapValue(), entries.NewValue))
		case field.IsList():
			list := m.Mutable(field).List()
			list.Append(f.value(field, list.NewElement))
		default:
			m.Set(field, f.value(field, func() protoreflect.Value { return m.NewField(field) }))
		}
	}
	return m
}

func (f *filler) value(field protoreflect.FieldDescriptor, fresh func() protoreflect.Value) protoreflect.Value {
	if field.Message() == nil {
		return f.scalar(field)
	}
	value := fresh()
	f.fill(value.Message(), nil)
	return value
}

func (f *filler) scalar(field protoreflect.FieldDescriptor) protoreflect.Value {
	f.count++
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("text %d", f.count))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(fmt.Appendf(nil, "bytes %d", f.count))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(f.count))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(f.count))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(f.count))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(f.count))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(f.count))
	default:
		return protoreflect.ValueOfInt64(f.count)
	}
}
