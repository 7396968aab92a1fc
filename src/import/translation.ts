import { found } from '../config/issue.ts'
import { forwardOf } from './forward.ts'
import type { Ledger } from './ledger.ts'
import { globalReason } from './left-out.ts'
import { listenersOf, type Tunnel } from './listener.ts'
import { areTcp, type ProxySection, readProxy } from './proxy.ts'
import type { ProxyKind, Section } from './section.ts'
import { formatTime, longest, parseTime } from './time.ts'
import { type Entry, linesOf } from './yaml.ts'

/** The config that these sections come to. Each of their lines is in it, or in the ledger. */
export function translate(sections: readonly Section[], tunnel: Tunnel | undefined, ledger: Ledger): Entry[] {
  const proxies = readProxies(sections, ledger)
  for (const section of sections) leaveOutWhole(section, ledger)
  const names = new Set<string>()
  const forwards = proxies
    .filter(({ kind }) => kind !== 'backend')
    .flatMap(frontend => forwardsOf(frontend, { proxies, tunnel, names }, ledger))
  if (forwards.length === 0 && !ledger.hasErrors)
    ledger.error(0, 'found nothing to forward; name a file with a frontend or listen section in mode tcp')
  const entries: Entry[] = [
    ...(tunnel
      ? [{ key: 'tunnel', value: [{ key: 'wgConf', value: tunnel.wgConf, lines: [] }], lines: [] }]
      : []),
    { key: 'forwards', value: forwards, lines: [] },
    ...drainTimeoutOf(sections, ledger),
  ]
  leaveOutRest(sections, entries, ledger)
  return entries
}

interface Surroundings {
  readonly proxies: readonly ProxySection[]
  readonly tunnel: Tunnel | undefined
  /** Those that are taken. */
  readonly names: Set<string>
}

/** One for each address and port that is bound. */
function forwardsOf(
  frontend: ProxySection,
  { proxies, tunnel, names }: Surroundings,
  ledger: Ledger,
): Entry[] {
  const { kind, name, line, defaultBackend } = frontend
  if (frontend.binds.length === 0) {
    ledger.error(line, `found no bind in ${kind} ${name}; add one, or remove it`)
    return []
  }
  const backend = backendOf(frontend, proxies, ledger)
  if (backend === undefined || !areTcp([frontend, backend], ledger)) return []
  const listeners = listenersOf(frontend.binds, tunnel, ledger)
  return listeners.flatMap(({ listen, binds }): Entry[] => {
    const hasDefault = defaultBackend !== undefined || backend === frontend
    const source = { frontend, backend, hasDefault, binds, listen, backendNamed: named(proxies) }
    const value = forwardOf(source, ledger)
    if (value.length === 0) return []
    const key = nameOf(name, listeners.length > 1 ? listen.first : undefined, names)
    const lines = [line, ...(defaultBackend ? [defaultBackend.line] : []), backend.line]
    const remark = frontend === backend ? undefined : `frontend ${name}, backend ${backend.name}`
    return [{ key, value, lines, ...(remark && { remark }) }]
  })
}

/** The sections that are proxies, each with what it inherits: of `from NAME`, else of the last defaults before it. */
function readProxies(sections: readonly Section[], ledger: Ledger): ProxySection[] {
  const defaults = new Map<string, ProxySection>()
  let last: ProxySection | undefined
  const proxies: ProxySection[] = []
  for (const section of sections) {
    if (!isProxy(section) || isStatusPage(section)) continue
    const inherited = section.from === undefined ? undefined : defaults.get(section.from)
    if (section.from !== undefined && inherited === undefined)
      ledger.error(
        section.line,
        `found from ${section.from}; there is no defaults section of that name before it`,
      )
    const isDefaults = section.kind === 'defaults'
    const proxy = readProxy(section, inherited ?? (isDefaults ? undefined : last), ledger)
    if (isDefaults) {
      last = proxy
      defaults.set(proxy.name, proxy)
    } else if (!proxy.disabled) proxies.push(proxy)
  }
  return proxies
}

function isProxy(section: Section): section is Section<ProxyKind> {
  return section.kind !== 'global' && section.kind !== 'resolvers'
}

