/** Why an end is not simply ready. The codes are part of the HTTP contract and of the metrics. */
export type ReasonCode =
  | 'starting'
  | 'tunnel-process-down'
  | 'device-changed'
  | 'listen-failed'
  | 'draining'
  | 'no-tunnel-route'
  | 'no-handshake'
  | 'handshake-stale'
  | 'path-dead'
  | 'one-way'
  | 'mtu-black-hole'
  | 'endpoint-unresolved'
  | 'no-route-back'
  | 'nobody-trusted'
  | 'backend-down'
  | 'config-rejected'

export interface Reason {
  readonly code: ReasonCode
  /** One sentence for a person: what is seen, and where. */
  readonly detail: string
  /** The whole public key, for the codes that are about one peer. */
  readonly peer?: string
  /** The forward's name, for the codes that are about one forward. */
  readonly forward?: string
  /** The end serves in spite of it, so by itself it never makes it unready. */
  readonly serving?: true
}
