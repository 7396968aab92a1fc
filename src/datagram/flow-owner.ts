import type { SocketAddress } from '../address.ts'
import type { UdpForwardConfig } from '../config/config.ts'
import type { RestingPorts } from '../sockets/resting-ports.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { Upstreams } from '../upstream/upstreams.ts'
import type { Ways } from '../ways.ts'
import type { Door } from './door.ts'
import type { FarEnd } from './far-end.ts'
import type { Placed } from './flows.ts'
import type { Room } from './queue.ts'
import type { FlowSource } from './reading.ts'
import type { FormSender } from './sender.ts'

/** The forward that a flow belongs to. */
export interface FlowOwner {
  readonly config: UdpForwardConfig
  readonly upstreams: Upstreams
  readonly ways: Ways
  /** Source ports of flows that have just ended. */
  readonly resting: RestingPorts
  /** For what comes before they have a target. */
  readonly room: Room
  /** Whether this address is a peer's: an end of ours may be there. */
  isPeer(address: string): boolean
  /**
   * Why a target leads back to this forward, for people; `undefined` where it does not.
   * @param told where the client had sent to.
   */
  leadsBack(target: Target, port: number, told: SocketAddress): string | undefined
  /** What flows to this target know together of it. */
  farEnd(target: Target): FarEnd<FormSender>
  /** The flow is used now. */
  used(flow: Placed, now: number): void
  /** What is to stand before a reply; of no length where nothing is. */
  wrapReply(reply: Buffer, source: FlowSource, door: Door): Buffer | 'too-big'
  /** A datagram goes no further; `sender`: `ip:port` that it came from. */
  dropped(reason: DropReason, sender: string, bytes: number, detail: string): void
  /** There is no target for it. It has ended. */
  refused(flow: Placed, reason: RefusalReason, detail: string): void
}
