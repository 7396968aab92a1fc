import { found } from '../config/issue.ts'
import { hostOf, limit } from './bind.ts'
import type { Ledger } from './ledger.ts'
import type { Directive } from './section.ts'
import { parseTime } from './time.ts'

/** What parameters say of a server; those of `default-server` lines are where the ones after them begin. */
export interface ServerParams {
  readonly sendProxy: false | 'v1' | 'v2'
  readonly check: boolean
  /** Milliseconds between checks. */
  readonly interval: number
  readonly rise: number
  readonly fall: number
  readonly backup: boolean
  readonly disabled: boolean
  readonly weight: number
  readonly maxConnections: number | undefined
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
}

/** HAProxy's defaults, section 5.2 of its configuration manual. */
export const serverDefaults: ServerParams = {
  sendProxy: false,
  check: false,
  interval: 2000,
  rise: 2,
  fall: 3,
  backup: false,
  disabled: false,
  weight: 1,
  maxConnections: undefined,
  without: [],
  besideOthers: [],
  lines: [],
}

const flags: Readonly<Record<string, Partial<ServerParams>>> = {
  'send-proxy': { sendProxy: 'v1' },
  'send-proxy-v2': { sendProxy: 'v2' },
  'no-send-proxy': { sendProxy: false },
  'no-send-proxy-v2': { sendProxy: false },
  check: { check: true },
  'no-check': { check: false },
  backup: { backup: true },
  'no-backup': { backup: false },
  disabled: { disabled: true },
  enabled: { disabled: false },
}

/** What a forward does without, and the number of arguments. */
const harmless: Readonly<Record<string, number>> = {
  'check-send-proxy': 0,
  downinter: 1,
  'error-limit': 1,
  fastinter: 1,
  id: 1,
  'init-addr': 1,
  maxqueue: 1,
  observe: 1,
  'on-error': 1,
  'on-marked-down': 1,
  'on-marked-up': 1,
  'resolve-opts': 1,
  'resolve-prefer': 1,
  resolvers: 1,
  slowstart: 1,
  'tcp-ut': 1,
  tfo: 0,
}

const besideOthers = ['check', 'inter', 'rise', 'fall', 'weight', 'backup']

const instead: Readonly<Record<string, string>> = {
  source: "the kernel's routes choose the source; remove it and add a route or a rule for it",
  ssl: 'TLS ends at the reverse proxy behind the target; remove ssl',
  'send-proxy-v2-ssl': 'there is no TLS here to tell of; write send-proxy-v2',
  'send-proxy-v2-ssl-cn': 'there is no TLS here to tell of; write send-proxy-v2',
  port: 'a check goes to the port of the target; remove it',
  addr: 'a check goes to the target; remove it',
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
  const said = readParams({ line, name: 'server', args: params }, defaults, ledger)
  const where = parseServerAddress(address)
  if (where === undefined) {
    ledger.error(line, `${found(address)} at a server; allowed: HOST:PORT, or HOST for the same port`)
    return undefined
  }
  return { ...said, ...where, line }
}

/** @returns `defaults` with what this line says on top. */
export function readParams({ line, args }: Directive, defaults: ServerParams, ledger: Ledger): ServerParams {
  let params = defaults
  for (let at = 0; at < args.length; at++) {
    const name = args[at]!
    const value = args[at + 1]
    if (besideOthers.includes(name)) params = { ...params, besideOthers: [...params.besideOthers, name] }
    // With both, HAProxy sends v2.
    if (name === 'send-proxy' && params.sendProxy === 'v2') continue
    if (Object.hasOwn(flags, name)) params = { ...params, ...flags[name] }
    else if (Object.hasOwn(harmless, name)) {
      params = { ...params, without: [...params.without, name] }
      at += harmless[name]!
    } else if (Object.hasOwn(values, name)) {
      params = { ...params, ...values[name]!(value, line, ledger) }
      at++
    } else {
      const fix = Object.hasOwn(instead, name) ? instead[name] : 'a target has no such thing, remove it'
      ledger.error(line, `${found(name)} at a server; ${fix}`)
      break
    }
  }
  return params
}

type ReadValue = (text: string | undefined, line: number, ledger: Ledger) => Partial<ServerParams>

const values: Readonly<Record<string, ReadValue>> = {
  inter: (text, line, ledger) => {
    const interval = parseTime(text ?? '')
    if (interval !== undefined && interval > 0) return { interval }
    ledger.error(line, `${found(text)} as inter; allowed: a duration such as 2s`)
    return {}
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
  return {}
}

/** `HOST`, `HOST:PORT`, `HOST:+OFFSET`; the port stands behind the last colon, brackets or none. */
export function parseServerAddress(text: string): Pick<Server, 'host' | 'port' | 'offset'> | undefined {
  const match = /^(?:(?:ip|tcp)[46]?@|ipv[46]@)?(\[[^\]]*\]|.*?)(?::([+-]?)(\d{0,5}))?$/s.exec(text)
  if (match === null) return undefined
  const [, given = '', sign = '', digits = ''] = match
  const host = hostOf(given)
  // HAProxy takes these for the address that the client connected to.
  if (host === undefined || host === '' || host === '0.0.0.0' || host === '::') return undefined
  if (digits === '') return sign === '' ? { host, port: undefined, offset: 0 } : undefined
  const port = Number(digits)
  if (sign !== '') return { host, port: undefined, offset: sign === '-' ? -port : port }
  return port >= 1 && port <= 65535 ? { host, port, offset: 0 } : undefined
}
