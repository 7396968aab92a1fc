import { canonical, familyOf, type SocketAddress, unmap } from '../config/address.ts'
import { type HeaderFault, type ProxyHeader, ProxyHeaderError } from './header.ts'

/** Version 1 of the PROXY protocol: one line of text, section 2.1. */

/** Section 2.1: the longest line with its CRLF, TCP6 with two full addresses. */
const longestLine = 107

const CR = 0x0d
const LF = 0x0a
const beginnings = ['PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN'].map(text => Buffer.from(text))

/** `undefined`: a valid beginning. Every byte is judged as it comes. @throws ProxyHeaderError */
export function parseV1(bytes: Buffer): ProxyHeader | undefined {
  const beginning = beginnings.find(text => sharesPrefix(bytes, text))
  if (beginning === undefined) fault('v1-protocol', 'after "PROXY " must come TCP4, TCP6 or UNKNOWN')
  if (bytes.length < beginning.length) return undefined
  const end = bytes.subarray(0, longestLine).indexOf(CR)
  const line = bytes.toString('latin1', 0, end < 0 ? bytes.length : end)
  const unknown = beginning.length === 13
  if (unknown && line.length > 13 && line[13] !== ' ')
    fault('v1-grammar', 'after UNKNOWN must come a space or CRLF')
  if (!unknown) refuseOddBytes(line, beginning.length)
  if (end < 0) {
    if (bytes.length >= longestLine) fault('v1-too-long', `no CRLF within ${longestLine} bytes`)
    return undefined
  }
  if (end + 1 === longestLine) fault('v1-too-long', `no CRLF within ${longestLine} bytes`)
  if (bytes.length === end + 1) return undefined
  if (bytes[end + 1] !== LF) fault('v1-grammar', `byte ${end + 1}: CR without LF`)
  const told = unknown ? undefined : parseLine(line)
  return {
    version: 1,
    command: unknown ? 'LOCAL' : 'PROXY',
    source: told?.source,
    destination: told?.destination,
    tlvs: [],
    length: end + 2,
  }
}

function sharesPrefix(bytes: Buffer, text: Buffer): boolean {
  const length = Math.min(bytes.length, text.length)
  return bytes.compare(text, 0, length, 0, length) === 0
}

/** What cannot stand in addresses and ports ends the header at once: nobody waits for the rest of a request line. */
function refuseOddBytes(line: string, from: number): void {
  const at = line.slice(from).search(/[^0-9A-Fa-f:. ]/)
  if (at >= 0)
    fault('v1-grammar', `byte ${from + at}: ${JSON.stringify(line[from + at])} in addresses and ports`)
}

function parseLine(line: string) {
  const fields = line.split(' ')
  if (fields.length !== 6) fault('v1-grammar', `${fields.length} fields with one space between, not 6`)
  const [, protocol, source, destination, sourcePort, destinationPort] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const family = protocol === 'TCP4' ? 4 : 6
  return {
    source: { address: parseAddress(source, family), port: parsePort(sourcePort) },
    destination: { address: parseAddress(destination, family), port: parsePort(destinationPort) },
  }
}

function parseAddress(text: string, family: 4 | 6): string {
  if (familyOf(text) !== family) fault('v1-address', `${JSON.stringify(text)} is no IPv${family} address`)
  return canonical(text)
}

/** Section 2.1: decimal, 0 to 65535, no leading zeros. */
function parsePort(text: string): number {
  if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65535)
    fault('v1-port', `${JSON.stringify(text)} is no port, 0 to 65535 without leading zeros`)
  return Number(text)
}

function fault(fault: HeaderFault, message: string): never {
  throw new ProxyHeaderError(fault, `PROXY v1 header: ${message}`)
}

/** UNKNOWN in its short form when there is nothing to tell; families that differ are both written as IPv6. */
export function encodeProxyV1(
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
): Buffer {
  if (source === undefined || destination === undefined) return Buffer.from('PROXY UNKNOWN\r\n')
  let [from, to] = [unmap(source.address), unmap(destination.address)]
  const v6 = from.includes(':') || to.includes(':')
  if (v6 && !from.includes(':')) from = `::ffff:${from}`
  if (v6 && !to.includes(':')) to = `::ffff:${to}`
  return Buffer.from(
    `PROXY ${v6 ? 'TCP6' : 'TCP4'} ${from} ${to} ${source.port} ${destination.port}\r\n`,
    'latin1',
  )
}
