import type { Socket } from 'node:dgram'
import { formatHostPort, type SocketAddress, unmap } from '../address.ts'
import { mostQueued } from '../sockets/datagram.ts'
import { payloadLimit } from '../sockets/mtu.ts'

/**
 * Where the datagrams of clients come in, and from where they are answered: one address and port of this host. A socket for
 * all addresses would tell neither which one a client had sent to nor answer from there.
 */
export class Door {
  readonly local: SocketAddress
  readonly text: string
  readonly #socket: Socket
  #isOpen = true

  /** @param socket bound to one address. */
  constructor(socket: Socket) {
    const { address, port } = socket.address()
    this.local = { address: unmap(address), port }
    this.text = formatHostPort(this.local.address, port)
    this.#socket = socket
  }

  /** Bytes of the largest datagram that leaves here whole. */
  get payloadLimit(): number {
    return payloadLimit(this.local.address)
  }

  /** Returns whether it was sent: not while too much waits for the kernel, nor once it is closed. */
  send(payload: Buffer | readonly Buffer[], { address, port }: SocketAddress): boolean {
    if (!this.#isOpen || this.#socket.getSendQueueSize() > mostQueued) return false
    this.#socket.send(payload, port, address)
    return true
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  close(): void {
    this.#isOpen = false
    this.#socket.close()
  }
}
