import type { Tlv } from './header.ts'
import { signature } from './v2.ts'

/**
 * How two ends of ours agree that the datagrams of a flow come without a header: TLVs of the range for applications
 * (section 2.2.1 of the PROXY protocol), so they are believed only from a trusted source, and nothing of them goes further.
 *
 * FLOW, in the header of a datagram: "this source port is this client's alone". Its value is a byte of flags and the nonce
 * of the flow. The answer is a datagram that begins with a LOCAL header: with KNOWN and the nonce when the receiver has
 * learnt it (a reply may follow in the same datagram), with UNKNOWN when a datagram without a header came from a source port
 * that it does not know.
 */

const FLOW = 0xe8
const KNOWN = 0xe9
const UNKNOWN = 0xea
export const nonceLength = 8
const flowLength = 1 + nonceLength
/** Bytes that FLOW takes in a header. */
export const flowTlvLength = 3 + flowLength

const ALONE = 1
const KEPT_IS_OURS = 2

export interface FlowMark {
  /** Random bytes, {@link nonceLength} of them: of this flow, and of no other before or after it on the same source port. */
  readonly nonce: Buffer
  /** The datagram is nothing but the header: nothing of it goes to the target. */
  readonly isAlone: boolean
  /** This flow has sent datagrams without a header: those of its source port that the receiver has kept are its. */
  readonly ownsKept: boolean
}

export function flowTlv({ nonce, isAlone, ownsKept }: FlowMark): Tlv {
  const flags = (isAlone ? ALONE : 0) | (ownsKept ? KEPT_IS_OURS : 0)
  return { type: FLOW, value: Buffer.concat([Buffer.of(flags), nonce]) }
}

/** What FLOW says; the first, where there are several. Flags that this version does not know are ignored. */
export function flowOf(tlvs: readonly Tlv[]): FlowMark | undefined {
  const value = tlvs.find(({ type }) => type === FLOW)?.value
  if (value?.length !== flowLength) return undefined
  const flags = value[0]!
  return {
    nonce: value.subarray(1),
    isAlone: (flags & ALONE) !== 0,
    ownsKept: (flags & KEPT_IS_OURS) !== 0,
  }
}

/** The TLVs that may go on to a target. */
export function withoutFlow(tlvs: readonly Tlv[]): readonly Tlv[] {
  return tlvs.some(({ type }) => type === FLOW) ? tlvs.filter(({ type }) => type !== FLOW) : tlvs
}

function answer(type: number, value: Buffer): Buffer {
  // Version 2 and LOCAL, family and transport UNSPEC, then the length of what follows: one TLV.
  const begin = Buffer.of(0x20, 0x00, 0x00, 3 + value.length, type, 0x00, value.length)
  return Buffer.concat([signature, begin, value])
}

/** To a sender whose FLOW was learnt. */
export function knownAnswer(nonce: Buffer): Buffer {
  return answer(KNOWN, nonce)
}

/** To a sender who is not known and sent a datagram without a header. */
export const unknownAnswer = answer(UNKNOWN, Buffer.alloc(0))

const knownBegins = knownAnswer(Buffer.alloc(nonceLength)).subarray(0, -nonceLength)

/** The answer that a datagram from a target is, and the reply that follows KNOWN; `undefined` where it is none. */
export function readAnswer(bytes: Buffer): { known: Buffer; reply: Buffer } | 'unknown' | undefined {
  if (bytes[0] !== signature[0]) return undefined
  if (bytes.equals(unknownAnswer)) return 'unknown'
  const nonceAt = knownBegins.length
  const replyAt = nonceAt + nonceLength
  if (bytes.length < replyAt || !bytes.subarray(0, nonceAt).equals(knownBegins)) return undefined
  return { known: bytes.subarray(nonceAt, replyAt), reply: bytes.subarray(replyAt) }
}
