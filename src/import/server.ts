import { familyOf } from '../address.ts'
import { found } from '../config/issue.ts'
import { hostOf, limit } from './bind.ts'
import type { Ledger } from './ledger.ts'
import { arities, nameParams, type Param, readParams } from './params.ts'
import { changeFlags, type ProxyFlags, proxyArities, sendProxyOf } from './send-proxy.ts'
import { parseTime, type Setting, timeProblem } from './time.ts'
import type { Directive } from './words.ts'

/**
 * What parameters say of a server; those of `default-server` lines are where the ones after them begin. A number with an
 * error is NaN.
 */
export interface ServerParams {
  readonly proxyFlags: ProxyFlags
  readonly check: boolean
  /** Milliseconds between checks. */
  readonly interval: number
  readonly rise: number
  readonly fall: number
  readonly backup: boolean
  readonly disabled: boolean
  readonly weight: number
  readonly maxConnections: number | undefined
  /** By `ssl`. */
  readonly tls: Setting<boolean>
  /** Checks within TLS or through a proxy, or to another port or address. */
  readonly checkParams: readonly Setting<string>[]
  readonly tlsParams: readonly Setting<string>[]
  /** Parameters that a forward does without. */
  readonly without: readonly string[]
  /** Parameters that mean something beside other servers only. */
  readonly besideOthers: readonly string[]
  /** The `default-server` lines that had a part in it. */
  readonly lines: readonly number[]
}

/** One server of a backend. */
export interface Server extends ServerParams {
  readonly line: number
  readonly host: string
  /** `undefined`: the port that the client connected to, moved by `offset`. */
  readonly port: number | undefined
  readonly offset: number
  readonly sendProxy: false | 'v1' | 'v2'
}

/** HAProxy's defaults, section 5.2 of its configuration manual. */
export const serverDefaults: ServerParams = {
  proxyFlags: new Map(),
  check: false,
  interval: 2000,
  rise: 2,
  fall: 3,
  backup: false,
  disabled: false,
  weight: 1,
  maxConnections: undefined,
  tls: { value: false, line: 0 },
  checkParams: [],
  tlsParams: [],
  without: [],
  besideOthers: [],
  lines: [],
}

const flags: Readonly<Record<string, Partial<ServerParams>>> = {
  check: { check: true },
  'no-check': { check: false },
  backup: { backup: true },
  'no-backup': { backup: false },
  disabled: { disabled: true },
  enabled: { disabled: false },
}

/** What a forward does without. */
const harmless = arities({
  0: 'check-send-proxy no-agent-check non-stick stick tfo no-tfo',
  1:
    'agent-addr agent-inter agent-port agent-send downinter error-limit fastinter id init-addr log-proto max-reuse maxqueue observe ' +
    'on-error on-marked-down on-marked-up pool-low-conn pool-max-conn pool-purge-delay resolve-net resolve-opts resolve-prefer ' +
    'resolvers slowstart tcp-ut ws',
})

/** Without `ssl` or a check within TLS they mean nothing. */
const ofTls = arities({
  0:
    'allow-0rtt force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 no-ssl-reuse no-sslv3 no-tls-tickets ' +
    'no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 ssl-reuse sslv3 tls-tickets tlsv10 tlsv11 tlsv12 tlsv13',
  1: 'alpn ca-file ciphers ciphersuites client-sigalgs crl-file crt curves npn sigalgs sni ssl-max-ver ssl-min-ver verify verifyhost',
})

/** Without `check` they mean nothing. */
const ofChecks = arities({ 0: 'check-ssl check-via-socks4', 1: 'addr check-alpn check-proto check-sni port' })

const besideOthers = ['check', 'inter', 'rise', 'fall', 'weight', 'backup']

const instead: Readonly<Record<string, string>> = {
  source: "the kernel's routes choose the source; remove it and add a route or a rule for it",
  cookie: 'cookies are the work of the reverse proxy behind the target; remove it',
}

/** Those above, and what a target has nothing for: so that all of a line are told at once. */
const known = {
  ...arities({
    0: `${Object.keys(flags).join(' ')} agent-check no-check-ssl no-ssl ssl`,
    1: 'inter rise fall weight maxconn minconn cookie redir namespace proto socks4 source track usesrc interface',
  }),
  ...proxyArities,
  ...harmless,
  ...ofTls,
  ...ofChecks,
}

export function readServer(
  { line, args }: Directive,
  defaults: ServerParams,
  ledger: Ledger,
): Server | undefined {
  const [, address, ...params] = args
  if (address === undefined) {
    ledger.error(line, 'found a server without a name and an address; write server NAME ADDRESS:PORT')
    return undefined
  }
  const said = readServerParams({ line, name: 'server', args: params }, defaults, ledger)
  refuseTls(said, ledger)
  const where = parseServerAddress(address)
  if (where === undefined) {
    ledger.error(line, `${found(address)} at a server; allowed: HOST:PORT, or HOST for the same port`)
    return undefined
  }
  const idle = [...(said.tls.value ? [] : said.tlsParams), ...(said.check ? [] : said.checkParams)]
  const without = [...said.without, ...idle.map(({ value }) => value)]
  return { ...said, ...where, line, without, sendProxy: sendProxyOf(said.proxyFlags, ledger) }
}

