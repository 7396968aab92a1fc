import { randomFillSync } from 'node:crypto'
import { fromNumber, type SocketAddress, toNumber, unmap } from '../config/address.ts'
import { crc32c } from './crc32c.ts'
import { type HeaderFault, type ProxyHeader, ProxyHeaderError, type Tlv } from './header.ts'

/** Version 2 of the PROXY protocol: binary, section 2.2. */

// Specification.
export const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const fixedLength = 16
const VERSION = 2
const LOCAL = 0
const PROXY = 1
/** Bytes of the two addresses and ports, by family: AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX. */
const addressLengths = [0, 12, 36, 216] as const
const AF_INET = 1
const AF_INET6 = 2
const greatestTransport = 2 // UNSPEC, STREAM, DGRAM
export const tlvType = { AUTHORITY: 0x02, CRC32C: 0x03, UNIQUE_ID: 0x05 } as const

// Limits of this implementation.
/** Bytes after the first 16; a header of 64 KiB is an attack, not an address. */
const greatestReceived = 4096
/** Bytes of a header that goes out: fits one segment of an ordinary path with room to spare. */
const greatestSent = 1536
const greatestValue = (type: number) =>
  type === tlvType.AUTHORITY ? 255 : type === tlvType.UNIQUE_ID ? 128 : 1024
const uniqueIdLength = 16

/** `undefined`: a valid beginning. Each byte of the fixed part is judged as it comes. @throws ProxyHeaderError */
export function parseV2(bytes: Buffer): ProxyHeader | undefined {
  const begun = Math.min(bytes.length, signature.length)
  for (let i = 0; i < begun; i++)
    if (bytes[i] !== signature[i]) fault('not-a-header', `byte ${i} is not of the signature`)
  if (bytes.length <= 12) return undefined
  const [command, family] = parseFixed(bytes)
  if (bytes.length < fixedLength) return undefined
  const rest = bytes.readUInt16BE(14)
  const addressLength = command === LOCAL ? 0 : addressLengths[family]!
  if (rest > greatestReceived)
    fault('v2-length', `${rest} bytes announced, at most ${greatestReceived} are taken`)
  if (rest < addressLength)
    fault('v2-length', `${rest} bytes announced, the address family needs ${addressLength}`)
  const length = fixedLength + rest
  if (bytes.length < length) return undefined
  // What a LOCAL header carries beside its length is skipped: sections 2.2 and 2.2.1 leave it to the sender.
  if (command === LOCAL)
    return { version: 2, command: 'LOCAL', source: undefined, destination: undefined, tlvs: [], length }
  const header = bytes.subarray(0, length)
  const tlvs = parseTlvs(header, fixedLength + addressLength)
  const [source, destination] = parseAddresses(header, family)
  return { version: 2, command: 'PROXY', source, destination, tlvs, length }
}

function parseFixed(bytes: Buffer): [command: number, family: number] {
  const [version, command] = [bytes[12]! >> 4, bytes[12]! & 15]
  if (version !== VERSION) fault('v2-version', `version ${version}, only 2 exists`)
  if (command !== LOCAL && command !== PROXY)
    fault('v2-command', `command ${command}, allowed are 0 LOCAL and 1 PROXY`)
  const [family, transport] = [(bytes[13] ?? 0) >> 4, (bytes[13] ?? 0) & 15]
  if (family >= addressLengths.length) fault('v2-family', `address family ${family}, allowed are 0 to 3`)
  if (transport > greatestTransport) fault('v2-transport', `transport ${transport}, allowed are 0 to 2`)
  return [command, family]
}

function parseAddresses(
  header: Buffer,
  family: number,
): [SocketAddress | undefined, SocketAddress | undefined] {
  if (family === AF_INET)
    return [
      { address: `${header[16]}.${header[17]}.${header[18]}.${header[19]}`, port: header.readUInt16BE(24) },
      { address: `${header[20]}.${header[21]}.${header[22]}.${header[23]}`, port: header.readUInt16BE(26) },
    ]
  if (family !== AF_INET6) return [undefined, undefined]
  return [
    { address: readV6(header, 16), port: header.readUInt16BE(48) },
    { address: readV6(header, 32), port: header.readUInt16BE(50) },
  ]
}

function readV6(header: Buffer, at: number): string {
  const value = (header.readBigUInt64BE(at) << 64n) | header.readBigUInt64BE(at + 8)
  return value >> 32n === 0xffffn ? fromNumber(value & 0xffffffffn, 4) : fromNumber(value, 6)
}

/** Section 2.2.1: the rest of the header is TLVs, whole ones. */
function parseTlvs(header: Buffer, from: number): Tlv[] {
  const tlvs: Tlv[] = []
  let checksumAt = 0
  for (let at = from; at < header.length; ) {
    const end = at + 3 + (at + 3 <= header.length ? header.readUInt16BE(at + 1) : 0)
    if (end > header.length)
      fault('v2-tlv', `the TLV at byte ${at} runs beyond the header's ${header.length} bytes`)
    const type = header[at]!
    // A copy: the receive buffer must not live as long as the connection.
    tlvs.push({ type, value: Buffer.from(header.subarray(at + 3, end)) })
    if (type === tlvType.CRC32C) {
      if (checksumAt > 0) fault('v2-checksum', `a second CRC32C at byte ${at}`)
      if (end - at !== 7) fault('v2-checksum', `CRC32C of ${end - at - 3} bytes, it has 4`)
      checksumAt = at + 3
    }
    at = end
  }
  if (checksumAt > 0 && header.readUInt32BE(checksumAt) !== checksumOf(header, checksumAt))
    fault('v2-checksum', 'the CRC32C does not match')
  return tlvs
}

