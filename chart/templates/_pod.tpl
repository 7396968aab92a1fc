{{/* The pod, the same for one and for several but for the key, which goes by its ordinal. */}}
{{- define "wg-punchhole.pod" -}}
{{- $tunnel := .Values.tunnel -}}
{{- $several := gt (int .Values.replicas) 1 -}}
metadata:
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- merge (include "wg-punchhole.selectorLabels" . | fromYaml) (default dict .Values.podLabels) | toYaml | nindent 4 }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "wg-punchhole.gracePeriod" . }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- range $field := list "imagePullSecrets" "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "affinity" }}
  {{- with get $.Values $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if or $several .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- with .Values.topologySpreadConstraints }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "wg-punchhole.selectorLabels" . | nindent 10 }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsUser: 0
    runAsGroup: 0
    seccompProfile:
      type: RuntimeDefault
    # In the place of NET_BIND_SERVICE.
    sysctls:
      - name: net.ipv4.ip_unprivileged_port_start
        value: "0"
  containers:
    - name: wg-punchhole
      image: {{ include "wg-punchhole.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - run
        - --config
        - /etc/wg-punchhole/config.yaml
        - --wg-conf
        - /etc/wg-punchhole/{{ include "wg-punchhole.wgConf" . }}
        - --admin
        - :9586
      {{- if or $several .Values.extraEnv }}
      env:
        {{- if $several }}
        - name: POD_INDEX
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
        {{- end }}
        {{- range $name, $value := .Values.extraEnv }}
        - name: {{ $name | quote }}
          value: {{ $value | quote }}
        {{- end }}
      {{- end }}
      ports:
        - name: admin
          containerPort: 9586
      startupProbe:
        httpGet:
          path: /startupz
          port: admin
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 60
      # This process alone: a far side that is away is no reason for a restart.
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet:
          {{- if $several }}
          # A gateway that is away does not keep the next pod from being replaced for ever.
          path: /readyz?patience={{ .Values.gatewayPatience }}
          {{- else }}
          path: /readyz
          {{- end }}
          port: admin
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      {{- $plugin := eq $tunnel.device "devicePlugin" }}
      {{- $device := ternary (dict "limits" (dict $tunnel.deviceResource 1)) dict $plugin }}
      {{- with merge $device (default dict .Values.resources) }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        readOnlyRootFilesystem: true
        {{- if eq $tunnel.device "privileged" }}
        privileged: true
        {{- else }}
        allowPrivilegeEscalation: false
        capabilities:
          drop: [ALL]
          add: [NET_ADMIN]
        {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/wg-punchhole
          readOnly: true
        - name: run
          mountPath: /var/run/wireguard
        {{- if eq $tunnel.device "hostPath" }}
        - name: tun
          mountPath: /dev/net/tun
        {{- end }}
  volumes:
    # One folder, so that an edit of either shows up in the running pod. Of several pods each mounts every key, so that
    # one more pod changes nothing about the others.
    - name: config
      projected:
        defaultMode: 0400
        sources:
          - secret:
              name: {{ include "wg-punchhole.secretName" . | quote }}
              {{- if not $several }}
              items:
                - key: {{ $tunnel.secretKey | quote }}
                  path: wg0.conf
              {{- end }}
          - configMap:
              name: {{ include "wg-punchhole.fullname" . | quote }}
    - name: run
      emptyDir:
        medium: Memory
    {{- if eq $tunnel.device "hostPath" }}
    - name: tun
      hostPath:
        path: /dev/net/tun
        type: CharDevice
    {{- end }}
{{- end -}}
