{{/*
What cannot work is refused here with a sentence, before anything is installed; values.schema.json has refused what
has no meaning at all. Each list holds all that is wrong, so that one look is enough.
*/}}

{{- define "call-dispatcher.refuse" -}}
{{- $wrong := concat
  (include "call-dispatcher.wrongKafka" . | fromYamlArray)
  (include "call-dispatcher.wrongProvider" . | fromYamlArray)
  (include "call-dispatcher.wrongSecrets" . | fromYamlArray)
  (include "call-dispatcher.wrongPods" . | fromYamlArray) -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot work:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "call-dispatcher.loopback" -}}
{{- if regexMatch "^(localhost|127\\.[0-9.]+|\\[?::1\\]?)$" . }}true{{ end -}}
{{- end -}}

{{- define "call-dispatcher.wrongKafka" -}}
{{- $servers := dig "kafka" "bootstrap_servers" "" .Values.config -}}
{{- $security := dig "kafka" "security" dict .Values.config -}}
{{- $protocol := dig "protocol" "PLAINTEXT" $security -}}
{{- if not $servers }}
- "config.kafka.bootstrap_servers is missing: name the brokers, as host:port, several separated by commas"
{{- end }}
{{- range splitList "," $servers }}
{{- $host := regexReplaceAll ":[0-9]+$" (trim .) "" }}
{{- if include "call-dispatcher.loopback" $host }}
- "config.kafka.bootstrap_servers names {{ $host }}, which is the pod itself: name the brokers"
{{- end }}
{{- end }}
{{- if hasPrefix "SASL" $protocol }}
{{- if not $security.mechanism }}
- "config.kafka.security.mechanism is required by protocol {{ $protocol }}"
{{- end }}
{{- if not .Values.existingSecret }}
{{- if not (or $security.username .Values.secret.DISPATCHER_KAFKA__SECURITY__USERNAME) }}
- "protocol {{ $protocol }} needs a username: config.kafka.security.username, or DISPATCHER_KAFKA__SECURITY__USERNAME in secret"
{{- end }}
{{- if not .Values.secret.DISPATCHER_KAFKA__SECURITY__PASSWORD }}
- "protocol {{ $protocol }} needs a password: DISPATCHER_KAFKA__SECURITY__PASSWORD in secret or in existingSecret"
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.kafkaTls.existingSecret }}
{{- if not (hasSuffix "SSL" $protocol) }}
- "kafkaTls.existingSecret has no use with protocol {{ $protocol }}: set config.kafka.security.protocol to SSL or SASL_SSL"
{{- end }}
{{- if and .Values.kafkaTls.key (not .Values.kafkaTls.cert) }}
- "kafkaTls.key is of no use without kafkaTls.cert"
{{- end }}
{{- end }}
{{- range list "ca_file" "cert_file" "key_file" }}
{{- if index $security . }}
- "config.kafka.security.{{ . }} names a file that no pod has: name its Secret and its key in kafkaTls"
{{- end }}
{{- end }}
{{- end -}}

{{- define "call-dispatcher.wrongProvider" -}}
{{- $provider := dig "provider" dict .Values.config -}}
{{- $url := dig "url" "" $provider -}}
{{- if not $url }}
- "config.provider.url is missing: give the provider's whole endpoint"
{{- else if not (hasPrefix "https://" $url) }}
- "config.provider.url must begin with https://, for the security-id would travel in clear"
{{- end }}
{{- if and (eq (dig "limit_scope" "lane" $provider) "redis") (not .Values.existingSecret) (not (include "call-dispatcher.redisUrl" .)) }}
- "limit_scope redis needs Redis: DISPATCHER_PROVIDER__REDIS_URL in secret or existingSecret, or config.provider.redis_url"
{{- end }}
{{- $bulk := eq (dig "profile" "bulk" $provider) "bulk" }}
{{- $limit := $provider.calls_per_minute | default (ternary 30000 500 $bulk) | int64 }}
{{- $batch := dig "batching" "calls_max" nil .Values.config | default (ternary 500 50 $bulk) | int64 }}
{{- $share := div $limit (int64 .Values.lanes) }}
{{- if lt $share $batch }}
- "{{ .Values.lanes }} lanes have {{ $share }} calls a minute each, less than one batch of {{ $batch }}: have fewer lanes, a smaller config.batching.calls_max, or a higher limit"
{{- end }}
{{- end -}}