/** Section 2.2.3: over the whole header with the checksum's own four bytes zero. */
function checksumOf(header: Buffer, checksumAt: number): number {
  return crc32c(Buffer.from(header).fill(0, checksumAt, checksumAt + 4))
}

function fault(fault: HeaderFault, message: string): never {
  throw new ProxyHeaderError(fault, `PROXY v2 header: ${message}`)
}

/**
 * The header for a TCP connection. Bare LOCAL when there is nothing to tell; families that differ are both written as
 * IPv6. TLVs go out as they are, in order, and CRC32C is computed anew; those that are too long, and from the last one
 * on those that no longer fit, are left out and counted.
 */
export function encodeProxyV2(
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
  tlvs: readonly Tlv[],
): { bytes: Buffer; droppedTlvs: number } {
  if (source === undefined || destination === undefined)
    return { bytes: fixedPart(LOCAL, 0, 0), droppedTlvs: 0 }
  const [from, to] = [unmap(source.address), unmap(destination.address)]
  const v4 = !from.includes(':') && !to.includes(':')
  const addressLength = addressLengths[v4 ? AF_INET : AF_INET6]
  const { kept, size } = fit(tlvs, greatestSent - fixedLength - addressLength)
  const bytes = fixedPart(PROXY, v4 ? 0x11 : 0x21, addressLength + size)
  const portsAt = fixedLength + addressLength - 4
  if (v4) {
    writeV4(bytes, 16, from)
    writeV4(bytes, 20, to)
  } else {
    writeV6(bytes, 16, from)
    writeV6(bytes, 32, to)
  }
  bytes.writeUInt16BE(source.port, portsAt)
  bytes.writeUInt16BE(destination.port, portsAt + 2)
  writeTlvs(bytes, portsAt + 4, kept)
  return { bytes, droppedTlvs: tlvs.length - kept.length }
}

function fixedPart(command: number, familyAndTransport: number, rest: number): Buffer {
  const bytes = Buffer.allocUnsafe(fixedLength + rest)
  signature.copy(bytes)
  bytes[12] = (VERSION << 4) | command
  bytes[13] = familyAndTransport
  bytes.writeUInt16BE(rest, 14)
  return bytes
}

function fit(tlvs: readonly Tlv[], room: number): { kept: readonly Tlv[]; size: number } {
  const kept = tlvs.filter(({ type, value }) => value.length <= greatestValue(type))
  let size = kept.reduce((sum, { value }) => sum + 3 + value.length, 0)
  while (size > room) size -= 3 + kept.pop()!.value.length
  return { kept, size }
}

function writeV4(bytes: Buffer, at: number, address: string): void {
  let octet = 0
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === 46) {
      bytes[at++] = octet
      octet = 0
    } else octet = octet * 10 + code - 48
  }
  bytes[at] = octet
}

function writeV6(bytes: Buffer, at: number, address: string): void {
  const value = address.includes(':') ? toNumber(address) : 0xffff00000000n | toNumber(address)
  bytes.writeBigUInt64BE(value >> 64n, at)
  bytes.writeBigUInt64BE(value & 0xffffffffffffffffn, at + 8)
}

function writeTlvs(bytes: Buffer, at: number, tlvs: readonly Tlv[]): void {
  let checksumAt = 0
  for (const { type, value } of tlvs) {
    bytes[at] = type
    bytes.writeUInt16BE(value.length, at + 1)
    value.copy(bytes, at + 3)
    if (type === tlvType.CRC32C) checksumAt = at + 3
    at += 3 + value.length
  }
  if (checksumAt > 0) bytes.writeUInt32BE(checksumOf(bytes, checksumAt), checksumAt)
}

/** The UNIQUE_ID among them, section 2.2.5; the first when there are several. */
export function uniqueIdOf(tlvs: readonly Tlv[]): Buffer | undefined {
  return tlvs.find(tlv => tlv.type === tlvType.UNIQUE_ID)?.value
}

/** The TLVs with exactly one UNIQUE_ID: the first that is there, or one that `make` gives. */
export function withUniqueId(tlvs: readonly Tlv[], make: () => Buffer): { tlvs: readonly Tlv[]; id: Buffer } {
  const present = tlvs.find(tlv => tlv.type === tlvType.UNIQUE_ID)
  if (present !== undefined)
    return { tlvs: tlvs.filter(tlv => tlv.type !== tlvType.UNIQUE_ID || tlv === present), id: present.value }
  const id = make()
  return { tlvs: [...tlvs, { type: tlvType.UNIQUE_ID, value: id }], id }
}

const pool = Buffer.allocUnsafe(4096)
let used = pool.length

/** 16 random bytes, drawn 4 KiB at a time: a call to the generator per connection would cost more than the header. */
export function newUniqueId(): Buffer {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += uniqueIdLength
  return Buffer.from(pool.subarray(used - uniqueIdLength, used))
}
