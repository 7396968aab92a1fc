import type { Balance } from '../config/config.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { TargetStatus } from '../upstream/status.ts'

/** What a forward shows of itself: read by the admin server. Times are on performance.now()'s clock, sizes are bytes. */
export interface ForwardStatus {
  readonly name: string
  /** Bound addresses, `host:port` or `host:first-last`. */
  readonly listeners: readonly string[]
  readonly acceptProxy: false | 'any' | 'v1' | 'v2'
  readonly sendProxy: false | 'v1' | 'v2'
  /** Bytes of a whole header of v2 that a target gets, at most. */
  readonly proxyHeaderLimit: number
  readonly balance: Balance
  /** In order; each address of a name is one. */
  readonly targets: readonly TargetStatus[]
  readonly active: number
  /** Connections whose client is known (no header expected, or a whole one received), checks not among them. */
  readonly accepted: number
  /** Connections that came with LOCAL, or with a header of v1 that tells no client and nothing behind it. */
  readonly checks: number
  /** Client to target, PROXY headers not counted. */
  readonly receivedBytes: number
  /** Target to client. */
  readonly sentBytes: number
  /** TLVs left out of a header that would have grown too long. */
  readonly droppedTlvs: number
  /** Connections that their target reset right behind the header, before a byte of its own. */
  readonly headerResets: number
  /** Connections ended before they were relayed, by reason. */
  readonly refused: Readonly<Record<RefusalReason, number>>
}

/** A connection that is open now. */
export interface ConnectionStatus {
  readonly forward: string
  /** `ip:port` of the real client. */
  readonly client: string
  /** What it asked for, on a forward with routes. */
  readonly serverName: string | undefined
  readonly target: string | undefined
  readonly since: number
  readonly receivedBytes: number
  readonly sentBytes: number
  /** UNIQUE_ID in hex, where there is one. */
  readonly id: string | undefined
}
