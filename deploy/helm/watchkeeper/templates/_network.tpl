{{/* Who may be reached, read off the configuration. */}}

{{/* Port of `scheme://host:port/…`, or of what the scheme says. Takes {url, usual}; usual is of a scheme not known here. */}}
{{- define "watchkeeper.urlPort" -}}
{{- $parts := urlParse .url -}}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" -}}
{{- default (get (dict "http" "80" "https" "443" "postgresql" "5432") $parts.scheme) $port -}}
{{- end -}}

{{/* Rules of a component: {rules: [{ports, to}]}, `to` empty being any address. Takes {root, component, config}. */}}
{{- define "watchkeeper.egress" -}}
{{- $values := .root.Values -}}
{{- $egress := $values.networkPolicy.egress -}}
{{- $config := .config -}}
{{- $rules := list (dict "udp" true "ports" $egress.dnsPorts "to" $egress.dnsTo) -}}
{{- $ports := list -}}
{{- if has .component (tuple "gateway" "detector" "engines") -}}
{{- range concat (dig "kafka" "connection" "servers" list $config) (dig "exporters" "kafka" "connection" "servers" list $config) -}}
{{- $ports = append $ports (splitList ":" . | last | int) -}}
{{- end -}}
{{- end -}}
{{- with uniq $ports }}{{ $rules = append $rules (dict "ports" . "to" $egress.kafkaTo) }}{{ end -}}
{{- $store := dig "exporters" "store" dict $config -}}
{{- if and $store.enabled $store.url -}}
{{- $rules = append $rules (dict "ports" (list (include "watchkeeper.urlPort" (dict "url" $store.url) | int)) "to" $egress.storeTo) -}}
{{- end -}}
{{- $push := dig "exporters" "otlp" dict $config -}}
{{- if and $push.enabled $push.endpoint -}}
{{- $rules = append $rules (dict "ports" (list (include "watchkeeper.urlPort" (dict "url" $push.endpoint) | int)) "to" $egress.otlpExportTo) -}}
{{- end -}}
{{- $ports = list -}}
{{- $urls := list -}}
{{- if has .component (tuple "node" "engines") -}}
{{- range dig "engines" list $config }}{{ with .url }}{{ $urls = append $urls . }}{{ end }}{{ end -}}
{{- end -}}
{{- if eq .component "node" -}}
{{- range dig "vendor_exporter" list $config }}{{ $urls = append $urls .url }}{{ end -}}
{{- else if eq .component "gateway" -}}
{{- range dig "tap" list $config }}{{ $urls = append $urls .upstream }}{{ end -}}
{{- end -}}
{{- $classifier := dig "checks" "classifier" dict $config -}}
{{- if and (not (has .component (tuple "node" "engines"))) $classifier.enabled }}{{ $urls = append $urls $classifier.url }}{{ end -}}
{{- if eq .component "report" }}{{ with $values.report.prometheusUrl }}{{ $urls = append $urls . }}{{ end }}{{ end -}}
{{- range $urls }}{{ $ports = append $ports (include "watchkeeper.urlPort" (dict "url" .) | int) }}{{ end -}}
{{- with uniq $ports }}{{ $rules = append $rules (dict "ports" . "to" list) }}{{ end -}}
{{- dict "rules" $rules | toJson -}}
{{- end -}}
