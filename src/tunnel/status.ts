import type { Rung } from './ladder.ts'
import type { Losable } from './loss.ts'

/** What a tunnel shows of itself: read by the admin server, never by the data path. Times are on performance.now()'s clock. */
export interface TunnelStatus {
  readonly interface: string
  readonly publicKey: string
  /** With their prefix length, as configured. */
  readonly addresses: readonly string[]
  readonly listenPort: number | undefined
  /** What the device has now; smaller than the config's after full-size packets were lost. */
  readonly mtu: number
  /** What TCP through the tunnel really uses on our routes; `kernel` when left alone. */
  readonly congestionControl: string
  readonly process: ProcessStatus
  readonly device: DeviceStatus
  readonly peers: readonly PeerStatus[]
}

export interface DeviceStatus {
  /** How often each kind of what this program made of the device was taken away by another, and put back. */
  readonly putBack: Readonly<Record<Losable, number>>
  /** Addresses of peers that nothing is sent to, because it would not leave through the device. */
  readonly shut: readonly { readonly address: string; readonly why: string }[]
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
  /** The part of them that is routed into the tunnel. */
  readonly routes: readonly string[]
  /** Configured `host:port`, when the config has one. */
  readonly configuredEndpoint: string | undefined
  /** `ip:port` that packets are sent to now. */
  readonly endpoint: string | undefined
  /** As wireguard-go tells it: milliseconds since the epoch, by the clock as it was then; `undefined`: never. */
  readonly lastHandshake: number | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Seconds; 0 is off. */
  readonly keepalive: number
  readonly path: PathStatus
}

/**
 * Whether data crosses the tunnel to one peer and back.
 * `starting`: it has answered nothing yet. `dead`: what is sent goes unanswered, and nothing arrives; `recovering`: and
 * this was done last. `one-way`: what is sent goes unanswered, and what the peer sends arrives; the rung is what was
 * done last.
 */
export type PathState =
  | { readonly name: 'starting'; readonly since: number }
  | { readonly name: 'up'; readonly since: number }
  | { readonly name: 'mtu-black-hole'; readonly since: number }
  | { readonly name: 'one-way'; readonly since: number; readonly rung?: Rung }
  | { readonly name: 'dead'; readonly since: number }
  | { readonly name: 'recovering'; readonly since: number; readonly rung: Rung }

/** Whether data crosses the tunnel to a peer and back. */
export interface PathStatus {
  readonly state: PathState['name']
  readonly since: number
  /** When it last answered: a probe, a link's ping, a handshake, or by opening a connection; `undefined`: never. */
  readonly lastAnswer: number | undefined
  /** A peer that never answered a probe is judged by bytes and handshakes alone. */
  readonly answersProbes: boolean
  /** Milliseconds, smoothed; `undefined`: no probe was answered lately. */
  readonly rtt: number | undefined
  /** Share of the latest probes that went unanswered, 0 to 1; `undefined`: it never answered one. */
  readonly loss: number | undefined
  /** What was done last to bring it back, while it is dead or one-way. */
  readonly rung: Rung | undefined
  /** How often it died, and how often each rung was taken for it. */
  readonly deaths: number
  readonly rungs: Readonly<Record<Rung, number>>
}
