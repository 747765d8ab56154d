{{/*
What stands in the cluster and cannot become what these values say: Kubernetes would refuse it in the middle of an upgrade.
Asked of the cluster with `lookup`, which finds nothing where there is none (`helm template`) and nothing before the first
installation.
*/}}
{{- define "watchkeeper.standingMistakes" -}}
{{- $found := list -}}
{{- $namespace := include "watchkeeper.namespace" . -}}
{{- $out := "or take it away first, its pods staying (UPGRADING.md, what cannot be changed)" -}}
{{- range $component := (include "watchkeeper.components" . | fromJson).on -}}
{{- $name := printf "%s-%s" (include "watchkeeper.fullname" $) $component -}}
{{- $kind := ternary "DaemonSet" "StatefulSet" (eq $component "node") -}}
{{- with (lookup "apps/v1" $kind $namespace $name).spec -}}
{{- $selector := include "watchkeeper.selectorLabels" (dict "root" $ "component" $component) | fromYaml -}}
{{- if ne (toJson $selector) (toJson .selector.matchLabels) -}}
{{- $found = append $found (printf "nameOverride: %s %s finds its pods by %s, which Kubernetes does not change; set it as it was, %s" $kind $name (toJson .selector.matchLabels) $out) -}}
{{- end -}}
{{- $persistence := (index $.Values $component).persistence -}}
{{- $claims := default list .volumeClaimTemplates -}}
{{- if not $persistence -}}
{{- else if and $persistence.enabled (not $claims) -}}
{{- $found = append $found (printf "%s.persistence.enabled: StatefulSet %s stands without claims, and Kubernetes lets none be added; set it to false, %s" $component $name $out) -}}
{{- else if and $claims (not $persistence.enabled) -}}
{{- $found = append $found (printf "%s.persistence.enabled: StatefulSet %s stands with claims, and Kubernetes lets none be taken; set it to true, %s" $component $name $out) -}}
{{- else if $claims -}}
{{- range include "watchkeeper.claimChanges" (dict "claim" (first $claims) "persistence" $persistence) | fromJsonArray -}}
{{- $found = append $found (printf "%s.persistence.%s: the claims of StatefulSet %s have %s, which Kubernetes does not change; set it so, %s" $component .key $name .has $out) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $report := .Values.report -}}
{{- if and $report.enabled (not $report.persistence.existingClaim) -}}
{{- $name := printf "%s-report" (include "watchkeeper.fullname" .) -}}
{{- with lookup "v1" "PersistentVolumeClaim" $namespace $name -}}
{{- range include "watchkeeper.claimChanges" (dict "claim" . "persistence" $report.persistence "stands" true) | fromJsonArray -}}
{{- $found = append $found (printf "report.persistence.%s: claim %s has %s, which Kubernetes does not change so; set it so, or name a claim of yours in report.persistence.existingClaim" .key $name .has) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/*
What differs between a claim and the values `persistence`: [{key, has}]. One that stands has a class where none was named,
more annotations, and may grow. Takes {claim, persistence, stands}.
*/}}
{{- define "watchkeeper.claimChanges" -}}
{{- $stands := default false .stands -}}
{{- $wanted := include "watchkeeper.claim" .persistence | fromYaml -}}
{{- $spec := .claim.spec -}}
{{- $changes := list -}}
{{- $size := include "watchkeeper-sidecar.quantity" $spec.resources.requests.storage | float64 -}}
{{- $asked := include "watchkeeper-sidecar.quantity" .persistence.size | float64 -}}
{{- if or (lt $asked $size) (and (gt $asked $size) (not $stands)) -}}
{{- $changes = append $changes (dict "key" "size" "has" (toString $spec.resources.requests.storage)) -}}
{{- end -}}
{{- if and (ne (toJson $wanted.storageClassName) (toJson $spec.storageClassName)) (or (hasKey $wanted "storageClassName") (not $stands)) -}}
{{- $class := ternary (ternary "-, for none" $spec.storageClassName (eq (default "" $spec.storageClassName) "")) "nothing, the cluster's own" (hasKey $spec "storageClassName") -}}
{{- $changes = append $changes (dict "key" "storageClass" "has" $class) -}}
{{- end -}}
{{- if ne (toJson $wanted.accessModes) (toJson $spec.accessModes) -}}
{{- $changes = append $changes (dict "key" "accessModes" "has" (toJson $spec.accessModes)) -}}
{{- end -}}
{{- if and (not $stands) (ne (toJson (default dict .persistence.annotations)) (toJson (default dict .claim.metadata.annotations))) -}}
{{- $changes = append $changes (dict "key" "annotations" "has" (toJson (default dict .claim.metadata.annotations))) -}}
{{- end -}}
{{- toJson $changes -}}
{{- end -}}
