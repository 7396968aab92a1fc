import type { SocketAddress } from '../address.ts'
import type { UdpForwardConfig } from '../config/config.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { Loops } from '../upstream/loops.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { Upstreams } from '../upstream/upstreams.ts'
import type { Ways } from '../ways.ts'
import type { Door } from './door.ts'
import type { FarEnd } from './far-end.ts'
import type { Placed } from './flows.ts'
import type { Kept } from './kept.ts'
import type { FlowSource } from './reading.ts'
import type { FormSender } from './sender.ts'

/** Whose the datagrams of a flow are, and who is answered. */
export interface FlowClient extends FlowSource {
  /** Where the client had sent them: told by a header, or here. */
  readonly destination: SocketAddress
}

/** The forward that a flow belongs to. */
export interface FlowOwner {
  readonly config: UdpForwardConfig
  readonly upstreams: Upstreams
  readonly loops: Loops
  readonly ways: Ways
  /** What its flows wait with for the far end's word. */
  readonly kept: Kept<FormSender>
  /** What its flows know of the target. */
  farEndOf(target: Target): FarEnd
  /** Whether this address is a peer's: an end of ours may be there. */
  isPeer(address: string): boolean
  /** The flow is used now. */
  used(flow: Placed, now: number): void
  /** What is to stand before a reply; of no length where nothing is. */
  wrapReply(reply: Buffer, flow: { readonly client: FlowClient; readonly door: Door }): Buffer | 'too-big'
  /** A datagram goes no further; `sender`: `ip:port` that it came from. */
  dropped(reason: DropReason, sender: string, bytes: number, detail: string): void
  /** There is no target for it. It has ended. */
  refused(flow: Placed, reason: RefusalReason, detail: string): void
}
