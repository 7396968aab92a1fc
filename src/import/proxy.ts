import { found } from '../config/issue.ts'
import { stages } from './access.ts'
import { type Bind, limit, readBind } from './bind.ts'
import { type Criterion, readCriterion } from './condition.ts'
import type { Ledger } from './ledger.ts'
import { proxyReason } from './left-out.ts'
import type { Directive, ProxyKind, Section } from './section.ts'
import { readParams, readServer, type Server, type ServerParams, serverDefaults } from './server.ts'
import { longest, parseTime } from './time.ts'

/** A value and the line that it stands in. */
export interface Setting<T> {
  readonly value: T
  readonly line: number
}

/** The timeouts that a forward has something for; milliseconds, 0 for none. */
export const timeoutNames = ['connect', 'client', 'server', 'tunnel', 'client-fin', 'server-fin'] as const
export type TimeoutName = (typeof timeoutNames)[number]

/** A defaults, frontend, backend or listen section with what it inherits. */
export interface ProxySection {
  readonly kind: ProxyKind
  readonly name: string
  readonly line: number
  readonly disabled: boolean
  readonly mode: Setting<string> | undefined
  readonly timeouts: Readonly<Partial<Record<TimeoutName, Setting<number>>>>
  readonly maxConnections: Setting<number> | undefined
  readonly newConnections: Setting<number> | undefined
  readonly balance: Setting<readonly string[]> | undefined
  /** How long first bytes are waited for. */
  readonly inspectDelay: Setting<number> | undefined
  readonly defaultBackend: Setting<string> | undefined
  readonly serverDefaults: ServerParams
  readonly binds: readonly Bind[]
  readonly servers: readonly Server[]
  readonly acls: ReadonlyMap<string, Criterion>
  /** `tcp-request connection|session|content …`, in their order. */
  readonly access: readonly Directive[]
  /** `use_backend …`, in their order. */
  readonly routing: readonly Directive[]
}

const nothing: Omit<ProxySection, 'kind' | 'name' | 'line'> = {
  disabled: false,
  mode: undefined,
  timeouts: {},
  maxConnections: undefined,
  newConnections: undefined,
  balance: undefined,
  inspectDelay: undefined,
  defaultBackend: undefined,
  serverDefaults,
  binds: [],
  servers: [],
  acls: new Map(),
  access: [],
  routing: [],
}

/** @param inherited the defaults section it begins with. */
export function readProxy(
  section: Section<ProxyKind>,
  inherited: ProxySection | undefined,
  ledger: Ledger,
): ProxySection {
  const { kind, name, line } = section
  let proxy: ProxySection = { ...nothing, ...inherited, kind, name, line }
  for (const directive of section.directives) {
    const words = [directive.name, ...directive.args]
    const reason = proxyReason(words)
    if (reason !== undefined) ledger.leaveOut(directive.line, reason)
    else if (Object.hasOwn(readers, directive.name))
      proxy = { ...proxy, ...readers[directive.name]!(directive, proxy, ledger) }
    else
      ledger.error(
        directive.line,
        `${found(words.slice(0, 2).join(' '))}; a forward has no such thing, remove it`,
      )
  }
  return proxy
}

/** Whether these forward bytes; tcp is HAProxy's default, too. */
export function areTcp(proxies: readonly ProxySection[], ledger: Ledger): boolean {
  const others = proxies.filter(({ mode }) => mode !== undefined && mode.value !== 'tcp')
  for (const { mode, kind, name } of others)
    ledger.error(
      mode!.line,
      `found mode ${mode!.value} for ${kind} ${name}; allowed: mode tcp: HTTP routing is the reverse proxy's work, put one behind the target`,
    )
  return others.length === 0
}

type Reader = (directive: Directive, proxy: ProxySection, ledger: Ledger) => Partial<ProxySection>

