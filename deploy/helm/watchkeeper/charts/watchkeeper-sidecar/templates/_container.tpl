{{/*
The sidecar, for charts of your own. What a pod's template includes (initContainers, containers, volumes, podLabels,
podAnnotations, configMap) takes the chart's context:

  {{ include "watchkeeper-sidecar.initContainers" . }}

What is below them takes the values of this chart, as `watchkeeper-sidecar.values` gives them.
*/}}

{{/*
As YAML; what is set to nothing counts as empty, but for the image, which has to have a name. Before Kubernetes 1.29 an init
container that should go on running would be waited for without end.
*/}}
{{- define "watchkeeper-sidecar.values" -}}
{{- $values := deepCopy (index .Values "watchkeeper-sidecar") -}}
{{- if not (kindIs "map" $values.image) }}{{ fail "\n\nwatchkeeper-sidecar.image: has nothing below it, which takes its defaults away; leave the key out, or write {}\n" }}{{ end -}}
{{- with include "watchkeeper-sidecar.overLimits" (dict "resources" $values.resources "name" "watchkeeper-sidecar.resources") }}{{ fail (printf "\n\n%s\n" .) }}{{ end -}}
{{- range tuple "config" "engine" "state" }}{{ $_ := set $values . (default dict (get $values .)) }}{{ end -}}
{{- $knows := semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- set $values "native" (and $values.native $knows) | toYaml -}}
{{- end -}}

{{- define "watchkeeper-sidecar.image" -}}
{{- with default .image.registry (dig "imageRegistry" "" (default dict .global)) }}{{ . | trimSuffix "/" }}/{{ end -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag }}{{ end }}
{{- end -}}

{{- define "watchkeeper-sidecar.port" -}}
{{- dig "web" "port" 9464 .config | int -}}
{{- end -}}

{{/* Items for `initContainers`; none where the sidecar is a plain container. */}}
{{- define "watchkeeper-sidecar.initContainers" -}}
{{- with include "watchkeeper-sidecar.values" . | fromYaml }}{{ if and .enabled .native -}}
- {{ include "watchkeeper-sidecar.container" . | nindent 2 | trim }}
{{- end }}{{ end -}}
{{- end -}}

{{/* Items for `containers`; none where the sidecar is a native one. */}}
{{- define "watchkeeper-sidecar.containers" -}}
{{- with include "watchkeeper-sidecar.values" . | fromYaml }}{{ if and .enabled (not .native) -}}
- {{ include "watchkeeper-sidecar.container" . | nindent 2 | trim }}
{{- end }}{{ end -}}
{{- end -}}

{{/*
The container. What it does not have is there for the model's sake: no startupProbe, which would hold the model back; no
readinessProbe, which would take the pod out of its Services; no lifecycle hook, which could delay its end.
*/}}
{{- define "watchkeeper-sidecar.container" -}}
name: watchkeeper
image: {{ include "watchkeeper-sidecar.image" . }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- if .native }}
restartPolicy: Always
{{- end }}
args:
  - run
  - --role
  - sidecar
  - --retry-seconds
  - "60"
  {{- if .configMap }}
  - --config
  - /etc/watchkeeper/watchkeeper.yaml
  {{- end }}
env:
  {{- include "watchkeeper-sidecar.env" . | nindent 2 }}
{{- if not .hostNetwork }}
ports:
  - name: watchkeeper
    containerPort: {{ include "watchkeeper-sidecar.port" . }}
    protocol: TCP
{{- end }}
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ include "watchkeeper-sidecar.port" . }}
    {{- if dig "web" "tls" "certificate_file" "" .config }}
    scheme: HTTPS
    {{- end }}
  {{- with .livenessProbe }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: watchkeeper-tmp
    mountPath: /tmp
  {{- if .state.enabled }}
  - name: watchkeeper-state
    mountPath: /var/lib/watchkeeper
  {{- end }}
  {{- if .configMap }}
  - name: watchkeeper-config
    mountPath: /etc/watchkeeper
    readOnly: true
  {{- end }}
  {{- with .extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The pod, its annotations, and the settings where no ConfigMap has them. What `config` says of a key wins. */}}
{{- define "watchkeeper-sidecar.env" -}}
{{- range $name, $field := dict "WATCHKEEPER__POD__NAMESPACE" "metadata.namespace" "WATCHKEEPER__POD__NAME" "metadata.name" "NODE_NAME" "spec.nodeName" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $field }}
{{- end }}
{{- if .listenAddress }}
- name: WATCHKEEPER__WEB__HOST
  value: {{ .listenAddress | quote }}
{{- else if not (dig "web" "host" "" .config) }}
- name: WATCHKEEPER__WEB__HOST
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- if not (hasKey .config "engines") }}
{{- if not .engine.url }}
- name: ENGINE_URL
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['watchkeeper.dev/engine-url']
{{- end }}
- name: SERVICE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['watchkeeper.dev/service']
- name: WATCHKEEPER__ENGINES
  value: '[{"url":"{{ default "$(ENGINE_URL)" .engine.url }}","name":"$(SERVICE_NAME)","find":true}]'
{{- end }}
{{- if .state.enabled }}
- name: WATCHKEEPER__STATE_FOLDER
  value: /var/lib/watchkeeper
{{- end }}
{{- $push := dig "exporters" "otlp" dict .config }}
{{- if and $push.enabled (not $push.resource_attributes) }}
- name: WATCHKEEPER__EXPORTERS__OTLP__RESOURCE_ATTRIBUTES
  value: '{"k8s.namespace.name":"$(WATCHKEEPER__POD__NAMESPACE)","k8s.pod.name":"$(WATCHKEEPER__POD__NAME)","k8s.node.name":"$(NODE_NAME)"}'
{{- end }}
{{- if not .configMap }}
{{- range $key, $value := .config }}
- name: WATCHKEEPER__{{ upper $key }}
  value: {{ toJson $value | quote }}
{{- end }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
