import { type SocketAddress, unmap } from '../address.ts'
import { readV6, writeV6 } from './address-bytes.ts'

/**
 * The Simple Proxy Protocol of Cloudflare Spectrum: before every datagram, and before every reply, stand a magic number, the
 * address of the client and that of the proxy that it sent to, then their ports. IPv4 is written as IPv4-mapped IPv6.
 */

export const sppLength = 38
const MAGIC = 0x56ec
const addressesAt = 2
const portsAt = 34

/** The header; replies carry the same one. Zones of addresses are left out. */
export function encodeSpp(client: SocketAddress, proxy: SocketAddress): Buffer {
  const bytes = Buffer.allocUnsafe(sppLength)
  bytes.writeUInt16BE(MAGIC)
  writeV6(bytes, addressesAt, unmap(client.address))
  writeV6(bytes, addressesAt + 16, unmap(proxy.address))
  bytes.writeUInt16BE(client.port, portsAt)
  bytes.writeUInt16BE(proxy.port, portsAt + 2)
  return bytes
}

/** Whether the bytes begin with the magic number. Payload may, too: only the place of the header is a header. */
export function hasSppMagic(bytes: Buffer): boolean {
  return bytes.length >= 2 && bytes.readUInt16BE(0) === MAGIC
}

/** What the header at the beginning says; `undefined` where there is none, or not all of it. */
export function parseSpp(bytes: Buffer): { client: SocketAddress; proxy: SocketAddress } | undefined {
  if (bytes.length < sppLength || !hasSppMagic(bytes)) return undefined
  return {
    client: { address: readV6(bytes, addressesAt), port: bytes.readUInt16BE(portsAt) },
    proxy: { address: readV6(bytes, addressesAt + 16), port: bytes.readUInt16BE(portsAt + 2) },
  }
}

/** Whether a reply begins with a header that names the client of `header`. What it says of the proxy is not looked at. */
export function isSppReply(reply: Buffer, header: Buffer): boolean {
  return (
    reply.length >= sppLength &&
    hasSppMagic(reply) &&
    reply.compare(header, addressesAt, addressesAt + 16, addressesAt, addressesAt + 16) === 0 &&
    reply.compare(header, portsAt, portsAt + 2, portsAt, portsAt + 2) === 0
  )
}
