{{/* What an API server, or the program in its container, would refuse of a pod: read off the pod as it is rendered. */}}
{{- define "watchkeeper.podMistakes" -}}
{{- $found := list -}}
{{- range $component := concat (include "watchkeeper.components" . | fromJson).on (ternary (list "report") list .Values.report.enabled) -}}
{{- $parts := include "watchkeeper.podParts" (dict "root" $ "component" $component) | fromJson -}}
{{- range tuple "watchkeeper.nameMistakes" "watchkeeper.mountMistakes" "watchkeeper.pathMistakes" "watchkeeper.kafkaMistakes" -}}
{{- with include . $parts }}{{ $found = concat $found (splitList "\n" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $component := tuple "node" "gateway" "detector" "engines" "report" "test" -}}
{{- with include "watchkeeper-sidecar.overLimits" (dict "resources" (index $.Values $component).resources "name" (printf "%s.resources" $component)) -}}
{{- $found = concat $found (splitList "\n" .) -}}
{{- end -}}
{{- end -}}
{{- join "\n" (uniq $found) -}}
{{- end -}}

{{/* A pod in parts: {component, config, own, container, others, volumes}. Takes {root, component}. */}}
{{- define "watchkeeper.podParts" -}}
{{- $values := index .root.Values .component -}}
{{- $config := include "watchkeeper.config" . | fromYaml -}}
{{- $with := merge (dict "config" $config "args" list "probes" (ne .component "report") "state" (dict "emptyDir" dict)) . -}}
{{- $others := concat (default list $values.extraInitContainers) (default list $values.extraContainers) -}}
{{- dict
  "component" .component
  "config" $config
  "own" (default dict $values.config)
  "container" (include "watchkeeper.container" $with | fromYaml)
  "others" (tpl (toYaml $others) .root | fromYamlArray)
  "volumes" (include "watchkeeper.volumes" $with | fromYamlArray)
| toJson -}}
{{- end -}}

{{/* Names and ports that stand twice. */}}
{{- define "watchkeeper.nameMistakes" -}}
{{- $found := list -}}
{{- $names := list -}}
{{- range .volumes -}}
{{- if has .name $names -}}
{{- $found = append $found (printf "%s.extraVolumes: the name %s is the chart's own or stands twice; take another" $.component .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $names = list .container.name -}}
{{- $ports := list -}}
{{- range .container.ports }}{{ $ports = concat $ports (list .name (int .containerPort | toString)) }}{{ end -}}
{{- range $other := .others -}}
{{- if has .name $names -}}
{{- $found = append $found (printf "%s.extraContainers, extraInitContainers: the name %s is the chart's own or stands twice; take another" $.component .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- range .ports -}}
{{- if or (has (int .containerPort | toString) $ports) (and .name (has .name $ports)) -}}
{{- $found = append $found (printf "%s.extraContainers: %s has port %d%s, which the program has in the same pod; give it another number and name" $.component $other.name (int .containerPort) (ternary (printf " (%v)" .name) "" (hasKey . "name"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/* Mounts at one place, and of volumes that are not there. */}}
{{- define "watchkeeper.mountMistakes" -}}
{{- $found := list -}}
{{- $volumes := list -}}
{{- range .volumes }}{{ $volumes = append $volumes .name }}{{ end -}}
{{- range $container := prepend .others .container -}}
{{- $paths := list -}}
{{- range .volumeMounts -}}
{{- $path := trimSuffix "/" .mountPath -}}
{{- $key := ternary "node.hostLibraries" (printf "%s.extraVolumeMounts" $.component) (hasPrefix "library-" .name) -}}
{{- if has $path $paths -}}
{{- $found = append $found (printf "%s: something is mounted at %s already; leave it out, or take another path" $key $path) -}}
{{- end -}}
{{- $paths = append $paths $path -}}
{{- if not (has .name $volumes) -}}
{{- $found = append $found (printf "%s.extraVolumeMounts: %s mounts %s, which is no volume of the pod; add it to %s.extraVolumes" $.component $container.name .name $.component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/*
Paths of the configuration that are on no mount. The root cannot be written; of files that are read, those in /run can be on a
mount alone, while an image may have others, and only those count that the component reads.
*/}}
{{- define "watchkeeper.pathMistakes" -}}
{{- $found := list -}}
{{- $mounts := list -}}
{{- $writable := list -}}
{{- range .container.volumeMounts -}}
{{- $mounts = append $mounts (trimSuffix "/" .mountPath) -}}
{{- if not .readOnly }}{{ $writable = append $writable (trimSuffix "/" .mountPath) }}{{ end -}}
{{- end -}}
{{- $config := .config -}}
{{- $written := ternary dict (dict "state_folder" $config.state_folder) (eq .component "report") -}}
{{- if and (ne .component "report") (gt (dig "capture" "share" 0.0 $config | float64) 0.0) }}{{ $_ := set $written "capture.path" (dig "capture" "path" "" $config) }}{{ end -}}
{{- if dig "control" "enabled" false $config }}{{ $_ := set $written "control.socket" (dig "control" "socket" "" $config) }}{{ end -}}
{{- range $key, $path := $written -}}
{{- $at := printf "%s%s" (ternary (printf "%s." $.component) "" (hasKey $.own (splitList "." $key | first))) "config" -}}
{{- if and (eq $key "capture.path") (not $path) -}}
{{- $found = append $found (printf "%s.capture.path: is needed where capture.share is above 0; name a file below /var/lib/watchkeeper" $at) -}}
{{- else if and $path (not (include "watchkeeper.isBelow" (dict "path" $path "folders" $writable))) -}}
{{- $found = append $found (printf "%s.%s: %s is on no volume, and the container's root cannot be written; take a place below /var/lib/watchkeeper, or mount one there (extraVolumes, extraVolumeMounts)" $at $key $path) -}}
{{- end -}}
{{- end -}}
{{- $read := omit $config "state_folder" -}}
{{- if eq .component "node" }}{{ $read = omit $read "otlp" "tap" "kafka" "checks" "drift" }}{{ end -}}
{{- if eq .component "detector" }}{{ $read = omit $read "otlp" "tap" }}{{ end -}}
{{- if eq .component "report" }}{{ $read = pick $read "exporters" }}{{ end -}}
{{- range regexFindAll "\"[a-z_]+_(file|folder)\":\"/(var/)?run/[^\"]+\"" ($read | toJson) -1 -}}
{{- $key := regexFind "[a-z_]+" . -}}
{{- $path := regexFind "/[^\"]+" . -}}
{{- if not (include "watchkeeper.isBelow" (dict "path" $path "folders" $mounts)) -}}
{{- $found = append $found (printf "%s.config: %s, %s, is on no volume, so nothing would be there; mount it with extraVolumes and extraVolumeMounts" $.component $key $path) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/* Whether a path is one of these folders, or in one: text or nothing. /var/run is /run. Takes {path, folders}. */}}
{{- define "watchkeeper.isBelow" -}}
{{- $path := clean .path | replace "/var/run/" "/run/" -}}
{{- range .folders }}{{ $folder := . | replace "/var/run/" "/run/" }}{{ if or (eq $path $folder) (hasPrefix (printf "%s/" $folder) $path) }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* Kafka as the program would refuse it at its start. */}}
{{- define "watchkeeper.kafkaMistakes" -}}
{{- $found := list -}}
{{- $reads := dig "kafka" dict .config -}}
{{- $sends := dig "exporters" "kafka" dict .config -}}
{{- if and $reads.enabled (has .component (tuple "gateway" "detector")) -}}
{{- if not (dig "connection" "servers" list $reads) -}}
{{- $found = append $found (printf "%s.config.kafka.enabled: no brokers are named; set kafka.servers, or leave it out" .component) -}}
{{- else if and (eq .component "gateway") (dig "ticks" true $reads) -}}
{{- $found = append $found "gateway.config.kafka.ticks: only a detector judges counts; set it to false" -}}
{{- else if and (eq .component "gateway") (not $reads.calls) -}}
{{- $found = append $found "gateway.config.kafka.calls: reading is on and no topic is named; name one, or set kafka.enabled=false" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "detector") (not $reads.enabled) -}}
{{- $found = append $found "detector.config.kafka.enabled: a detector reads from Kafka what others counted; leave it out" -}}
{{- end -}}
{{- if and $sends.enabled (has .component (tuple "gateway" "detector" "engines")) (not (dig "connection" "servers" list $sends)) -}}
{{- $found = append $found (printf "%s.config.exporters.kafka.enabled: no brokers are named; set kafka.servers, or leave it out" .component) -}}
{{- end -}}
{{- range concat (dig "connection" "servers" list $reads) (dig "connection" "servers" list $sends) | uniq -}}
{{- $port := splitList ":" . | last -}}
{{- if or (not (regexMatch "^([^:\\s]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$" .)) (lt (atoi $port) 1) (gt (atoi $port) 65535) -}}
{{- $found = append $found (printf "kafka.servers: %s is no address; write host:port, the port from 1 to 65535" .) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}
