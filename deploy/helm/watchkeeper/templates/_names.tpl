{{/* Names, labels, the image. */}}

{{- define "watchkeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* Cut so that name, component and what a StatefulSet adds to them fit into a label (63). */}}
{{- define "watchkeeper.fullname" -}}
{{- $name := include "watchkeeper.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "watchkeeper.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* What selects the pods of a component. Immutable in Kubernetes: never a version in it. Takes {root, component}. */}}
{{- define "watchkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ include "watchkeeper.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "watchkeeper.ownLabels" -}}
{{ include "watchkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: watchkeeper
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Merged, not appended: a key that stands there twice is refused by what reads strictly. Takes {root, component, labels}. */}}
{{- define "watchkeeper.labels" -}}
{{- $common := tpl (toYaml (default dict .root.Values.commonLabels)) .root | fromYaml -}}
{{- mergeOverwrite (include "watchkeeper.ownLabels" . | fromYaml) $common (deepCopy (default dict .labels)) | toYaml -}}
{{- end -}}

{{/* name, namespace, labels and annotations of an object. Takes {root, component, suffix, labels, annotations}. */}}
{{- define "watchkeeper.metadata" -}}
name: {{ printf "%s-%s" (include "watchkeeper.fullname" .root) (default .component .suffix) }}
namespace: {{ default (include "watchkeeper.namespace" .root) .namespace }}
labels:
  {{- include "watchkeeper.labels" . | nindent 2 }}
{{- $annotations := dict }}
{{- with .root.Values.commonAnnotations }}
{{- $annotations = tpl (toYaml .) $.root | fromYaml }}
{{- end }}
{{- with mergeOverwrite $annotations (deepCopy (default dict .annotations)) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "watchkeeper.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- $own := printf "%s-%s" (include "watchkeeper.fullname" .root) .component -}}
{{- default (ternary $own "default" $account.create) $account.name -}}
{{- end -}}

{{- define "watchkeeper.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end -}}

{{- define "watchkeeper.imagePullSecrets" -}}
{{- with concat (default list .Values.global.imagePullSecrets) (default list .Values.imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Names of the components that run all the time and are on, as a JSON list in an object: include … | fromJson */}}
{{- define "watchkeeper.components" -}}
{{- $on := list -}}
{{- range tuple "node" "gateway" "detector" "engines" -}}
{{- if (index $.Values .).enabled }}{{ $on = append $on . }}{{ end -}}
{{- end -}}
{{- dict "on" $on | toJson -}}
{{- end -}}

{{/* Which component serves the control API; empty: none. */}}
{{- define "watchkeeper.controlComponent" -}}
{{- if .Values.control.enabled }}{{ ternary "detector" "gateway" .Values.detector.enabled }}{{ end -}}
{{- end -}}
