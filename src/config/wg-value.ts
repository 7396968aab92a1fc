import {
  type Cidr,
  canonical,
  familyOf,
  formatHostPort,
  isHostName,
  isLiteral,
  parseCidr,
} from '../address.ts'

/**
 * The values of a wg-quick file, each read as the program that it is for reads it: what is for wg(8) comes without
 * blanks (config.c of wireguard-tools), what wg-quick hands to ip(8) goes by iproute2's parser (lib/utils.c).
 * `undefined`: that program refuses it, or it is of no use here.
 */

/** Of wg: decimal, leading zeros or not. */
function decimal(text: string, last: number): number | undefined {
  return /^\d+$/.test(text) && Number(text) <= last ? Number(text) : undefined
}

/** A port as getaddrinfo(3) reads one. It wraps at 65536 and knows the names of /etc/services; neither is taken here. */
export function portOf(text: string): number | undefined {
  return decimal(text.replace(/^\+/, ''), 65_535)
}

export function keepaliveOf(text: string): number | undefined {
  return text.toLowerCase() === 'off' ? 0 : decimal(text, 65_535)
}

export function markOf(text: string): number | undefined {
  if (text.toLowerCase() === 'off') return 0
  const value = /^0x[0-9a-fA-F]+$/.test(text) ? Number(text) : decimal(text, 0xffffffff)
  return value !== undefined && value <= 0xffffffff ? value : undefined
}

/** One of AllowedIPs. */
export function allowedIpOf(text: string): Cidr | undefined {
  return parseCidr(text.replace(/\/0+(?=\d)/, '/'))
}

/** The last colon is the port's; brackets are left out, around whatever they are. A host may be an address with a zone. */
export function endpointOf(text: string): { host: string; port: number } | undefined {
  const [, bracketed, bare, written = ''] = /^(?:\[([^\]]+)\]|([^[].*)):([^:]+)$/.exec(text) ?? []
  const port = portOf(written)
  const host = hostOf(bracketed ?? bare ?? '')
  return host === undefined || !port ? undefined : { host, port }
}

function hostOf(text: string): string | undefined {
  if (familyOf(text) !== 0) return canonical(text)
  if (isLiteral(text)) return /%[\w.@-]+$/.test(text) ? text : undefined
  return shortAddress(text) ?? (isHostName(text) ? text : undefined)
}

/** The older spellings of an IPv4 address, as inet_aton(3) has them: `10.1` is 10.0.0.1, 010 is octal. */
function shortAddress(text: string): string | undefined {
  const parts = text.split('.').map(numberOf)
  const last = parts.pop()
  const room = 256 ** (4 - parts.length)
  if (parts.length > 3 || last === undefined || last >= room) return undefined
  if (!parts.every(part => part !== undefined && part < 256)) return undefined
  const bytes = Array.from({ length: 4 - parts.length }, (_, index) => Math.floor(last / 256 ** index) % 256)
  return [...parts, ...bytes.reverse()].join('.')
}

/** A number as strtoul(3) with base 0 reads one: `0x…` is hexadecimal, a leading 0 octal. */
function numberOf(text: string): number | undefined {
  const [, digits] = /^\+?(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text) ?? []
  return digits === undefined ? undefined : Number(isOctal(digits) ? `0o${digits}` : digits)
}

function isOctal(digits: string): boolean {
  return /^0\d/.test(digits)
}

/** One of Address. `ip address add` fills an IPv4 address up from the right: `10.1/16` is 10.1.0.0/16. */
export function ownAddressOf(text: string): Cidr | undefined {
  const [written = '', mask, ...rest] = text.split('/')
  const address = written.includes(':') ? written : filledAddress(written)
  const prefix = address === undefined || rest.length > 0 ? undefined : parseCidr(address)
  const bits = mask === undefined ? prefix?.bits : bitsOf(mask)
  if (prefix === undefined || bits === undefined || bits > prefix.bits) return undefined
  return { ...prefix, bits }
}

function filledAddress(text: string): string | undefined {
  const parts = text.split('.').map(numberOf)
  if (parts.length > 4 || !parts.every(part => part !== undefined && part < 256)) return undefined
  return [...parts, 0, 0, 0].slice(0, 4).join('.')
}

/** A number, or a netmask without gaps: 255.255.255.0 is 24. */
function bitsOf(mask: string): number | undefined {
  const number = numberOf(mask)
  if (number !== undefined) return number
  const bits = filledAddress(mask)
    ?.split('.')
    .map(part => Number(part).toString(2).padStart(8, '0'))
    .join('')
  return bits !== undefined && /^1*0*$/.test(bits) ? bits.replace(/0/g, '').length : undefined
}

/** Bytes; what is less than IPv4 must carry is of no use. */
export function mtuOf(text: string): number | undefined {
  const value = numberOf(text)
  return value !== undefined && value >= 576 && value <= 65_535 ? value : undefined
}

/** The tables that every host has by name (/etc/iproute2/rt_tables); 0 stands for the main one. */
const tables = new Map([
  ['main', 254],
  ['local', 255],
  ['default', 253],
  ['unspec', 254],
])

/** In lower case alone: `Auto` would be the name of a table. */
export function tableOf(text: string): 'auto' | 'off' | number | undefined {
  if (text === 'auto' || text === 'off') return text
  const value = tables.get(text) ?? numberOf(text)
  return value === undefined || value > 0xffffffff ? undefined : value || 254
}

/** What a number is, whose author may not know that it is octal; else `undefined`. */
export function misreadNumber(text: string, value: unknown): string | undefined {
  return isOctal(text) ? `${value}` : undefined
}

/** What one of Address is that is short or has octal parts. */
export function misreadAddress(text: string, { address, bits, family }: Cidr): string | undefined {
  const [written, mask = ''] = text.split('/')
  return (family === 6 || written === address) && !isOctal(mask) ? undefined : `${address}/${bits}`
}

/** What an endpoint is that may be an address without a port, or is a short address. */
export function misreadEndpoint(
  text: string,
  { host, port }: { host: string; port: number },
): string | undefined {
  const isShort = familyOf(host) === 4 && !text.includes(host)
  return familyOf(text) === 6 || isShort ? formatHostPort(host, port) : undefined
}
