import { type SocketAddress, unmap } from '../address.ts'
import { readV4, readV6, writeV4, writeV6 } from './address-bytes.ts'
import {
  type HeaderReason,
  hex,
  isTellable,
  type ProxyHeader,
  ProxyHeaderError,
  type Tlv,
  type Transport,
} from './header.ts'
import { fitTlvs, frameTlvs, readTlvs, writeTlvs } from './tlv.ts'

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
const UNSPEC = 0
const STREAM = 1
const DGRAM = 2
/** By the number of the transport: UNSPEC, STREAM, DGRAM. */
const transports = [undefined, 'tcp', 'udp'] as const

// Limits of this implementation.
/** Bytes after the first 16; a header of 64 KiB is an attack, not an address. */
const greatestReceived = 4096
/** Bytes of a whole header that goes out: several times what proxies add of their own. */
export const greatestSent = 1536

/** Whether the bytes begin with all of the signature. */
export function hasSignature(bytes: Buffer): boolean {
  if (bytes[0] !== signature[0] || bytes.length < signature.length) return false
  return signature.compare(bytes, 0, signature.length) === 0
}

/** `undefined`: a valid beginning. @throws ProxyHeaderError */
export function parseV2(bytes: Buffer): ProxyHeader | undefined {
  const begun = Math.min(bytes.length, signature.length)
  for (let at = 0; at < begun; at++)
    if (bytes[at] !== signature[at])
      throw fault(
        'not-a-header',
        `byte ${at} is ${hex(bytes[at]!)}, the signature has ${hex(signature[at]!)}`,
      )
  judgeFixed(bytes)
  if (bytes.length < fixedLength) return undefined
  const isLocal = (bytes[12]! & 15) === LOCAL
  const rest = bytes.readUInt16BE(14)
  const length = fixedLength + rest
  // What stands in a LOCAL header is discarded, "including the family which is ignored".
  if (isLocal)
    return bytes.length < length
      ? undefined
      : {
          version: 2,
          command: 'LOCAL',
          transport: undefined,
          source: undefined,
          destination: undefined,
          tlvs: [],
          length,
        }
  const [family, transport] = [bytes[13]! >> 4, bytes[13]! & 15]
  const addressLength = addressLengths[family]!
  if (rest < addressLength)
    throw fault(
      'v2-too-short',
      `length ${rest} at byte 14, the addresses of its family take ${addressLength}`,
    )
  const tlvsAt = fixedLength + addressLength
  const checksumAt = frameTlvs(bytes, tlvsAt, length)
  if (bytes.length < length) return undefined
  const tlvs = readTlvs(bytes, tlvsAt, length, checksumAt)
  const [source, destination] = transport === UNSPEC ? [] : readAddresses(bytes, family)
  return { version: 2, command: 'PROXY', transport: transports[transport], source, destination, tlvs, length }
}

/** Bytes 12 to 15, as many as have come. */
function judgeFixed(bytes: Buffer): void {
  const versionAndCommand = bytes[12]
  if (versionAndCommand === undefined) return
  const familyAndTransport = bytes[13] ?? 0
  const length = ((bytes[14] ?? 0) << 8) + (bytes[15] ?? 0)
  if (versionAndCommand >> 4 !== VERSION)
    throw fault('v2-version', `version ${versionAndCommand >> 4} at byte 12, allowed is ${VERSION}`)
  if ((versionAndCommand & 15) > PROXY)
    throw fault('v2-command', `command ${versionAndCommand & 15} at byte 12, allowed are 0 LOCAL and 1 PROXY`)
  if (familyAndTransport >> 4 >= addressLengths.length)
    throw fault('v2-family', `address family ${familyAndTransport >> 4} at byte 13, allowed are 0 to 3`)
  if ((familyAndTransport & 15) > DGRAM)
    throw fault('v2-transport', `transport ${familyAndTransport & 15} at byte 13, allowed are 0 to ${DGRAM}`)
  if (length > greatestReceived)
    throw fault('v2-too-long', `length ${length} at byte 14, allowed are at most ${greatestReceived}`)
}

function readAddresses(bytes: Buffer, family: number): SocketAddress[] {
  if (family === AF_INET)
    return [
      { address: readV4(bytes, 16), port: bytes.readUInt16BE(24) },
      { address: readV4(bytes, 20), port: bytes.readUInt16BE(26) },
    ]
  if (family !== AF_INET6) return []
  return [
    { address: readV6(bytes, 16), port: bytes.readUInt16BE(48) },
    { address: readV6(bytes, 32), port: bytes.readUInt16BE(50) },
  ]
}

/**
 * The header for a TCP connection, or for a datagram. Bare LOCAL when there is nothing to tell; families that differ are both written as
 * IPv6. TLVs go out as they are, in order, and CRC32C is computed anew; those that are too long, and those that do not
 * fit (see `fitTlvs`), are left out and counted.
 * @param limit bytes of the whole header, 52 to 1536.
 */
export function encodeProxyV2(
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
  tlvs: readonly Tlv[],
  limit = greatestSent,
  transport: Transport = 'tcp',
): { bytes: Buffer; droppedTlvs: number } {
  if (!isTellable(source) || !isTellable(destination))
    return { bytes: fixedPart(LOCAL, UNSPEC, 0), droppedTlvs: 0 }
  const [from, to] = [unmap(source.address), unmap(destination.address)]
  const family = from.includes(':') || to.includes(':') ? AF_INET6 : AF_INET
  const tlvsAt = fixedLength + addressLengths[family]
  const { kept, size } = fitTlvs(tlvs, limit - tlvsAt)
  const bytes = fixedPart(
    PROXY,
    (family << 4) | (transport === 'tcp' ? STREAM : DGRAM),
    tlvsAt - fixedLength + size,
  )
  if (family === AF_INET) {
    writeV4(bytes, 16, from)
    writeV4(bytes, 20, to)
  } else {
    writeV6(bytes, 16, from)
    writeV6(bytes, 32, to)
  }
  bytes.writeUInt16BE(source.port, tlvsAt - 4)
  bytes.writeUInt16BE(destination.port, tlvsAt - 2)
  writeTlvs(bytes, tlvsAt, kept)
  return { bytes, droppedTlvs: tlvs.length - kept.length }
}

/**
 * The header of a client whose addresses nobody knows: family UNSPEC. A receiver may refuse it (section 2.2), and most do,
 * HAProxy among them, so it is only for another end of ours.
 */
export function encodeUnspecV2(tlvs: readonly Tlv[]): { bytes: Buffer; droppedTlvs: number } {
  const { kept, size } = fitTlvs(tlvs, greatestSent - fixedLength)
  const bytes = fixedPart(PROXY, UNSPEC, size)
  writeTlvs(bytes, fixedLength, kept)
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

function fault(reason: HeaderReason, message: string): ProxyHeaderError {
  return new ProxyHeaderError(reason, `PROXY v2 header: ${message}`)
}
