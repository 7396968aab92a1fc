import type { SocketAddress } from '../address.ts'

/** Type-length-values, what a v2 header carries behind its addresses: sections 2.2 and 2.2.1 to 2.2.8. */
export interface Tlv {
  /** 0 to 255. */
  readonly type: number
  /** At most 65,535 bytes. Values within values, as those of PP2_TYPE_SSL, are not looked into. */
  readonly value: Buffer
}

/** SOCK_STREAM and SOCK_DGRAM of the specification, which writes TCP and UDP for them, too. */
export type Transport = 'tcp' | 'udp'

/** What a PROXY header says. Addresses are canonical, IPv4-mapped IPv6 un-mapped. */
export interface ProxyHeader {
  readonly version: 1 | 2
  /** LOCAL: a connection of the sender's own, a health check for example. UNKNOWN of v1 says no more than LOCAL does. */
  readonly command: 'PROXY' | 'LOCAL'
  /** `undefined` where the header tells none: LOCAL, UNKNOWN, UNSPEC. */
  readonly transport: Transport | undefined
  /** `undefined` where the header tells none: LOCAL, UNKNOWN, AF_UNIX, an UNSPEC family or transport. */
  readonly source: SocketAddress | undefined
  readonly destination: SocketAddress | undefined
  /** In order, duplicates kept. None with LOCAL, whose block is to be discarded whole (section 2.2). */
  readonly tlvs: readonly Tlv[]
  /** Bytes that the header took; what follows is payload. */
  readonly length: number
}

/** Why bytes are no PROXY header that this receiver takes. The words are stable. */
export type HeaderReason =
  | 'not-a-header' // neither "PROXY " nor the signature
  | 'v1-refused' // v1 came, v2 is required
  | 'v2-refused' // v2 came, v1 is required
  | 'v1-protocol' // not TCP4, TCP6 or UNKNOWN
  | 'v1-address'
  | 'v1-port'
  | 'v1-fields' // fewer or more than two addresses and two ports
  | 'v1-line-end' // CR without LF
  | 'v1-too-long'
  | 'v2-version'
  | 'v2-command'
  | 'v2-family'
  | 'v2-transport'
  | 'v2-too-short' // for the addresses of its family
  | 'v2-too-long' // for this implementation
  | 'v2-tlv' // a TLV that runs beyond the header
  | 'v2-crc32c-length'
  | 'v2-crc32c-twice'
  | 'v2-crc32c-mismatch'

/** The bytes are no PROXY header, whatever comes after them. The connection is to be reset (section 2.1, 2.2). */
export class ProxyHeaderError extends Error {
  readonly reason: HeaderReason

  constructor(reason: HeaderReason, message: string) {
    super(message)
    this.name = 'ProxyHeaderError'
    this.reason = reason
  }
}

/** A byte as messages show it: `0x0d`. */
export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`
}

/**
 * Whether there is something to tell: both ends, each with an address. A socket that is already gone has none, and
 * none is invented.
 */
export function isTellable(end: SocketAddress | undefined): end is SocketAddress {
  return end !== undefined && end.address !== ''
}
