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
