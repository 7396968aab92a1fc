import type { Stream } from '../link/stream.ts'
import type { StreamEnd } from '../link/stream-owner.ts'

/** How a connection ended that was relayed. */
export type CarrierEnd =
  | 'complete'
  | 'client-reset'
  | 'target-reset'
  | 'link-lost'
  | 'idle-timeout'
  | 'half-closed-timeout'
  | 'drain-timeout'
  | 'no-tunnel-route'

/** What carries the bytes of a connection, both ways, once its target is there. */
export interface Carrier {
  /** Client to target. */
  readonly receivedBytes: number
  /** Target to client. */
  readonly sentBytes: number
  /** One direction has ended, the other has not. */
  readonly isHalfClosed: boolean
  /** Looks whether its sockets that are not read are still connected: see unheard.ts. */
  look(): void
  /** Ends both sides with a reset. */
  abort(detail: string): void
}

/** Half of the way is a link's: the local socket is the client's (`opened` here) or the target's. */
export class StreamCarrier implements Carrier {
  readonly #stream: Stream
  readonly #opened: boolean

  constructor(stream: Stream, opened: boolean) {
    this.#stream = stream
    this.#opened = opened
  }

  get receivedBytes(): number {
    return this.#opened ? this.#stream.sentBytes : this.#stream.receivedBytes
  }

  get sentBytes(): number {
    return this.#opened ? this.#stream.receivedBytes : this.#stream.sentBytes
  }

  get isHalfClosed(): boolean {
    return this.#stream.isHalfClosed
  }

  look(): void {
    this.#stream.look()
  }

  abort(detail: string): void {
    this.#stream.abort({ reason: 'reset', detail })
  }
}

/** How a connection ended whose stream did so. */
export function carrierEnd(end: StreamEnd, isClientHere: boolean): CarrierEnd {
  if (end === 'aborted') return 'drain-timeout'
  if (end === 'local-reset' || end === 'far-reset')
    return (end === 'local-reset') === isClientHere ? 'client-reset' : 'target-reset'
  return end
}
