package plugin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// muting is what mute is asked for.
type muting struct{ audio, video, undo bool }

func (s *settings) muteCommand() *cobra.Command {
	var m muting
	command := &cobra.Command{
		Use:   "mute CONNECTION|STREAM...",
		Short: "Take somebody's microphone, camera or a single stream away",
		Long: `Take somebody's microphone, camera or a single stream away, or give it back.

With a Connection (its name or con_...): streams with audio or video that is not
allowed end for everybody, and publishing it is refused until --undo. With a
stream (str_..., see who -o wide): it ends, and its sender may publish again.`,
		Example: `  kubectl mediarooms mute ann                 # neither audio nor video
  kubectl mediarooms mute ann --video         # no camera, no screen; audio stays
  kubectl mediarooms mute ann --undo
  kubectl mediarooms mute str_CAM_A1b2_con_C3d4E5f6G7`,
		Args:              someArguments("CONNECTION or STREAM"),
		ValidArgsFunction: s.completeEach(s.connectionAndStreamNames),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				said, err := c.mute(command.Context(), name, m)
				if err != nil {
					return err
				}
				fmt.Fprintln(s.Out, said)
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&m.audio, "audio", false, "only audio")
	flags.BoolVar(&m.video, "video", false, "only video: camera, screen and anything else")
	flags.BoolVar(&m.undo, "undo", false, "allow it again")
	return command
}

const streamIDPrefix = "str_"

// mute does what is asked for, and says what was done.
func (c *cluster) mute(ctx context.Context, name string, m muting) (string, error) {
	if strings.HasPrefix(name, streamIDPrefix) {
		if m != (muting{}) {
			return "", errors.New("--audio, --video and --undo are for Connections: a stream ends as a whole, and its sender may publish again")
		}
		return c.endStream(ctx, name)
	}
	connection, err := c.connection(ctx, name)
	if err != nil {
		return "", err
	}
	var allowed []v1alpha1.MediaKind
	err = c.moderate(ctx, connection, func(moderation *v1alpha1.Moderation) {
		moderation.Publish = m.apply(moderation.Publish)
		allowed = moderation.Publish
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s may publish %s", connection.Name, describe(allowed)), nil
}

// apply returns what may be published after, by what may be before. nil is everything.
func (m muting) apply(before []v1alpha1.MediaKind) []v1alpha1.MediaKind {
	both := m.audio == m.video
	after := []v1alpha1.MediaKind{}
	for kind, chosen := range map[v1alpha1.MediaKind]bool{v1alpha1.MediaKindAudio: m.audio || both, v1alpha1.MediaKindVideo: m.video || both} {
		allowed := before == nil || slices.Contains(before, kind)
		if chosen {
			allowed = m.undo
		}
		if allowed {
			after = append(after, kind)
		}
	}
	slices.Sort(after)
	if len(after) == 2 {
		return nil
	}
	return after
}

// describe says what may be published.
func describe(kinds []v1alpha1.MediaKind) string {
	switch {
	case kinds == nil:
		return "what the role allows"
	case len(kinds) == 0:
		return "nothing"
	}
	return strings.ToLower(string(kinds[0])) + " only"
}

// streamOwner finds the id of the Connection in the id of a stream.
var streamOwner = regexp.MustCompile(`^str_[A-Z]{3}_[A-Z][0-9A-Za-z]{3}_(con_[0-9A-Za-z]+)$`)

func (c *cluster) endStream(ctx context.Context, id string) (string, error) {
	owner := streamOwner.FindStringSubmatch(id)
	if owner == nil {
		return "", fmt.Errorf("%q is no id of a stream: it must be like str_CAM_A1b2_con_C3d4E5f6G7", id)
	}
	connection, err := c.connectionByID(ctx, owner[1])
	if err != nil {
		return "", err
	}
	if there := streamIDs(connection.Status.Publishers); !slices.Contains(there, id) {
		return "", absent("stream", id, "of Connection "+connection.Name, there)
	}
	err = c.moderate(ctx, connection, func(moderation *v1alpha1.Moderation) { moderation.EndStream(id) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("stream %s of %s ends; %s may publish again", id, connection.Name, connection.Name), nil
}

// moderate changes what a participant may do. Somebody else's change is kept.
func (c *cluster) moderate(ctx context.Context, connection *v1alpha1.Connection, change func(*v1alpha1.Moderation)) error {
	uid := connection.UID
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(connection), connection); err != nil {
			return err
		}
		switch {
		case connection.UID != uid:
			return errors.New("it was replaced by another one of that name")
		case !present(connection):
			return errors.New("its user has left")
		}
		before := connection.DeepCopy()
		change(&connection.Spec.Moderation)
		return c.Patch(ctx, connection, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if err != nil {
		return fmt.Errorf("changing what Connection %s may publish: %w", connection.Name, explained(err))
	}
	return nil
}
