import { canonical, familyOf, type HostPorts } from '../config/address.ts'
import { found } from '../config/issue.ts'
import type { Ledger } from './ledger.ts'
import type { Directive } from './section.ts'

/** One address of a `bind` line. */
export interface Bind {
  readonly line: number
  /** `0.0.0.0` is every IPv4 address, `::` every address of both families. */
  readonly listen: HostPorts
  readonly acceptProxy: boolean
  /** Its IPv6 wildcard leaves IPv4 to somebody else. */
  readonly ipv6Only: boolean
  /** Connections at once, of this line. */
  readonly maxConnections: number | undefined
  /** Parameters that a forward does without. */
  readonly without: readonly string[]
}

/** Parameters of section 5.1 of HAProxy's configuration manual that a forward does without, and their arguments. */
const harmless: Readonly<Record<string, number>> = {
  backlog: 1,
  'defer-accept': 0,
  id: 1,
  mss: 1,
  name: 1,
  nice: 1,
  process: 1,
  shards: 1,
  'tcp-ut': 1,
  tfo: 0,
  thread: 1,
  v4v6: 0,
}

const instead: Readonly<Record<string, string>> = {
  ssl: 'TLS ends at the reverse proxy behind the target; remove ssl and its certificates',
  interface: "bind to that interface's address",
  transparent: 'bind to an address of this host',
}

export function readBind({ line, args }: Directive, ledger: Ledger): Bind[] {
  const [addresses, ...params] = args
  if (addresses === undefined) {
    ledger.error(line, 'found a bind without an address; write ADDRESS:PORT')
    return []
  }
  let acceptProxy = false
  let ipv6Only = false
  let maxConnections: number | undefined
  const without: string[] = []
  for (let at = 0; at < params.length; at++) {
    const name = params[at]!
    if (name === 'accept-proxy') acceptProxy = true
    else if (name === 'v6only') ipv6Only = true
    else if (name === 'maxconn') maxConnections = limit(params[++at], line, ledger)
    else if (Object.hasOwn(harmless, name)) {
      if (name !== 'v4v6') without.push(name)
      at += harmless[name]!
    } else {
      const fix = Object.hasOwn(instead, name) ? instead[name] : 'a forward has no such thing, remove it'
      ledger.error(line, `${found(name)} at a bind; ${fix}`)
      break
    }
  }
  return addresses.split(',').flatMap((address): Bind[] => {
    const listen = parseBindAddress(address)
    if (listen === undefined) {
      ledger.error(line, `${found(address)} at a bind; allowed: ADDRESS:PORT or *:PORT, a-b for a range`)
      return []
    }
    return [{ line, listen, acceptProxy, ipv6Only, maxConnections, without }]
  })
}

/** The port stands behind the last colon, brackets or none; without an address it is every IPv4 address. */
export function parseBindAddress(text: string): HostPorts | undefined {
  const match = /^(?:(?:ip|tcp)([46]?)@|ipv([46])@)?(.*):(\d{1,5})(?:-(\d{1,5}))?$/s.exec(text)
  if (match === null) return undefined
  const [, tcp = '', ip = '', given = '', from = '', to = from] = match
  const family = Number(tcp || ip)
  const [first, last] = [Number(from), Number(to)]
  if (first < 1 || last < first || last > 65535) return undefined
  const host = hostOf(given)
  if (host === '') return { host: family === 6 ? '::' : '0.0.0.0', first, last }
  // A name can be moved by its server, and `tunnel` has a meaning of its own in the config.
  if (host === undefined || (familyOf(host) === 0 && host !== 'localhost')) return undefined
  if (family !== 0 && familyOf(host) !== family) return undefined
  return { host, first, last }
}

/** Without brackets, in canonical form; `*` is empty, `undefined` is neither an address nor a plain name. */
export function hostOf(text: string): string | undefined {
  const bracketed = /^\[(.*)\]$/s.exec(text)?.[1]
  if (bracketed !== undefined) return familyOf(bracketed) === 6 ? canonical(bracketed) : undefined
  if (text === '*' || text === '') return ''
  if (familyOf(text) !== 0) return canonical(text)
  return /^[\w.-]+$/.test(text) ? text : undefined
}

/** A number of connections; 0 is no limit, as in HAProxy. */
export function limit(text: string | undefined, line: number, ledger: Ledger): number | undefined {
  if (text !== undefined && /^\d{1,9}$/.test(text)) return Number(text) === 0 ? undefined : Number(text)
  ledger.error(line, `${found(text)} as a limit; allowed: a whole number`)
  return undefined
}
