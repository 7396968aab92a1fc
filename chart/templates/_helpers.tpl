{{- define "wg-punchhole.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "wg-punchhole.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "wg-punchhole.labels" -}}
{{ include "wg-punchhole.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of every object: dict "root" $ "name" NAME "labels" more labels. */}}
{{- define "wg-punchhole.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- merge (include "wg-punchhole.labels" .root | fromYaml) (default dict .labels) | toYaml | nindent 2 }}
{{- end -}}

{{- define "wg-punchhole.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "wg-punchhole.secretName" -}}
{{- default (include "wg-punchhole.fullname" .) .Values.tunnel.existingSecret -}}
{{- end -}}

{{/* The key of the Secret that holds the file of one pod of several: wg0.conf is wg0-1.conf. dict "root" $ "ordinal" 1. */}}
{{- define "wg-punchhole.keyOf" -}}
{{- $key := .root.Values.tunnel.secretKey -}}
{{- $extension := regexFind "\\.[^.]*$" $key -}}
{{- printf "%s-%v%s" (trimSuffix $extension $key) .ordinal $extension -}}
{{- end -}}

{{/* The name of the wg-quick file in the pod. */}}
{{- define "wg-punchhole.wgConf" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- include "wg-punchhole.keyOf" (dict "root" . "ordinal" "$(POD_INDEX)") -}}
{{- else -}}
wg0.conf
{{- end -}}
{{- end -}}

{{/* Fails when a pod would find no key, or two pods have the same. */}}
{{- define "wg-punchhole.requireKeys" -}}
{{- $replicas := int .Values.replicas -}}
{{- $several := gt $replicas 1 -}}
{{- $files := list -}}
{{- with .Values.tunnel.wgConf -}}
  {{- $listed := kindIs "slice" . -}}
  {{- if and $listed (not $several) -}}
    {{- fail (printf "tunnel.wgConf: found a list, and replicas is %d; allowed: the text of one file" $replicas) -}}
  {{- end -}}
  {{- $files = ternary . (list .) $listed -}}
  {{- if and $several (lt (len $files) $replicas) -}}
    {{- fail (printf "tunnel.wgConf: found %d of %d files; allowed: a list of them, one for each of the replicas" (len $files) $replicas) -}}
  {{- end -}}
{{- else -}}
  {{- $secret := include "wg-punchhole.secretName" . -}}
  {{- $keys := list .Values.tunnel.secretKey -}}
  {{- if $several -}}
    {{- $keys = list -}}
    {{- range $ordinal := until $replicas -}}
      {{- $keys = append $keys (include "wg-punchhole.keyOf" (dict "root" $ "ordinal" $ordinal)) -}}
    {{- end -}}
  {{- end -}}
  {{- /* `helm template` finds nothing, nor is there anything before the Secret is made. */ -}}
  {{- with lookup "v1" "Secret" .Release.Namespace $secret -}}
    {{- $data := default dict .data -}}
    {{- range $key := $keys -}}
      {{- if not (hasKey $data $key) -}}
        {{- fail (printf "tunnel.existingSecret: found no %s in the Secret %s; needed with replicas: %d: %s" $key $secret $replicas (join ", " $keys)) -}}
      {{- end -}}
      {{- $files = append $files (get $data $key | b64dec) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $owners := dict -}}
{{- range $ordinal, $file := $files -}}
  {{- with regexFind "(?im)^[ \\t]*PrivateKey[ \\t]*=[ \\t]*[^ \\t\\r\\n#]+" $file | regexFind "[^ \\t=]+=*$" -}}
    {{- with get $owners . -}}
      {{- fail (printf "tunnel: found one PrivateKey in the files of %s and pod %d; allowed: a key and an address for each pod" . $ordinal) -}}
    {{- end -}}
    {{- $_ := set $owners . (printf "pod %d" $ordinal) -}}
  {{- end -}}
{{- end -}}
{{- if and $several (dig "tunnel" "privateKeyFile" "" (default dict .Values.config)) -}}
  {{- fail "config.tunnel.privateKeyFile: found one key for all pods; leave it out, each pod's own file holds its PrivateKey" -}}
{{- end -}}
{{- end -}}

{{/* The drain must end before the kubelet's patience does. */}}
{{- define "wg-punchhole.gracePeriod" -}}
{{- $drain := default "30s" .Values.config.drainTimeout -}}
{{- $unit := get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) (regexFind "[a-z]+$" $drain) -}}
{{- $grace := .Values.terminationGracePeriodSeconds -}}
{{- if ge (mulf (regexFind "^[0-9]+" $drain) $unit) (float64 $grace) -}}
{{- fail (printf "terminationGracePeriodSeconds (%v) must be longer than config.drainTimeout (%s): raise it, or shorten the drain" $grace $drain) -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{- define "wg-punchhole.testLabels" -}}
app.kubernetes.io/name: {{ include "wg-punchhole.fullname" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/*
What values.yaml says, for values without it: `helm upgrade --reuse-values` brings the defaults of the version before,
which knew fewer keys, and null takes one away. Every template begins with this. What Kubernetes can do without is not
here (resources, labels, whatever is empty): its null means that there shall be none.
*/}}
{{- define "wg-punchhole.defaults" -}}
{{- $defaults := fromYaml `
image: { repository: wg-punchhole, pullPolicy: IfNotPresent }
replicas: 1
gatewayPatience: 2m
tunnel: { secretKey: wg0.conf, mode: tun, device: hostPath }
config: { forwards: {}, drainTimeout: 30s }
service: { enabled: false }
terminationGracePeriodSeconds: 45
metrics:
  podMonitor: { enabled: false, interval: 30s }
  prometheusRule: { enabled: false }
  dashboard: { enabled: false }
networkPolicy: { enabled: false }
podDisruptionBudget: { enabled: false, maxUnavailable: "" }
` -}}
{{- include "wg-punchhole.fill" (dict "values" .Values "defaults" $defaults) -}}
{{- end -}}

{{/* Sets what is missing: dict "values" VALUES "defaults" DEFAULTS. */}}
{{- define "wg-punchhole.fill" -}}
{{- $values := .values -}}
{{- range $key, $default := .defaults -}}
  {{- if kindIs "invalid" (index $values $key) -}}
    {{- $_ := set $values $key (kindIs "map" $default | ternary dict $default) -}}
  {{- end -}}
  {{- if kindIs "map" $default -}}
    {{- include "wg-punchhole.fill" (dict "values" (index $values $key) "defaults" $default) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
