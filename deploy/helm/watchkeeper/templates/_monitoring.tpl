{{/* What PodMonitor and ServiceMonitor share. Takes {root, component, config}. */}}
{{- define "watchkeeper.endpoint" -}}
{{- $values := .root.Values -}}
{{- $monitor := $values.metrics.podMonitor -}}
port: metrics
path: /metrics
scheme: {{ include "watchkeeper.webScheme" .config | lower }}
interval: {{ $monitor.interval }}
scrapeTimeout: {{ $monitor.scrapeTimeout }}
relabelings:
  {{- include "watchkeeper.relabelings" .root | nindent 2 }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.auth.web.existingSecret }}
authorization:
  type: Bearer
  credentials:
    name: {{ . }}
    key: {{ $values.auth.web.tokenKey }}
{{- end }}
{{- if eq (include "watchkeeper.webScheme" .config) "HTTPS" }}
{{- $secret := include "watchkeeper.tlsSecret" . }}
{{- $usual := dict "serverName" (printf "%s-%s.%s.svc" (include "watchkeeper.fullname" .root) .component (include "watchkeeper.namespace" .root)) }}
{{- if and $secret $values.tls.authorityKey }}
{{- $_ := set $usual "ca" (dict "secret" (dict "name" $secret "key" $values.tls.authorityKey)) }}
{{- end }}
tlsConfig:
  {{- mergeOverwrite $usual (deepCopy (default dict $monitor.tlsConfig)) | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the shipped rules and dashboards go by. */}}
{{- define "watchkeeper.relabelings" -}}
- action: replace
  targetLabel: job
  replacement: watchkeeper
- action: replace
  sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: node
{{- with .Values.metrics.podMonitor.relabelings }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether the cluster knows the Prometheus operator's types, or the values say so. Takes {root, force}. */}}
{{- define "watchkeeper.hasMonitoring" -}}
{{- if or .force (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}yes{{ end -}}
{{- end -}}
