import { fromNumber, type SocketAddress } from '../../src/address.ts'
import type { UdpForm } from '../../src/config/config.ts'

/** What a receiver has to make of datagrams, written a second time: slow, and word for word from the rules. */

interface NaiveHeader {
  readonly client: SocketAddress | undefined
  /** Of FLOW. */
  readonly flow: { nonce: string; isAlone: boolean; ownsKept: boolean } | undefined
  readonly length: number
}

const SIGNATURE = '0d0a0d0a000d0a515549540a'

function numberAt(bytes: Buffer, at: number, length: number): bigint {
  return BigInt(`0x${bytes.toString('hex', at, at + length)}`)
}

function addressAt(bytes: Buffer, at: number, length: 4 | 16): string {
  const number = numberAt(bytes, at, length)
  if (length === 4) return fromNumber(number, 4)
  return number >> 32n === 0xffffn ? fromNumber(number & 0xffffffffn, 4) : fromNumber(number, 6)
}

/** Bit by bit. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc = (crc ^ byte) >>> 0
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1) >>> 0
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** `bare`: it does not begin with the signature. */
export function readNaive(bytes: Buffer): NaiveHeader | 'bare' | 'invalid' {
  if (bytes.toString('hex', 0, 12) !== SIGNATURE) return 'bare'
  if (bytes.length < 16) return 'invalid'
  const [command, family, transport] = [bytes[12]!, bytes[13]! >> 4, bytes[13]! % 16]
  const length = 16 + Number(numberAt(bytes, 14, 2))
  if (command !== 0x20 && command !== 0x21) return 'invalid'
  if (family > 3 || transport > 2 || length > 16 + 4096 || length > bytes.length) return 'invalid'
  if (command === 0x20) return { client: undefined, flow: undefined, length }
  if (transport === 1) return 'invalid'
  let at = 16 + [0, 12, 36, 216][family]!
  if (at > length) return 'invalid'
  const tlvs: { type: number; at: number; value: Buffer }[] = []
  while (at < length) {
    if (at + 3 > length) return 'invalid'
    const end = at + 3 + Number(numberAt(bytes, at + 1, 2))
    if (end > length) return 'invalid'
    tlvs.push({ type: bytes[at]!, at: at + 3, value: bytes.subarray(at + 3, end) })
    at = end
  }
  const checksums = tlvs.filter(({ type }) => type === 3)
  if (checksums.length > 1) return 'invalid'
  for (const { at, value } of checksums) {
    if (value.length !== 4) return 'invalid'
    const zeroed = Buffer.from(bytes.subarray(0, length)).fill(0, at, at + 4)
    if (crc32c(zeroed) !== value.readUInt32BE()) return 'invalid'
  }
  const size = family === 1 ? 4 : 16
  const isTold = transport === 2 && (family === 1 || family === 2)
  const port = isTold ? bytes.readUInt16BE(16 + 2 * size) : 0
  const client = isTold ? { address: addressAt(bytes, 16, size), port } : undefined
  const mark = tlvs.find(({ type }) => type === 0xe8)?.value
  const flow =
    mark?.length === 9
      ? {
          nonce: mark.toString('hex', 1),
          isAlone: mark[0]! % 2 === 1,
          ownsKept: Math.floor(mark[0]! / 2) % 2 === 1,
        }
      : undefined
  return { client, flow, length }
}

/** What was read, as text and plain values. */
export type Seen =
  | { client: string; payload: string | undefined; kept: string[]; known: string | undefined }
  | 'kept'
  | 'header-invalid'
  | 'header-missing'

const textOf = ({ address, port }: SocketAddress) => `${address} ${port}`

/** For few datagrams: nothing is bounded here. */
export class NaiveReceiver {
  readonly #form: UdpForm
  readonly #senders: { sender: string; client: string; at: number }[] = []
  #kept: { sender: string; since: number; payload: string }[] = []

  constructor(form: UdpForm) {
    this.#form = form
  }

  read(bytes: Buffer, from: SocketAddress, now: number): Seen {
    const sender = textOf(from)
    if (this.#form === 'spp') return this.#spp(bytes)
    const header = readNaive(bytes)
    if (header === 'invalid') return 'header-invalid'
    // KNOWN, with whatever follows, and UNKNOWN by itself are for senders.
    if (header !== 'bare' && /^2000000be90008|^20000003ea0000$/.test(bytes.toString('hex', 12)))
      return 'header-invalid'
    const knownFor = { 'v2-every': Number.POSITIVE_INFINITY, 'v2-first': 10_000, 'v2-alone': 30_000 }[
      this.#form
    ]
    const known = this.#senders.find(one => one.sender === sender && now - one.at < knownFor)
    if (header === 'bare') {
      if (known !== undefined) {
        known.at = now
        return this.#seen(known.client, bytes)
      }
      if (this.#form !== 'v2-every') return 'header-missing'
      this.#forgetKept(now)
      const since = this.#kept.find(one => one.sender === sender)?.since ?? now
      this.#kept.push({ sender, since, payload: bytes.toString('hex') })
      return 'kept'
    }
    const client = header.client === undefined ? sender : textOf(header.client)
    const payload = bytes.subarray(header.length)
    switch (this.#form) {
      case 'v2-alone':
        if (payload.length > 0) return 'header-invalid'
        this.#learn(sender, client, now)
        return this.#seen(client, undefined)
      case 'v2-first':
        if (known !== undefined && known.client !== client) {
          this.#learn(sender, undefined, now)
          return 'header-invalid'
        }
        this.#learn(sender, client, now)
        return this.#seen(client, payload)
      case 'v2-every': {
        if (header.flow === undefined) {
          if (known?.client !== client) this.#learn(sender, undefined, now)
          return this.#seen(client, payload)
        }
        this.#forgetKept(now)
        this.#learn(sender, client, now)
        const kept = this.#kept.filter(one => one.sender === sender).map(one => one.payload)
        this.#kept = this.#kept.filter(one => one.sender !== sender)
        const { isAlone, ownsKept, nonce } = header.flow
        return this.#seen(client, isAlone ? undefined : payload, ownsKept ? kept : [], nonce)
      }
    }
  }

  #spp(bytes: Buffer): Seen {
    if (bytes.toString('hex', 0, 2) !== '56ec') return 'header-missing'
    if (bytes.length < 38) return 'header-invalid'
    const client = `${addressAt(bytes, 2, 16)} ${numberAt(bytes, 34, 2)}`
    return this.#seen(client, bytes.subarray(38))
  }

  #learn(sender: string, client: string | undefined, at: number): void {
    const place = this.#senders.findIndex(one => one.sender === sender)
    if (place >= 0) this.#senders.splice(place, 1)
    if (client !== undefined) this.#senders.push({ sender, client, at })
  }

  #forgetKept(now: number): void {
    this.#kept = this.#kept.filter(({ since }) => now - since < 1000)
  }

  #seen(client: string, payload: Buffer | undefined, kept: string[] = [], known?: string): Seen {
    return { client, payload: payload?.toString('hex'), kept, known }
  }
}
