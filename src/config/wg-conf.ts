import { type Cidr, parseCidr, parseHostPorts } from './address.ts'
import { found, type Issue } from './issue.ts'
import { isKey } from './keys.ts'
import { type Entry, type Placed, type Report, readSections, type Section } from './wg-section.ts'

/**
 * The file of wg(8) and wg-quick(8): sections, `Key = value`, `#` to the end of a line is a comment, names in any
 * case. As there, `Address` and `AllowedIPs` add up when repeated; of any other key the last counts.
 */
export interface WgConf {
  readonly addresses: readonly Placed<Cidr>[]
  readonly privateKey: string | undefined
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

/**
 * Pure; the values of keys reach no message.
 * @param file the file's name, for the issues. With an error among them the result is partial.
 */
export function parseWgConf(file: string, text: string): { conf: WgConf; issues: Issue[] } {
  const issues: Issue[] = []
  const report: Report = (severity, { line, column }, key, message) =>
    void issues.push({ severity, file, line, column, ...(key !== undefined && { key }), message })
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
  return { conf, issues }
}

function readInterface(sections: readonly Section[], report: Report): Omit<WgConf, 'peers'> {
  const { has, one, prefixes } = fields(
    'Interface',
    sections.flatMap(section => section.entries),
    report,
  )
  if (!has('Address'))
    report(
      'error',
      sections[0] ?? { line: 0, column: 0 },
      'Interface.Address',
      "missing; write this end's own tunnel address, such as Address = 10.1.10.1",
    )
  const mark = one('FwMark', asMark, 'off, or a number from 0 to 0xffffffff')
  const port = one('ListenPort', text => integer(text, 0, 65535), 'a port from 1 to 65535, or 0 for any')
  return {
    addresses: prefixes('Address'),
    privateKey: one('PrivateKey', asKey, KEY)?.value,
    listenPort: port?.value || undefined,
    mtu: one('MTU', text => integer(text, 576, 65535), 'a whole number of bytes from 576 to 65535'),
    fwMark: mark?.value || undefined,
    table: one('Table', asTable, 'auto, off, or a number from 1 to 0xffffffff')?.value ?? 'auto',
  }
}

function readPeer(section: Section, report: Report): WgPeer[] {
  const { has, one, prefixes } = fields('Peer', section.entries, report)
  if (!has('PublicKey'))
    report('error', section, 'Peer.PublicKey', 'missing; write the public key of the other end')
  const publicKey = one('PublicKey', asKey, KEY)
  const peer = {
    presharedKey: one('PresharedKey', asKey, KEY)?.value,
    allowedIps: prefixes('AllowedIPs'),
    endpoint: one('Endpoint', asEndpoint, 'host:port or [v6]:port, the port from 1 to 65535'),
    keepalive: one('PersistentKeepalive', asKeepalive, 'off, or seconds from 0 to 65535')?.value ?? 0,
  }
  return publicKey === undefined ? [] : [{ publicKey, ...peer }]
}

function withoutTwins(peers: readonly WgPeer[], report: Report): WgPeer[] {
  return peers.filter(({ publicKey }, index) => {
    const twin = peers.slice(0, index).find(peer => peer.publicKey.value === publicKey.value)
    if (twin === undefined) return true
    const message = `found the key of line ${twin.publicKey.line} again; write one [Peer] for it with all its AllowedIPs`
    report('error', publicKey, 'Peer.PublicKey', message)
    return false
  })
}

/** The entries of one kind of section, read by key; every value that is refused is reported. */
function fields(section: Section['name'], entries: readonly Entry[], report: Report) {
  const all = (key: string) => entries.filter(entry => entry.key === key)

  function one<T>(
    key: string,
    parse: (text: string) => T | undefined,
    allowed: string,
  ): Placed<T> | undefined {
    const values = all(key).flatMap(({ value: text, line, column }): Placed<T>[] => {
      const value = parse(text)
      if (value !== undefined) return [{ value, line, column }]
      const shown = allowed === KEY ? 'found something that is no key' : found(text)
      report('error', { line, column }, `${section}.${key}`, `${shown}; allowed: ${allowed}`)
      return []
    })
    return values.at(-1)
  }

  /** An empty value is an empty list, as for wg(8). */
  function prefixes(key: string): Placed<Cidr>[] {
    return all(key)
      .flatMap(commaList)
      .flatMap(({ value: text, line, column }) => {
        const value = parseCidr(text)
        if (value !== undefined) return [{ value, line, column }]
        report('error', { line, column }, `${section}.${key}`, `${found(text)}; allowed: ${PREFIX}`)
        return []
      })
  }

  return { has: (key: string) => all(key).some(({ value }) => value !== ''), one, prefixes }
}

function commaList({ value, line, column }: Placed<string>): Placed<string>[] {
  if (value === '') return []
  let offset = 0
  return value.split(',').map(item => {
    const start = offset + item.length - item.trimStart().length
    offset += item.length + 1
    return { value: item.trim(), line, column: column + start }
  })
}

const asKey = (text: string) => (isKey(text) ? text : undefined)

const asKeepalive = (text: string) => (text.toLowerCase() === 'off' ? 0 : integer(text, 0, 65535))

const asMark = (text: string) => (text.toLowerCase() === 'off' ? 0 : integer(text, 0, 0xffffffff))

function asTable(text: string): WgConf['table'] | undefined {
  const word = text.toLowerCase()
  return word === 'auto' || word === 'off' ? word : integer(text, 1, 0xffffffff)
}

function asEndpoint(text: string): { host: string; port: number } | undefined {
  const parsed = parseHostPorts(text)
  if (parsed === undefined || parsed.host === '' || text.includes('-', text.lastIndexOf(':')))
    return undefined
  return { host: parsed.host, port: parsed.first }
}

/** A decimal or `0x…` number from `first` to `last`. */
function integer(text: string, first: number, last: number): number | undefined {
  if (!/^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text)) return undefined
  const value = Number(text)
  return value >= first && value <= last ? value : undefined
}
