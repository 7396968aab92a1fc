import type { Balance } from '../config/config.ts'

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

export interface TargetStatus {
  /** `ip:port` or `ip:first-last`; with the name where that has no address. */
  readonly address: string
  /** The name that the address is of, if it is one's. */
  readonly name: string | undefined
  /** Server names whose connections go there; without them all that go nowhere else. */
  readonly routes?: readonly string[]
  /** As the last connection or check found it; `unknown` before the first, and where it cannot be known now. */
  readonly state: 'unknown' | 'up' | 'down'
  readonly since: number
  /** Of the last failure, while down. */
  readonly error: string | undefined
  /** The whole public key of the peer that it is behind, while that is not reached: then its state is `unknown`. */
  readonly behind?: string
  /** What it was last found to make of the header that it is sent; only a trace looks at that. */
  readonly judged?: Judged | undefined
  /** Connections open now, or on their way. */
  readonly active: number
}

/** What a target makes of the header that it is sent, as `doctor` says it. */
export interface Verdict {
  readonly state: 'ok' | 'warning' | 'failed' | 'unknown'
  readonly found: string
  readonly fix: string | undefined
}

export interface Judged extends Pick<Verdict, 'state' | 'found'> {
  readonly since: number
}

/** How a forward does by what its targets do: one that is up is enough. */
export function stateOf(targets: readonly Pick<TargetStatus, 'state'>[]): TargetStatus['state'] {
  if (targets.some(({ state }) => state === 'up')) return 'up'
  return targets.every(({ state }) => state === 'down') ? 'down' : 'unknown'
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
  'descriptor-limit',
  'hello-timeout',
  'no-route',
  'loop',
  'no-tunnel-route',
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
  /** What it asked for, on a forward with routes. */
  readonly serverName: string | undefined
  readonly target: string | undefined
  readonly since: number
  readonly receivedBytes: number
  readonly sentBytes: number
  /** UNIQUE_ID in hex, where there is one. */
  readonly id: string | undefined
}
