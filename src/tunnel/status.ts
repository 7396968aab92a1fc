/** What a tunnel shows of itself: read by the admin server, never by the data path. Times are milliseconds since the epoch. */
export interface TunnelStatus {
  readonly interface: string
  readonly publicKey: string
  /** With their prefix length, as configured. */
  readonly addresses: readonly string[]
  readonly listenPort: number | undefined
  readonly mtu: number
  /** What TCP through the tunnel really uses on our routes; `kernel` when left alone. */
  readonly congestionControl: string
  readonly process: ProcessStatus
  readonly peers: readonly PeerStatus[]
}

export interface ProcessStatus {
  readonly state: 'starting' | 'running' | 'down'
  readonly since: number
  /** Unknown for an adopted process. */
  readonly pid: number | undefined
  /** Starts after the first one. */
  readonly restarts: number
}

export interface PeerStatus {
  readonly publicKey: string
  readonly allowedIps: readonly string[]
  /** Configured `host:port`, when the config has one. */
  readonly configuredEndpoint: string | undefined
  /** `ip:port` that packets are sent to now. */
  readonly endpoint: string | undefined
  /** `undefined`: never. */
  readonly lastHandshake: number | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Seconds; 0 is off. */
  readonly keepalive: number
}
