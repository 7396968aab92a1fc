import type { SocketAddress } from '../config/address.ts'
import { parseV1, v1Begins } from './proxy-v1.ts'
import { parseV2, signature } from './proxy-v2.ts'
import type { Tlv } from './tlv.ts'

/**
 * The PROXY protocol, versions 1 and 2, as its specification of 2026-04-27 says; "section" is a section of it.
 *
 * Pure: bytes in, bytes out. The parsers judge every byte as it comes: what they take so far can still become a header.
 * Both of them import the error below, a circle of functions that only meet at run time.
 */

export { encodeProxyV1 } from './proxy-v1.ts'
export { encodeProxyV2 } from './proxy-v2.ts'
export { newUniqueId, type Tlv, uniqueIdOf, withUniqueId } from './tlv.ts'

/** What a PROXY header says. Addresses are canonical, IPv4-mapped IPv6 un-mapped. */
export interface ProxyHeader {
  readonly version: 1 | 2
  /** LOCAL: a connection of the sender's own, a health check for example. UNKNOWN of v1 is taken as one. */
  readonly command: 'PROXY' | 'LOCAL'
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

/**
 * The header at the beginning of `bytes`; `undefined` while they are the valid beginning of one.
 *
 * Never guesses (section 5): which versions may come is the listener's config. The first byte tells them apart.
 * @throws ProxyHeaderError at the first byte that can belong to no header, also when more may follow
 */
export function parseProxyHeader(bytes: Buffer, accept: 'any' | 'v1' | 'v2'): ProxyHeader | undefined {
  const first = bytes[0]
  if (first === undefined) return undefined
  if (first === signature[0]) {
    if (accept === 'v1') throw refusal('v2-refused', first, 'v2', 'v1')
    return parseV2(bytes)
  }
  if (first !== v1Begins[0])
    throw new ProxyHeaderError(
      'not-a-header',
      `no PROXY header: byte 0 is ${hex(first)}, allowed are 0x50 of v1 and 0x0d of v2`,
    )
  if (accept === 'v2') throw refusal('v1-refused', first, 'v1', 'v2')
  return parseV1(bytes)
}

function refusal(reason: HeaderReason, first: number, came: string, required: string): ProxyHeaderError {
  return new ProxyHeaderError(
    reason,
    `PROXY ${came} header: byte 0 is ${hex(first)}, the beginning of ${came}, and this listener requires ${required}`,
  )
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
