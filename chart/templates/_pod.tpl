{{- $tunnel := .Values.tunnel -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "wg-punchhole.metadata" (dict "root" . "name" (include "wg-punchhole.fullname" .)) | nindent 2 }}
spec:
  replicas: {{ .Values.replicas }}
  # Two pods with one key would take the tunnel from each other.
  strategy:
    type: Recreate
  selector:
    matchLabels:
      {{- include "wg-punchhole.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      {{- with .Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      labels:
        {{- merge (include "wg-punchhole.selectorLabels" . | fromYaml) (default dict .Values.podLabels) | toYaml | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "wg-punchhole.gracePeriod" . }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- range $field := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
      {{- with get $.Values $field }}
      {{ $field }}:
        {{- toYaml . | nindent 8 }}
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
            - /etc/wg-punchhole/wg0.conf
            - --admin
            - :9586
          {{- with .Values.extraEnv }}
          env:
            {{- range $name, $value := . }}
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
              path: /readyz
              port: admin
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          {{- $plugin := eq $tunnel.device "devicePlugin" }}
          {{- $device := ternary (dict "limits" (dict $tunnel.deviceResource 1)) dict $plugin }}
          {{- with merge $device (default dict .Values.resources) }}
          resources:
            {{- toYaml . | nindent 12 }}
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
        # One folder, so that an edit of either shows up in the running pod.
        - name: config
          projected:
            defaultMode: 0400
            sources:
              - configMap:
                  name: {{ include "wg-punchhole.fullname" . | quote }}
              - secret:
                  name: {{ include "wg-punchhole.secretName" . | quote }}
                  items:
                    - key: {{ $tunnel.secretKey | quote }}
                      path: wg0.conf
        - name: run
          emptyDir:
            medium: Memory
        {{- if eq $tunnel.device "hostPath" }}
        - name: tun
          hostPath:
            path: /dev/net/tun
            type: CharDevice
        {{- end }}
