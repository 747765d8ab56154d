{{/*
The sidecar as the API server adds it: the very container of the library chart, written as CEL. The policy patches by JSON
Patch: an apply configuration may hold no atomic list or map, and a container's args and field references are some.
*/}}

{{/* Whether the API server has MutatingAdmissionPolicies of v1. */}}
{{- define "watchkeeper.knowsPolicies" -}}
{{- if or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) }}yes{{ end -}}
{{- end -}}

{{/* Values of the library chart for pods of any namespace, with this chart's image. As YAML. */}}
{{- define "watchkeeper.sidecarValues" -}}
{{- $values := include "watchkeeper-sidecar.values" . | fromYaml -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- $own := dict "registry" $registry "tag" (default .Chart.AppVersion .Values.image.tag) -}}
{{- $_ := set $values "image" (mergeOverwrite (deepCopy .Values.image) $own) -}}
{{- set $values "global" dict | toYaml -}}
{{- end -}}

{{/*
A value as CEL: objects by the names of their fields, as the API server wants them. Takes {value, type, indent}; `type` is
the path to it, such as Object.spec.initContainers.env. Quantities are texts, all of them: an API server takes no map in which
some are and some are numbers. Ports are left out in a pod of the host's network: there they
would be the node's, and only one such pod would find a place on it.
*/}}
{{- define "watchkeeper.cel" -}}
{{- $inner := printf "%s  " .indent -}}
{{- if kindIs "map" .value -}}
{{- $isMap := or (hasSuffix ".limits" .type) (hasSuffix ".requests" .type) -}}
{{- $fields := list -}}
{{- range $name, $field := .value -}}
{{- $type := printf "%s.%s" $.type $name -}}
{{- $shown := ternary (toJson $name) $name $isMap -}}
{{- $said := ternary (toString $field) $field $isMap -}}
{{- $fields = append $fields (printf "%s%s: %s" $inner $shown (include "watchkeeper.cel" (dict "value" $said "type" $type "indent" $inner))) -}}
{{- end -}}
{{- if not $isMap }}{{ .type }}{{ end }}{ {{- if $fields }}
{{ join ",\n" $fields }}
{{ .indent }}{{ end -}} }
{{- else if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value -}}
{{- $items = append $items (printf "%s%s" $inner (include "watchkeeper.cel" (dict "value" . "type" $.type "indent" $inner))) -}}
{{- end -}}
{{- if hasSuffix "ontainers.ports" .type }}has(object.spec.hostNetwork) && object.spec.hostNetwork ? [] : {{ end -}}
[
{{ join ",\n" $items }}
{{ .indent }}]
{{- else -}}
{{- toJson .value -}}
{{- end -}}
{{- end -}}

{{/* One operation of JSON Patch that adds an item to a list, and one before it that makes the list where there is none. */}}
{{- define "watchkeeper.celAppend" -}}
(has(object.spec.{{ .list }}) ? [] : [JSONPatch{op: "add", path: "/spec/{{ .list }}", value: []}]) + [
  {{- range $index, $item := .items }}
  {{- if $index }},{{ end }}
  JSONPatch{op: "add", path: "/spec/{{ $.list }}/-", value: {{ include "watchkeeper.cel" (dict "value" $item "type" (printf "Object.spec.%s" $.list) "indent" "  ") }}}
  {{- end }}
]
{{- end -}}