/** In one sentence, for one leads to the other; at the line that begins it, which may be of `default-server`. */
function refuseTls({ tls, check, tlsParams, checkParams }: ServerParams, ledger: Ledger): void {
  const ofCheck = check ? checkParams : []
  const [first] = tls.value ? [tls] : ofCheck
  if (first === undefined) return
  const names = nameParams([
    ...(tls.value ? ['ssl'] : []),
    ...[...ofCheck, ...tlsParams].map(({ value }) => value),
  ])
  const fix = tls.value
    ? 'TLS ends at the reverse proxy behind the target'
    : 'a check is a TCP connect to the target'
  ledger.error(first.line, `found ${names} at a server; ${fix}; remove them`)
}

/** @returns `defaults` with what this line says on top. */
export function readServerParams(
  { line, args }: Directive,
  defaults: ServerParams,
  ledger: Ledger,
): ServerParams {
  let params = defaults
  for (const param of readParams(args, known)) {
    const { name } = param
    if (besideOthers.includes(name)) params = { ...params, besideOthers: [...params.besideOthers, name] }
    params = { ...params, ...readParam(param, params, line, ledger) }
  }
  return params
}

function readParam(param: Param, params: ServerParams, line: number, ledger: Ledger): Partial<ServerParams> {
  const {
    name,
    values: [value],
  } = param
  if (Object.hasOwn(flags, name)) return flags[name]!
  if (Object.hasOwn(proxyArities, name)) return { proxyFlags: changeFlags(params.proxyFlags, param, line) }
  if (Object.hasOwn(harmless, name)) return { without: [...params.without, name] }
  if (name === 'ssl' || name === 'no-ssl') return { tls: { value: name === 'ssl', line } }
  if (name === 'no-check-ssl')
    return { checkParams: params.checkParams.filter(({ value }) => value !== 'check-ssl') }
  if (Object.hasOwn(ofTls, name)) return { tlsParams: [...params.tlsParams, { value: name, line }] }
  if (Object.hasOwn(ofChecks, name)) return { checkParams: [...params.checkParams, { value: name, line }] }
  if (Object.hasOwn(valued, name)) return valued[name]!(value, line, ledger)
  const fix = Object.hasOwn(instead, name) ? instead[name] : 'a target has no such thing, remove it'
  ledger.error(line, `${found(name)} at a server; ${fix}`)
  return {}
}

type ReadValue = (text: string | undefined, line: number, ledger: Ledger) => Partial<ServerParams>

const valued: Readonly<Record<string, ReadValue>> = {
  inter: (text, line, ledger) => {
    const interval = parseTime(text ?? '')
    if (interval !== undefined && interval > 0) return { interval }
    ledger.error(line, timeProblem(text ?? '', 'inter'))
    return { interval: Number.NaN }
  },
  rise: (text, line, ledger) => count('rise', text, line, ledger),
  fall: (text, line, ledger) => count('fall', text, line, ledger),
  weight: (text, line, ledger) => count('weight', text, line, ledger),
  maxconn: (text, line, ledger) => ({ maxConnections: limit(text, line, ledger) }),
}

function count(
  name: 'rise' | 'fall' | 'weight',
  text: string | undefined,
  line: number,
  ledger: Ledger,
): Partial<ServerParams> {
  if (text !== undefined && /^[1-9]\d{0,3}$/.test(text)) return { [name]: Number(text) }
  ledger.error(line, `${found(text)} as ${name}; allowed: a whole number above 0`)
  return { [name]: Number.NaN }
}

/** `HOST`, `HOST:PORT`, `HOST:+OFFSET`; the port stands behind the last colon, brackets or none. */
export function parseServerAddress(text: string): Pick<Server, 'host' | 'port' | 'offset'> | undefined {
  const match = /^(?:(?:ip|tcp)([46]?)@|ipv([46])@)?(\[[^\]]*\]|.*?)(?::([+-]?)(\d{0,5}))?$/s.exec(text)
  if (match === null) return undefined
  const [, tcp = '', ip = '', given = '', sign = '', digits = ''] = match
  const host = hostOf(given)
  const family = Number(tcp || ip)
  // A name has targets of both families here.
  if (family !== 0 && familyOf(host ?? '') !== family) return undefined
  // HAProxy takes these for the address that the client connected to.
  if (host === undefined || host === '' || host === '0.0.0.0' || host === '::') return undefined
  if (digits === '') return sign === '' ? { host, port: undefined, offset: 0 } : undefined
  const port = Number(digits)
  if (sign !== '') return { host, port: undefined, offset: sign === '-' ? -port : port }
  return port >= 1 && port <= 65535 ? { host, port, offset: 0 } : undefined
}
