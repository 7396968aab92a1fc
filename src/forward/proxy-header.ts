import { type ProxyHeader, ProxyHeaderError } from './header.ts'
import { parseV1 } from './proxy-v1.ts'
import { parseV2, signature } from './proxy-v2.ts'

/** The PROXY protocol, versions 1 and 2, as its specification of 2026-04-27 says; "section" is a section of it. */

export { type ProxyHeader, ProxyHeaderError, type Tlv } from './header.ts'
export { encodeProxyV1 } from './proxy-v1.ts'
export { encodeProxyV2, newUniqueId, uniqueIdOf, withUniqueId } from './proxy-v2.ts'

/** The first byte tells the versions apart: `P` of "PROXY ", CR of the v2 signature. */
const v1Begins = Buffer.from('PROXY ')

/**
 * The header at the beginning of `bytes`; `undefined` while they are the valid beginning of one.
 *
 * Never guesses: which versions may come is the listener's config, and a byte that can belong to none of them is an
 * error at once, also when more may follow. @throws ProxyHeaderError
 */
export function parseProxyHeader(bytes: Buffer, accept: 'any' | 'v1' | 'v2'): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined
  if (bytes[0] === signature[0]) {
    if (accept === 'v1')
      throw new ProxyHeaderError('version-refused', 'a v2 PROXY header came, v1 is required')
    return parseV2(bytes)
  }
  const begun = Math.min(bytes.length, v1Begins.length)
  for (let i = 0; i < begun; i++)
    if (bytes[i] !== v1Begins[i])
      throw new ProxyHeaderError('not-a-header', `no PROXY header: byte ${i} is ${hex(bytes[i]!)}`)
  if (accept === 'v2') throw new ProxyHeaderError('version-refused', 'a v1 PROXY header came, v2 is required')
  return bytes.length <= v1Begins.length ? undefined : parseV1(bytes)
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`
}