{{- define "call-dispatcher.wrongSecrets" -}}
{{- $provider := dig "provider" dict .Values.config -}}
{{- if and .Values.existingSecret .Values.secret }}
- "existingSecret and secret are both given: keep one of the two"
{{- else if not (or .Values.existingSecret .Values.secret.DISPATCHER_PROVIDER__SECURITY_ID) }}
- "no security-id: put DISPATCHER_PROVIDER__SECURITY_ID into secret, or name a Secret that holds it in existingSecret"
{{- end }}
{{- $secrets := dict
  "http.token" (dig "http" "token" nil .Values.config)
  "kafka.security.password" (dig "kafka" "security" "password" nil .Values.config)
  "provider.previous_security_ids" $provider.previous_security_ids
  "provider.security_id" $provider.security_id }}
{{- if contains "@" ($provider.redis_url | default "") }}
{{- $_ := set $secrets "provider.redis_url" true }}
{{- end }}
{{- $files := dict "provider.security_id_file" $provider.security_id_file }}
{{- range $flow, $settings := dig "flows" dict .Values.config }}
{{- $_ := set $secrets (printf "flows.%s.security_id" $flow) (dig "security_id" nil (default dict $settings)) }}
{{- $_ := set $files (printf "flows.%s.security_id_file" $flow) (dig "security_id_file" nil (default dict $settings)) }}
{{- end }}
{{- range $field, $value := $secrets }}
{{- if $value }}
- "config.{{ $field }} is a secret, and a ConfigMap keeps none: move it to secret or to existingSecret, as a variable"
{{- end }}
{{- end }}
{{- range $field, $value := $files }}
{{- if $value }}
- "config.{{ $field }} names a file that no pod has: put the security-id itself into secret or existingSecret, as a variable"
{{- end }}
{{- end }}
{{- end -}}

{{- define "call-dispatcher.wrongPods" -}}
{{- $drain := dig "shutdown" "drain_seconds" 35.0 .Values.config }}
{{- $host := include "call-dispatcher.host" . }}
{{- if le (float64 .Values.terminationGracePeriodSeconds) (float64 $drain) }}
- "terminationGracePeriodSeconds is {{ .Values.terminationGracePeriodSeconds }}, and draining takes up to {{ $drain }} s: a replica killed meanwhile leaves batches in doubt. Make it longer than config.shutdown.drain_seconds"
{{- end }}
{{- if include "call-dispatcher.loopback" $host }}
- "config.http.host is {{ $host }}, where neither probes nor Prometheus reach a pod: leave it out, or set 0.0.0.0"
{{- end }}
{{- if eq (include "call-dispatcher.port" .) "0" }}
- "config.http.port is 0, and probes need to know it: leave it out, or name one"
{{- end }}
{{- if and .Values.alerts.enabled (not .Values.alerts.runbooksBase) }}
- "alerts.runbooksBase is missing: say where docs/runbooks can be read, so that alerts lead there"
{{- end }}
{{- if and .Values.topics.migrate (not .Values.topics.create) }}
- "topics.migrate is the Job's, which topics.create: false takes away"
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (ge (int .Values.podDisruptionBudget.maxUnavailable) (int (add .Values.lanes .Values.standbys))) (gt (int (add .Values.lanes .Values.standbys)) 1) }}
- "podDisruptionBudget.maxUnavailable lets all {{ add .Values.lanes .Values.standbys }} replicas go at a time: lower it, or switch the budget off"
{{- end }}
{{- end -}}
