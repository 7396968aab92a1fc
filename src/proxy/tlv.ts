import { randomFillSync } from 'node:crypto'
import { crc32c } from './crc32c.ts'
import { type HeaderReason, ProxyHeaderError, type Tlv } from './header.ts'

// Specification.
export const tlvType = { AUTHORITY: 0x02, CRC32C: 0x03, NOOP: 0x04, UNIQUE_ID: 0x05 } as const
/** Bytes of the type and the length before a value. */
const prefixLength = 3
const checksumLength = 4
const zeroChecksum = Buffer.alloc(checksumLength)
/** Section 2.2.5. */
const greatestUniqueId = 128

// Limits of this implementation: what goes out is what every receiver has room for.
const greatestAuthority = 255
const greatestValue = 1024
const uniqueIdLength = 16

/**
 * Follows the lengths from `at` to `end`, the end of the header, as far as `bytes` go.
 * Returns where the checksum's value is, 0 when there is none. @throws ProxyHeaderError
 */
export function frameTlvs(bytes: Buffer, at: number, end: number): number {
  let checksumAt = 0
  while (at < end) {
    if (end - at < prefixLength)
      throw fault('v2-tlv', `${end - at} bytes are left at byte ${at}, the least TLV has ${prefixLength}`)
    const [type, high = 0, low = 0] = [bytes[at], bytes[at + 1], bytes[at + 2]]
    const [valueAt, length] = [at + prefixLength, (high << 8) + low]
    const least = type === tlvType.CRC32C ? checksumLength : 0
    if (valueAt + Math.max(length, least) > end)
      throw fault('v2-tlv', `a TLV of ${length} bytes at byte ${at}, the header ends at ${end}`)
    if (type === tlvType.CRC32C) {
      if (checksumAt > 0) throw fault('v2-crc32c-twice', `a second CRC32C at byte ${at}, allowed is one`)
      if (length > checksumLength || (length < checksumLength && at + 2 < bytes.length))
        throw fault('v2-crc32c-length', `CRC32C of ${length} bytes at byte ${at}, it has ${checksumLength}`)
      checksumAt = valueAt
    }
    if (at + 2 >= bytes.length) break
    at = valueAt + length
  }
  return checksumAt
}

/** The TLVs of a whole header whose framing is known to be good. @throws ProxyHeaderError */
export function readTlvs(bytes: Buffer, at: number, end: number, checksumAt: number): Tlv[] {
  const header = bytes.subarray(0, end)
  if (checksumAt > 0 && bytes.readUInt32BE(checksumAt) !== checksumOf(header, checksumAt))
    throw fault('v2-crc32c-mismatch', `CRC32C at byte ${checksumAt} is not that of the header`)
  const tlvs: Tlv[] = []
  while (at < end) {
    const valueAt = at + prefixLength
    const next = valueAt + bytes.readUInt16BE(at + 1)
    // A copy: the receive buffer must not live as long as the connection.
    tlvs.push({ type: bytes[at]!, value: Buffer.from(bytes.subarray(valueAt, next)) })
    at = next
  }
  return tlvs
}

/** Section 2.2.3: over the whole header, the checksum itself counted as zeros. */
function checksumOf(header: Buffer, at: number): number {
  const before = crc32c(zeroChecksum, crc32c(header.subarray(0, at)))
  return crc32c(header.subarray(at + checksumLength), before)
}

/**
 * Those that may go out within `room` bytes, in their order, and their size. Where room is short, UNIQUE_ID has it first,
 * then AUTHORITY, then what else was received, from the first on.
 */
export function fitTlvs(tlvs: readonly Tlv[], room: number): { kept: readonly Tlv[]; size: number } {
  const sendable = tlvs.every(isSendable) ? tlvs : tlvs.filter(isSendable)
  const whole = sendable.reduce((sum, { value }) => sum + prefixLength + value.length, 0)
  if (whole <= room) return { kept: sendable, size: whole }
  const chosen = new Set<Tlv>()
  let size = 0
  for (const tlv of sendable.toSorted((a, b) => rankOf(a) - rankOf(b))) {
    const grown = size + prefixLength + tlv.value.length
    if (grown > room) continue
    chosen.add(tlv)
    size = grown
  }
  return { kept: sendable.filter(tlv => chosen.has(tlv)), size }
}

function rankOf({ type }: Tlv): number {
  if (type === tlvType.UNIQUE_ID) return 0
  return type === tlvType.AUTHORITY ? 1 : 2
}

function isSendable({ type, value: { length } }: Tlv): boolean {
  if (type === tlvType.AUTHORITY) return length <= greatestAuthority
  if (type === tlvType.CRC32C) return length === checksumLength
  if (type === tlvType.UNIQUE_ID) return length <= greatestUniqueId
  return length <= greatestValue
}

/** Writes them at `at` of a header that is whole but for them; a checksum is computed anew. */
export function writeTlvs(header: Buffer, at: number, tlvs: readonly Tlv[]): void {
  let checksumAt = 0
  for (const { type, value } of tlvs) {
    header[at] = type
    header.writeUInt16BE(value.length, at + 1)
    at += prefixLength
    value.copy(header, at)
    if (type === tlvType.CRC32C) checksumAt = at
    at += value.length
  }
  if (checksumAt > 0) header.writeUInt32BE(checksumOf(header, checksumAt), checksumAt)
}

/** The UNIQUE_ID among them, section 2.2.5; the first when there are several. */
export function uniqueIdOf(tlvs: readonly Tlv[]): Buffer | undefined {
  return tlvs.find(tlv => tlv.type === tlvType.UNIQUE_ID)?.value
}

/** The TLVs with exactly one UNIQUE_ID: the first that is there, or one that `makeId` gives. */
export function withUniqueId(
  tlvs: readonly Tlv[],
  makeId: () => Buffer,
): { tlvs: readonly Tlv[]; id: Buffer } {
  const present = tlvs.find(tlv => tlv.type === tlvType.UNIQUE_ID)
  if (present !== undefined) {
    const isOther = (tlv: Tlv) => tlv.type === tlvType.UNIQUE_ID && tlv !== present
    return { tlvs: tlvs.some(isOther) ? tlvs.filter(tlv => !isOther(tlv)) : tlvs, id: present.value }
  }
  const id = makeId()
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

function fault(reason: HeaderReason, message: string): ProxyHeaderError {
  return new ProxyHeaderError(reason, `PROXY v2 header: ${message}`)
}
