/** CRC-32C (Castagnoli), reflected polynomial 0x82F63B78: the checksum of PP2_TYPE_CRC32C; RFC 4960 appendix B. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  return crc
})

/** An unsigned 32-bit number; `previous` is that of the bytes before these. One table look-up a byte: headers are short. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 255]!
  return ~crc >>> 0
}
