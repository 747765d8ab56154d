{{/* The pod of a component: what all of them have in common. */}}

{{/* The secrets that a component's configuration names: {mounts: [{name, secret, keys}]}. Takes {root, component}. */}}
{{- define "watchkeeper.secretMounts" -}}
{{- $values := .root.Values -}}
{{- $mounts := list -}}
{{- if ne .component "report" -}}
{{- with include "watchkeeper.tlsSecret" . -}}
{{- $mounts = append $mounts (dict "name" "tls" "secret" .) -}}
{{- end -}}
{{- with $values.auth.web.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "auth-web" "secret" . "key" $values.auth.web.tokenKey) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "gateway") $values.auth.otlp.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "auth-otlp" "secret" $values.auth.otlp.existingSecret "key" $values.auth.otlp.tokenKey) -}}
{{- end -}}
{{- if and (has .component (tuple "gateway" "detector" "engines")) $values.kafka.servers -}}
{{- if and $values.kafka.tls.enabled $values.kafka.tls.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "kafka-tls" "secret" $values.kafka.tls.existingSecret) -}}
{{- end -}}
{{- if ne $values.kafka.sasl.mechanism "none" -}}
{{- $mounts = append $mounts (dict "name" "kafka-sasl" "secret" $values.kafka.sasl.existingSecret "key" $values.kafka.sasl.passwordKey) -}}
{{- end -}}
{{- end -}}
{{- if and (include "watchkeeper.stores" .) $values.store.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "store" "secret" $values.store.existingSecret "key" $values.store.passwordKey) -}}
{{- end -}}
{{- if eq .component (include "watchkeeper.controlComponent" .root) -}}
{{- $mounts = append $mounts (dict "name" "control" "secret" $values.control.existingSecret "key" $values.control.tokensKey) -}}
{{- end -}}
{{- if and (ne .component "report") $values.otlpExport.endpoint $values.otlpExport.tls.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "otlp-export-tls" "secret" $values.otlpExport.tls.existingSecret) -}}
{{- end -}}
{{- if and (ne .component "report") $values.otlpExport.endpoint $values.otlpExport.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "otlp-export" "secret" $values.otlpExport.existingSecret "key" $values.otlpExport.headersKey) -}}
{{- end -}}
{{- dict "mounts" $mounts | toJson -}}
{{- end -}}

{{/* Takes {root, component, config}. */}}
{{- define "watchkeeper.env" -}}
{{- $values := .root.Values -}}
{{- $store := dig "exporters" "store" dict .config -}}
{{- $push := dig "exporters" "otlp" dict .config -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- if and (has .component (tuple "gateway" "detector")) (dig "kafka" "enabled" false .config) (not (dig "kafka" "member" "" .config)) }}
- name: WATCHKEEPER__KAFKA__MEMBER
  value: '"$(POD_NAME)"'
{{- end }}
{{- if and (eq .component "node") $store.enabled (not $store.instance) }}
- name: WATCHKEEPER__EXPORTERS__STORE__INSTANCE
  value: '"$(NODE_NAME)"'
{{- end }}
{{- if and $push.enabled (not $push.resource_attributes) }}
- name: WATCHKEEPER__EXPORTERS__OTLP__RESOURCE_ATTRIBUTES
  value: '{k8s.namespace.name: "$(POD_NAMESPACE)", k8s.pod.name: "$(POD_NAME)", k8s.node.name: "$(NODE_NAME)"}'
{{- end }}
{{- if and (eq .component "node") $values.node.nvidia.enabled }}
- name: NVIDIA_VISIBLE_DEVICES
  value: {{ $values.node.nvidia.visibleDevices | quote }}
- name: NVIDIA_DRIVER_CAPABILITIES
  value: {{ $values.node.nvidia.driverCapabilities | quote }}
{{- end }}
{{- with (index $values .component).extraEnv }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end -}}

