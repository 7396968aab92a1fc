import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

/** What goes wrong on the way, in both directions unless said otherwise. */
export interface Faults {
  /** Nothing passes. */
  cut: boolean
  /** Nothing passes this way. */
  lost: 'to-target' | 'to-client' | undefined
  /** Share of datagrams lost, 0 to 1. */
  loss: number
  /** Milliseconds each way. */
  delay: number
  /** Milliseconds at most that come to the delay, of each datagram by chance: they overtake each other. */
  jitter: number
  /** Bytes of the largest datagram that passes. */
  largest: number
}

interface Mapping {
  readonly socket: Socket
  readonly client: { readonly address: string; readonly port: number }
  banned: boolean
}

/**
 * A network between two WireGuard ends, in user space: each client that sends to it gets a socket of its own towards
 * the target, as behind a NAT. The kernels that tests run on have no netem.
 */
export class UdpRelay {
  readonly faults: Faults = { cut: false, lost: undefined, loss: 0, delay: 0, jitter: 0, largest: 65_535 }
  readonly #near: Socket
  readonly #target: { readonly host: string; readonly port: number }
  readonly #mappings = new Map<string, Mapping>()

  private constructor(near: Socket, target: { host: string; port: number }) {
    this.#near = near
    this.#target = target
    near.on('message', (message, { address, port }) => {
      const mapping = this.#mapping(address, port)
      this.#pass(mapping, 'to-target', message, () => mapping.socket.send(message, target.port, target.host))
    })
  }

  static async listen(options: {
    readonly host: string
    readonly port: number
    readonly target: { readonly host: string; readonly port: number }
  }): Promise<UdpRelay> {
    const near = open()
    near.bind(options.port, options.host)
    await once(near, 'listening')
    return new UdpRelay(near, options.target)
  }

  /** Forgets who sent: what the target sends there from now on is lost, and clients come from a new port. */
  forget(): void {
    for (const mapping of this.#mappings.values()) close(mapping)
    this.#mappings.clear()
  }

  /** Drops what these clients send and are sent, for good; from another port they are new ones. */
  ban(): void {
    for (const mapping of this.#mappings.values()) mapping.banned = true
  }

  close(): void {
    this.forget()
    this.#near.close()
  }

  #mapping(address: string, port: number): Mapping {
    const key = `${address} ${port}`
    const known = this.#mappings.get(key)
    if (known !== undefined) return known
    const socket = open()
    const mapping: Mapping = { socket, client: { address, port }, banned: false }
    this.#mappings.set(key, mapping)
    socket.on('message', (message, from) => {
      if (from.port !== this.#target.port) return
      this.#pass(mapping, 'to-client', message, () => this.#near.send(message, port, address))
    })
    return mapping
  }

  #pass(mapping: Mapping, way: Faults['lost'], message: Buffer, send: () => void): void {
    const { cut, lost, loss, delay, jitter, largest } = this.faults
    if (cut || lost === way || mapping.banned || message.length > largest || Math.random() < loss) return
    const sendIfOpen = () => {
      if (this.#mappings.get(`${mapping.client.address} ${mapping.client.port}`) === mapping) send()
    }
    if (delay + jitter === 0) sendIfOpen()
    else setTimeout(sendIfOpen, delay + Math.random() * jitter)
  }
}

function open(): Socket {
  // What the far side refuses is its own affair.
  return createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 }).on(
    'error',
    () => {},
  )
}

function close({ socket }: Mapping): void {
  socket.close()
}
