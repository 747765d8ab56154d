{{/* The StatefulSet of a gateway or detector. Takes {root, component}. */}}
{{- define "watchkeeper.statefulSet" -}}
{{- $values := index .root.Values .component -}}
{{- $keeps := $values.persistence.enabled -}}
{{- $state := dict "emptyDir" (dict "sizeLimit" $values.persistence.ephemeralSize) -}}
{{- $with := merge (dict "state" (ternary dict $state $keeps)) . -}}
{{- $scales := or $values.autoscaling.enabled $values.autoscaling.external (dig "keda" "enabled" false $values) -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "watchkeeper.metadata" $with | nindent 2 }}
spec:
  serviceName: {{ include "watchkeeper.fullname" .root }}-{{ .component }}-headless
  {{- if not $scales }}
  replicas: {{ int $values.replicas }}
  {{- end }}
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- include "watchkeeper.selectorLabels" $with | nindent 6 }}
  updateStrategy:
    {{- toYaml $values.updateStrategy | nindent 4 }}
  template:
    {{- include "watchkeeper.podTemplate" $with | nindent 4 }}
  {{- if $keeps }}
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: {{ $values.persistence.whenDeleted }}
    whenScaled: {{ $values.persistence.whenScaled }}
  volumeClaimTemplates:
    - metadata:
        name: state
        labels:
          {{- include "watchkeeper.selectorLabels" $with | nindent 10 }}
        {{- with $values.persistence.annotations }}
        annotations:
          {{- toYaml . | nindent 10 }}
        {{- end }}
      spec:
        {{- include "watchkeeper.claim" $values.persistence | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Spec of a claim. Takes the values `persistence`. */}}
{{- define "watchkeeper.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- if .storageClass }}
storageClassName: {{ ternary "" .storageClass (eq .storageClass "-") | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end -}}
