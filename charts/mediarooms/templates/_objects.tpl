{{- /*
The objects of files/, which are those of config/: hack/generate copies them. Each is changed where an
installation may differ: its namespace, and with a class the name of what is outside of that. Roles for
people and tenants are there once in a cluster.

mediarooms.file (dict "root" $ "file" PATH) writes the objects of a file.
*/}}
{{- define "mediarooms.file" }}
{{- range splitList "\n---\n" (.root.Files.Get .file) }}
{{- $object := fromYaml . }}
---
{{ include "mediarooms.object" (dict "root" $.root "object" $object) }}
{{- end }}
{{- end }}

{{- define "mediarooms.object" }}
{{- $namespace := .root.Release.Namespace }}
{{- $tenant := .root.Values.defaultTenant }}
{{- $object := .object }}
{{- if eq (dig "metadata" "namespace" "" $object) "mediarooms-system" }}
{{- $_ := set $object.metadata "namespace" $namespace }}
{{- else if eq (dig "metadata" "namespace" "" $object) "default" }}
{{- $_ := set $object.metadata "namespace" $tenant.namespace }}
{{- end }}
{{- range (get $object "subjects" | default list) }}
{{- $_ := set . "namespace" $namespace }}
{{- end }}
{{- $binds := and (eq $object.kind "RoleBinding") (eq $object.metadata.name "mediarooms-rest") }}
{{- $role := and (eq $object.kind "ClusterRole") (not (has $object.metadata.name (list "mediarooms-manager" "mediarooms-gateway" "mediarooms-console"))) }}
{{- if and .root.Values.class (or $binds (eq $object.kind "ClusterRoleBinding") (and (eq $object.kind "ClusterRole") (not $role))) }}
{{- $_ := set $object.metadata "name" (printf "%s-%s" $object.metadata.name .root.Values.class) }}
{{- if eq $object.kind "ClusterRoleBinding" }}
{{- $_ := set $object.roleRef "name" $object.metadata.name }}
{{- end }}
{{- end }}
{{- if not (or (and $binds (not $tenant.rest)) (and $role (not .root.Values.shared.roles))) }}
{{- toYaml $object }}
{{- end }}
{{- end }}

{{- define "mediarooms.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- /* mediarooms.pod (dict "root" $ "part" VALUES) writes what a pod of any part has. */}}
{{- define "mediarooms.pod" }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $.part $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* mediarooms.servingSecret is the name of the Secret with the certificate for clients; empty: plain HTTP. */}}
{{- define "mediarooms.servingSecret" -}}
{{- with .Values.gateway.tls -}}
{{ .secretName | default (ternary "mediarooms-gateway-serving" "" .certManager.enabled) }}
{{- end -}}
{{- end }}
