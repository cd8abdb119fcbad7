{{- define "czctl.labels" -}}
app.kubernetes.io/name: czctl
app.kubernetes.io/component: agent
{{- end }}
