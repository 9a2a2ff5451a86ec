package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// completionTime bounds how long a shell waits for names. Without an answer it offers none.
const completionTime = 2 * time.Second

// lister returns the names that an argument may be.
type lister func(ctx context.Context, c *cluster) ([]string, error)

// completeEach completes every argument by names that are not given yet.
func (s *settings) completeEach(list lister) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(command.Context(), completionTime)
		defer cancel()
		c, err := s.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := list(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(names, func(name string) bool {
			return !strings.HasPrefix(name, typed) || slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOnce completes one argument.
func (s *settings) completeOnce(list lister) cobra.CompletionFunc {
	each := s.completeEach(list)
	return func(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each(command, args, typed)
	}
}

// sessionNames lists the rooms of the namespace.
func (*settings) sessionNames(ctx context.Context, c *cluster) ([]string, error) {
	sessions, err := c.sessions(ctx, c.namespace)
	return sessionNames(sessions), err
}

// connectionNames lists the Connections of the namespace whose users may be in a room.
func (*settings) connectionNames(ctx context.Context, c *cluster) ([]string, error) {
	return c.presentNames(ctx, func(*v1alpha1.Connection) []string { return nil })
}

// connectionAndStreamNames lists Connections and what they publish.
func (*settings) connectionAndStreamNames(ctx context.Context, c *cluster) ([]string, error) {
	return c.presentNames(ctx, func(c *v1alpha1.Connection) []string { return streamIDs(c.Status.Publishers) })
}

func (c *cluster) presentNames(ctx context.Context, more func(*v1alpha1.Connection) []string) ([]string, error) {
	connections, err := c.connections(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range connections {
		if present(&connections[i]) {
			names = append(append(names, connections[i].Name), more(&connections[i])...)
		}
	}
	return names, nil
}

// podAndNodeNames lists media pods and the nodes that they are on.
func (s *settings) podAndNodeNames(ctx context.Context, c *cluster) ([]string, error) {
	pods, err := c.mediaPods(ctx, s.systemNamespace)
	if err != nil {
		return nil, err
	}
	var names, nodes []string
	for i := range pods {
		names = append(names, pods[i].Name)
		if node := pods[i].Spec.NodeName; node != "" {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return append(names, slices.Compact(nodes)...), nil
}

func (*settings) namespaceNames(ctx context.Context, c *cluster) ([]string, error) {
	var namespaces corev1.NamespaceList
	if err := c.List(ctx, &namespaces); err != nil {
		return nil, err
	}
	var names []string
	for i := range namespaces.Items {
		names = append(names, namespaces.Items[i].Name)
	}
	return names, nil
}

// completeFlags completes the flags that all commands have.
func (s *settings) completeFlags(root *cobra.Command) {
	for _, flag := range []string{"namespace", "system-namespace"} {
		completion := s.completeEach(s.namespaceNames)
		mustComplete(root, flag, func(command *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return completion(command, nil, typed)
		})
	}
	mustComplete(root, "context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		raw, err := s.flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range raw.Contexts {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// complete completes a flag of a command by words that are always the same.
func complete(command *cobra.Command, flag string, words func(typed string) []string) {
	mustComplete(command, flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return words(typed), cobra.ShellCompDirectiveNoFileComp
	})
}

func mustComplete(command *cobra.Command, flag string, completion cobra.CompletionFunc) {
	if err := command.RegisterFlagCompletionFunc(flag, completion); err != nil {
		panic(fmt.Sprintf("completing --%s: %v", flag, err)) // a flag that does not exist
	}
}

// oneArgument wants exactly one argument, and says what it is.
func oneArgument(name string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s needs one argument, %s; got %d (see %s --help)", command.Name(), name, len(args), command.CommandPath())
		}
		return nil
	}
}

// someArguments wants at least one argument, and says what they are.
func someArguments(name string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s needs at least one argument, %s (see %s --help)", command.Name(), name, command.CommandPath())
		}
		return nil
	}
}
