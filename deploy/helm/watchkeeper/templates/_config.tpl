{{/*
What the program is told: what the chart knows, then `config`, then `<component>.config`, the later one winning. Ports,
probes, services and policies are all read off the result, so that they cannot differ from it.
*/}}

{{/* Folder of a mounted secret. */}}
{{- define "watchkeeper.secretFolder" -}}/run/secrets/watchkeeper/{{ . }}{{- end -}}

{{/* Secret with the certificate of a component; empty: plain text. Takes {root, component}. */}}
{{- define "watchkeeper.tlsSecret" -}}
{{- default .root.Values.tls.existingSecret (index .root.Values .component).tlsSecret -}}
{{- end -}}

{{/* `tls` of a listener. Takes {root, component, listener}. */}}
{{- define "watchkeeper.listenerTls" -}}
{{- $tls := .root.Values.tls -}}
{{- $listener := index $tls .listener -}}
{{- if and $listener.enabled (include "watchkeeper.tlsSecret" .) -}}
{{- $folder := include "watchkeeper.secretFolder" "tls" -}}
certificate_file: {{ $folder }}/{{ $tls.certificateKey }}
key_file: {{ $folder }}/{{ $tls.privateKeyKey }}
{{- if $listener.clientCertificates }}
client_ca_file: {{ $folder }}/{{ $tls.authorityKey }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "watchkeeper.kafkaConnection" -}}
{{- $kafka := .Values.kafka -}}
{{- $folder := include "watchkeeper.secretFolder" "kafka-tls" -}}
servers: {{ toJson $kafka.servers }}
{{- if $kafka.tls.enabled }}
tls: true
tls_check_host: {{ $kafka.tls.checkHost }}
{{- if $kafka.tls.existingSecret }}
{{- with $kafka.tls.authorityKey }}
tls_ca_file: {{ $folder }}/{{ . }}
{{- end }}
{{- with $kafka.tls.certificateKey }}
tls_certificate_file: {{ $folder }}/{{ . }}
{{- end }}
{{- with $kafka.tls.privateKeyKey }}
tls_key_file: {{ $folder }}/{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne $kafka.sasl.mechanism "none" }}
sasl: {{ $kafka.sasl.mechanism }}
username: {{ $kafka.sasl.username | quote }}
password_file: {{ include "watchkeeper.secretFolder" "kafka-sasl" }}/{{ $kafka.sasl.passwordKey }}
{{- end }}
{{- end -}}

{{/*
Whether a component writes to the store. SQLite is a file of one process, so a node agent keeps none; and where detectors
judge, a gateway's counts would count twice. Takes {root, component}; text or nothing.
*/}}
{{- define "watchkeeper.stores" -}}
{{- $values := .root.Values -}}
{{- if $values.store.enabled -}}
{{- if eq .component "gateway" }}{{ ternary "" "yes" $values.detector.enabled }}
{{- else if eq .component "detector" }}yes
{{- else }}{{ ternary "yes" "" (not (empty $values.store.url)) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "watchkeeper.storeConfig" -}}
{{- $store := .Values.store -}}
enabled: true
deployment: {{ default (printf "%s/%s" (include "watchkeeper.namespace" .) .Release.Name) $store.deployment | quote }}
{{- with $store.url }}
url: {{ . | quote }}
{{- end }}
{{- if $store.existingSecret }}
password_file: {{ include "watchkeeper.secretFolder" "store" }}/{{ $store.passwordKey }}
{{- end }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "watchkeeper.exportersConfig" -}}
{{- $values := .root.Values -}}
{{- $sends := has .component (tuple "gateway" "detector" "engines") -}}
{{- if include "watchkeeper.stores" . }}
store:
  {{- include "watchkeeper.storeConfig" .root | nindent 2 }}
{{- end }}
{{- if and $sends $values.kafka.servers }}
kafka:
  enabled: true
  ticks: {{ and (eq .component "gateway") $values.detector.enabled }}
  connection:
    {{- include "watchkeeper.kafkaConnection" .root | nindent 4 }}
{{- end }}
{{- if and $values.otlpExport.endpoint (ne .component "report") }}
otlp:
  enabled: true
  endpoint: {{ $values.otlpExport.endpoint | quote }}
  {{- if $values.otlpExport.existingSecret }}
  headers_file: {{ include "watchkeeper.secretFolder" "otlp-export" }}/{{ $values.otlpExport.headersKey }}
  {{- end }}
  {{- with $values.otlpExport.tls }}
  {{- if .existingSecret }}
  {{- $folder := include "watchkeeper.secretFolder" "otlp-export-tls" }}
  {{- with .authorityKey }}
  ca_file: {{ $folder }}/{{ . }}
  {{- end }}
  {{- with .certificateKey }}
  client_cert_file: {{ $folder }}/{{ . }}
  {{- end }}
  {{- with .privateKeyKey }}
  client_key_file: {{ $folder }}/{{ . }}
  {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "watchkeeper.listenersConfig" -}}
{{- $values := .root.Values -}}
web:
  host: {{ $values.listenAddress | quote }}
  {{- if $values.auth.web.existingSecret }}
  token_file: {{ include "watchkeeper.secretFolder" "auth-web" }}/{{ $values.auth.web.tokenKey }}
  {{- end }}
  {{- with include "watchkeeper.listenerTls" (merge (dict "listener" "web") .) }}
  tls:
    {{- . | nindent 4 }}
  {{- end }}
{{- if eq .component "gateway" }}
otlp:
  host: {{ $values.listenAddress | quote }}
  max_body_bytes: 67108864
  max_in_flight_bytes: 134217728
  shutdown_grace_seconds: 3
  {{- if $values.auth.otlp.existingSecret }}
  token_file: {{ include "watchkeeper.secretFolder" "auth-otlp" }}/{{ $values.auth.otlp.tokenKey }}
  {{- end }}
  {{- with include "watchkeeper.listenerTls" (merge (dict "listener" "otlp") .) }}
  tls:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if eq .component (include "watchkeeper.controlComponent" .root) }}
