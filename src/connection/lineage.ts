import type { TcpForwardConfig } from '../config/config.ts'
import { type Leg, loopOf } from '../upstream/comebacks.ts'
import type { Loops } from '../upstream/loops.ts'
import type { Client } from './client.ts'

/** The connection. */
export interface LineageOwner {
  readonly forward: { readonly config: Pick<TcpForwardConfig, 'acceptProxy'>; readonly loops: Loops }
  /** Its client's neighbour may have lost sight of it, or has closed it. */
  readonly isForsaken: boolean
  /** It ends: its client was sent again. */
  sentAgain(): void
}

/** What a connection came of, where that is this end itself, and what it will be recognised by when it comes back. */
export class Lineage implements Leg {
  readonly #owner: LineageOwner
  readonly #client: Client
  #cause: Leg | undefined
  /** First bytes that may be the beginning of a header; and whether there are enough of them to know. */
  #begun: Buffer | undefined
  #isHeard = false

  constructor(owner: LineageOwner, client: Client) {
    this.#owner = owner
    this.#client = client
    // A header may tell of another client than the socket.
    this.#cause = this.#comebacks.at(client)
  }

  get forward(): object {
    return this.#owner.forward
  }

  get cause(): Leg | undefined {
    return this.#cause
  }

  /** The client is known. Returns why it must not go on. */
  known(): string | undefined {
    if (this.#hasHeader && this.#client.isTellable) this.#cause ??= this.#comebacks.known(this, this.#client)
    return loopOf(this)
  }

  /**
   * The first bytes of a client that sends no header. One that this end has sent is there all the same when the connection
   * comes back to a listener like that. Returns why it must not go on.
   */
  begins(bytes: Buffer): string | undefined {
    if (this.#isHeard || this.#hasHeader) return undefined
    const begun = this.#begun === undefined ? bytes : Buffer.concat([this.#begun, bytes])
    const cause = this.#comebacks.begunBy(begun)
    if (cause === 'part') {
      // A copy: they may be in a buffer that all sockets share.
      this.#begun = Buffer.from(begun)
      return undefined
    }
    this.#isHeard = true
    this.#begun = undefined
    this.#cause ??= cause
    const loop = loopOf(this)
    if (loop !== undefined) this.#comebacks.cameFrom(this.#client.neighbour)
    return loop
  }

  /** Whether its first bytes are still to be heard before it is sent on. */
  get isSuspect(): boolean {
    return !this.#isHeard && !this.#hasHeader && this.#comebacks.mayComeFrom(this.#client.neighbour)
  }

  /** Its client is being told as it is now. */
  tell(): void {
    // Addresses from a header need not be those of one connection.
    const isOneOfAKind = this.#client.id !== undefined || !this.#hasHeader
    if (this.#client.isTellable && isOneOfAKind) this.#comebacks.tell(this, this.#client)
  }

  end(): void {
    this.#comebacks.forget(this, this.#client)
    this.#cause = undefined
  }

  yields(neighbour: string): boolean {
    if (this.#client.isIdOwn || this.#client.neighbour !== neighbour) return false
    if (this.#owner.isForsaken) this.#owner.sentAgain()
    return true
  }

  get #comebacks() {
    return this.#owner.forward.loops.comebacks
  }

  get #hasHeader(): boolean {
    return this.#owner.forward.config.acceptProxy !== false
  }
}
