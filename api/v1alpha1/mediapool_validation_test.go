package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

const minimalMediaPool = `
apiVersion: mediarooms.dev/v1alpha1
kind: MediaPool
metadata: {name: default}
spec: {publicURL: "http://localhost:4443"}
`

const (
	poolNameMessage = "`metadata.name` must be at most 40 lower-case letters, digits and `-`, with a letter or digit at both ends: pods are named after it"
	urlScheme       = "`publicURL` must start with http://, https://, ws:// or wss://"
	urlHost         = "`publicURL` must have a host name or an IPv4 address (clients take no IPv6 address), a port, if any, from 1 to 65535, and no path"
	urlIPv4         = "`publicURL` must have a valid IPv4 address"
	addressIP       = "spec.exposure.publicAddress: Invalid value: \"%\": `publicAddress` must be an IPv4 or IPv6 address"
	addressReach    = "spec.exposure.publicAddress: Invalid value: \"%\": `publicAddress` must be an address that clients can reach: it may not be unspecified, multicast or link-local"
)

// publicURLs tries URLs of the gateway.
func publicURLs() map[string]creation {
	table := make(map[string]creation)
	for _, url := range []string{
		"http://localhost:4443", "https://rooms.example.org", "https://rooms.example.org/", "ws://a", "wss://rooms.example.org:65535",
		"http://192.0.2.1:1",
	} {
		table["publicURL is "+url] = creation{change: change{"spec.publicURL": url}}
	}
	for url, want := range map[string]string{
		"ftp://example.org": urlScheme, "rooms.example.org": urlScheme, "HTTP://example.org": urlScheme, "localhost:4443": urlScheme,
		"http://host/path": urlHost, "http://host?x=1": urlHost, "http://host#x": urlHost, "http://host:0": urlHost, "http://host:65536": urlHost,
		"http://host:": urlHost, "http://user@host": urlHost, "http://ho st": urlHost, "http://-host": urlHost, "http:///": urlHost,
		"http://host//": urlHost, "http://2001:db8::1": urlHost, "http://[2001:db8::1": urlHost, "http://hörer": urlHost,
		"http://999.0.0.1": urlIPv4, "http://192.0.2:80/": urlIPv4, "http://[2001:db8::1]": urlHost, "https://[2001:db8::1]:4443/": urlHost,
	} {
		table["publicURL is "+url] = creation{
			change: change{"spec.publicURL": url},
			want:   fmt.Sprintf("spec.publicURL: Invalid value: %q: %s", url, want),
		}
	}
	return table
}

// bucketOf returns the change of one field of a storage in S3; nil takes it out.
func bucketOf(field string) set {
	return func(value any) change {
		storage := map[string]any{"endpoint": "https://s3.example.org", "bucket": "recordings", "secretName": "recordings-s3", field: value}
		if value == nil {
			delete(storage, field)
		}
		return change{"spec.egress.storage": map[string]any{"claimName": "buffer", "s3": storage}}
	}
}

// buckets tries what a storage in S3 may be.
func buckets() map[string]creation {
	const (
		endpoint = "`endpoint` must be http:// or https:// with a host and a port, if any, from 1 to 65535, and no path"
		bucket   = "`bucket` must be the name of a bucket: 3 to 63 lower-case letters, digits, `-` and single `.`, with a letter or digit at both ends"
		region   = "`region` must be the name of a region: letters, digits and `-`, with a letter or digit at both ends"
		prefix   = "`prefix` must be names of letters, digits, `.`, `_` and `-` with `/` between them; no name begins with `.`, and there is no `/` at the ends"
		secret   = "`secretName` must be the name of a Secret: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
	)
	table := make(map[string]creation)
	for field, values := range map[string]map[string]string{
		"endpoint": {
			"https://s3.example.org": "", "http://minio.storage.svc:9000": "", "https://[2001:db8::1]:9000": "", "http://192.0.2.1": "",
			"s3.example.org": endpoint, "ftp://s3.example.org": endpoint, "https://s3.example.org/": endpoint, "https://s3.example.org/path": endpoint,
			"https://user:pass@s3.example.org": endpoint, "https://s3.example.org:0": endpoint, "https://s3.example.org:65536": endpoint, "https://s3?x": endpoint,
		},
		"bucket": {
			"recordings": "", "a-1": "", "a.b": "", "ab": bucket, "Recordings": bucket, "a_b": bucket, "-ab": bucket, "ab-": bucket, "a..b": bucket, "a/b": bucket,
		},
		"region": {"eu-central-1": "", "garage": "", "eu central": region, "-eu": region, "eu/1": region},
		"prefix": {
			"team": "", "team/rooms_1/a.b": "", "/team": prefix, "team/": prefix, "a//b": prefix, "../a": prefix, "a/../b": prefix, "a b": prefix, ".": prefix,
		},
		"secretName": {"recordings-s3": "", "a_b": secret, "A": secret},
	} {
		for value, want := range values {
			if want != "" {
				want = fmt.Sprintf("spec.egress.storage.s3.%s: Invalid value: %q: %s", field, value, want)
			}
			table[fmt.Sprintf("%s of S3 is %s", field, value)] = creation{change: bucketOf(field)(value), want: want}
		}
	}
	for _, field := range []string{"endpoint", "bucket", "secretName"} {
		table["S3 has no "+field] = creation{change: bucketOf(field)(nil), want: "spec.egress.storage.s3." + field + ": Required value"}
	}
	return table
}