{{/* A probe, `httpGet` added where the values name no other way. Takes {probe, path, config}. */}}
{{- define "watchkeeper.probe" -}}
{{- $probe := deepCopy .probe -}}
{{- $asks := false -}}
{{- range tuple "exec" "grpc" "httpGet" "tcpSocket" }}{{ if hasKey $probe . }}{{ $asks = true }}{{ end }}{{ end -}}
{{- if not $asks -}}
{{- $_ := set $probe "httpGet" (dict "path" .path "port" "metrics" "scheme" (include "watchkeeper.webScheme" .config)) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* Of the container, with what a component states beyond the general. Takes {root, component}. */}}
{{- define "watchkeeper.securityContext" -}}
{{- $context := mergeOverwrite (deepCopy (default dict .root.Values.securityContext)) (deepCopy (default dict (index .root.Values .component).securityContext)) -}}
{{- if eq .component "node" -}}
{{- $node := .root.Values.node -}}
{{- if $node.privileged -}}
{{- $context = mergeOverwrite (omit $context "allowPrivilegeEscalation" "capabilities") (dict "privileged" true) -}}
{{- end -}}
{{- if or $node.privileged $node.podResources.enabled -}}
{{- $context = mergeOverwrite $context (dict "runAsUser" 0 "runAsGroup" 0 "runAsNonRoot" false) -}}
{{- end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* Whether a component judges calls, or tells of those that did: text or nothing. Takes {component}. */}}
{{- define "watchkeeper.hasReferences" -}}
{{- if not (has .component (tuple "node" "engines")) }}yes{{ end -}}
{{- end -}}

{{/* The container of the program. Takes {root, component, config, args, probes}. */}}
{{- define "watchkeeper.container" -}}
{{- $values := index .root.Values .component -}}
name: watchkeeper
image: {{ include "watchkeeper.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .args }}
env:
  {{- include "watchkeeper.env" . | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- if .probes }}
ports:
  {{- range (include "watchkeeper.ports" . | fromJson).ports }}
  - name: {{ .name }}
    containerPort: {{ int .port }}
    protocol: TCP
  {{- end }}
{{- range $name, $path := dict "livenessProbe" "/healthz" "readinessProbe" "/readyz" "startupProbe" "/healthz" }}
{{- with index $values $name }}
{{ $name }}:
  {{- include "watchkeeper.probe" (dict "probe" . "path" $path "config" $.config) | nindent 2 }}
{{- end }}
{{- end }}
{{- if and $values.preStopSleepSeconds (semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version) }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ int $values.preStopSleepSeconds }}
{{- end }}
{{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- include "watchkeeper.securityContext" . | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/watchkeeper
    readOnly: true
  - name: state
    mountPath: /var/lib/watchkeeper
  - name: tmp
    mountPath: /tmp
  {{- if and (include "watchkeeper.hasReferences" .) .root.Values.references.existingConfigMap }}
  - name: references
    mountPath: /etc/watchkeeper-references
    readOnly: true
  {{- end }}
  {{- range (include "watchkeeper.secretMounts" . | fromJson).mounts }}
  - name: {{ .name }}
    mountPath: {{ include "watchkeeper.secretFolder" .name }}
    readOnly: true
  {{- end }}
  {{- if eq .component "node" }}
  {{- range (include "watchkeeper.hostPaths" .root | fromJson).paths }}
  - name: {{ .name }}
    mountPath: {{ .path }}
    readOnly: true
  {{- end }}
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Paths of the host that the node agent reads: {paths: [{name, path}]}. */}}
{{- define "watchkeeper.hostPaths" -}}
{{- $paths := list -}}
{{- if .Values.node.podResources.enabled -}}
{{- $paths = append $paths (dict "name" "pod-resources" "path" .Values.node.podResources.path) -}}
{{- end -}}
{{- range $index, $path := .Values.node.hostLibraries -}}
{{- $paths = append $paths (dict "name" (printf "library-%d" $index) "path" $path) -}}
{{- end -}}
{{- dict "paths" $paths | toJson -}}
{{- end -}}

{{/* Volumes of the pod, but for `state` of one that has claims. Takes {root, component, state}. */}}
{{- define "watchkeeper.volumes" -}}
{{- $values := index .root.Values .component -}}
- name: config
  configMap:
    name: {{ printf "%s-%s" (include "watchkeeper.fullname" .root) .component }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .state }}
