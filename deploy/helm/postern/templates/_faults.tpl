{{/* Settings that the chart makes itself, and the value that says so; or that hold a secret. */}}
{{- define "postern.owned" -}}
POSTERN_ISSUER: set issuer
POSTERN_LISTEN: the chart's probes and Service know the port
POSTERN_TLS_CERT_FILE: set tls.secret
POSTERN_TLS_KEY_FILE: set tls.secret
POSTERN_BEHIND_TLS_PROXY: it follows from tls.secret
POSTERN_VAULT_AUTH: set vault.auth.method
POSTERN_VAULT_TOKEN_FILE: there is no such method in this chart, see vault.auth.method
POSTERN_BROKER_ROLE: set vault.auth.role
POSTERN_BROKER_JWT_FILE: set vault.auth.method
POSTERN_BROKER_KUBERNETES_MOUNT: set vault.auth.mount
POSTERN_BROKER_JWT_MOUNT: set vault.auth.mount
POSTERN_BROKER_APPROLE_MOUNT: set vault.auth.mount
POSTERN_ROLE_ID: set vault.auth.approle.roleId
POSTERN_SECRET_ID_FILE: set vault.auth.approle.secret
POSTERN_SECRET_ID: it is a secret, set vault.auth.approle.secret
POSTERN_WRAPPED_SECRET_ID: it is a secret and opens once, set vault.auth.approle.secret
POSTERN_WRAPPED_SECRET_ID_FILE: it opens once, and a pod starts often; set vault.auth.approle.secret
POSTERN_AUTH0_ISSUER: set auth0.issuer
POSTERN_AUTH0_BINDING: set auth0.binding
POSTERN_TRUSTED_PROXIES: set trustedProxies
POSTERN_ADMIN_LISTEN: set admin.enabled
POSTERN_ADMIN_TLS_CERT_FILE: set admin.tlsSecret
POSTERN_ADMIN_TLS_KEY_FILE: set admin.tlsSecret
POSTERN_ADMIN_BEHIND_TLS_PROXY: set admin.behindTlsProxy
POSTERN_ADMIN_AUDIENCE: set admin.audience
POSTERN_CONSOLE_CLIENT_ID: set admin.consoleClientId
POSTERN_METRICS_LISTEN: set metrics.enabled
POSTERN_LAME_DUCK: set lameDuck
POSTERN_LOG_STREAM_SECRET_FILE: set logStream.secret
POSTERN_AUDIT_FILE: a pod's root is read-only; the audit goes to stdout, or by POSTERN_AUDIT_SYSLOG to a receiver
POSTERN_LOG_FILE: a pod's root is read-only; the log goes to stderr
POSTERN_TRUSTED_PROXIES_FILE: nothing mounts it, set trustedProxies
POSTERN_LIMITS_STORE_PASSWORD_FILE: nothing mounts it; POSTERN_LIMITS_STORE with its password belongs in settingsSecret
POSTERN_LIMITS_STORE_CA_FILE: nothing mounts it; the store needs a certificate that Node trusts
POSTERN_SHUTDOWN_GRACE: set shutdownGrace
{{- end }}

