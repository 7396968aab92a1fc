import { found } from '../config/issue.ts'
import { mostValues } from '../config/yaml-text.ts'
import { backendOf, frontendsOf, type LookUp, lookUp } from './backends.ts'
import { forwardOf } from './forward.ts'
import type { Ledger } from './ledger.ts'
import { globalReason } from './left-out.ts'
import { listenersOf, type Tunnel } from './listener.ts'
import { isStatusPage, readProxies } from './proxies.ts'
import { areTcp, type ProxySection } from './proxy.ts'
import type { Section } from './section.ts'
import { formatTime, longest, parseTime, timeProblem } from './time.ts'
import { type Entry, linesOf } from './yaml.ts'

/** The config that these sections come to. Each of their lines is in it, or in the ledger. */
export function translate(sections: readonly Section[], tunnel: Tunnel | undefined, ledger: Ledger): Entry[] {
  const proxies = readProxies(sections, ledger)
  for (const section of sections) leaveOutWhole(section, ledger)
  const surroundings = {
    backendNamed: lookUp(proxies),
    tunnel,
    names: new Map(),
    room: { values: mostValues },
  }
  const forwards = frontendsOf(proxies).flatMap(frontend => forwardsOf(frontend, surroundings, ledger))
  if (forwards.length === 0 && !ledger.hasErrors)
    ledger.missing(0, 'found nothing to forward; name a file with a frontend or listen section in mode tcp')
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
  readonly backendNamed: LookUp
  readonly tunnel: Tunnel | undefined
  /** Those that are taken, each with how many forwards began as it. */
  readonly names: Map<string, number>
  /** What is left of what one config may have: each listener repeats the targets and routes of its frontend. */
  readonly room: { values: number }
}

/** One for each address and port that is bound. */
function forwardsOf(
  frontend: ProxySection,
  { backendNamed, tunnel, names, room }: Surroundings,
  ledger: Ledger,
): Entry[] {
  const { kind, name, line, defaultBackend } = frontend
  if (frontend.binds.length === 0) {
    if (!frontend.failed.has('bind'))
      ledger.missing(line, `found no bind in ${kind} ${name}; add one, or remove it`)
    return []
  }
  const backend = backendOf(frontend, backendNamed, ledger)
  if (backend === undefined || !areTcp([frontend, backend], ledger)) return []
  const listeners = listenersOf(frontend.binds, tunnel, ledger)
  return listeners.flatMap(({ listen, binds }): Entry[] => {
    if (room.values < 0) return []
    const hasDefault = defaultBackend !== undefined || backend === frontend
    const source = { frontend, backend, hasDefault, binds, listen, backendNamed }
    const value = forwardOf(source, ledger)
    if (value.length === 0) return []
    room.values -= valuesOf(value)
    if (room.values < 0)
      ledger.error(
        line,
        `found more than one config may have: ${mostValues} values; share it among several ends, or leave some out`,
      )
    const key = nameOf(name, listeners.length > 1 ? listen.first : undefined, names)
    const lines = [line, ...(defaultBackend ? [defaultBackend.line] : []), backend.line]
    const remark = frontend === backend ? undefined : `frontend ${name}, backend ${backend.name}`
    return [{ key, value, lines, ...(remark && { remark }) }]
  })
}

/** `hard-stop-after`; the last one counts. */
function drainTimeoutOf(sections: readonly Section[], ledger: Ledger): Entry[] {
  const given = sections.flatMap(section => (section.kind === 'global' ? section.directives : []))
  const last = given.findLast(({ name, problem }) => name === 'hard-stop-after' && problem === undefined)
  if (last === undefined) return []
  const text = last.args.join(' ')
  const ms = parseTime(text)
  if (ms !== undefined && ms > 0 && ms <= longest)
    return [{ key: 'drainTimeout', value: formatTime(ms), lines: [last.line] }]
  if (ms === undefined) ledger.error(last.line, timeProblem(text, 'hard-stop-after'))
  else
    ledger.error(
      last.line,
      `${found(text)} as hard-stop-after${ms === 0 ? ', which is no limit' : ''}; allowed: a duration up to 576h`,
    )
  return []
}

function leaveOutWhole(section: Section, ledger: Ledger): void {
  if (section.kind === 'global') {
    for (const { line, name, args, problem } of section.directives) {
      if (name === 'hard-stop-after' && problem === undefined) continue
      const reason = globalReason([name, ...args])
      if (reason === undefined)
        ledger.error(
          line,
          problem ??
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

/** A name that the config takes, used once: HAProxy's may have colons, and sections of two kinds the same name. */
function nameOf(name: string, port: number | undefined, taken: Map<string, number>): string {
  const plain = name.replace(/[^\w.-]/g, '-').replace(/^[^a-zA-Z0-9]+/, '')
  const base = `${plain.slice(0, 50) || 'forward'}${port === undefined ? '' : `-${port}`}`
  let count = taken.get(base) ?? 0
  let unique = base === 'constructor' || base === 'prototype' ? `${base}-1` : base
  while (taken.has(unique)) unique = `${base}-${++count + 1}`
  taken.set(base, count)
  taken.set(unique, taken.get(unique) ?? 0)
  return unique
}

function valuesOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { value }) => {
    if (!Array.isArray(value)) return sum + 1
    return sum + (typeof value[0] === 'object' ? valuesOf(value as Entry[]) : value.length)
  }, 0)
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
