import type { Socket } from 'node:net'
import type { Session } from '../link/session.ts'
import type { Stream } from '../link/stream.ts'
import type { StreamOwner } from '../link/stream-owner.ts'
import type { Share } from '../sockets/shares.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import { type Carrier, StreamCarrier } from './carrier.ts'
import type { Client } from './client.ts'
import { ClientHelloReader, type Hello } from './client-hello.ts'
import type { ConnectionOwner } from './owner.ts'
import type { RelayOwner } from './relay.ts'

/** The connection that a downstream is of: it hears what the client does. */
export interface DownstreamOwner extends RelayOwner, StreamOwner {
  readonly forward: ConnectionOwner
  /** A header has to come first. */
  awaitHeader(): void
  /** Its header may be that of a check, which a byte or the client's end will tell. */
  awaitByte(): void
  /** It is known who the client is. */
  known(): void
  /** What the client's first bytes are, where that was awaited. */
  greeted(hello: Hello): void
  /** The client's header is marked: what is wanted is an answer on its socket. */
  traced(socket: Socket): void
  /** The client's first bytes. Returns whether to go on. */
  begins(bytes: Buffer): boolean
  /** The client is not served. */
  refuse(reason: RefusalReason, detail: string): void
  /** The client ended before there was a target. */
  gone(end: 'client-reset', detail: string): void
}

/** Where a connection's client is: behind a socket, or at the far end of a link. */
export interface Downstream {
  readonly client: Client
  /** Through whose tunnel it came; `undefined`: through none. */
  readonly peer: Share | undefined
  /** Whether it may go over a link. */
  readonly mayCross: boolean
  /** Whether its neighbour may have lost it without a word: its link does not answer, or takes no more. */
  readonly mayBeLost: boolean
  /**
   * Begins. It calls `known` of the connection once it is known who the client is, or `refuse`; `gone` when the client
   * ends before there is a target.
   */
  start(connection: DownstreamOwner): void
  /** Calls `greeted` of the connection with what the client's first bytes are. They stay what they are, and kept. */
  awaitHello(): void
  /** Joins it with its target. `header` goes first, in one piece with what the client has sent so far. */
  relay(connection: DownstreamOwner, target: Socket, header: Buffer | undefined): Carrier
  /**
   * Joins it with a port at the far end of a link.
   * @param mayReturn keeps what the client sends, for as long as there may be a refusal.
   */
  cross(
    connection: DownstreamOwner,
    session: Session,
    port: number,
    header: Buffer,
    mayReturn: boolean,
  ): Carrier
  /** There will be no refusal any more. */
  settled(): void
  /** Takes back what has crossed, with all that it has sent (`isUntouched`: nothing at all), if that is at hand. */
  takeBack(isUntouched: boolean): boolean
  /** Ends it with a reset. */
  refuse(reason: RefusalReason | undefined, detail: string): void
}

/** The client of a stream that the other end opened. All is known of it from the start. */
export class StreamDownstream implements Downstream {
  readonly client: Client
  readonly peer: Share
  readonly mayCross = false
  readonly #stream: Stream
  readonly #session: Session
  #connection: DownstreamOwner | undefined

  constructor(stream: Stream, session: Session, peer: Share, client: Client) {
    this.#stream = stream
    this.#session = session
    this.peer = peer
    this.client = client
  }

  get mayBeLost(): boolean {
    return !this.#session.isReady
  }

  start(connection: DownstreamOwner): void {
    this.#stream.owner = connection
    this.#connection = connection
    connection.known()
  }

  awaitHello(): void {
    const reader = new ClientHelloReader()
    this.#stream.delivery.told = part => {
      const hello = reader.read(part)
      if (hello === undefined) return
      this.#stream.delivery.told = undefined
      this.#connection?.greeted(hello)
    }
  }

  relay(_: DownstreamOwner, target: Socket, header: Buffer | undefined): Carrier {
    this.#stream.attach(target, header, undefined)
    // It is not to wait for a byte to know that its target is there.
    if (this.client.isCheck) this.#stream.grant(0)
    return new StreamCarrier(this.#stream, false)
  }

  cross(): Carrier {
    throw new Error('a stream crosses one link')
  }

  settled(): void {}

  takeBack(): boolean {
    return false
  }

  refuse(reason: RefusalReason | undefined, detail: string): void {
    this.#stream.abort({ reason: reason ?? 'reset', detail })
  }
}