const readers: Readonly<Record<string, Reader>> = {
  acl: readAcl,
  balance: ({ line, args }) => ({ balance: { value: args, line } }),
  bind: (directive, { binds, kind }, ledger) =>
    kind === 'frontend' || kind === 'listen'
      ? { binds: [...binds, ...readBind(directive, ledger)] }
      : misplaced(directive, kind, ledger),
  default_backend: ({ line, args }) => ({ defaultBackend: { value: args.join(' '), line } }),
  'default-server': (directive, { serverDefaults }, ledger) => {
    const params = readParams(directive, serverDefaults, ledger)
    return { serverDefaults: { ...params, lines: [...params.lines, directive.line] } }
  },
  disabled: ({ line }, _, ledger) => {
    ledger.leaveOut(line, 'the section is left out with it')
    return { disabled: true }
  },
  enabled: ({ line }, _, ledger) => {
    ledger.leaveOut(line, 'a section is, unless disabled')
    return { disabled: false }
  },
  maxconn: ({ line, args }, _, ledger) => {
    const value = limit(args.join(' '), line, ledger)
    return { maxConnections: value === undefined ? undefined : { value, line } }
  },
  mode: ({ line, args }) => ({ mode: { value: args.join(' '), line } }),
  'rate-limit': ({ line, args }, _, ledger) => {
    if (args[0] !== 'sessions' || args.length !== 2) {
      ledger.error(line, `${found(args.join(' '))} as rate-limit; allowed: sessions NUMBER`)
      return {}
    }
    const value = limit(args[1], line, ledger)
    return { newConnections: value === undefined ? undefined : { value, line } }
  },
  server: (directive, { servers, serverDefaults, kind }, ledger) => {
    if (kind !== 'backend' && kind !== 'listen') return misplaced(directive, kind, ledger)
    const server = readServer(directive, serverDefaults, ledger)
    return server === undefined ? {} : { servers: [...servers, server] }
  },
  'tcp-request': readRule,
  timeout: readTimeout,
  use_backend: (directive, { routing }) => ({ routing: [...routing, directive] }),
}

function misplaced({ line, name }: Directive, kind: ProxyKind, ledger: Ledger): Partial<ProxySection> {
  ledger.error(line, `found ${name} in a section ${kind}; HAProxy has none there, remove it`)
  return {}
}

function readRule(
  directive: Directive,
  { access, kind }: ProxySection,
  ledger: Ledger,
): Partial<ProxySection> {
  const [stage, ...words] = directive.args
  if (stage === 'inspect-delay') {
    const value = readTime(directive.line, `tcp-request ${stage}`, words, ledger)
    return value === undefined ? {} : { inspectDelay: { value, line: directive.line } }
  }
  // A backend gets the connection when the first two stages are over.
  if (stages.some(known => known === stage && (kind !== 'backend' || known === 'content')))
    return { access: [...access, directive] }
  ledger.error(
    directive.line,
    `found tcp-request ${stage} in a section ${kind}; a forward has no such thing, remove it`,
  )
  return {}
}

/** Lines with the same name add up. */
function readAcl({ line, args }: Directive, { acls }: ProxySection, ledger: Ledger): Partial<ProxySection> {
  const [name = '', ...words] = args
  const criterion = readCriterion(words, line)
  const earlier = acls.get(name)
  if (criterion === undefined || (earlier !== undefined && earlier.kind !== criterion.kind)) {
    ledger.error(
      line,
      `${found(words.join(' '))} as a condition; allowed: src PREFIX…, req.ssl_sni -i NAME… or req.ssl_sni -m end .DOMAIN…; leave the choice to the firewall or the reverse proxy`,
    )
    return {}
  }
  const merged = {
    kind: criterion.kind,
    values: [...(earlier?.values ?? []), ...criterion.values],
    lines: [...(earlier?.lines ?? []), line],
  }
  return { acls: new Map([...acls, [name, merged]]) }
}

function readTimeout(
  { line, args }: Directive,
  { timeouts }: ProxySection,
  ledger: Ledger,
): Partial<ProxySection> {
  const [name] = args
  const known = timeoutNames.find(timeout => timeout === name)
  if (known === undefined) {
    ledger.error(line, `found timeout ${name}; a forward has none of that name, remove it`)
    return {}
  }
  const value = readTime(line, `timeout ${name}`, args.slice(1), ledger)
  return value === undefined ? {} : { timeouts: { ...timeouts, [known]: { value, line } } }
}

function readTime(line: number, what: string, words: readonly string[], ledger: Ledger): number | undefined {
  const ms = words.length === 1 ? parseTime(words[0]!) : undefined
  if (ms === undefined) {
    ledger.error(line, `${found(words.join(' '))} as ${what}; allowed: a duration such as 30s`)
    return undefined
  }
  if (ms > longest) ledger.warn(line, `found ${what} ${words[0]}; the longest is 576h, which it becomes`)
  return Math.min(ms, longest)
}