// exposure returns the change of some fields of spec.exposure.
func exposure(fields ...any) change {
	c := make(change)
	for i := 0; i < len(fields); i += 2 {
		c["spec.exposure."+fields[i].(string)] = fields[i+1]
	}
	return c
}

// serviceAnnotations are the bounds of annotations, in a pool whose pods have Services.
func serviceAnnotations() map[string]creation {
	table := mapping("spec.exposure.service.annotations", 64)
	for _, c := range table {
		c.change["spec.exposure.type"] = "NodePort"
	}
	return table
}

func ports(first, last int64) map[string]any { return map[string]any{"first": first, "last": last} }

var mediaPoolValidation = kind{
	base: minimalMediaPool,
	creations: merged(
		publicURLs(),
		iceServerCreations("spec.iceServers"),
		map[string]creation{
			"a MediaPool has a publicURL":            {},
			"there is no spec":                       {change: change{"spec": removed}, want: "spec: Required value"},
			"there is no publicURL":                  {change: change{"spec": map[string]any{}}, want: "spec.publicURL: Required value"},
			"there is an unknown field":              {change: change{"spec.replicas": int64(3)}, want: "unknown field \"spec.replicas\""},
			"the name has 40 characters":             {change: change{"metadata.name": strings.Repeat("a", 40)}},
			"the name has 41 characters":             {change: change{"metadata.name": strings.Repeat("a", 41)}, want: poolNameMessage},
			"className is in upper case":             {change: change{"spec.className": "Team"}, want: "spec.className: Invalid value: \"Team\": `className` must be lower-case letters, digits and `-`, with a letter or digit at both ends"},
			"the name has a dot":                     {change: change{"metadata.name": "a.b"}, want: poolNameMessage},
			"minPods is maxPods":                     {change: change{"spec.minPods": int64(3), "spec.maxPods": int64(3)}},
			"minPods is over maxPods":                {change: change{"spec.minPods": int64(3), "spec.maxPods": int64(2)}, want: "spec.minPods: Invalid value: `minPods` may not be greater than `maxPods`, which is 10 when absent"},
			"minPods is over the default of maxPods": {change: change{"spec.minPods": int64(11)}, want: "`minPods` may not be greater than `maxPods`, which is 10 when absent"},
			"a port range is for HostNetwork":        {change: exposure("type", "HostNetwork", "portRange", ports(1024, 65535))},
			"a port range is one port":               {change: exposure("portRange", ports(20000, 20000))},
			"a port range is upside down":            {change: exposure("portRange", ports(20001, 20000)), want: "spec.exposure.portRange.first: Invalid value: `first` may not be greater than `last`"},
			"a port range has no end":                {change: exposure("portRange", map[string]any{"first": int64(20000)}), want: "spec.exposure.portRange.last: Required value"},
			"a port range has no beginning":          {change: exposure("portRange", map[string]any{"last": int64(20000)}), want: "spec.exposure.portRange.first: Required value"},
			"a port range is a text":                 {change: exposure("portRange", "20000-20100"), want: "spec.exposure.portRange in body must be of type object: \"string\""},
			"a port range is for LoadBalancer":       {change: exposure("type", "LoadBalancer", "portRange", ports(20000, 20100)), want: "spec.exposure.portRange: Invalid value: `portRange` may be set only when `type` is HostPort or HostNetwork"},
			"Services are for LoadBalancer": {change: exposure("type", "LoadBalancer", "service", map[string]any{
				"annotations": map[string]any{"example.org/kind": "nlb"}, "loadBalancerClass": "example.org/nlb", "externalTrafficPolicy": "Cluster", "perProtocol": true,
			})},
			"Services are for NodePort":                    {change: exposure("type", "NodePort", "service", map[string]any{"perProtocol": true})},
			"Services are for HostPort":                    {change: exposure("service", map[string]any{"perProtocol": true}), want: "spec.exposure.service: Invalid value: `service` may be set only when `type` is NodePort or LoadBalancer"},
			"Services have an unknown policy":              {change: exposure("type", "NodePort", "service", map[string]any{"externalTrafficPolicy": "Near"}), want: "spec.exposure.service.externalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Local\", \"Cluster\""},
			"Services of NodePort have no class":           {change: exposure("type", "NodePort", "service", map[string]any{"loadBalancerClass": "example.org/nlb"}), want: "spec.exposure.service: Invalid value: `loadBalancerClass` may be set only when `type` is LoadBalancer"},
			"the class of Services is no name":             {change: exposure("type", "LoadBalancer", "service", map[string]any{"loadBalancerClass": "a b"}), want: "`loadBalancerClass` must be a label-style name, such as service.k8s.aws/nlb"},
			"Services have the operator's notes":           {change: exposure("type", "NodePort", "service", map[string]any{"annotations": map[string]any{"mediarooms.dev/x": "y"}}), want: "`annotations` may not contain names that start with mediarooms.dev/: those are the operator's"},
			"annotations of Services are no name":          {change: exposure("type", "NodePort", "service", map[string]any{"annotations": map[string]any{"a b": "y"}}), want: "`annotations` may contain only valid annotation names"},
			"a port range is for NodePort":                 {change: exposure("type", "NodePort", "portRange", ports(20000, 20100)), want: "`portRange` may be set only when `type` is HostPort or HostNetwork"},
			"publicAddress is IPv4":                        {change: exposure("publicAddress", "203.0.113.7")},
			"publicAddress is private":                     {change: exposure("publicAddress", "10.0.0.7")},
			"publicAddress is loopback":                    {change: exposure("publicAddress", "127.0.0.1")},
			"publicAddress is IPv6":                        {change: exposure("publicAddress", "2001:db8::7")},
			"publicAddress is a name":                      {change: exposure("publicAddress", "rooms.example.org"), want: message(addressIP, "rooms.example.org")},
			"publicAddress has a port":                     {change: exposure("publicAddress", "203.0.113.7:80"), want: message(addressIP, "203.0.113.7:80")},
			"publicAddress is in brackets":                 {change: exposure("publicAddress", "[2001:db8::7]"), want: message(addressIP, "[2001:db8::7]")},
			"publicAddress is no number":                   {change: exposure("publicAddress", "203.0.113.256"), want: message(addressIP, "203.0.113.256")},
			"publicAddress is unspecified":                 {change: exposure("publicAddress", "0.0.0.0"), want: message(addressReach, "0.0.0.0")},
			"publicAddress is unspecified IPv6":            {change: exposure("publicAddress", "::"), want: message(addressReach, "::")},
			"publicAddress is multicast":                   {change: exposure("publicAddress", "224.0.0.1"), want: message(addressReach, "224.0.0.1")},
			"publicAddress is link-local":                  {change: exposure("publicAddress", "fe80::1"), want: message(addressReach, "fe80::1")},
			"the image has a digest":                       {change: change{"spec.template.image": "registry.example.org:5000/team/mediarooms@sha256:0123456789abcdef"}},
			"the image has a space":                        {change: change{"spec.template.image": "mediarooms dev"}, want: "spec.template.image: Invalid value: \"mediarooms dev\": `image` must be the name of an image, such as registry.example.org/mediarooms:v1"},
			"a label is the operator's":                    {change: change{"spec.template.metadata.labels": map[string]any{"mediarooms.dev/pool": "x"}}, want: "`labels` may not contain names that start with mediarooms.dev/ or app.kubernetes.io/: those are the operator's"},
			"a label is app.kubernetes.io/name":            {change: change{"spec.template.metadata.labels": map[string]any{"app.kubernetes.io/name": "x"}}, want: "`labels` may not contain names that start with mediarooms.dev/ or app.kubernetes.io/: those are the operator's"},
			"a label's name has a space":                   {change: change{"spec.template.metadata.labels": map[string]any{"my team": "x"}}, want: "spec.template.metadata.labels: Invalid value: `labels` may contain only valid label names"},
			"a label's value is long":                      {change: change{"spec.template.metadata.labels": map[string]any{"team": strings.Repeat("x", 64)}}, want: "`labels` may contain only values of at most 63 characters"},
			"a label's value is empty":                     {change: change{"spec.template.metadata.labels": map[string]any{"team": ""}}},
			"an annotation is the operator's":              {change: change{"spec.template.metadata.annotations": map[string]any{"mediarooms.dev/x": "y"}}, want: "`annotations` may not contain names that start with mediarooms.dev/: those are the operator's"},
			"an annotation's name has a space":             {change: change{"spec.template.metadata.annotations": map[string]any{"my team": "x"}}, want: "`annotations` may contain only valid annotation names"},
			"an annotation has any value":                  {change: change{"spec.template.metadata.annotations": map[string]any{"Team.Example.org/Note": "any \n text 🙂"}}},
			"a node selector's name is wrong":              {change: change{"spec.template.nodeSelector": map[string]any{"a/b/c": "x"}}, want: "spec.template.nodeSelector: Invalid value: `nodeSelector` may contain only valid label names"},
			"a node selector's value is long":              {change: change{"spec.template.nodeSelector": map[string]any{"a": strings.Repeat("x", 64)}}, want: "`nodeSelector` may contain only values of at most 63 characters"},
			"priorityClassName is one":                     {change: change{"spec.template.priorityClassName": "system-cluster-critical"}},
			"priorityClassName has an underscore":          {change: change{"spec.template.priorityClassName": "a_b"}, want: "spec.template.priorityClassName: Invalid value: \"a_b\": `priorityClassName` must be the name of a PriorityClass: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"},
			"a pull secret is named twice":                 {change: change{"spec.template.imagePullSecrets": []any{map[string]any{"name": "a"}, map[string]any{"name": "a"}}}, want: "spec.template.imagePullSecrets[1]: Duplicate value: {\"name\":\"a\"}"},
			"a spread constraint is there twice":           {change: change{"spec.template.topologySpreadConstraints": []any{spread("zone"), spread("zone")}}, want: "spec.template.topologySpreadConstraints[1]: Duplicate value"},
			"memory is no quantity":                        {change: change{"spec.template.resources": map[string]any{"limits": map[string]any{"memory": "1 GB"}}}, want: "spec.template.resources.limits.memory"},
			"a field of the pod is not ours to set":        {change: change{"spec.template.hostNetwork": true}, want: "unknown field \"spec.template.hostNetwork\""},
			"a selector by label":                          {change: change{"spec.allowedNamespaces": map[string]any{"matchLabels": map[string]any{"plan": "paid"}}}},
			"an empty selector":                            {change: change{"spec.allowedNamespaces": map[string]any{}}},
			"a selector by names":                          {change: selector("kubernetes.io/metadata.name", "In", "team-a", "team-b")},
			"a selector of what is not labelled":           {change: selector("plan", "DoesNotExist")},
			"a selector with an operator that there isn't": {change: selector("plan", "Equals", "paid"), want: "spec.allowedNamespaces: Invalid value: `allowedNamespaces` may contain only the operators In, NotIn, Exists and DoesNotExist"},
			"a selector without the values":                {change: selector("plan", "NotIn"), want: "`allowedNamespaces` must have `values` with the operators In and NotIn, and none with the others"},
			"a selector with values of no use":             {change: selector("plan", "Exists", "paid"), want: "`allowedNamespaces` must have `values` with the operators In and NotIn, and none with the others"},
			"everything of the template is set":            {change: change{"spec.template": fullTemplate}},
			"an empty egress records":                      {change: change{"spec.egress": map[string]any{}}},
			"files are on a claim":                         {change: change{"spec.egress.storage": map[string]any{"claimName": "recordings"}}},
			"files are in an emptyDir":                     {change: change{"spec.egress.storage": map[string]any{"sizeLimit": "20Gi"}}},
			"files are in both":                            {change: change{"spec.egress.storage": map[string]any{"claimName": "recordings", "sizeLimit": "20Gi"}}, want: "spec.egress.storage: Invalid value: `claimName` and `sizeLimit` may not be set together"},
			"the claim has an underscore":                  {change: change{"spec.egress.storage": map[string]any{"claimName": "a_b"}}, want: "spec.egress.storage.claimName: Invalid value: \"a_b\": `claimName` must be the name of a PersistentVolumeClaim: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"},
			"a user may not set the status of a pool":      {change: change{"status": map[string]any{"pods": int64(3)}}},
		},
		integer("spec.minPods", func(v any) change { return change{"spec.minPods": v, "spec.maxPods": int64(1000)} }, 0, 1000),
		integer("spec.maxPods", nil, 1, 1000),
		integer("spec.warmSessions", nil, 0, 10000),
		integer("spec.capacity.sessions", nil, 1, 10000),
		integer("spec.capacity.connections", nil, 1, 100000),
		enum("spec.placement", nil, "Packed", "Spread"),
		enum("spec.standby", nil, "None", "Warm"),
		text("spec.publicURL", nil, 512, ": Invalid value: \"\": `publicURL` must ", func(n int) string { return "http://" + strings.Repeat("a", n-7) }),
		enum("spec.exposure.type", nil, "HostPort", "HostNetwork", "NodePort", "LoadBalancer", "Internal"),
		enum("spec.exposure.service.externalTrafficPolicy", func(v any) change {
			return exposure("type", "NodePort", "service", map[string]any{"externalTrafficPolicy": v})
		}, "Local", "Cluster"),
		boolean("spec.exposure.service.perProtocol", func(v any) change {
			return exposure("type", "NodePort", "service", map[string]any{"perProtocol": v})
		}),
		text("spec.exposure.service.loadBalancerClass", func(v any) change {
			return exposure("type", "LoadBalancer", "service", map[string]any{"loadBalancerClass": v})
		}, 253, ": Invalid value: \"\": `loadBalancerClass` must ", func(n int) string {
			return strings.Repeat("a.", (n-65)/2) + strings.Repeat("a", 1+(n-65)%2) + "/" + strings.Repeat("a", 63)
		}),
		serviceAnnotations(),
		integer("spec.exposure.portRange.first", func(v any) change {
			return exposure("portRange", map[string]any{"first": v, "last": int64(65535)})
		}, 1024, 65535),
		integer("spec.exposure.portRange.last", func(v any) change {
			return exposure("portRange", map[string]any{"first": int64(1024), "last": v})
		}, 1024, 65535),
		text("spec.exposure.publicAddress", nil, 45, ": Invalid value: \"\": `publicAddress` must ", func(n int) string {
			if n == 45 {
				return "2001:0db8:0000:0000:0000:0000:0000:0007"
			}
			return strings.Repeat("1", n)
		}),
		integer("spec.bandwidth.videoMaxSendKbps", nil, 0, 1000000),
		integer("spec.bandwidth.videoMaxRecvKbps", nil, 0, 1000000),
		integer("spec.networkQuality.intervalSeconds", nil, 1, 60),
		integer("spec.reconnectWindowSeconds", nil, 1, 300),
		integer("spec.pendingConnectionSeconds", nil, 0, 31536000),
		integer("spec.drainSeconds", nil, 1, 86400),
		enum("spec.egress.notification", nil, "None", "Moderators", "PublishersAndModerators", "All"),
		enum("spec.egress.access", nil, "Authenticated", "Public"),
		integer("spec.egress.autoStopSeconds", nil, 0, 86400),
		text("spec.egress.compositor.image", nil, 512, ": Invalid value: \"\": spec.egress.compositor.image in body should be at least 1 chars long", nil),
		text("spec.egress.storage.claimName", nil, 253, ": Invalid value: \"\": `claimName` must ", nil),
		text("spec.egress.storage.s3.endpoint", bucketOf("endpoint"), 512, ": Invalid value: \"\": `endpoint` must ", func(n int) string { return "https://" + strings.Repeat("a", n-8) }),
		text("spec.egress.storage.s3.bucket", bucketOf("bucket"), 63, ": Invalid value: \"\": `bucket` must ", nil),
		text("spec.egress.storage.s3.region", bucketOf("region"), 63, ": Invalid value: \"\": `region` must ", nil),
		text("spec.egress.storage.s3.prefix", bucketOf("prefix"), 256, ": Invalid value: \"\": `prefix` must ", nil),
		text("spec.egress.storage.s3.secretName", bucketOf("secretName"), 253, ": Invalid value: \"\": `secretName` must ", nil),
		boolean("spec.egress.storage.s3.pathStyle", bucketOf("pathStyle")),
		buckets(),
		text("spec.template.image", nil, 1024, ": Invalid value: \"\": `image` must ", nil),
		text("spec.className", nil, 40, ": Invalid value: \"\": `className` must ", nil),
		text("spec.template.priorityClassName", nil, 253, ": Invalid value: \"\": `priorityClassName` must ", nil),
		mapping("spec.template.nodeSelector", 64),
		mapping("spec.template.metadata.labels", 64),
		mapping("spec.template.metadata.annotations", 64),
		list("spec.template.tolerations", 64, func(i int) any { return map[string]any{"key": fmt.Sprint(i)} }),
		list("spec.template.topologySpreadConstraints", 16, func(i int) any { return spread(fmt.Sprint("zone-", i)) }),
		list("spec.template.imagePullSecrets", 16, func(i int) any { return map[string]any{"name": fmt.Sprint(i)} }),
	),
	updates: map[string]update{
		"className is changed": {
			before: change{"spec.className": "one"}, after: change{"spec.className": "two"},
			want: "spec.className: Invalid value: `className` may not be changed, set or unset after creation",
		},
		"className is set":   {after: change{"spec.className": "two"}, want: "`className` may not be changed, set or unset after creation"},
		"className is unset": {before: change{"spec.className": "one"}, after: change{"spec.className": removed}, want: "`className` may not be changed, set or unset after creation"},
		"everything may be changed": {
			after: change{
				"spec.minPods": int64(2), "spec.maxPods": int64(20), "spec.warmSessions": int64(0), "spec.placement": "Spread",
				"spec.publicURL": "https://rooms.example.org", "spec.exposure": map[string]any{"type": "HostNetwork", "portRange": ports(20000, 20100)},
				"spec.capacity": map[string]any{"sessions": int64(5), "connections": int64(50)}, "spec.template": fullTemplate,
				"spec.iceServers": []any{map[string]any{"url": "stun:host"}}, "spec.drainSeconds": int64(1), "spec.reconnectWindowSeconds": int64(1),
				"spec.bandwidth": map[string]any{"videoMaxSendKbps": int64(1)}, "spec.networkQuality": map[string]any{"intervalSeconds": int64(1)},
			},
		},
		"maxPods is lowered below minPods": {
			before: change{"spec.minPods": int64(5)}, after: change{"spec.maxPods": int64(4)},
			want: "`minPods` may not be greater than `maxPods`, which is 10 when absent",
		},
		"the type is changed under a port range": {
			before: exposure("portRange", ports(20000, 20100)), after: exposure("type", "Internal"),
			want: "`portRange` may be set only when `type` is HostPort or HostNetwork",
		},
	},
}

