import { found } from '../config/issue.ts'
import { type Bind, limit, readBind } from './bind.ts'
import { type HealthCheck, isOfCheck, noHealthCheck, readHealthCheck } from './health-check.ts'
import type { Ledger } from './ledger.ts'
import { proxyReason } from './left-out.ts'
import { type AccessRule, type RoutingRule, readAccess, readAcls, readRouting } from './rules.ts'
import type { ProxyKind, Section } from './section.ts'
import { readServer, readServerParams, type Server, type ServerParams, serverDefaults } from './server.ts'
import { readTime, type Setting } from './time.ts'
import type { Directive } from './words.ts'

/** The timeouts that a forward has something for; milliseconds, 0 for none. */
export const timeoutNames = ['connect', 'client', 'server', 'tunnel', 'client-fin', 'server-fin'] as const
export type TimeoutName = (typeof timeoutNames)[number]

/** A defaults, frontend, backend or listen section with what it inherits. */
export interface ProxySection {
  readonly kind: ProxyKind
  readonly name: string
  readonly line: number
  readonly mode: Setting<string> | undefined
  readonly timeouts: Readonly<Partial<Record<TimeoutName, Setting<number>>>>
  readonly maxConnections: Setting<number> | undefined
  readonly newConnections: Setting<number> | undefined
  readonly balance: Setting<readonly string[]> | undefined
  /** How long first bytes are waited for. */
  readonly inspectDelay: Setting<number> | undefined
  readonly defaultBackend: Setting<string> | undefined
  readonly serverDefaults: ServerParams
  readonly healthCheck: HealthCheck
  readonly binds: readonly Bind[]
  readonly servers: readonly Server[]
  /** `tcp-request connection|session|content …`, in their order. */
  readonly access: readonly AccessRule[]
  /** `use_backend …`, in their order. */
  readonly routing: readonly RoutingRule[]
  /** Names of directives that an error is about: what they should have said is not missing. */
  readonly failed: ReadonlySet<string>
}

const nothing: Omit<ProxySection, 'kind' | 'name' | 'line'> = {
  mode: undefined,
  timeouts: {},
  maxConnections: undefined,
  newConnections: undefined,
  balance: undefined,
  inspectDelay: undefined,
  defaultBackend: undefined,
  serverDefaults,
  healthCheck: noHealthCheck,
  binds: [],
  servers: [],
  access: [],
  routing: [],
  failed: new Set(),
}

/** @param inherited the defaults section it begins with. */
export function readProxy(
  section: Section<ProxyKind>,
  inherited: ProxySection | undefined,
  ledger: Ledger,
): ProxySection {
  const { kind, name, line, directives } = section
  let proxy: ProxySection = { ...nothing, ...inherited, kind, name, line }
  const failed = new Set(proxy.failed)
  const isFine = (read: () => void, name: string) => {
    const before = ledger.errors
    read()
    if (ledger.errors > before) failed.add(name)
  }
  for (const directive of directives) {
    isFine(() => {
      proxy = { ...proxy, ...readDirective(directive, proxy, ledger) }
    }, directive.name)
  }
  const named = (name: string) =>
    directives.filter(({ name: own, problem }) => own === name && problem === undefined)
  const acls = readAcls(named('acl'), ledger)
  const rules = named('tcp-request').filter(({ args }) => args[0] !== 'inspect-delay')
  isFine(() => {
    proxy = { ...proxy, access: [...proxy.access, ...readAccess(rules, kind, acls, ledger)] }
  }, 'tcp-request')
  const choices = named('use_backend')
  const routing = readRouting(choices, acls, ledger)
  if (routing.length < choices.length) failed.add('use_backend')
  return { ...proxy, routing, failed }
}

/** A section of another mode, of which nothing else is read. */
export function unreadProxy({ kind, name, line }: Section<ProxyKind>, mode: Setting<string>): ProxySection {
  return { ...nothing, kind, name, line, mode }
}

function readDirective(directive: Directive, proxy: ProxySection, ledger: Ledger): Partial<ProxySection> {
  const { line, name, args, problem } = directive
  const words = [name, ...args]
  const reason = proxyReason(words)
  if (reason !== undefined) ledger.leaveOut(line, reason)
  else if (problem !== undefined) ledger.error(line, problem)
  else if (isOfCheck(words)) return { healthCheck: readHealthCheck(words, line, proxy.healthCheck) }
  else if (Object.hasOwn(readers, name)) return readers[name]!(directive, proxy, ledger)
  else {
    const fix = Object.hasOwn(instead, name) ? instead[name] : 'a forward has no such thing, remove it'
    ledger.error(line, `${found(words.slice(0, 2).join(' '))}; ${fix}`)
  }
  return {}
}

const TABLE = 'a forward keeps no tables, but for maxConnectionsPerClient; remove it'

const instead: Readonly<Record<string, string>> = {
  'server-template': 'write one server with the name: all its addresses are targets',
  source: "the kernel's routes choose the source; remove it and add a route or a rule for it",
  stick: TABLE,
  'stick-table': TABLE,
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
  // With what uses them, when the section is read.
  acl: () => ({}),
  use_backend: () => ({}),
  balance: ({ line, args }) => ({ balance: { value: args, line } }),
  bind: (directive, { binds, kind }, ledger) =>
    kind === 'frontend' || kind === 'listen'
      ? { binds: [...binds, ...readBind(directive, ledger)] }
      : misplaced(directive, kind, ledger),
  default_backend: ({ line, args }) => ({ defaultBackend: { value: args.join(' '), line } }),
  'default-server': (directive, { serverDefaults }, ledger) => {
    const params = readServerParams(directive, serverDefaults, ledger)
    return { serverDefaults: { ...params, lines: [...params.lines, directive.line] } }
  },
  disabled: ({ line }, _, ledger) => {
    ledger.leaveOut(line, 'another line takes it back')
    return {}
  },
  enabled: ({ line }, _, ledger) => {
    ledger.leaveOut(line, 'a section is, unless disabled')
    return {}
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
  'tcp-request': ({ line, args }, _, ledger) => {
    if (args[0] !== 'inspect-delay') return {}
    const value = readTime(line, 'tcp-request inspect-delay', args.slice(1), ledger)
    return value === undefined ? {} : { inspectDelay: { value, line } }
  },
  timeout: readTimeout,
}

function misplaced({ line, name }: Directive, kind: ProxyKind, ledger: Ledger): Partial<ProxySection> {
  ledger.error(line, `found ${name} in a section ${kind}; HAProxy has none there, remove it`)
  return {}
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
