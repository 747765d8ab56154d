{{/* Who reads engines: each of them by one process, which counts what is on its page. */}}
{{- define "watchkeeper.engineMistakes" -}}
{{- $values := .Values -}}
{{- $found := list -}}
{{- $where := "name them in engines.config.engines with engines.enabled=true, where each is read once" -}}
{{- if (default dict $values.config).engines -}}
{{- $found = append $found (printf "config.engines: gateways and detectors read no engine, and the agent of each node would count the same ones again; %s" $where) -}}
{{- end -}}
{{- range $component := tuple "gateway" "detector" "report" -}}
{{- if (default dict (index $values $component).config).engines -}}
{{- $found = append $found (printf "%s.config.engines: a %s reads no engine, as each of several pods would count it again; %s" $component $component $where) -}}
{{- end -}}
{{- end -}}
{{- $own := default dict $values.engines.config -}}
{{- if and $values.engines.enabled (not $own.engines) -}}
{{- $found = append $found "engines.config.engines: there is nothing to read; name an engine ([{url: \"http://host:8000\"}]), or set engines.enabled=false" -}}
{{- end -}}
{{- if and $own.engines (not $values.engines.enabled) -}}
{{- $found = append $found "engines.enabled: engines are named and nobody reads them; set it to true" -}}
{{- end -}}
{{- range $key := tuple "otlp" "tap" "kafka" "checks" "drift" "capture" -}}
{{- if hasKey $own $key -}}
{{- $found = append $found (printf "engines.config.%s: it takes no calls and would not use it; write it into gateway.config" $key) -}}
{{- end -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $component := tuple "engines" "node" -}}
{{- range $index, $engine := (default dict (index $values $component).config).engines -}}
{{- $url := default "" $engine.url | trimSuffix "/" -}}
{{- $path := printf "%s.config.engines[%d].url" $component $index -}}
{{- if not $url -}}
{{- if not (index $values $component).extraContainers -}}
{{- $found = append $found (printf "%s: is empty, and what `find` looks for would be in this very pod; write http://host:port" $path) -}}
{{- end -}}
{{- else if not (regexMatch "^https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?([/?]|$)" $url) -}}
{{- $found = append $found (printf "%s: is no address; write http://host:port or https://host:port, a password into bearer_token_file" $path) -}}
{{- else if and (regexMatch "^https?://(localhost|127\\.|\\[::1\\])" $url) (not (index $values $component).extraContainers) -}}
{{- $found = append $found (printf "%s: %s is this very pod, where no engine runs; write where the engine is" $path $url) -}}
{{- else if hasKey $seen (print $url $engine.path) -}}
{{- $found = append $found (printf "%s: %s is read by %s, too, and would be counted twice; leave one out" $path $url (get $seen (print $url $engine.path))) -}}
{{- end -}}
{{- $_ := set $seen (print $url $engine.path) (printf "%s.config.engines[%d]" $component $index) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}