/** HAProxy's page of statistics: HTTP, and no server behind it. */
function isStatusPage({ kind, directives }: Section): boolean {
  const has = (name: string) => directives.some(directive => directive.name === name)
  return (
    kind !== 'defaults' && has('stats') && !has('server') && !has('default_backend') && !has('use_backend')
  )
}

/** `hard-stop-after`; the last one counts. */
function drainTimeoutOf(sections: readonly Section[], ledger: Ledger): Entry[] {
  const given = sections.flatMap(section => (section.kind === 'global' ? section.directives : []))
  const last = given.findLast(({ name }) => name === 'hard-stop-after')
  if (last === undefined) return []
  const ms = parseTime(last.args.join(' '))
  if (ms !== undefined && ms <= longest)
    return [{ key: 'drainTimeout', value: formatTime(ms), lines: [last.line] }]
  ledger.error(last.line, `${found(last.args.join(' '))} as hard-stop-after; allowed: a duration up to 576h`)
  return []
}

function leaveOutWhole(section: Section, ledger: Ledger): void {
  if (section.kind === 'global') {
    for (const { line, name, args } of section.directives) {
      if (name === 'hard-stop-after') continue
      const reason = globalReason([name, ...args])
      if (reason === undefined)
        ledger.error(
          line,
          `${found([name, ...args].slice(0, 2).join(' '))} in global; there is no such thing here, remove it`,
        )
      else ledger.leaveOut(line, reason)
    }
  } else if (section.kind === 'resolvers') {
    for (const { line } of [section, ...section.directives])
      ledger.leaveOut(line, "names are resolved by this host's own name servers")
    ledger.warn(
      section.line,
      `found resolvers ${section.name}; names are resolved by this host's own name servers, for as long as their TTL says`,
    )
  } else if (isStatusPage(section))
    for (const { line } of [section, ...section.directives])
      ledger.leaveOut(line, 'HAProxy about itself; here it is wg-punchhole status and admin.listen')
}

function named(proxies: readonly ProxySection[]): (name: string) => ProxySection | undefined {
  return name =>
    proxies.find(proxy => proxy.name === name && (proxy.kind === 'backend' || proxy.kind === 'listen'))
}

function backendOf(
  frontend: ProxySection,
  proxies: readonly ProxySection[],
  ledger: Ledger,
): ProxySection | undefined {
  const { defaultBackend, kind, name, line, servers, routing } = frontend
  if (defaultBackend === undefined) {
    const routed = named(proxies)(routing[0]?.args[0] ?? '')
    if (kind === 'listen' && (servers.length > 0 || routed === undefined)) return frontend
    if (routed !== undefined) return routed
    ledger.error(line, `found no default_backend for frontend ${name}; add one`)
    return undefined
  }
  const backend = named(proxies)(defaultBackend.value)
  if (backend === undefined)
    ledger.error(
      defaultBackend.line,
      `${found(defaultBackend.value)} as default_backend; there is no backend of that name, or it is disabled`,
    )
  return backend
}

/** A name that the config takes, used once: HAProxy's may have colons, and sections of two kinds the same name. */
function nameOf(name: string, port: number | undefined, taken: Set<string>): string {
  const plain = name.replace(/[^\w.-]/g, '-').replace(/^[^a-zA-Z0-9]+/, '')
  const base = `${plain.slice(0, 50) || 'forward'}${port === undefined ? '' : `-${port}`}`
  let unique = base === 'constructor' || base === 'prototype' ? `${base}-1` : base
  for (let i = 2; taken.has(unique); i++) unique = `${base}-${i}`
  taken.add(unique)
  return unique
}

/** What nobody asked for: sections that nothing leads to, and settings that another one replaces. */
function leaveOutRest(sections: readonly Section[], entries: readonly Entry[], ledger: Ledger): void {
  const carried = new Set(linesOf(entries))
  for (const { line, directives } of sections) {
    if (!carried.has(line)) ledger.leaveOut(line, 'no forward of its own')
    for (const { line, name, args } of directives)
      if (!carried.has(line))
        ledger.leaveOut(
          line,
          name === 'mode' && args[0] === 'tcp' ? 'forwards are TCP' : 'no forward uses it',
        )
  }
}
