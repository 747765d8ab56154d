{{/* What no schema can say: values that contradict each other. All of it at once, each with the way out. */}}

{{/* Keys that have others below them. */}}
{{- define "watchkeeper.levels" -}}
global image tls tls.web tls.otlp tls.control auth auth.web auth.otlp kafka kafka.tls kafka.sasl store control
otlpExport otlpExport.tls references node node.nvidia node.podResources node.serviceAccount gateway gateway.persistence gateway.pdb
gateway.autoscaling gateway.service gateway.serviceAccount detector detector.persistence detector.pdb
detector.autoscaling detector.keda detector.serviceAccount engines engines.serviceAccount report report.persistence report.serviceAccount metrics
metrics.podMonitor metrics.serviceMonitor metrics.sidecarMonitor metrics.prometheusRule sidecars dashboards
alertmanagerExample networkPolicy networkPolicy.ingress networkPolicy.egress openshift test
{{- end -}}

{{/*
`gateway:` with nothing below it takes away the whole of it, defaults too. Asked before anything else is rendered, so that
no template trips over it.
*/}}
{{- define "watchkeeper.refuseEmptied" -}}
{{- range $path := include "watchkeeper.levels" . | replace "\n" " " | splitList " " -}}
{{- $there := $.Values -}}
{{- range splitList "." $path }}{{ $there = index (default dict $there) . }}{{ end -}}
{{- if not (kindIs "map" $there) -}}
{{- fail (printf "\n\n%s: has nothing below it, which takes its defaults away; leave the key out, or write {}\n" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "watchkeeper.mistakes" -}}
{{- $values := .Values -}}
{{- $found := list -}}
{{- if not (or $values.node.enabled $values.gateway.enabled $values.detector.enabled $values.engines.enabled $values.report.enabled $values.sidecars.inject) -}}
{{- $found = append $found "node, gateway, detector, engines, report: none is enabled, so nothing would be installed; enable one" -}}
{{- end -}}
{{- if and $values.detector.enabled (not $values.kafka.servers) -}}
{{- $found = append $found "kafka.servers: detectors read from Kafka what others counted; name brokers, or set detector.enabled=false" -}}
{{- end -}}
{{- if and $values.detector.enabled (not $values.references.existingConfigMap) (not (dig "drift" "references_folder" "" (mergeOverwrite (deepCopy (default dict $values.config)) (deepCopy (default dict $values.detector.config))))) -}}
{{- $found = append $found "references.existingConfigMap: all detectors judge by the same references, which must be there when they start; name the ConfigMap that holds them (docs/fleet.md)" -}}
{{- end -}}
{{- if and $values.detector.keda.enabled (or $values.detector.autoscaling.enabled $values.detector.autoscaling.external) -}}
{{- $found = append $found "detector.keda.enabled: one thing alone may scale; set detector.autoscaling.enabled=false and external=false, or detector.keda.enabled=false" -}}
{{- end -}}
{{- if and $values.detector.keda.enabled (lt (int $values.detector.keda.maxReplicaCount) (int $values.detector.keda.minReplicaCount)) -}}
{{- $found = append $found "detector.keda.maxReplicaCount: is below minReplicaCount; raise it" -}}
{{- end -}}
{{- if and $values.detector.keda.enabled (not $values.detector.keda.authenticationRef) (or (ne $values.kafka.sasl.mechanism "none") $values.kafka.tls.existingSecret) -}}
{{- $found = append $found "detector.keda.authenticationRef: these brokers want a password or have a certificate of their own, and KEDA asks them itself; name a TriggerAuthentication that has both" -}}
{{- end -}}
{{- if and $values.sidecars.inject (index $values "watchkeeper-sidecar").configMap -}}
{{- $found = append $found "watchkeeper-sidecar.configMap: with sidecars.inject pods of other namespaces get the sidecar, and cannot mount it; leave it empty, and watchkeeper-sidecar.config goes into their environment" -}}
{{- end -}}
{{- range $component := tuple "gateway" "detector" -}}
{{- $scaling := (index $values $component).autoscaling -}}
{{- if and $scaling.enabled $scaling.external -}}
{{- $found = append $found (printf "%s.autoscaling: enabled and external exclude each other; set one of them" $component) -}}
{{- end -}}
{{- if and $scaling.enabled (lt (int $scaling.maxReplicas) (int $scaling.minReplicas)) -}}
{{- $found = append $found (printf "%s.autoscaling.maxReplicas: is below minReplicas; raise it" $component) -}}
{{- end -}}
{{- end -}}
{{- if and $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled -}}
{{- $found = append $found "metrics.serviceMonitor.enabled: with metrics.podMonitor.enabled every pod would be scraped twice; set one of them" -}}
{{- end -}}
{{- $interval := regexFind "^[0-9]+s$" $values.metrics.podMonitor.interval | trimSuffix "s" | int -}}
{{- if and $interval (gt (regexFind "^[0-9]+s$" $values.metrics.podMonitor.scrapeTimeout | trimSuffix "s" | int) $interval) -}}
{{- $found = append $found "metrics.podMonitor.scrapeTimeout: is longer than interval, and the operator leaves such a monitor out; shorten it" -}}
{{- end -}}
{{- $sasl := $values.kafka.sasl -}}
{{- if and (ne $sasl.mechanism "none") (not (and $sasl.username $sasl.existingSecret)) -}}
{{- $found = append $found (printf "kafka.sasl: %s needs username and existingSecret" $sasl.mechanism) -}}
{{- end -}}
{{- if and (eq $sasl.mechanism "none") (or $sasl.username $sasl.existingSecret) -}}
{{- $found = append $found "kafka.sasl.mechanism: a user or a password is given and would not be used; set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512" -}}
{{- end -}}
{{- $kafkaTls := $values.kafka.tls -}}
{{- if and $kafkaTls.existingSecret (not $kafkaTls.enabled) -}}
{{- $found = append $found "kafka.tls.enabled: certificates are given and would not be used; set it to true" -}}
{{- end -}}
{{- if ne (empty $kafkaTls.certificateKey) (empty $kafkaTls.privateKeyKey) -}}
{{- $found = append $found "kafka.tls: certificateKey and privateKeyKey go together; set both" -}}
{{- end -}}
{{- $exportTls := $values.otlpExport.tls -}}
{{- if ne (empty $exportTls.certificateKey) (empty $exportTls.privateKeyKey) -}}
{{- $found = append $found "otlpExport.tls: certificateKey and privateKeyKey go together; set both" -}}
{{- end -}}
{{- if and $exportTls.existingSecret (not (hasPrefix "https://" (default "" $values.otlpExport.endpoint))) -}}
{{- $found = append $found "otlpExport.tls.existingSecret: certificates are given and would not be used; set otlpExport.endpoint=https://…" -}}
{{- end -}}
{{- if regexMatch "^[a-z]+://[^/@]*:[^/@]*@|[?&]password=" (default "" $values.store.url) -}}
{{- $found = append $found "store.url: holds a password; put it into a Secret and name that in store.existingSecret" -}}
{{- end -}}
{{- if and $values.store.existingSecret (not $values.store.url) -}}
{{- $found = append $found "store.url: a password is given and no database; set store.url=postgresql://user@host/database" -}}
{{- end -}}
{{- if and $values.control.enabled (not $values.store.enabled) -}}
{{- $found = append $found "control.enabled: what the control API answers from is the store; set store.enabled=true" -}}
{{- end -}}
{{- if and $values.control.enabled (not $values.control.existingSecret) -}}
{{- $found = append $found "control.existingSecret: who can reach the control API could write to it; name a Secret with lines `name: token`" -}}
{{- end -}}
{{- if and $values.control.enabled (not (or $values.gateway.enabled $values.detector.enabled)) -}}
{{- $found = append $found "control.enabled: is served by a gateway or a detector; enable one of them" -}}
{{- end -}}
{{- if and $values.report.enabled (not (and $values.store.enabled $values.store.url)) -}}
{{- $found = append $found "report.enabled: a report reads what others wrote, which takes a store in PostgreSQL; set store.enabled=true and store.url" -}}
{{- end -}}
{{- range $listener := tuple "web" "otlp" "control" -}}
{{- $tls := index $values.tls $listener -}}
{{- if and $tls.clientCertificates (not (and $tls.enabled (or $values.tls.existingSecret $values.node.tlsSecret $values.gateway.tlsSecret $values.detector.tlsSecret $values.engines.tlsSecret))) -}}
{{- $found = append $found (printf "tls.%s.clientCertificates: certificates are asked for over TLS alone; set tls.existingSecret and tls.%s.enabled=true" $listener $listener) -}}
{{- end -}}
{{- end -}}
{{- if and (or $values.tls.web.clientCertificates $values.tls.otlp.clientCertificates $values.tls.control.clientCertificates) (not $values.tls.authorityKey) -}}
{{- $found = append $found "tls.authorityKey: clients' certificates are asked for and nothing says who signs them; name the key of that authority" -}}
{{- end -}}
{{- if and $values.otlpExport.existingSecret (not $values.otlpExport.endpoint) -}}
{{- $found = append $found "otlpExport.endpoint: headers are given and no address; set it" -}}
{{- end -}}
{{- range $component := (include "watchkeeper.components" . | fromJson).on -}}
{{- $pod := index $values $component -}}
{{- $config := include "watchkeeper.config" (dict "root" $ "component" $component) | fromYaml -}}
{{- $drains := add (dig "shutdown_seconds" 10 $config | float64 | ceil | int) (default 0 $pod.preStopSleepSeconds | int) -}}
{{- if le (int $pod.terminationGracePeriodSeconds) (int $drains) -}}
{{- $found = append $found (printf "%s.terminationGracePeriodSeconds: %d leaves no time after the %d s in which it drains; raise it" $component (int $pod.terminationGracePeriodSeconds) (int $drains)) -}}
{{- end -}}
{{- if and (eq (dig "drift" "judged" "here" $config) "fleet") (not (dig "exporters" "kafka" "enabled" false $config)) (ne $component "detector") -}}
{{- $found = append $found (printf "%s.config.drift.judged: fleet takes Kafka, which brings the counts to detectors; set kafka.servers and detector.enabled=true, or leave it out" $component) -}}
{{- end -}}
{{- if dig "checks" "classifier" "key" "" $config -}}
{{- $found = append $found (printf "%s: checks.classifier.key would stand in a ConfigMap; mount a Secret with extraVolumes and name its file in checks.classifier.key_file" $component) -}}
{{- end -}}
{{- if dig "checks" "secrets" "canaries" list $config -}}
{{- $found = append $found (printf "%s: checks.secrets.canaries would stand in a ConfigMap; mount a Secret with extraVolumes and name its file in checks.secrets.canaries_file" $component) -}}
{{- end -}}
{{- range $listener := ternary (tuple "web" "otlp") (tuple "web") (eq $component "gateway") -}}
{{- if and (has (dig $listener "host" "" $config) (tuple "127.0.0.1" "localhost" "::1")) (not $pod.extraContainers) -}}
{{- $found = append $found (printf "%s.config.%s.host: probes and senders are not in the pod and do not reach %s; leave it out" $component $listener (dig $listener "host" "" $config)) -}}
{{- end -}}
{{- end -}}
{{- $by := dict -}}
{{- range $port := (include "watchkeeper.ports" (dict "component" $component "config" $config) | fromJson).ports -}}
{{- with get $by (toString (int .port)) -}}
{{- $found = append $found (printf "%s.config: %s and %s have the same port, %d; give one of them another" $component . $port.name (int $port.port)) -}}
{{- end -}}
{{- $_ := set $by (toString (int .port)) .name -}}
{{- if eq (int .port) 0 -}}
{{- $found = append $found (printf "%s.config: the port of %s is 0, any free one, which no Service and no probe can know; give it a number" $component .name) -}}
{{- end -}}
{{- end -}}
{{- if eq $component "gateway" -}}
{{- $taken := without (values $by | sortAlpha) "metrics" "control" -}}
{{- range $name := keys (default dict $pod.service.nodePorts) | sortAlpha -}}
{{- if not (has $name $taken) -}}
{{- $found = append $found (printf "gateway.service.nodePorts: the Service has no port %s; it has %s" $name (join ", " $taken)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := keys (include "watchkeeper.selectorLabels" (dict "root" . "component" "node") | fromYaml) -}}
{{- range $key := keys (default dict $values.commonLabels) | sortAlpha -}}
{{- if has $key $own -}}
{{- $found = append $found (printf "commonLabels: pods are found by %s, which is the chart's; take another key" $key) -}}
{{- end -}}
{{- end -}}
{{- range $component := tuple "node" "gateway" "detector" "engines" "report" -}}
{{- range $key := keys (default dict (index $values $component).podLabels) | sortAlpha -}}
{{- if has $key $own -}}
{{- $found = append $found (printf "%s.podLabels: pods are found by %s, which is the chart's; take another key" $component $key) -}}
{{- end -}}
{{- end -}}
{{- range (index $values $component).extraEnv -}}
{{- if regexMatch "^WATCHKEEPER__(WEB|OTLP|CONTROL|TAP)(__|$)" (default "" .name | upper) -}}
{{- $found = append $found (printf "%s.extraEnv: %s is read past probes and Services, which go by %s.config; set it there" $component .name $component) -}}
{{- else if has .name (tuple "POD_NAME" "POD_NAMESPACE" "NODE_NAME") -}}
{{- $found = append $found (printf "%s.extraEnv: %s is set by the chart; leave it out" $component .name) -}}
{{- end -}}
{{- end -}}
{{- $resources := default dict (index $values $component).resources -}}
{{- range $kind := tuple "requests" "limits" -}}
{{- $memory := get (default dict (get $resources $kind)) "memory" | toString -}}
{{- if hasSuffix "m" $memory -}}
{{- $found = append $found (printf "%s.resources.%s.memory: %s are thousandths of a byte; write Mi" $component $kind $memory) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "watchkeeper.fullname" .)) -}}
{{- $found = append $found (printf "fullnameOverride: '%s' is no name for a Service, which begins with a letter and has no dot; set one" (include "watchkeeper.fullname" .)) -}}
{{- end -}}
{{- range $path := .Values.node.hostLibraries -}}
{{- if has ($path | trimSuffix "/") (tuple "" "/etc" "/proc" "/sys" "/var" "/root" "/home" "/run" "/boot") -}}
{{- $found = append $found (printf "node.hostLibraries: '%s' is far more than a library; name the folder of the vendor's library" $path) -}}
{{- end -}}
{{- end -}}
{{- join "\n" (uniq $found) -}}
{{- end -}}
