package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// right is what somebody has to be allowed.
type right struct {
	verb, group, resource string
	subresource           string
	system                bool // in the namespace of the operator, not in the tenant's
	cluster               bool // in no namespace
	// commands that need it.
	commands string
	// role that gives it.
	role string
}

// name is that of the resource as roles have it.
func (r right) name() string {
	if r.subresource == "" {
		return r.resource
	}
	return r.resource + "/" + r.subresource
}

const ours = "mediarooms.dev"

// Roles that give rights.
const (
	roleView     = "the role view in the namespace"
	roleWho      = "the role edit in the namespace, or mediarooms-connection-viewer"
	roleEdit     = "the role edit in the namespace"
	rolePools    = "the role mediarooms-pool-admin"
	rolePlatform = "rights of the platform team"
)

// basic rights are those of whoever uses rooms; platform ones those of whoever runs them.
var (
	basic = []right{
		{verb: "list", group: ours, resource: "sessions", commands: "rooms, top", role: roleView},
		{verb: "list", resource: "events", commands: "events", role: roleView},
		{verb: "watch", resource: "events", commands: "events -f", role: roleView},
		{verb: "list", group: ours, resource: "connections", commands: "who", role: roleWho},
		{verb: "create", group: ours, resource: "connections", commands: "join-url", role: roleEdit},
		{verb: "delete", group: ours, resource: "connections", commands: "kick", role: roleEdit},
		{verb: "patch", group: ours, resource: "connections", commands: "mute", role: roleEdit},
	}
	platform = []right{
		{verb: "list", group: ours, resource: "mediapools", cluster: true, commands: "top, doctor", role: rolePools},
		{verb: "list", resource: "pods", system: true, commands: "top, drain, doctor", role: rolePlatform},
		{verb: "list", group: "apps", resource: "deployments", system: true, commands: "doctor", role: rolePlatform},
		{verb: "list", resource: "nodes", cluster: true, commands: "doctor", role: rolePlatform},
		{verb: "list", group: "apiextensions.k8s.io", resource: "customresourcedefinitions", cluster: true, commands: "doctor", role: rolePlatform},
		{verb: "get", resource: "pods", subresource: "proxy", system: true, commands: "doctor", role: rolePlatform},
		{verb: "patch", resource: "pods", system: true, commands: "drain", role: rolePlatform},
		{verb: "patch", resource: "nodes", cluster: true, commands: "drain NODE", role: rolePlatform},
	}
)

// rights asks the API server what the caller may do.
func (e *examination) rights(ctx context.Context) {
	const check = "your rights"
	lacking := e.lack(ctx, check, basic)
	for _, role := range []string{roleView, roleWho, roleEdit} {
		if these := ofRole(lacking, role); len(these) > 0 {
			e.problem(check, fmt.Sprintf("you may not %s in namespace %s (for %s)", actions(these), e.Namespace, commands(these)), "ask for "+role)
		}
	}
	further := e.lack(ctx, check, platform)
	for _, role := range []string{rolePools, rolePlatform} {
		if these := ofRole(further, role); len(these) > 0 {
			e.warn(check, fmt.Sprintf("you may not %s (for %s); what depends on it is not checked below", actions(these), commands(these)),
				"have somebody with "+role+" run this")
		}
	}
	if len(lacking)+len(further) == 0 {
		e.ok(check, "you may do all that these commands do")
	}
}

// lack returns those rights that the caller lacks.
func (e *examination) lack(ctx context.Context, check string, rights []right) []right {
	var lacking []right
	for _, wanted := range rights {
		allowed, err := e.may(ctx, wanted)
		if err != nil {
			e.skip(check, fmt.Sprintf("asking what you may do: %v", err))
			return lacking
		}
		if !allowed {
			lacking = append(lacking, wanted)
			e.denied[wanted.verb+" "+wanted.name()] = true
		}
	}
	return lacking
}

func (e *examination) may(ctx context.Context, wanted right) (bool, error) {
	namespace := e.Namespace
	switch {
	case wanted.system:
		namespace = e.SystemNamespace
	case wanted.cluster:
		namespace = ""
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: wanted.verb, Group: wanted.group, Resource: wanted.resource, Subresource: wanted.subresource},
	}}
	if err := e.Objects.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

func ofRole(rights []right, role string) []right {
	return slices.DeleteFunc(slices.Clone(rights), func(r right) bool { return r.role != role })
}

// actions writes "list sessions, list and watch events".
func actions(rights []right) string {
	var resources []string
	verbs := map[string][]string{}
	for _, r := range rights {
		if verbs[r.name()] == nil {
			resources = append(resources, r.name())
		}
		verbs[r.name()] = append(verbs[r.name()], r.verb)
	}
	var out []string
	for _, resource := range resources {
		out = append(out, series(verbs[resource])+" "+resource)
	}
	return strings.Join(out, ", ")
}

// series writes "create, delete and patch".
func series(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func commands(rights []right) string {
	var all []string
	for _, r := range rights {
		for command := range strings.SplitSeq(r.commands, ", ") {
			if !slices.Contains(all, command) {
				all = append(all, command)
			}
		}
	}
	return strings.Join(all, ", ")
}

// unlisted says whether the caller may not list a resource.
func (e *examination) unlisted(resource string) bool { return e.denied["list "+resource] }
