import { canonical, familyOf, type HostPorts } from '../address.ts'
import { found } from '../config/issue.ts'
import type { Ledger } from './ledger.ts'
import { arities, nameParams, readParams } from './params.ts'
import type { Directive } from './words.ts'

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

/** Parameters of section 5.1 of HAProxy's configuration manual that a forward does without. */
const harmless = arities({
  0: 'defer-accept quic-force-retry tfo v4v6',
  1: 'backlog expose-fd gid group id level mode mss name nice process quic-cc-algo severity-output shards tcp-ut thread uid user',
})

/** Without `ssl` they mean nothing. */
const ofTls = arities({
  0:
    'allow-0rtt force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 generate-certificates no-alpn no-ca-names no-sslv3 ' +
    'no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 prefer-client-ciphers strict-sni tls-tickets',
  1:
    'alpn ca-file ca-ignore-err ca-sign-file ca-sign-pass ca-verify-file ciphers ciphersuites client-sigalgs crl-file crt ' +
    'crt-ignore-err crt-list curves ecdhe npn sigalgs ssl-max-ver ssl-min-ver tls-ticket-keys verify',
})

const instead: Readonly<Record<string, string>> = {
  interface: "bind to that interface's address",
  transparent: 'bind to an address of this host',
}

/** Those above, and what a listener has nothing for: so that all of a line are told at once. */
const known = {
  ...arities({
    0: 'accept-proxy ssl transparent v6only',
    1: 'accept-netscaler-cip interface maxconn namespace proto',
  }),
  ...harmless,
  ...ofTls,
}

export function readBind({ line, args }: Directive, ledger: Ledger): Bind[] {
  const [addresses, ...words] = args
  if (addresses === undefined) {
    ledger.error(line, 'found a bind without an address; write ADDRESS:PORT')
    return []
  }
  const params = readParams(words, known)
  const has = (name: string) => params.some(param => param.name === name)
  let maxConnections: number | undefined
  const without: string[] = []
  const tls = params.flatMap(({ name }) => (name === 'ssl' || Object.hasOwn(ofTls, name) ? [name] : []))
  for (const { name, values } of params) {
    if (name === 'maxconn') maxConnections = limit(values[0], line, ledger)
    else if (Object.hasOwn(harmless, name)) {
      if (name !== 'v4v6') without.push(name)
    } else if (!tls.includes(name) && name !== 'accept-proxy' && name !== 'v6only') {
      const fix = Object.hasOwn(instead, name) ? instead[name] : 'a forward has no such thing, remove it'
      ledger.error(line, `${found(name)} at a bind; ${fix}`)
    }
  }
  if (has('ssl'))
    ledger.error(
      line,
      `found ${nameParams(tls)} at a bind; TLS ends at the reverse proxy behind the target; remove them`,
    )
  else without.push(...tls)
  const acceptProxy = has('accept-proxy')
  const ipv6Only = has('v6only')
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