- name: state
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and (include "watchkeeper.hasReferences" .) .root.Values.references.existingConfigMap }}
- name: references
  configMap:
    name: {{ .root.Values.references.existingConfigMap }}
{{- end }}
{{- range (include "watchkeeper.secretMounts" . | fromJson).mounts }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    {{- with .key }}
    items:
      - key: {{ . }}
        path: {{ . }}
    {{- end }}
{{- end }}
{{- if eq .component "node" }}
{{- range (include "watchkeeper.hostPaths" .root | fromJson).paths }}
- name: {{ .name }}
  hostPath:
    path: {{ .path }}
    type: Directory
{{- end }}
{{- end }}
{{- with $values.extraVolumes }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of the pods. Takes {root, component, config}. */}}
{{- define "watchkeeper.podMetadata" -}}
{{- $values := index .root.Values .component -}}
{{- $labels := tpl (toYaml (default dict $values.podLabels)) .root | fromYaml -}}
{{- $annotations := dict "checksum/config" (include "watchkeeper.config" . | sha256sum) -}}
{{- if and .root.Values.metrics.scrapeAnnotations (ne .component "report") -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/port" (dig "web" "port" 9464 .config | int | toString) -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- $_ := set $annotations "prometheus.io/scheme" (include "watchkeeper.webScheme" .config | lower) -}}
{{- end -}}
labels:
  {{- include "watchkeeper.labels" (merge (dict "labels" $labels) .) | nindent 2 }}
annotations:
  {{- mergeOverwrite $annotations (tpl (toYaml (default dict $values.podAnnotations)) .root | fromYaml) | toYaml | nindent 2 }}
{{- end -}}

{{/* What a pod's spec has besides containers and volumes. Takes {root, component}. */}}
{{- define "watchkeeper.podSettings" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "watchkeeper.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "watchkeeper.imagePullSecrets" .root }}
securityContext:
  {{- mergeOverwrite (deepCopy (default dict .root.Values.podSecurityContext)) (deepCopy (default dict $values.podSecurityContext)) | toYaml | nindent 2 }}
terminationGracePeriodSeconds: {{ int $values.terminationGracePeriodSeconds }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- merge (deepCopy (default dict $values.nodeSelector)) (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- if hasKey $values "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- $usual := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" }}
  {{- $selector := dict "matchLabels" (include "watchkeeper.selectorLabels" . | fromYaml) }}
  {{- range default (list $usual) $values.topologySpreadConstraints }}
  - {{- merge (deepCopy .) (dict "labelSelector" $selector) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The whole template of a pod that runs all the time. Takes {root, component, state, hostPID}. */}}
{{- define "watchkeeper.podTemplate" -}}
{{- $values := index .root.Values .component -}}
{{- $config := include "watchkeeper.config" . | fromYaml -}}
{{- $role := ternary "sidecar" .component (eq .component "engines") -}}
{{- $args := list "run" "--role" $role "--config" "/etc/watchkeeper/watchkeeper.yaml" -}}
{{- $with := merge (dict "config" $config "args" $args "probes" true) . -}}
metadata:
  {{- include "watchkeeper.podMetadata" $with | nindent 2 }}
spec:
  {{- include "watchkeeper.podSettings" $with | nindent 2 }}
  {{- if .hostPID }}
  hostPID: true
  {{- end }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "watchkeeper.container" $with | nindent 6 }}
    {{- with $values.extraContainers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "watchkeeper.volumes" $with | nindent 4 }}
{{- end -}}
