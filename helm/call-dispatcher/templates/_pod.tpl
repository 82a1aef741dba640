{{/* What the dispatcher's pods and the topics Job's have in common; `config` and `secret` are names of objects. */}}

{{- define "call-dispatcher.podSettings" -}}
automountServiceAccountToken: false
# The variables that Kubernetes adds for Services could look like the dispatcher's own.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- with .Values.user }}
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "call-dispatcher.container" -}}
image: {{ include "call-dispatcher.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: DISPATCHER_CONFIG, value: /etc/call-dispatcher/config.yaml}
  # The image sets this one, and the environment wins over the file.
  - {name: DISPATCHER_HTTP__HOST, value: {{ include "call-dispatcher.host" .root | quote }}}
envFrom:
  - secretRef: {name: {{ .secret }}}
volumeMounts:
  - {name: config, mountPath: /etc/call-dispatcher, readOnly: true}
  {{- if .root.Values.kafkaTls.existingSecret }}
  - {name: tls, mountPath: /etc/call-dispatcher-tls, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "call-dispatcher.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
{{- with .root.Values.kafkaTls.existingSecret }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end -}}
