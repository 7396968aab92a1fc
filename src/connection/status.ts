import type { Balance, UdpForm } from '../config/config.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { TargetStatus } from '../upstream/status.ts'

/**
 * What a forward shows of itself: read by the admin server. Times are on performance.now()'s clock, sizes are bytes. Of a
 * UDP forward a connection is a flow: the datagrams of one client address and port.
 */
export type ForwardStatus = TcpForwardStatus | UdpForwardStatus

export interface TcpForwardStatus extends CommonForwardStatus {
  readonly protocol: 'tcp'
  readonly acceptProxy: false | 'any' | 'v1' | 'v2'
  readonly sendProxy: false | 'v1' | 'v2'
  readonly datagrams?: undefined
}

export interface UdpForwardStatus extends CommonForwardStatus {
  readonly protocol: 'udp'
  readonly acceptProxy: false | UdpForm
  readonly sendProxy: false | UdpForm
  readonly datagrams: DatagramCounts
}

/** What a UDP forward counts beside its flows. */
export interface DatagramCounts {
  /** From clients, that went to a target. */
  readonly received: number
  /** From targets, that went to a client. */
  readonly sent: number
  readonly dropped: Readonly<Record<DropReason, number>>
  /** Flows that had to go because there was no room for another one. */
  readonly evicted: number
}

export interface CommonForwardStatus {
  readonly name: string
  /** Bound addresses, `host:port` or `host:first-last`. */
  readonly listeners: readonly string[]
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
  /** Connections ended before they were relayed, datagrams that could begin no flow; by reason. */
  readonly refused: Readonly<Record<RefusalReason, number>>
}

/** A connection that is open now, or a flow. */
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
  /** Of a flow, how many it is: counted as those of its forward. */
  readonly datagrams?: Pick<DatagramCounts, 'received' | 'sent'> | undefined
  /** UNIQUE_ID in hex, where there is one. */
  readonly id: string | undefined
}
