import type { SocketAddress } from '../config/address.ts'

/** A type-length-value of a v2 header, section 2.2.1. */
export interface Tlv {
  readonly type: number
  readonly value: Buffer
}

/** What a PROXY header says. Addresses are canonical, IPv4-mapped IPv6 un-mapped. */
export interface ProxyHeader {
  readonly version: 1 | 2
  /** LOCAL: a connection of the sender's own, a health check for example. UNKNOWN of v1 is taken as one. */
  readonly command: 'PROXY' | 'LOCAL'
  /** `undefined` where the header tells none: LOCAL, UNKNOWN, AF_UNSPEC, AF_UNIX. */
  readonly source: SocketAddress | undefined
  readonly destination: SocketAddress | undefined
  /** In order, duplicates kept. */
  readonly tlvs: readonly Tlv[]
  /** Bytes that the header took; what follows is payload. */
  readonly length: number
}

/** Why bytes are no PROXY header that this receiver takes. */
export type HeaderFault =
  | 'not-a-header' // a byte that can begin or continue no header
  | 'version-refused' // v1 where v2 is required, or the other way round
  | 'v1-too-long'
  | 'v1-grammar'
  | 'v1-protocol'
  | 'v1-address'
  | 'v1-port'
  | 'v2-version'
  | 'v2-command'
  | 'v2-family'
  | 'v2-transport'
  | 'v2-length'
  | 'v2-tlv'
  | 'v2-checksum'

/** The bytes are no PROXY header, whatever comes after them. The connection is to be reset. */
export class ProxyHeaderError extends Error {
  readonly fault: HeaderFault

  constructor(fault: HeaderFault, message: string) {
    super(message)
    this.name = 'ProxyHeaderError'
    this.fault = fault
  }
}
