import type { Socket } from 'node:net'
import { clientNetwork, unmap } from '../address.ts'
import type { Descriptors } from '../sockets/descriptors.ts'

/** Connections beyond those that room is kept for, and how many descriptors must be free for one of them. */
const more = 200
const plenty = 1000

interface Member {
  readonly socket: Socket
  /** Its address, of IPv6 the /64. */
  readonly client: string
  /** It has said what it wants. */
  isHeard: boolean
}

/**
 * A bounded number of connections, shared by who they come from: where there is one too many, an address that has the
 * most loses one. That is the oldest that was heard, or else the oldest: so nobody's flood, idle or busy, keeps the
 * probe of another out, and a flood of requests not even one from its own address.
 */
export class Crowd {
  readonly #most: number
  readonly #descriptors: Descriptors | undefined
  /** Oldest first. */
  readonly #members = new Map<Socket, Member>()

  /** @param descriptors of which it may take {@link more} while {@link plenty} are free. */
  constructor(most: number, descriptors?: Descriptors) {
    this.#most = most
    this.#descriptors = descriptors
  }

  add(socket: Socket): void {
    const client = clientNetwork(unmap(socket.remoteAddress ?? ''))
    this.#members.set(socket, { socket, client, isHeard: false })
    socket.once('close', () => this.#members.delete(socket))
    const over = this.#members.size - this.#most
    if (over <= 0) return
    if (over <= more && this.#descriptors !== undefined && this.#descriptors.free > plenty)
      this.#descriptors.hold(socket)
    else this.#dismiss()
  }

  /** It can be spared sooner than one that has not come to a word yet. */
  heard(socket: Socket): void {
    const member = this.#members.get(socket)
    if (member !== undefined) member.isHeard = true
  }

  close(): void {
    for (const socket of this.#members.keys()) socket.destroy()
  }

  #dismiss(): void {
    const byClient = Map.groupBy(this.#members.values(), ({ client }) => client)
    const [most] = [...byClient.values()].sort((a, b) => b.length - a.length)
    const { socket } = most!.find(({ isHeard }) => isHeard) ?? most![0]!
    // Its `close` comes only after this turn.
    this.#members.delete(socket)
    socket.destroy()
  }
}
