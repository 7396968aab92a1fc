import { canonical, familyOf, type SocketAddress, unmap } from '../address.ts'
import { type HeaderReason, hex, isTellable, type ProxyHeader, ProxyHeaderError } from './header.ts'

/** Version 1 of the PROXY protocol: one line of text, section 2.1. */

// Specification.
export const v1Begins = Buffer.from('PROXY ')
const protocols = ['PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN'].map(text => Buffer.from(text))
/** Bytes of the longest line with its CRLF. */
const longestLine = 107
const greatestPort = 65535
const CR = 0x0d
const LF = 0x0a
const SPACE = 0x20

/** What can complete the beginning of an address. */
const addressTails = ['', '::', ':', '0', '0.0', '0.0.0', '0.0.0.0', '.0', '.0.0', '.0.0.0']

/** `undefined`: a valid beginning. @throws ProxyHeaderError */
export function parseV1(bytes: Buffer): ProxyHeader | undefined {
  const protocol = protocols.find(text => bytes.subarray(0, text.length).equals(text))
  if (protocol === undefined) return parseBeginning(bytes)
  if (protocol === protocols[2]) return parseUnknown(bytes, protocol.length)
  return parseTcp(bytes, protocol.length, protocol === protocols[0] ? 4 : 6)
}

function parseBeginning(bytes: Buffer): undefined {
  let [at, candidates] = [0, protocols]
  for (; at < bytes.length && candidates.length > 0; at++)
    candidates = candidates.filter(text => text[at] === bytes[at])
  if (candidates.length > 0) return undefined
  const found = `byte ${at - 1} is ${hex(bytes[at - 1]!)}`
  if (at <= v1Begins.length) throw fault('not-a-header', `${found}, not of "PROXY "`)
  throw fault('v1-protocol', `${found}, after "PROXY " are allowed "TCP4 ", "TCP6 " and "UNKNOWN"`)
}

/** Whatever stands before CRLF is ignored: a lone CR too. */
function parseUnknown(bytes: Buffer, from: number): ProxyHeader | undefined {
  const next = bytes[from]
  if (next !== undefined && next !== SPACE && next !== CR)
    throw fault('v1-protocol', `byte ${from} is ${hex(next)}, after UNKNOWN are allowed a space and CRLF`)
  const end = next === CR ? from : bytes.subarray(0, longestLine).indexOf('\r\n', from, 'latin1')
  if (next === CR ? !isEnded(bytes, end) : isOpen(bytes, end)) return undefined
  return {
    version: 1,
    command: 'LOCAL',
    transport: undefined,
    source: undefined,
    destination: undefined,
    tlvs: [],
    length: end + 2,
  }
}

function parseTcp(bytes: Buffer, from: number, family: 4 | 6): ProxyHeader | undefined {
  const end = bytes.subarray(0, longestLine - 1).indexOf(CR)
  const fields = bytes
    .toString('latin1', from, end < 0 ? Math.min(bytes.length, longestLine - 1) : end)
    .split(' ')
  for (let i = 0, at = from; i < fields.length; at += fields[i]!.length + 1, i++) {
    if (i > 3) throw fault('v1-fields', `a space at byte ${at - 1}, after the second port is allowed CRLF`)
    const isWhole = end >= 0 || i < fields.length - 1
    if (i < 2) judgeAddress(fields[i]!, at, family, isWhole)
    else judgePort(fields[i]!, at, isWhole)
  }
  if (end >= 0 && fields.length < 4)
    throw fault('v1-fields', `CR at byte ${end} after ${fields.length} of two addresses and two ports`)
  if (end < 0 ? isOpen(bytes, end) : !isEnded(bytes, end)) return undefined
  const [source, destination, sourcePort, destinationPort] = fields as [string, string, string, string]
  return {
    version: 1,
    command: 'PROXY',
    transport: 'tcp',
    source: { address: canonical(source), port: Number(sourcePort) },
    destination: { address: canonical(destination), port: Number(destinationPort) },
    tlvs: [],
    length: end + 2,
  }
}

/** Whether a line without an end may go on: the last place for CR is the last byte but one. */
function isOpen(bytes: Buffer, end: number): boolean {
  if (end >= 0) return false
  const at = longestLine - 2
  if (bytes.length > at + 1 || (bytes.length > at && bytes[at] !== CR))
    throw fault('v1-too-long', `no CRLF up to byte ${at + 1}, a line has at most ${longestLine} bytes`)
  return true
}

/** Whether LF has come after the CR at `end`. */
function isEnded(bytes: Buffer, end: number): boolean {
  const next = bytes[end + 1]
  if (next !== undefined && next !== LF)
    throw fault('v1-line-end', `byte ${end + 1} is ${hex(next)}, after CR is allowed LF`)
  return next === LF
}

function judgeAddress(text: string, at: number, family: 4 | 6, isWhole: boolean): void {
  const isPossible = isWhole
    ? familyOf(text) === family
    : addressTails.some(tail => familyOf(text + tail) === family)
  if (!isPossible)
    throw fault('v1-address', `${JSON.stringify(text)} at byte ${at}, allowed is an IPv${family} address`)
}

function judgePort(text: string, at: number, isWhole: boolean): void {
  if (!isWhole && text === '') return
  if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > greatestPort)
    throw fault(
      'v1-port',
      `${JSON.stringify(text)} at byte ${at}, allowed are 0 to ${greatestPort} without leading zeros`,
    )
}

function fault(reason: HeaderReason, message: string): ProxyHeaderError {
  return new ProxyHeaderError(reason, `PROXY v1 header: ${message}`)
}

/**
 * The line for a TCP connection. Families that differ are both written as IPv6.
 *
 * UNKNOWN where there is nothing to tell, in its short form (section 2.1). No form of it is taken everywhere: the short
 * one is refused by Apache 2.4.71, Twisted 26.10, Varnish 7.1.1, Postfix 3.7.11 and gunicorn 27.0.1, the long one by
 * HAProxy 2.6, Varnish, Postfix and gunicorn. LOCAL of v2 is.
 */
export function encodeProxyV1(
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
): Buffer {
  if (!isTellable(source) || !isTellable(destination)) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
  const [from, to] = [withoutZone(unmap(source.address)), withoutZone(unmap(destination.address))]
  const ports = `${source.port} ${destination.port}\r\n`
  if (!from.includes(':') && !to.includes(':'))
    return Buffer.from(`PROXY TCP4 ${from} ${to} ${ports}`, 'latin1')
  return Buffer.from(`PROXY TCP6 ${asV6(from)} ${asV6(to)} ${ports}`, 'latin1')
}

/** Node tells a link-local peer as `fe80::1%eth0`; the zone means nothing to others. */
function withoutZone(address: string): string {
  const zone = address.indexOf('%')
  return zone < 0 ? address : address.slice(0, zone)
}

function asV6(address: string): string {
  return address.includes(':') ? address : `::ffff:${address}`
}
