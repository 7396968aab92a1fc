import type { Socket } from 'node:net'
import { type SocketAddress, unmap } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import {
  encodeProxyV1,
  encodeProxyV2,
  newUniqueId,
  type ProxyHeader,
  type Tlv,
  uniqueIdOf,
  withUniqueId,
} from './proxy-header.ts'
import { tlvType } from './tlv.ts'
import { isTrace } from './trace-mark.ts'

const none: readonly Tlv[] = []

/** Who a connection comes from and where it was to go: as its socket says, until a PROXY header says better. */
export class Client {
  source: SocketAddress
  destination: SocketAddress
  /** Who stands before this end: where its socket, or its link, comes from. */
  readonly neighbour: string
  /** The header was LOCAL or UNKNOWN: a health check by what stands before this end, to be made end to end. */
  isCheck = false
  /** UNIQUE_ID in hex, where it has one. */
  id: string | undefined
  /** Its header is marked: see trace.ts. */
  isTrace = false
  /** What the client called its target in its ClientHello, where that was looked at. */
  serverName: string | undefined
  /** The header told no addresses; none are invented on the way out. */
  #anonymous = false
  #tlvs = none

  constructor(source: SocketAddress, destination: SocketAddress) {
    this.source = source
    this.destination = destination
    this.neighbour = source.address
  }

  static of(socket: Socket): Client {
    // Both are undefined when the client was gone before it was accepted.
    return new Client(
      { address: unmap(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 },
      { address: unmap(socket.localAddress ?? ''), port: socket.localPort ?? 0 },
    )
  }

  /** Takes what a received header says. */
  learn({ command, source, destination, tlvs }: ProxyHeader): void {
    this.isCheck = command === 'LOCAL'
    this.#anonymous = source === undefined || destination === undefined
    this.source = source ?? this.source
    this.destination = destination ?? this.destination
    this.#tlvs = tlvs
    this.id = uniqueIdOf(tlvs)?.toString('hex')
    this.isTrace = isTrace(tlvs)
  }

  /** Takes the server name, as AUTHORITY unless a header told one: who sent that was nearer to the client. */
  named(serverName: string): void {
    this.serverName = serverName
    if (this.#tlvs.some(({ type }) => type === tlvType.AUTHORITY)) return
    this.#tlvs = [...this.#tlvs, { type: tlvType.AUTHORITY, value: Buffer.from(serverName) }]
  }

  /** Gives it a UNIQUE_ID if it has none and one can be sent on: LOCAL stays bare, v1 has no room for it. */
  identify(sendProxy: ForwardConfig['sendProxy']): void {
    if (sendProxy !== 'v2' || this.#anonymous) return
    const { tlvs, id } = withUniqueId(this.#tlvs, newUniqueId)
    this.#tlvs = tlvs
    this.id = id.toString('hex')
  }

  /** The header that tells the target all this. */
  encode(sendProxy: ForwardConfig['sendProxy']): { bytes: Buffer | undefined; droppedTlvs: number } {
    const source = this.#anonymous ? undefined : this.source
    const destination = this.#anonymous ? undefined : this.destination
    if (sendProxy === 'v2') return encodeProxyV2(source, destination, this.#tlvs)
    return { bytes: sendProxy === 'v1' ? encodeProxyV1(source, destination) : undefined, droppedTlvs: 0 }
  }

  /** No other target will be told: an open connection costs less without what only a header needs. */
  told(): void {
    this.#tlvs = none
  }
}
