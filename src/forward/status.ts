/** What a forward shows of itself: read by the admin server. Times are milliseconds since the epoch, sizes are bytes. */
export interface ForwardStatus {
  readonly name: string
  /** Bound addresses, `host:port` or `host:first-last`. */
  readonly listeners: readonly string[]
  readonly acceptProxy: false | 'any' | 'v1' | 'v2'
  readonly sendProxy: false | 'v1' | 'v2'
  readonly target: TargetStatus
  readonly active: number
  /** Connections whose client is known (no header expected, or a whole one received), checks not among them. */
  readonly accepted: number
  /** Connections that came with LOCAL or UNKNOWN. */
  readonly checks: number
  /** Client to target, PROXY headers not counted. */
  readonly receivedBytes: number
  /** Target to client. */
  readonly sentBytes: number
  /** TLVs left out of a header that would have grown too long. */
  readonly droppedTlvs: number
  /** Connections ended before they were relayed, by reason. */
  readonly refused: Readonly<Record<RefusalReason, number>>
}

export interface TargetStatus {
  /** `host:port` or `host:first-last`, as configured. */
  readonly address: string
  /** As the last connection found it; `unknown` before the first. */
  readonly state: 'unknown' | 'up' | 'down'
  readonly since: number
  /** Of the last failure, while down. */
  readonly error: string | undefined
}

export const refusalReasons = [
  'untrusted-source',
  'header-invalid',
  'header-timeout',
  'header-missing',
  'target-failed',
  'draining',
  'denied',
  'connection-limit',
  'client-limit',
  'rate-limit',
  // By the other end of a link:
  'no-listener',
  'proxy-not-accepted',
  'stream-limit',
] as const
export type RefusalReason = (typeof refusalReasons)[number]

/** A connection that is open now. */
export interface ConnectionStatus {
  readonly forward: string
  /** `ip:port` of the real client. */
  readonly client: string
  readonly target: string | undefined
  readonly since: number
  readonly receivedBytes: number
  readonly sentBytes: number
  /** UNIQUE_ID in hex, where there is one. */
  readonly id: string | undefined
}