control:
  enabled: true
  host: {{ $values.listenAddress | quote }}
  token_file: {{ include "watchkeeper.secretFolder" "control" }}/{{ $values.control.tokensKey }}
  {{- with include "watchkeeper.listenerTls" (merge (dict "listener" "control") .) }}
  tls:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What the chart itself knows. Takes {root, component}. */}}
{{- define "watchkeeper.ownConfig" -}}
{{- $values := .root.Values -}}
state_folder: /var/lib/watchkeeper
{{- if ne .component "report" }}
{{ include "watchkeeper.listenersConfig" . }}
{{- end }}
{{- if eq .component "node" }}
accelerators:
  placement:
    pod_resources_socket: {{ ternary (printf "%s/kubelet.sock" $values.node.podResources.path) "" $values.node.podResources.enabled | quote }}
{{- else if eq .component "engines" }}
otlp:
  enabled: false
drift:
  enabled: false
{{- else }}
{{- $folder := ternary "/etc/watchkeeper-references" "" (not (empty $values.references.existingConfigMap)) }}
{{- $isCounting := and (eq .component "gateway") $values.detector.enabled }}
{{- if or $folder $isCounting }}
drift:
  {{- if $isCounting }}
  judged: fleet
  {{- end }}
  {{- with $folder }}
  references_folder: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
{{- if and (has .component (tuple "gateway" "detector")) $values.kafka.servers }}
kafka:
  {{- if eq .component "detector" }}
  enabled: true
  {{- else }}
  ticks: false
  {{- end }}
  connection:
    {{- include "watchkeeper.kafkaConnection" .root | nindent 4 }}
{{- end }}
{{- with include "watchkeeper.exportersConfig" . | trim }}
exporters:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* All of it, as YAML. A reader of engines takes no calls, whatever is said for all. Takes {root, component}. */}}
{{- define "watchkeeper.config" -}}
{{- $own := include "watchkeeper.ownConfig" . | fromYaml -}}
{{- with $own.Error }}{{ fail (printf "the chart's own configuration is no YAML: %s" .) }}{{ end -}}
{{- $general := deepCopy (default dict .root.Values.config) -}}
{{- if eq .component "engines" }}{{ $general = omit $general "otlp" "tap" "kafka" "checks" "drift" "capture" }}{{ end -}}
{{- $special := deepCopy (default dict (index .root.Values .component).config) -}}
{{- mergeOverwrite $own $general $special | toYaml -}}
{{- end -}}

{{/*
Ports of a component, as its configuration has them: {ports: [{name, port, for}]}, `for` being metrics, senders or control.
Takes {component, config}.
*/}}
{{- define "watchkeeper.ports" -}}
{{- $config := .config -}}
{{- $ports := list (dict "name" "metrics" "port" (dig "port" 9464 $config.web) "for" "metrics") -}}
{{- if eq .component "gateway" -}}
{{- $otlp := default dict $config.otlp -}}
{{- if dig "enabled" true $otlp -}}
{{- $ports = append $ports (dict "name" "otlp-grpc" "port" (dig "grpc_port" 4317 $otlp) "for" "senders") -}}
{{- $ports = append $ports (dict "name" "otlp-http" "port" (dig "http_port" 4318 $otlp) "for" "senders") -}}
{{- end -}}
{{- range $config.tap -}}
{{- $ports = append $ports (dict "name" (printf "tap-%d" (int .port)) "port" .port "for" "senders") -}}
{{- end -}}
{{- end -}}
{{- $control := default dict $config.control -}}
{{- if and $control.enabled (not $control.socket) -}}
{{- $ports = append $ports (dict "name" "control" "port" (dig "port" 9465 $control) "for" "control") -}}
{{- end -}}
{{- dict "ports" $ports | toJson -}}
{{- end -}}

{{/* Scheme of the port of metrics and health: HTTP or HTTPS. Takes the configuration. */}}
{{- define "watchkeeper.webScheme" -}}
{{- ternary "HTTPS" "HTTP" (ne (dig "web" "tls" "certificate_file" "" .) "") -}}
{{- end -}}
