{{/* Topics that the components read and write, each with what it is for: {topics: […]}. */}}
{{- define "watchkeeper.topics" -}}
{{- $topics := list -}}
{{- range $component := (include "watchkeeper.components" . | fromJson).on -}}
{{- if ne $component "node" -}}
{{- $config := include "watchkeeper.config" (dict "root" $ "component" $component) | fromYaml -}}
{{- $sends := dig "exporters" "kafka" dict $config -}}
{{- $reads := dig "kafka" dict $config -}}
{{- if and $sends.enabled (dig "ticks" true $sends) (eq $component "gateway") -}}
{{- $topics = append $topics (printf "%s, counts, from gateways to detectors" (dig "ticks_topic" "watchkeeper.ticks" $sends)) -}}
{{- end -}}
{{- if eq $component "detector" -}}
{{- $topics = append $topics (printf "%s, counts, from gateways to detectors" (dig "ticks_topic" "watchkeeper.ticks" $reads)) -}}
{{- $topics = append $topics (printf "%s, what detectors keep: compacted, with as many partitions" (dig "state_topic" "watchkeeper.state" $reads)) -}}
{{- end -}}
{{- if and $reads.enabled (ne $component "engines") -}}
{{- $topics = append $topics (printf "%s, what could not be read" (dig "dead_topic" "watchkeeper.dead" $reads)) -}}
{{- range dig "calls" list $reads }}{{ $topics = append $topics (printf "%s, calls that others write" .topic) }}{{ end -}}
{{- end -}}
{{- if and $sends.enabled (dig "findings" true $sends) -}}
{{- $topics = append $topics (printf "%s, findings" (dig "findings_topic" "watchkeeper.findings" $sends)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "topics" (uniq $topics) | toJson -}}
{{- end -}}

{{/* What an operator should know of these values, a line or two each; told after the installation. */}}
{{- define "watchkeeper.warnings" -}}
{{- $values := .Values -}}
{{- $on := (include "watchkeeper.components" . | fromJson).on -}}
{{- $monitor := or $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled -}}
{{- $knows := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if and $monitor (not $knows) (not $values.metrics.podMonitor.force) }}
- No monitor was made: this cluster does not know the Prometheus operator's types. Install the operator, then run
  `helm upgrade` again.
{{- end }}
{{- if and $values.metrics.prometheusRule.enabled (not $knows) (not $values.metrics.prometheusRule.force) }}
- No alert was made: this cluster does not know the Prometheus operator's types.
{{- end }}
{{- if and $values.sidecars.inject (not (include "watchkeeper.knowsPolicies" .)) }}
- No pod gets a sidecar: this cluster does not know MutatingAdmissionPolicies, as Kubernetes does from 1.36 on.
  docs/sidecar.md has two other ways.
{{- end }}
{{- if and $monitor (not (hasKey (default dict $values.metrics.podMonitor.additionalLabels) "release")) }}
- kube-prometheus-stack sees only monitors with its own label; if nothing is scraped, set
  metrics.podMonitor.additionalLabels.release to the name of its release.
{{- end }}
{{- if and $monitor $values.tls.web.clientCertificates (not (hasKey (default dict $values.metrics.podMonitor.tlsConfig) "cert")) }}
- Prometheus is asked for a certificate and has none: name it in metrics.podMonitor.tlsConfig.cert and keySecret.
{{- end }}
{{- if and (not $monitor) (not $values.metrics.scrapeAnnotations) }}
- Nobody is told to scrape these pods. Set metrics.podMonitor.enabled=true with the Prometheus operator, or
  metrics.scrapeAnnotations=true.
{{- end }}
{{- if and $on (not $values.image.registry) (not $values.global.imageRegistry) (not (contains "/" $values.image.repository)) }}
- The image is {{ include "watchkeeper.image" . }}, which nodes look for at Docker Hub unless they have it: set image.registry to
  where it was pushed.
{{- end }}
{{- range tuple "gateway" "detector" }}
{{- $resources := default dict (index $values .).resources }}
{{- if and (index $values .).enabled (index $values .).autoscaling.enabled (not (or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources))) }}
- {{ . }}: is scaled by the share of the CPU that it requests, and requests none: set {{ . }}.resources.requests.cpu.
{{- end }}
{{- end }}
{{- range $on }}
{{- if not (dig "limits" "memory" "" (default dict (index $values .).resources)) }}
- {{ . }}: has no limit of memory. Its own bounds hold what it keeps, not what a fault of the node may do.
{{- end }}
{{- end }}
{{- if and $values.store.url (not $values.store.enabled) }}
- store.url names a database, and no store is kept: set store.enabled=true.
{{- end }}
{{- if and $values.kafka.servers (not $values.kafka.tls.enabled) }}
- Kafka is spoken to in plain text: counts and findings can be read on the way (kafka.tls.enabled).
{{- end }}
{{- if and $values.gateway.enabled (not (include "watchkeeper.tlsSecret" (dict "root" . "component" "gateway"))) (ne $values.gateway.service.type "ClusterIP") }}
- Applications send to the gateway from outside the cluster in plain text: prompts can be read on the way
  (tls.existingSecret).
{{- end }}
{{- if and $values.gateway.enabled (not $values.detector.enabled) (or (gt (int $values.gateway.replicas) 1) $values.gateway.autoscaling.enabled) }}
- Several gateways judge drift apart from each other, each with a budget of false alarms of its own. One budget for
  all: detector.enabled=true (docs/fleet.md).
{{- end }}
{{- if and $values.gateway.enabled (include "watchkeeper.tlsSecret" (dict "root" . "component" "gateway")) $values.tls.otlp.enabled }}
- Applications know the gateway by OTEL_EXPORTER_OTLP_CERTIFICATE, a file with its authority{{ if $values.tls.otlp.clientCertificates }}, and show
  OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE with OTEL_EXPORTER_OTLP_CLIENT_KEY{{ end }}.
{{- end }}
{{- if and $values.gateway.enabled $values.auth.otlp.existingSecret }}
- Applications send their token in OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20TOKEN".
{{- end }}
{{- range tuple "gateway" "detector" }}
{{- $keeps := (index $values .).persistence.enabled }}
{{- if and (has . $on) (not $keeps) (include "watchkeeper.stores" (dict "root" $ "component" .)) (not $values.store.url) }}
- The store is a file in the pod of the {{ . }} and is gone with it: set {{ . }}.persistence.enabled=true, or store.url.
{{- else if and (eq . "gateway") (has . $on) (not $keeps) (not $values.detector.enabled) }}
- What the gateway learns (references, evidence of drift) is gone with its pod: set gateway.persistence.enabled=true
  before it is needed. A StatefulSet's claims cannot be added later.
{{- end }}
{{- end }}
{{- if has "node" $on }}
{{- range (include "watchkeeper.hostPaths" . | fromJson).paths }}
- The node agent reads {{ .path }} of the host, read-only.
{{- end }}
{{- if or $values.node.podResources.enabled $values.node.privileged }}
- The node agent runs as user 0, {{ ternary "privileged: the driver tells nobody else of all devices" "without any capability: the kubelet answers nobody else" $values.node.privileged }}.
{{- end }}
{{- if or (include "watchkeeper.hostPaths" . | fromJson).paths $values.node.hostPID $values.node.privileged }}
- Where Pod Security Admission is in force, the namespace has to admit that:
  kubectl label namespace {{ include "watchkeeper.namespace" . }} pod-security.kubernetes.io/enforce=privileged
{{- end }}
{{- if not $values.node.podResources.enabled }}
- Devices are not labelled with the pods that have them; that takes node.podResources.enabled=true.
{{- end }}
{{- if and $values.node.nvidia.enabled (not $values.node.runtimeClassName) }}
- NVIDIA's devices show where its runtime is the node's default; elsewhere set node.runtimeClassName=nvidia.
{{- end }}
{{- end }}
{{- if and (has "node" $on) (default dict $values.node.config).engines }}
- The agent of each node reads the engines of its configuration: behind one address they are counted as often as there are
  nodes, unless its Service has internalTrafficPolicy: Local. engines.enabled=true reads them once.
{{- end }}
{{- range $on }}
{{- if ne . "node" }}
{{- $config := include "watchkeeper.config" (dict "root" $ "component" .) | fromYaml }}
{{- if gt (dig "capture" "share" 0.0 $config | float64) 0.0 }}
- The {{ . }} writes prompts and answers, redacted, to {{ dig "capture" "path" "a file" $config }} (capture.share).
{{- end }}
{{- end }}
{{- end }}
- Prompts and answers are looked at in memory and leave it as numbers and marks only (docs/privacy.md).
{{- end -}}
