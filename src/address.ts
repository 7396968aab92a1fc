import { isIPv4, isIPv6 } from 'node:net'

/** IP addresses, prefixes, host:port and port ranges as text and as numbers. Pure. */

/** An IP address with a port. `address` is canonical: IPv6 in RFC 5952 form, IPv4-mapped IPv6 un-mapped. */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/** A prefix. `bits` counts from the left; `address` may have host bits set (`10.1.10.2/24`). */
export interface Cidr {
  readonly address: string
  readonly bits: number
  readonly family: 4 | 6
}

/** A host (name or literal without brackets; empty for "all addresses") with ports `first` to `last`, both included. */
export interface HostPorts {
  readonly host: string
  readonly first: number
  readonly last: number
}

/** `::ffff:192.0.2.1` → `192.0.2.1`; anything else unchanged. */
export function unmap(address: string): string {
  return address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address
}

/** 4, 6, or 0 when the text is not an IP address. Unlike node:net, a zone (`fe80::1%eth0`) is none. */
export function familyOf(text: string): 4 | 6 | 0 {
  if (isIPv4(text)) return 4
  return isIPv6(text) && !text.includes('%') ? 6 : 0
}

/** Whether a host is an address and no name; with a zone, too, where it is an IPv6 one (`fe80::1%eth0`). */
export function isLiteral(host: string): boolean {
  const [address = '', zone, ...more] = host.split('%')
  if (zone === undefined) return familyOf(host) !== 0
  return familyOf(address) === 6 && zone !== '' && more.length === 0
}

/** Canonical text of a valid address: IPv6 compressed and lower case (RFC 5952), IPv4-mapped un-mapped. */
export function canonical(address: string): string {
  if (isIPv4(address)) return address
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const words = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text)
  if (words === null) return text
  const [high, low] = [Number.parseInt(words[1]!, 16), Number.parseInt(words[2]!, 16)]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

/** The address as a number: 32 bits for IPv4, 128 for IPv6. */
export function toNumber(address: string): bigint {
  if (isIPv4(address)) return BigInt(toWord(address))
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  if (dotted !== null) {
    const low = toNumber(dotted[2]!)
    return toNumber(`${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`)
  }
  const [head = '', tail] = address.split('::')
  const words = (text: string) => (text === '' ? [] : text.split(':').map(word => BigInt(`0x${word}`)))
  const [left, right] = [words(head), words(tail ?? '')]
  const gap = tail === undefined ? 0 : 8 - left.length - right.length
  return [...left, ...new Array<bigint>(gap).fill(0n), ...right].reduce((n, word) => (n << 16n) | word, 0n)
}

const dot = '.'.charCodeAt(0)
const zero = '0'.charCodeAt(0)

/** An IPv4 address as a whole number, 0 to 2 ** 32 - 1: each new connection is compared with prefixes, and this is quick. */
function toWord(address: string): number {
  let [word, part] = [0, 0]
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === dot) [word, part] = [word * 256 + part, 0]
    else part = part * 10 + code - zero
  }
  return word * 256 + part
}

/** Inverse of {@link toNumber}, in canonical form. */
export function fromNumber(value: bigint, family: 4 | 6): string {
  const width = family === 4 ? 8n : 16n
  const parts: bigint[] = []
  for (let shift = family === 4 ? 24n : 112n; shift >= 0n; shift -= width)
    parts.push((value >> shift) & ((1n << width) - 1n))
  return family === 4
    ? parts.join('.')
    : new URL(`http://[${parts.map(p => p.toString(16)).join(':')}]`).hostname.slice(1, -1)
}

/** `10.1.10.2/24`, `fd00::/64`; without a mask a host prefix (/32, /128). `undefined` when it is none. */
export function parseCidr(text: string): Cidr | undefined {
  const [host = '', mask, ...rest] = text.split('/')
  const family = familyOf(host)
  if (family === 0 || rest.length > 0) return undefined
  const width = family === 4 ? 32 : 128
  if (mask === undefined) return { address: family === 6 ? rfc5952(host) : host, bits: width, family }
  if (!/^(0|[1-9]\d{0,2})$/.test(mask) || Number(mask) > width) return undefined
  return { address: family === 6 ? rfc5952(host) : host, bits: Number(mask), family }
}

function rfc5952(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1)
}

/** The prefix with its host bits cleared, as `address/bits`. */
export function networkOf(cidr: Cidr): string {
  const host = BigInt((cidr.family === 4 ? 32 : 128) - cidr.bits)
  return `${fromNumber((toNumber(cidr.address) >> host) << host, cidr.family)}/${cidr.bits}`
}

/** Whether `cidr` covers `address`; never across families. */
export function covers(cidr: Cidr, address: string): boolean {
  if (familyOf(address) !== cidr.family) return false
  if (cidr.family === 4) {
    const size = 2 ** (32 - cidr.bits)
    return Math.floor(toWord(address) / size) === Math.floor(toWord(cidr.address) / size)
  }
  const host = BigInt(128 - cidr.bits)
  return toNumber(address) >> host === toNumber(cidr.address) >> host
}

/** What an address is where no TCP connection can be made from or to it, or only with a zone; `undefined` of any other. */
export function specialKindOf(address: string): string | undefined {
  return special.find(({ prefix }) => covers(prefix, address))?.kind
}

const special = (
  [
    ['224.0.0.0/4', 'a multicast address'],
    ['ff00::/8', 'a multicast address'],
    ['255.255.255.255', 'the broadcast address'],
    ['fe80::/10', 'a link-local address'],
  ] as const
).map(([prefix, kind]) => ({ prefix: parseCidr(prefix)!, kind }))

const loopback = ['127.0.0.0/8', '::1'].map(prefix => parseCidr(prefix)!)

export function isLoopback(address: string): boolean {
  return loopback.some(prefix => covers(prefix, address))
}

/** fe80::/10 of RFC 4291: it means something on one link alone, which a zone names (`fe80::1%eth0`). */
export function isLinkLocal(address: string): boolean {
  return specialKindOf(address) === 'a link-local address'
}

/** `host:port`, `[v6]:port`, `:port`, `host:a-b`. `undefined` when the text is none; ports 1 to 65535. */
export function parseHostPorts(text: string): HostPorts | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]\s]*)):([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(text)
  if (match === null) return undefined
  const [, bracketed, bare = '', from, to = from] = match
  const first = Number(from)
  const last = Number(to)
  if (last > 65535 || last < first) return undefined
  if (bracketed !== undefined)
    return familyOf(bracketed) === 6 ? { host: canonical(bracketed), first, last } : undefined
  if (bare !== '' && familyOf(bare) === 0 && !isHostName(bare)) return undefined
  return { host: bare, first, last }
}

/** A DNS name: labels of 1 to 63 letters, digits, `-`, `_`, at most 253 characters; the last label is no number. */
export function isHostName(text: string): boolean {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  return (
    name.length <= 253 &&
    /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/i.test(name) &&
    !/(^|\.)\d+$/.test(name)
  )
}

/** `10.1.10.2:80`, `*:8000-8010`; a star where there is no host. */
export function formatHostPorts({ host, first, last }: HostPorts): string {
  const address = formatHostPort(host === '' ? '*' : host, first)
  return first === last ? address : `${address}-${last}`
}

/** `192.0.2.1:80`, `[2001:db8::1]:80`, `example.com:80`. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** One client: an IPv4 address, or the /64 that a host with IPv6 has to itself. */
export function clientNetwork(address: string): string {
  return familyOf(address) === 6 ? `${(toNumber(address) >> 64n).toString(16)}::/64` : address
}