// selector returns the change of spec.allowedNamespaces to one requirement.
func selector(key, operator string, values ...any) change {
	requirement := map[string]any{"key": key, "operator": operator}
	if len(values) > 0 {
		requirement["values"] = values
	}
	return change{"spec.allowedNamespaces": map[string]any{"matchExpressions": []any{requirement}}}
}

func spread(key string) map[string]any {
	return map[string]any{"maxSkew": int64(1), "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
}

var fullTemplate = map[string]any{
	"metadata": map[string]any{
		"labels":      map[string]any{"team": "video", "example.org/tier": "gold"},
		"annotations": map[string]any{"prometheus.io/scrape": "true"},
	},
	"image":                     "registry.example.org/mediarooms:v1",
	"resources":                 map[string]any{"requests": map[string]any{"cpu": "500m", "memory": "256Mi"}, "limits": map[string]any{"memory": "1Gi"}},
	"nodeSelector":              map[string]any{"example.org/media": "true"},
	"tolerations":               []any{map[string]any{"key": "media", "operator": "Exists", "effect": "NoSchedule"}},
	"topologySpreadConstraints": []any{spread("kubernetes.io/hostname")},
	"priorityClassName":         "media",
	"imagePullSecrets":          []any{map[string]any{"name": "registry"}},
	"affinity": map[string]any{"podAntiAffinity": map[string]any{"preferredDuringSchedulingIgnoredDuringExecution": []any{map[string]any{
		"weight": int64(1), "podAffinityTerm": map[string]any{"topologyKey": "kubernetes.io/hostname"},
	}}}},
}

func TestMediaPoolValidation(t *testing.T) { testValidation(t, mediaPoolValidation) }
