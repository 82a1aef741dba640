{{/* What is derived from the configuration: the file that pods read, its ports, where it listens. */}}

{{- define "call-dispatcher.port" -}}
{{- dig "http" "port" 8080 .Values.config | int -}}
{{- end -}}

{{- define "call-dispatcher.host" -}}
{{- dig "http" "host" "0.0.0.0" .Values.config -}}
{{- end -}}

{{- define "call-dispatcher.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- with .Values.kafkaTls -}}
{{- if .existingSecret -}}
{{- $security := dig "kafka" "security" dict $config -}}
{{- range $field, $key := dict "ca_file" .ca "cert_file" .cert "key_file" .key -}}
{{- if $key -}}{{- $_ := set $security $field (printf "/etc/call-dispatcher-tls/%s" $key) -}}{{- end -}}
{{- end -}}
{{- $_ := set $config.kafka "security" $security -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Numbers of ports, separated by blanks. */}}
{{- define "call-dispatcher.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," (dig "kafka" "bootstrap_servers" "" .Values.config) -}}
{{- $ports = append $ports (splitList ":" . | last | trim) -}}
{{- end -}}
{{- .Values.networkPolicy.kafka.ports | default ($ports | uniq) | join " " -}}
{{- end -}}

{{- define "call-dispatcher.urlPort" -}}
{{- regexFind ":[0-9]+$" (urlParse (default "" .url)).host | trimPrefix ":" | default .default -}}
{{- end -}}

{{- define "call-dispatcher.redisUrl" -}}
{{- dig "provider" "redis_url" "" .Values.config | default .Values.secret.DISPATCHER_PROVIDER__REDIS_URL | default "" -}}
{{- end -}}

{{- define "call-dispatcher.redisPort" -}}
{{- .Values.networkPolicy.redis.port | default (include "call-dispatcher.urlPort" (dict "url" (include "call-dispatcher.redisUrl" .) "default" "6379")) -}}
{{- end -}}
