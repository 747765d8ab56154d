{{/* Words that Kubernetes has rules for, which it would tell only when an object is made, or not before a job is due. */}}
{{- define "watchkeeper.wordMistakes" -}}
{{- $found := list -}}
{{- range tuple "watchkeeper.keyMistakes" "watchkeeper.urlMistakes" "watchkeeper.accountMistakes" "watchkeeper.nodePortMistakes" "watchkeeper.reportMistakes" -}}
{{- with include . $ }}{{ $found = concat $found (splitList "\n" .) }}{{ end -}}
{{- end -}}
{{- join "\n" (uniq $found) -}}
{{- end -}}

{{/* Keys of labels and annotations, and values of labels; after their templates were evaluated, where they are templates. */}}
{{- define "watchkeeper.keyMistakes" -}}
{{- $values := .Values -}}
{{- $found := list -}}
{{- $monitoring := $values.metrics -}}
{{- $sets := list
  (list "commonLabels" "label" $values.commonLabels)
  (list "commonAnnotations" "annotation" $values.commonAnnotations)
  (list "metrics.podMonitor.additionalLabels" "label" $monitoring.podMonitor.additionalLabels)
  (list "metrics.prometheusRule.additionalLabels" "label" $monitoring.prometheusRule.additionalLabels)
  (list "dashboards.annotations" "annotation" $values.dashboards.annotations)
  (list "dashboards.label" "label" (dict $values.dashboards.label (toString $values.dashboards.labelValue)))
  (list "gateway.service.annotations" "annotation" $values.gateway.service.annotations)
-}}
{{- with $values.dashboards.folderAnnotation }}{{ $sets = append $sets (list "dashboards.folderAnnotation" "annotation" (dict . "")) }}{{ end -}}
{{- range $component := tuple "node" "gateway" "detector" "engines" "report" -}}
{{- $its := index $values $component -}}
{{- $sets = append $sets (list (printf "%s.podLabels" $component) "label" $its.podLabels) -}}
{{- $sets = append $sets (list (printf "%s.podAnnotations" $component) "annotation" $its.podAnnotations) -}}
{{- $sets = append $sets (list (printf "%s.nodeSelector" $component) "label" $its.nodeSelector) -}}
{{- $sets = append $sets (list (printf "%s.serviceAccount.annotations" $component) "annotation" $its.serviceAccount.annotations) -}}
{{- with $its.persistence }}{{ $sets = append $sets (list (printf "%s.persistence.annotations" $component) "annotation" .annotations) }}{{ end -}}
{{- end -}}
{{- $part := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" -}}
{{- range $sets -}}
{{- $path := index . 0 -}}
{{- $isLabel := eq (index . 1) "label" -}}
{{- $words := default dict (index . 2) -}}
{{- if regexMatch "(^common|[.]pod)(Labels|Annotations)$" $path }}{{ $words = tpl (toYaml $words) $ | fromYaml }}{{ end -}}
{{- range $key, $value := $words -}}
{{- $prefix := ternary (splitList "/" $key | first) "a" (contains "/" $key) -}}
{{- if or (not (regexMatch "^([^/]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $key)) (not (regexMatch (printf "^%s(\\.%s)*$" $part $part) (ternary $prefix (lower $prefix) $isLabel))) (gt (len $prefix) 253) -}}
{{- $found = append $found (printf "%s: '%s' is no key of %s; write at most 63 letters, digits, - _ and . that begin and end with a letter or digit, after a DNS name and / where you like" $path $key (ternary "a label" "an annotation" $isLabel)) -}}
{{- else if and $isLabel (not (regexMatch "^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$" (toString $value))) -}}
{{- $found = append $found (printf "%s.%s: '%v' is no value of a label; write at most 63 letters, digits, - _ and . that begin and end with a letter or digit" $path $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key := keys (default dict $monitoring.prometheusRule.alertLabels) | sortAlpha -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" $key) -}}
{{- $found = append $found (printf "metrics.prometheusRule.alertLabels: '%s' is no label of Prometheus'; write letters, digits and _, a digit not first" $key) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/* Addresses that cannot be read. None is shown: some hold a password where they should not. */}}
{{- define "watchkeeper.urlMistakes" -}}
{{- $values := .Values -}}
{{- $found := list -}}
{{- $urls := dict "store.url" $values.store.url "otlpExport.endpoint" $values.otlpExport.endpoint "report.prometheusUrl" $values.report.prometheusUrl -}}
{{- range $component := tuple "node" "gateway" "detector" "engines" -}}
{{- $config := default dict (index $values $component).config -}}
{{- range $list, $field := dict "engines" "url" "vendor_exporter" "url" "tap" "upstream" -}}
{{- range $index, $target := default list (get $config $list) }}{{ $_ := set $urls (printf "%s.config.%s[%d].%s" $component $list $index $field) (get $target $field) }}{{ end -}}
{{- end -}}
{{- $_ := set $urls (printf "%s.config.checks.classifier.url" $component) (dig "checks" "classifier" "url" "" $config) -}}
{{- end -}}
{{- range $key, $url := $urls -}}
{{- if $url -}}
{{- $host := regexFind "^[a-z]+://[^/?#]*" $url | splitList "@" | last | regexFind "[^/]*$" -}}
{{- if regexMatch "%([^0-9A-Fa-f]|[0-9A-Fa-f]([^0-9A-Fa-f]|$)|$)" $url -}}
{{- $found = append $found (printf "%s: a %% in it begins no escape of two hexadecimal digits; write %%25 for the sign itself" $key) -}}
{{- else if not (regexMatch "^([^:\\s\\[\\]]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(,([^:\\s\\[\\]]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?)*$" $host) -}}
{{- $found = append $found (printf "%s: its host and port cannot be read; write host:port, an IPv6 address in [ ]" $key) -}}
{{- else -}}
{{- range regexFindAll ":[0-9]{1,5}(,|$)" $host -1 -}}
{{- $port := trimAll ":," . | atoi -}}
{{- if or (lt $port 1) (gt $port 65535) -}}
{{- $found = append $found (printf "%s: %d is no port; write one from 1 to 65535" $key $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/* Service accounts that would be made twice. */}}
{{- define "watchkeeper.accountMistakes" -}}
{{- $found := list -}}
{{- $made := dict -}}
{{- range $component := concat (include "watchkeeper.components" . | fromJson).on (ternary (list "report") list .Values.report.enabled) -}}
{{- if (index $.Values $component).serviceAccount.create -}}
{{- $name := include "watchkeeper.serviceAccountName" (dict "root" $ "component" $component) -}}
{{- with get $made $name -}}
{{- $found = append $found (printf "%s.serviceAccount.name: %s is made for %s, too; set %s.serviceAccount.create=false, and it is used by both" $component $name . $component) -}}
{{- end -}}
{{- $_ := set $made $name $component -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/* A port of the node for two ports of the Service. */}}
{{- define "watchkeeper.nodePortMistakes" -}}
{{- $found := list -}}
{{- $taken := dict -}}
{{- range $name, $port := default dict .Values.gateway.service.nodePorts -}}
{{- with get $taken (int $port | toString) -}}
{{- $found = append $found (printf "gateway.service.nodePorts: %s and %s have the same port of the node, %d; give one of them another" . $name (int $port)) -}}
{{- end -}}
{{- $_ := set $taken (int $port | toString) $name -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}

{{/*
When a report is due, by the rules of Kubernetes' cron. A time zone is looked for in this machine's own list, where it has
one: helm then tells the time there by another name than UTC.
*/}}
{{- define "watchkeeper.reportMistakes" -}}
{{- $report := .Values.report -}}
{{- $found := list -}}
{{- $schedule := $report.schedule -}}
{{- if hasPrefix "@" $schedule -}}
{{- if not (has $schedule (tuple "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly")) -}}
{{- $found = append $found (printf "report.schedule: %s is none of @yearly, @monthly, @weekly, @daily, @hourly; write one of them, or five fields" $schedule) -}}
{{- end -}}
{{- else -}}
{{- $months := dict "JAN" 1 "FEB" 2 "MAR" 3 "APR" 4 "MAY" 5 "JUN" 6 "JUL" 7 "AUG" 8 "SEP" 9 "OCT" 10 "NOV" 11 "DEC" 12 -}}
{{- $days := dict "SUN" 0 "MON" 1 "TUE" 2 "WED" 3 "THU" 4 "FRI" 5 "SAT" 6 -}}
{{- $fields := list (list "minute" 0 59 dict) (list "hour" 0 23 dict) (list "day of the month" 1 31 dict) (list "month" 1 12 $months) (list "day of the week" 0 6 $days) -}}
{{- range $index, $text := regexSplit " +" $schedule -1 -}}
{{- $name := index $fields $index 0 -}}
{{- $least := index $fields $index 1 -}}
{{- $most := index $fields $index 2 -}}
{{- $words := index $fields $index 3 -}}
{{- range splitList "," $text -}}
{{- $isWrong := not (regexMatch "^([*?]|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]*[1-9][0-9]*)?$" .) -}}
{{- $ends := list -}}
{{- range splitList "/" . | first | splitList "-" -}}
{{- if hasKey $words (upper .) -}}
{{- $ends = append $ends (get $words (upper .)) -}}
{{- else if regexMatch "^[0-9]{1,4}$" . -}}
{{- $ends = append $ends (atoi .) -}}
{{- else if not (has . (tuple "*" "?")) -}}
{{- $isWrong = true -}}
{{- end -}}
{{- end -}}
{{- range $ends }}{{ if or (lt . $least) (gt . $most) }}{{ $isWrong = true }}{{ end }}{{ end -}}
{{- if $isWrong -}}
{{- $found = append $found (printf "report.schedule: '%s' is no %s; write numbers from %d to %d, ranges (1-5), steps (*/2), or *" . $name $least $most) -}}
{{- else if and (eq (len $ends) 2) (gt (first $ends) (last $ends)) -}}
{{- $found = append $found (printf "report.schedule: '%s' ends before it begins; turn it round, or write two ranges with a comma between" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $utc := tuple "UTC" "Etc/UTC" "UCT" "Etc/UCT" "Universal" "Etc/Universal" "Zulu" "Etc/Zulu" -}}
{{- $hasZones := ne (dateInZone "MST" now "Asia/Tokyo") "UTC" -}}
{{- if or (eq (lower $report.timeZone) "local") (and $hasZones (not (has $report.timeZone $utc)) (eq (dateInZone "MST" now $report.timeZone) "UTC")) -}}
{{- $found = append $found (printf "report.timeZone: there is no '%s'; write a name of the IANA list, such as Europe/Berlin, or Etc/UTC" $report.timeZone) -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}
