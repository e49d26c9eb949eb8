{{- define "postern.name" -}}
{{- if contains "postern" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-postern" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "postern.selector" -}}
app.kubernetes.io/name: postern
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "postern.labels" -}}
helm.sh/chart: {{ printf "postern-%s" .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "postern.selector" . }}
{{- end }}

{{- define "postern.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "postern.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "postern.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{/* Where the broker answers below its issuer: a probe must ask there. */}}
{{- define "postern.path" -}}
{{- $path := (urlParse .Values.issuer).path -}}
{{- if $path }}{{ $path | trimSuffix "/" }}{{ end }}
{{- end }}

{{/* The port of a URL, as text. */}}
{{- define "postern.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- if $port }}{{ $port }}{{ else if eq $url.scheme "http" }}80{{ else }}443{{ end }}
{{- end }}

{{/* Ports that a broker has to reach: those of Vault, of Auth0, of proxies, of a syslog receiver, 443 for the keys of trusted issuers, and what else was told. */}}
{{- define "postern.egressPorts" -}}
{{- $ports := list "443" (include "postern.port" .Values.vault.address) -}}
{{- with .Values.auth0.issuer }}{{ $ports = append $ports (include "postern.port" .) }}{{ end -}}
{{- range $name := list "POSTERN_VAULT_PROXY" "HTTPS_PROXY" "HTTP_PROXY" -}}
{{- with get $.Values.settings $name }}{{ $ports = append $ports (include "postern.port" .) }}{{ end -}}
{{- end -}}
{{- with get .Values.settings "POSTERN_LIMITS_STORE" }}{{ $ports = append $ports (default "6379" (regexFind ":[0-9]+" (regexReplaceAll "^rediss?://" (toString .) "") | trimPrefix ":")) }}{{ end -}}
{{- with get .Values.settings "POSTERN_AUDIT_SYSLOG" }}{{ $ports = append $ports (regexFind "[0-9]+$" (toString .)) }}{{ end -}}
{{- range .Values.networkPolicy.egressPorts }}{{ $ports = append $ports (toJson .) }}{{ end -}}
{{- join " " (uniq $ports) -}}
{{- end }}

{{- /* Not empty where brokers tell metrics on a listener of their own. */ -}}
{{- define "postern.metrics" -}}
{{- if or .Values.metrics.enabled .Values.metrics.serviceMonitor.enabled }}on{{ end -}}
{{- end }}
