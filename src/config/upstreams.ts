import { formatHostPorts, type HostPorts, specialKindOf } from '../address.ts'
import type { CommonForwardConfig, TunnelConfig, UpstreamConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import type { ForwardSection } from './forward-schema.ts'
import { leadsTo } from './listeners.ts'
import { parseRouteName } from './server-name.ts'

/** Of one forward, those of its routes included. Each is watched by itself, and looked at when another one changes. */
const mostTargets = 1024

/** One forward as its config has it, and the tunnel beside it. */
export interface UpstreamSource {
  readonly name: string
  readonly section: ForwardSection
  readonly document: ConfigDocument
  readonly tunnel: TunnelConfig | undefined
}

/** `item` is the place in a list or a mapping. */
export type ReportKey = (key: keyof ForwardSection, message: string, ...item: string[]) => void

type Upstreams = Pick<CommonForwardConfig, 'upstream' | 'routes'>

/** Where the connections of a forward go: to its target, and by their TLS server name to those of its routes. */
export function resolveUpstreams(source: UpstreamSource, report: ReportKey): Upstreams {
  const { target = [], routes = {}, listen, check } = source.section
  if (target.length === 0 && Object.keys(routes).length === 0)
    report('target', 'missing; it is required, unless there are routes')
  checkTargets(target, source, (message, ...item) => report('target', message, ...item))
  checkNames(source, report)
  checkCount([target, ...Object.values(routes)], report)
  for (const [name, targets] of Object.entries(routes))
    checkTargets(targets, source, (message, ...item) => report('routes', message, name, ...item))
  if (isRange(listen) && check !== undefined && check !== false && source.section.protocol === 'tcp')
    report(
      'check',
      `found with the ports ${ports(listen)}; allowed: false, what one port answers says nothing of the others; leave it out`,
    )
  return {
    upstream: upstreamOf(target, source.section),
    routes: Object.entries(routes).map(([name, targets]) => ({
      name: parseRouteName(name) ?? name,
      upstream: upstreamOf(targets, source.section),
    })),
  }
}

/** One target is left alone while it answers; of several each is tried. */
function upstreamOf(
  targets: readonly HostPorts[],
  { balance, check, listen, protocol }: ForwardSection,
): UpstreamConfig {
  const several = targets.length > 1 ? { interval: 5000, rise: 2, fall: 3 } : 'passive'
  return { targets, balance, check: isRange(listen) || protocol === 'udp' ? false : (check ?? several) }
}

/** Names know no case, and no dot at their end. */
function checkNames({ name, section: { routes = {} }, document }: UpstreamSource, report: ReportKey): void {
  const seen = new Map<string, string>()
  for (const key of Object.keys(routes)) {
    const canonical = parseRouteName(key) ?? key
    const earlier = seen.get(canonical)
    seen.set(canonical, earlier ?? key)
    if (earlier === undefined) continue
    const place = document.place(['forwards', name, 'routes', earlier])
    report(
      'routes',
      `found the name of ${earlier} (${place}) again; allowed: each name once, in any case`,
      key,
    )
  }
}

function checkTargets(
  targets: readonly HostPorts[],
  source: UpstreamSource,
  report: (message: string, ...item: string[]) => void,
): void {
  const seen = new Set<string>()
  targets.forEach((target, index) => {
    const item = targets.length > 1 ? [`${index}`] : []
    checkTarget(target, source, message => report(message, ...item))
    const text = formatHostPorts(target)
    if (seen.has(text)) report(`found ${text} twice; allowed: each target once`, ...item)
    seen.add(text)
  })
}

/** Routes with equal targets share them. */
function checkCount(lists: readonly (readonly HostPorts[])[], report: ReportKey): void {
  const lengths = new Map(lists.map(targets => [targets.map(formatHostPorts).join(' '), targets.length]))
  const count = [...lengths.values()].reduce((sum, length) => sum + length, 0)
  if (count > mostTargets)
    report(
      lists[0]!.length > mostTargets ? 'target' : 'routes',
      `found ${count} targets (equal lists counted once); allowed: ${mostTargets} for a forward; leave some out`,
    )
}

function checkTarget(
  target: HostPorts,
  { section: { listen, protocol }, tunnel }: UpstreamSource,
  report: (message: string) => void,
): void {
  const kind = specialKindOf(target.host)
  if (kind !== undefined)
    report(`found ${target.host}, ${kind}, which nothing can connect to; name where the service is`)
  if (target.host === '') report('found no host; allowed: host:port; write the host before the port')
  if ((isRange(listen) || isRange(target)) && (listen.first !== target.first || listen.last !== target.last))
    report(`found ports ${ports(target)}; allowed: those of listen, ${ports(listen)}, where one is a range`)
  else if (leadsTo(listen, target, tunnel))
    report(
      `found ${formatHostPorts(target)}, where this forward itself listens: each ${protocol === 'udp' ? 'datagram' : 'connection'} would come in again for ever; name where the service is, or move listen to another port or address`,
    )
}

function isRange({ first, last }: HostPorts): boolean {
  return first !== last
}

function ports({ first, last }: HostPorts): string {
  return first === last ? `${first}` : `${first}-${last}`
}
