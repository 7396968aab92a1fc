import type { Socket } from 'node:net'
import { unmap } from '../config/address.ts'

/**
 * A bounded number of connections, shared by who they come from: where there is one too many, an address that has the
 * most loses its oldest. So nobody's flood, idle or busy, keeps the probe of another out.
 */
export class Crowd {
  readonly #most: number
  /** With their addresses, oldest first. */
  readonly #members = new Map<Socket, string>()

  constructor(most: number) {
    this.#most = most
  }

  add(socket: Socket): void {
    this.#members.set(socket, unmap(socket.remoteAddress ?? ''))
    socket.once('close', () => this.#members.delete(socket))
    if (this.#members.size > this.#most) this.#dismiss()
  }

  close(): void {
    for (const socket of this.#members.keys()) socket.destroy()
  }

  #dismiss(): void {
    const oldest = new Map<string, { readonly socket: Socket; count: number }>()
    for (const [socket, address] of this.#members) {
      const known = oldest.get(address)
      if (known === undefined) oldest.set(address, { socket, count: 1 })
      else known.count++
    }
    const [first] = [...oldest.values()].sort((a, b) => b.count - a.count)
    // Its `close` comes only after this turn.
    this.#members.delete(first!.socket)
    first!.socket.destroy()
  }
}
