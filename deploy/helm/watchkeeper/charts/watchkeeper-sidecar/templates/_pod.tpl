{{/*
Items for `volumes`. The one for /tmp is in memory: a full one is the sidecar's own trouble, where a disk that is fuller
than its limit has the whole pod evicted. The one for the state has no limit for the same reason; the program bounds it.
*/}}
{{- define "watchkeeper-sidecar.volumes" -}}
{{- with include "watchkeeper-sidecar.values" . | fromYaml }}{{ if .enabled -}}
{{ include "watchkeeper-sidecar.volumesOf" . }}
{{- end }}{{ end -}}
{{- end -}}

{{- define "watchkeeper-sidecar.volumesOf" -}}
- name: watchkeeper-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- if .state.enabled }}
- name: watchkeeper-state
  emptyDir: {}
{{- end }}
{{- if .configMap }}
- name: watchkeeper-config
  configMap:
    name: {{ .configMap }}
{{- end }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the pod: a PodMonitor of the chart watchkeeper selects by them. */}}
{{- define "watchkeeper-sidecar.podLabels" -}}
{{- if (include "watchkeeper-sidecar.values" . | fromYaml).enabled -}}
watchkeeper.dev/sidecar: "true"
{{- end -}}
{{- end -}}

{{/* Annotations of the pod; none, or those by which Prometheus finds it, and what restarts it when the settings change. */}}
{{- define "watchkeeper-sidecar.podAnnotations" -}}
{{- with include "watchkeeper-sidecar.values" . | fromYaml }}{{ if .enabled -}}
{{- if .configMap }}
watchkeeper.dev/config: {{ toJson .config | sha256sum }}
{{- end }}
{{- if .scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ include "watchkeeper-sidecar.port" . | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end }}{{ end -}}
{{- end -}}

{{/* The ConfigMap that `configMap` names, whole; nothing where it names none. */}}
{{- define "watchkeeper-sidecar.configMap" -}}
{{- with include "watchkeeper-sidecar.values" . | fromYaml }}{{ if and .enabled .configMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .configMap }}
  labels:
    app.kubernetes.io/part-of: watchkeeper
data:
  watchkeeper.yaml: |
    {{- toYaml .config | nindent 4 }}
{{- end }}{{ end -}}
{{- end -}}
