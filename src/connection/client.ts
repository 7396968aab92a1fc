import type { Socket } from 'node:net'
import type { SocketAddress } from '../address.ts'
import type { TcpForwardConfig } from '../config/config.ts'
import { checkHeader } from '../proxy/check-header.ts'
import {
  encodeProxyV1,
  encodeProxyV2,
  encodeUnspecV2,
  newUniqueId,
  type ProxyHeader,
  type Tlv,
  uniqueIdOf,
  withUniqueId,
} from '../proxy/proxy-header.ts'
import { tlvType } from '../proxy/tlv.ts'
import { isTrace } from '../proxy/trace-mark.ts'
import { acceptedEnds } from '../sockets/ends.ts'

const none: readonly Tlv[] = []

export interface EncodedHeader {
  readonly bytes: Buffer
  /** TLVs that were too long, or that did not fit. */
  readonly droppedTlvs: number
}

/** Who a connection comes from and where it was to go: as its socket says, until a PROXY header says better. */
export class Client {
  source: SocketAddress
  destination: SocketAddress
  /** Who stands before this end: where its socket, or its link, comes from. */
  readonly neighbour: string
  /** A health check by what stands before this end, to be made end to end. */
  isCheck = false
  /** Its header was one of v1 that tells nobody behind the sender: a check, if it ends without a byte. */
  mayBeCheck = false
  /** UNIQUE_ID in hex, where it has one. */
  id: string | undefined
  /** This end gave it. */
  isIdOwn = false
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
    const { source, destination } = acceptedEnds(socket)
    return new Client(source, destination)
  }

  /**
   * Takes what a received header says. Only LOCAL of v2 says that it is a check. v1 has UNKNOWN, or a line with the
   * ends of the connection itself (HAProxy's checks), for checks and for clients of whom nothing else is known.
   */
  learn({ version, command, source, destination, tlvs }: ProxyHeader): void {
    this.isCheck = version === 2 && command === 'LOCAL'
    this.#anonymous = source === undefined || destination === undefined
    const tellsOwn = isSame(source, this.source) && isSame(destination, this.destination)
    this.mayBeCheck = version === 1 && (this.#anonymous || tellsOwn)
    this.source = source ?? this.source
    this.destination = destination ?? this.destination
    this.#tlvs = tlvs
    this.id = uniqueIdOf(tlvs)?.toString('hex')
    this.isTrace = isTrace(tlvs)
  }

  /** Whether a header would tell who it is. */
  get isTellable(): boolean {
    return !this.#anonymous
  }

  /** Takes the server name, as AUTHORITY unless a header told one: who sent that was nearer to the client. */
  named(serverName: string): void {
    this.serverName = serverName
    if (this.#tlvs.some(({ type }) => type === tlvType.AUTHORITY)) return
    this.#tlvs = [...this.#tlvs, { type: tlvType.AUTHORITY, value: Buffer.from(serverName) }]
  }

  /** Gives it a UNIQUE_ID if it has none and one can be sent on: LOCAL stays bare, v1 has no room for it. */
  identify(sendProxy: TcpForwardConfig['sendProxy']): void {
    if (sendProxy !== 'v2' || this.isCheck || this.#anonymous) return
    const { tlvs, id } = withUniqueId(this.#tlvs, newUniqueId)
    this.isIdOwn ||= this.id === undefined
    this.#tlvs = tlvs
    this.id = id.toString('hex')
  }

  /**
   * The header that tells the target all this; of a client without addresses, that there is nothing to tell.
   * @param limit bytes of a header of v2.
   */
  encode(sendProxy: 'v1' | 'v2', limit: number): EncodedHeader {
    if (this.isCheck || this.#anonymous) return { bytes: checkHeader(sendProxy), droppedTlvs: 0 }
    if (sendProxy === 'v2') return encodeProxyV2(this.source, this.destination, this.#tlvs, limit)
    return { bytes: encodeProxyV1(this.source, this.destination), droppedTlvs: 0 }
  }

  /** The header that tells another end of ours, over a link. */
  encodeForLink(): EncodedHeader {
    if (this.isCheck) return encodeProxyV2(undefined, undefined, [])
    return this.#anonymous
      ? encodeUnspecV2(this.#tlvs)
      : encodeProxyV2(this.source, this.destination, this.#tlvs)
  }

  /** No other target will be told: an open connection costs less without what only a header needs. */
  told(): void {
    this.#tlvs = none
  }
}

function isSame(a: SocketAddress | undefined, b: SocketAddress): boolean {
  return a?.port === b.port && a.address === b.address
}
