import type { Cidr } from '../address.ts'
import { found } from './issue.ts'
import { Issues, type Shown } from './issues.ts'
import { isKey } from './keys.ts'
import {
  type Entry,
  type Placed,
  type Report,
  readSections,
  type Section,
  trimmed,
  withoutBlanks,
} from './wg-section.ts'
import {
  allowedIpOf,
  endpointOf,
  keepaliveOf,
  markOf,
  misreadAddress,
  misreadEndpoint,
  misreadNumber,
  mtuOf,
  ownAddressOf,
  portOf,
  tableOf,
} from './wg-value.ts'

/**
 * The file of wg-quick(8), as its parser and wg's read it and not as their manuals say (test/config/wg-quick.ts asks
 * the real ones): `Address` and `AllowedIPs` add up when repeated; of any other key the last counts.
 */
export interface WgConf {
  readonly addresses: readonly Placed<Cidr>[]
  readonly privateKey: string | undefined
  /** Whether there is a line of it, right or wrong. */
  readonly namesPrivateKey: boolean
  /** `undefined`: the kernel picks one. */
  readonly listenPort: number | undefined
  readonly mtu: Placed<number> | undefined
  readonly fwMark: number | undefined
  readonly table: 'auto' | 'off' | number
  readonly peers: readonly WgPeer[]
}

/** A `[Peer]` section whose public key is one. */
export interface WgPeer {
  readonly publicKey: Placed<string>
  readonly presharedKey: string | undefined
  readonly allowedIps: readonly Placed<Cidr>[]
  readonly endpoint: Placed<{ readonly host: string; readonly port: number }> | undefined
  /** Seconds; 0 is off. */
  readonly keepalive: number
}

const KEY = '44 characters of base64 for 32 bytes, as wg genkey and wg pubkey write them'
const PREFIX = 'an IP address with or without a mask, such as 10.1.10.2/24 or fd00::2/64'
const TABLE =
  'auto, off, main, local, default, or a number from 0 to 0xffffffff; the names of a host are its own'
const ENDPOINT = 'host:port or [v6]:port, the port a number from 1 to 65535'

/**
 * Pure; the values of keys reach no message.
 * @param file the file's name, for the issues. With an error among them the result is partial.
 */
export function parseWgConf(file: string, text: string): { conf: WgConf } & Shown {
  const issues = new Issues(file)
  const report: Report = (severity, { line, column }, key, message) =>
    issues.add({ severity, file, line, column, ...(key !== undefined && { key }), message })
  const sections = readSections(text.replace(/^\uFEFF/, ''), report)
  const peers = sections.filter(({ name }) => name === 'Peer').flatMap(section => readPeer(section, report))
  const ends = sections.filter(({ name }) => name === 'Interface')
  const conf = { ...readInterface(ends, report), peers: withoutTwins(peers, report) }
  if (!sections.some(({ name }) => name === 'Peer'))
    report(
      'warning',
      { line: 0, column: 0 },
      undefined,
      'found no [Peer]; a tunnel without one leads nowhere',
    )
  return { conf, ...issues.shown() }
}

function readInterface(sections: readonly Section[], report: Report): Omit<WgConf, 'peers'> {
  const entries = sections.flatMap(section => section.entries)
  const { has, wg, quick, addresses } = fields('Interface', entries, report)
  if (!has('Address'))
    report(
      'error',
      sections[0] ?? { line: 0, column: 0 },
      'Interface.Address',
      "missing; write this end's own tunnel address, such as Address = 10.1.10.1",
    )
  const mark = wg('FwMark', markOf, 'off, or a number from 0 to 0xffffffff')
  const port = wg('ListenPort', portOf, 'a number from 1 to 65535, or 0 for any port')
  return {
    addresses: withoutTwinAddresses(addresses(), report),
    privateKey: wg('PrivateKey', asKey, KEY)?.value,
    namesPrivateKey: entries.some(({ key }) => key === 'PrivateKey'),
    listenPort: port?.value || undefined,
    mtu: quick('MTU', mtuOf, 'a whole number of bytes from 576 to 65535', misreadNumber),
    fwMark: mark?.value || undefined,
    table: quick('Table', tableOf, TABLE, misreadNumber)?.value ?? 'auto',
  }
}

function readPeer(section: Section, report: Report): WgPeer[] {
  const { has, wg, allowedIps } = fields('Peer', section.entries, report)
  if (!has('PublicKey'))
    report('error', section, 'Peer.PublicKey', 'missing; write the public key of the other end')
  const publicKey = wg('PublicKey', asKey, KEY)
  const peer = {
    presharedKey: wg('PresharedKey', asKey, KEY)?.value,
    allowedIps: allowedIps(),
    endpoint: wg('Endpoint', endpointOf, ENDPOINT, misreadEndpoint),
    keepalive: wg('PersistentKeepalive', keepaliveOf, 'off, or seconds from 0 to 65535')?.value ?? 0,
  }
  return publicKey === undefined ? [] : [{ publicKey, ...peer }]
}