{{/* A line for each thing that can't work; empty: all is well. */}}
{{- define "postern.faults" -}}
{{- $v := .Values -}}
{{- $auth := $v.vault.auth -}}
{{- $owned := include "postern.owned" . | fromYaml -}}
{{- range $name, $value := $v.settings }}
{{- if not (regexMatch "^(POSTERN_[A-Z0-9_]+|HTTPS?_PROXY|NO_PROXY)$" $name) }}
settings.{{ $name }}: it is no setting of the broker (docs/reference.md)
{{- end }}
{{- with get $owned $name }}
settings.{{ $name }}: {{ . }}
{{- end }}
{{- if and (eq $name "POSTERN_AUDIT_SYSLOG") (not (regexMatch "^(tcp|tls)://[^/?#@]+:[0-9]+$" (toString $value))) }}
settings.POSTERN_AUDIT_SYSLOG: it must be tcp://host:port or tls://host:port; a pod has no socket of its node
{{- end }}
{{- if regexMatch "://[^/?#]*@" (toString $value) }}
settings.{{ $name }}: it has a user name or a password, which anyone who may read the Deployment would see; put the whole setting into a Secret and name that in settingsSecret
{{- end }}
{{- end }}
{{- range $name := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- if hasKey $v.podLabels $name }}
podLabels.{{ $name }}: it is the chart's own label, by which Services and policies find the pods
{{- end }}
{{- end }}
{{- if and $v.vault.ca.secret $v.vault.ca.configMap }}
vault.ca: it is in a Secret or in a ConfigMap, not in both
{{- end }}
{{- if and (hasPrefix "http:" $v.vault.address) (or $v.vault.ca.secret $v.vault.ca.configMap) }}
vault.ca: vault.address is http, where no certificate is looked at
{{- end }}
{{- if and (ne $auth.method "approle") (or $auth.approle.roleId $auth.approle.secret) }}
vault.auth.approle: the method is {{ $auth.method }}, so nothing would read it; set vault.auth.method to approle, or leave it out
{{- end }}
{{- if and (ne $auth.method "approle") (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
serviceAccount.name: it must be named where it isn't created; each pod of the namespace that has none of its own would be the broker
{{- end }}
{{- if and $v.admin.enabled (not $v.admin.tlsSecret) (not $v.admin.behindTlsProxy) }}
admin.tlsSecret: it must be set, for operators' credentials must not cross a network in the clear; or admin.behindTlsProxy where a mesh encrypts the way to the pods
{{- end }}
{{- if and $v.admin.tlsSecret $v.admin.behindTlsProxy }}
admin.behindTlsProxy: TLS ends in the broker by admin.tlsSecret, or before it, not both
{{- end }}
{{- if and (not $v.admin.enabled) (or $v.admin.audience $v.admin.consoleClientId $v.admin.tlsSecret $v.admin.behindTlsProxy) }}
admin.enabled: it is off, so nothing else under admin has a meaning
{{- end }}
{{- if and $v.admin.audience (not $v.auth0.issuer) }}
admin.audience: it needs auth0.issuer, which issues the tokens for it
{{- end }}
{{- if and $v.admin.consoleClientId (not $v.admin.audience) }}
admin.consoleClientId: it needs admin.audience, for the console calls the admin API with a token for it
{{- end }}
{{- if and (not $v.ingress.enabled) (or $v.ingress.hosts $v.ingress.tlsSecret $v.ingress.className) }}
ingress.enabled: it is off, so nothing else under ingress has a meaning
{{- end }}
{{- if and (not $v.networkPolicy.enabled) (or $v.networkPolicy.from $v.networkPolicy.adminFrom $v.networkPolicy.egress $v.networkPolicy.egressPorts) }}
networkPolicy.enabled: it is off, so nothing else under networkPolicy has a meaning
{{- end }}
{{- if and $v.networkPolicy.egress $v.networkPolicy.egressPorts }}
networkPolicy.egressPorts: networkPolicy.egress has all rules already; put the ports there
{{- end }}
{{- if and $v.networkPolicy.adminFrom (not $v.admin.enabled) }}
networkPolicy.adminFrom: it needs admin.enabled
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
autoscaling.minReplicas: it is more than autoscaling.maxReplicas
{{- end }}
{{- if and $v.autoscaling.enabled (not (dig "requests" "cpu" "" $v.resources)) }}
autoscaling.targetCPU: it is a percentage of resources.requests.cpu, which is not set
{{- end }}
{{- if $v.podDisruptionBudget.enabled }}
{{- $least := ternary $v.autoscaling.minReplicas $v.replicas $v.autoscaling.enabled | int }}
{{- $kept := $v.podDisruptionBudget.minAvailable }}
{{- if or (eq (toString $kept) "100%") (and (not (kindIs "string" $kept)) (ge (int $kept) $least)) }}
podDisruptionBudget.minAvailable: {{ toString $kept }} of {{ $least }} would let no node be drained; have more replicas, or set podDisruptionBudget.enabled to false
{{- end }}
{{- end }}
{{- if and $v.networkPolicy.metricsFrom (not (include "postern.metrics" .)) }}
networkPolicy.metricsFrom: set metrics.enabled, or nobody tells them anything
{{- end }}
{{- range $name := list "rules" "dashboards" }}
{{- if and (get $v.metrics $name).enabled (not (include "postern.metrics" $)) }}
metrics.{{ $name }}: set metrics.serviceMonitor.enabled or metrics.enabled, or there is nothing that they tell of
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.check" -}}
{{- $faults := include "postern.faults" . | trim -}}
{{- if $faults }}{{ fail (printf "\n\nThese values can't work:\n%s\n" $faults) }}{{ end -}}
{{- end }}
