{{/* A quantity of Kubernetes' as a number: 10Gi, 1.5, 500m. */}}
{{- define "watchkeeper-sidecar.quantity" -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . }}{{ $text = printf "%f" . }}{{ end -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number $text)) -}}
{{- end -}}

{{/* Requests above their limits, a line each: an API server refuses the pod. Takes {resources, name}, the name of that key. */}}
{{- define "watchkeeper-sidecar.overLimits" -}}
{{- $found := list -}}
{{- $limits := default dict (get (default dict .resources) "limits") -}}
{{- range $kind, $asked := default dict (get (default dict .resources) "requests") -}}
{{- $limit := get $limits $kind -}}
{{- if and (hasKey $limits $kind) (ne (toString $limit) "<nil>") (ne (toString $asked) "<nil>") -}}
{{- if gt (include "watchkeeper-sidecar.quantity" $asked | float64) (include "watchkeeper-sidecar.quantity" $limit | float64) -}}
{{- $found = append $found (printf "%s.requests.%s: %v is above the limit, %v; lower it, or raise %s.limits.%s" $.name $kind $asked $limit $.name $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}