function withoutTwins(peers: readonly WgPeer[], report: Report): WgPeer[] {
  const lines = new Map<string, number>()
  return peers.filter(({ publicKey }) => {
    const before = lines.get(publicKey.value)
    if (before === undefined) {
      lines.set(publicKey.value, publicKey.line)
      return true
    }
    const message = `found the key of line ${before} again; write one [Peer] for it with all its AllowedIPs`
    report('error', publicKey, 'Peer.PublicKey', message)
    return false
  })
}

/** The kernel has an address once: an IPv4 one once for each length of its prefix. */
function withoutTwinAddresses(addresses: readonly Placed<Cidr>[], report: Report): Placed<Cidr>[] {
  const lines = new Map<string, number>()
  return addresses.filter(({ value: { address, bits, family }, line, column }) => {
    const name = family === 6 ? address : `${address}/${bits}`
    const before = lines.get(name)
    if (before === undefined) {
      lines.set(name, line)
      return true
    }
    const message = `found ${address} of line ${before} again; remove it here`
    report('error', { line, column }, 'Interface.Address', message)
    return false
  })
}

/** The entries of one kind of section, read by key; every value that is refused is reported. */
function fields(section: Section['name'], entries: readonly Entry[], report: Report) {
  const all = (key: string) => entries.filter(entry => entry.key === key)

  /** @param misread what a text is taken for that its author may have meant otherwise. */
  function read<T>(
    key: string,
    { value: text, ...at }: Placed<string>,
    parse: (text: string) => T | undefined,
    allowed: string,
    misread?: (text: string, value: T) => string | undefined,
  ): Placed<T>[] {
    const value = parse(text)
    if (value === undefined) {
      const shown = allowed === KEY && text !== '' ? 'found something that is no key' : found(text)
      report('error', at, `${section}.${key}`, `${shown}; allowed: ${allowed}`)
      return []
    }
    const taken = misread?.(text, value)
    if (taken !== undefined)
      report(
        'warning',
        at,
        `${section}.${key}`,
        `${found(text)}, which is read as ${taken}; write that, or what you mean`,
      )
    return [{ value, ...at }]
  }

  /** A key of wg(8): each of its values has to be one, the last counts. */
  function wg<T>(key: string, ...how: How<T>): Placed<T> | undefined {
    return all(key)
      .flatMap(({ value, line, column }) => read(key, { value: withoutBlanks(value), line, column }, ...how))
      .at(-1)
  }

  /** A key of wg-quick(8): only the last value is looked at, and an empty one is none. */
  function quick<T>(key: string, ...how: How<T>): Placed<T> | undefined {
    return all(key)
      .slice(-1)
      .filter(({ value }) => value !== '')
      .flatMap(({ value, line, column }) => read(key, { value, line, column }, ...how))[0]
  }

  /** wg-quick splits at commas and blanks, and passes over what is empty. */
  function addresses(): Placed<Cidr>[] {
    return all('Address')
      .flatMap(entry => split(entry, /[, \t]/))
      .filter(({ value }) => value !== '')
      .flatMap(item => read('Address', item, ownAddressOf, PREFIX, misreadAddress))
  }

  /** wg splits at commas alone; nothing between two of them is an error. */
  function allowedIps(): Placed<Cidr>[] {
    return all('AllowedIPs')
      .flatMap(entry => split(entry, /,/))
      .flatMap(item => {
        const whole = { ...item, value: withoutBlanks(item.value) }
        const parts = split(item, /[ \t]/).filter(({ value }) => value !== '')
        const isList = parts.length > 1 && parts.every(({ value }) => allowedIpOf(value) !== undefined)
        if (allowedIpOf(whole.value) !== undefined || !isList)
          return read('AllowedIPs', whole, allowedIpOf, PREFIX)
        report(
          'warning',
          item,
          'Peer.AllowedIPs',
          'found a list without commas, which wg refuses; write commas',
        )
        return parts.flatMap(part => read('AllowedIPs', part, allowedIpOf, PREFIX))
      })
  }

  return {
    has: (key: string) => all(key).some(({ value }) => value !== ''),
    wg,
    quick,
    addresses,
    allowedIps,
  }
}

type How<T> = [
  parse: (text: string) => T | undefined,
  allowed: string,
  misread?: (text: string, value: T) => string | undefined,
]

/** The parts of a value between separators of one character, each with its own place. */
function split({ value, line, column }: Placed<string>, separator: RegExp): Placed<string>[] {
  let offset = 0
  return value.split(separator).map(part => {
    const text = trimmed(part)
    const start = column + offset + part.indexOf(text)
    offset += part.length + 1
    return { value: text, line, column: start }
  })
}

const asKey = (text: string) => (isKey(text) ? text : undefined)
