import type { Tlv } from './header.ts'

/**
 * A marked connection: who sends it is told what this end saw of it, and nothing of it goes further. The mark is a TLV
 * of the range for applications (section 2.2.1 of the PROXY protocol), so it is believed only from a trusted source.
 */

const type = 0xe7
const value = Buffer.from('wg-punchhole trace')

export const traceMark: Tlv = { type, value }

export function isTrace(tlvs: readonly Tlv[]): boolean {
  return tlvs.some(tlv => tlv.type === type && tlv.value.equals(value))
}
