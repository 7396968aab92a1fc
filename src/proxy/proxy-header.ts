import { type HeaderReason, hex, type ProxyHeader, ProxyHeaderError } from './header.ts'
import { parseV1, v1Begins } from './v1.ts'
import { parseV2, signature } from './v2.ts'

/**
 * The PROXY protocol, versions 1 and 2, as its specification of 2026-04-27 says; "section" is a section of it.
 *
 * Pure: bytes in, bytes out. The parsers judge every byte as it comes: what they take so far can still become a header.
 */

export { type HeaderReason, type ProxyHeader, ProxyHeaderError, type Tlv, type Transport } from './header.ts'
export { newUniqueId, uniqueIdOf, withUniqueId } from './tlv.ts'
export { encodeProxyV1 } from './v1.ts'
export { encodeProxyV2, encodeUnspecV2, greatestSent, hasSignature } from './v2.ts'

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
