import { formatHostPort, type SocketAddress, unmap } from '../address.ts'
import { Door } from '../datagram/door.ts'
import { messageOf, systemCode } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { bindDatagrams } from '../sockets/datagram.ts'
import { type Descriptors, raiseOpenFiles } from '../sockets/descriptors.ts'
import { addressesOf, isMany } from '../sockets/host-addresses.ts'
import { listenFailed } from '../sockets/listen.ts'

/** Milliseconds between two looks for addresses that this host has got or lost. */
const lookEvery = 5000

export type Receive = (bytes: Buffer, sender: SocketAddress, door: Door) => void

/**
 * An address and port where clients send their datagrams. All addresses are one socket for each that this host has (see
 * `Door`), and those that come and go are followed.
 */
export class UdpListener {
  readonly protocol = 'udp'
  /** An address, or what stands for several: see host-addresses.ts. */
  readonly host: string
  readonly port: number
  readonly #receive: Receive
  readonly #log: Log
  readonly #descriptors: Descriptors
  /** By address. */
  readonly #doors = new Map<string, Door>()
  /** Why an address that has come could not be bound. */
  readonly #failed = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined
  #isClosed = true

  constructor(
    host: string,
    port: number,
    receive: Receive,
    { log, descriptors }: { readonly log: Log; readonly descriptors: Descriptors },
  ) {
    this.host = host
    this.port = port
    this.#receive = receive
    this.#log = log
    this.#descriptors = descriptors
  }

  /** Rejects with `LISTEN_FAILED`. */
  async open(): Promise<void> {
    this.#isClosed = false
    try {
      for (const address of addressesOf(this.host))
        await this.#bind(address).catch(error => {
          // One of many that has just gone, or that IPv6 still asks the others about: it is tried again.
          if (!isMany(this.host) || systemCode(error) !== 'EADDRNOTAVAIL') throw error
        })
    } catch (error) {
      this.close()
      throw listenFailed(this.host, this.port, error)
    }
    if (isMany(this.host)) this.#timer = setInterval(() => void this.#follow(), lookEvery).unref()
  }

  /** Can be opened again. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const address of [...this.#doors.keys()]) this.#release(address)
  }

  async #follow(): Promise<void> {
    const addresses = addressesOf(this.host)
    for (const address of this.#doors.keys()) if (!addresses.includes(address)) this.#release(address)
    for (const address of addresses) {
      if (this.#isClosed || this.#doors.has(address)) continue
      const error = await this.#bind(address).then(() => undefined, messageOf)
      if (error === undefined) this.#failed.delete(address)
      else if (this.#failed.get(address) !== error) {
        this.#failed.set(address, error)
        this.#log.warn({ address: formatHostPort(address, this.port), error }, 'listener not opened')
      }
    }
  }

  async #bind(address: string): Promise<void> {
    const shortage = this.#descriptors.shortage(1)
    if (shortage !== undefined) throw new Error(`${shortage}; ${raiseOpenFiles}`)
    const socket = await bindDatagrams(address, this.port)
    if (this.#isClosed) {
      socket.close()
      return
    }
    const door = new Door(socket)
    this.#doors.set(address, door)
    this.#descriptors.take(1)
    // What cannot be sent to one client, because no route leads there for example, is no matter of the others.
    socket.on('error', () => {})
    socket.on('message', (bytes, { address, port }) =>
      this.#receive(bytes, { address: unmap(address), port }, door),
    )
  }

  #release(address: string): void {
    this.#doors.get(address)?.close()
    if (this.#doors.delete(address)) this.#descriptors.give(1)
  }
}
