import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { UdpForwardConfig } from '../../src/config/config.ts'
import { at, to } from '../forward/bench.ts'

/** UDP forwards on loopback with targets and clients of the test's own. */

/** A forward from a free port of 127.0.0.1 to `target`, without headers, unless `changes` says otherwise. */
export function config(target: number, changes: Partial<UdpForwardConfig> = {}): UdpForwardConfig {
  return {
    name: 'dns',
    protocol: 'udp',
    listen: at('127.0.0.1', 0),
    upstream: to(at('127.0.0.1', target)),
    routes: [],
    acceptProxy: false,
    trustedProxies: [{ address: '127.0.0.0', bits: 8, family: 4 }],
    sendProxy: false,
    proxyHeaderLimit: 107,
    limits: { maxConnections: 4096, maxConnectionsPerClient: 256 },
    timeouts: { udp: 60_000, proxyFirst: 10_000 },
    ...changes,
  }
}

/** A datagram, and who sent it. */
export interface Received {
  readonly bytes: Buffer
  readonly from: RemoteInfo
}

/** A socket that keeps what it receives, in order. */
export class Party {
  readonly socket: Socket
  readonly received: Received[] = []
  readonly errors: Error[] = []
  #told = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', error => this.errors.push(error))
    socket.on('message', (bytes, from) => {
      this.received.push({ bytes, from })
      this.#told()
    })
  }

  static async bound(t: Test, address = '127.0.0.1', port = 0): Promise<Party> {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
    const party = new Party(socket)
    socket.bind(port, address)
    await once(socket, 'listening')
    t.teardown(() => party.close())
    return party
  }

  get port(): number {
    return this.socket.address().port
  }

  send(bytes: Buffer | string, port: number, address = '127.0.0.1'): void {
    this.socket.send(bytes, port, address)
  }

  /** The next one; it is taken. */
  async next(): Promise<Received> {
    while (this.received.length === 0) await new Promise<void>(resolve => (this.#told = resolve))
    return this.received.shift()!
  }

  /** Asks and waits for the next that comes, as text. */
  async ask(bytes: Buffer | string, port: number, address?: string): Promise<string> {
    this.send(bytes, port, address)
    return (await this.next()).bytes.toString()
  }

  close(): void {
    try {
      this.socket.close()
    } catch {
      // It is closed.
    }
  }
}

/** A target that answers each datagram with what it got, behind its own name and the sender's port. */
export async function echo(t: Test, name = 'echo', address?: string): Promise<Party> {
  const party = await Party.bound(t, address)
  party.socket.on('message', (bytes, { port, address }) => {
    party.received.length = 0
    party.socket.send(`${name} ${port} ${bytes}`, port, address)
  })
  return party
}
