import { type Cidr, covers, networkOf, parseCidr } from '../address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { tunnelled } from '../config/tunnelled.ts'

/**
 * The routes that this program makes, two for each prefix of a peer: one into the device, and behind it a backstop of
 * the type `unreachable`. When the first is gone, with its device or by another program's doing, the kernel itself
 * refuses what would have gone through the tunnel, and the default route never gets it.
 */

/** The routing protocol number that marks our routes; ip-route(8) leaves 5 to 255 to whoever wants one. */
export const protocol = '87'

/** What IPv6 gives a connected prefix: with the same metric ours replaces it, with another it would lose. */
const connectedMetric6 = 256

/** RT_TABLE_MAIN, and of rtnetlink(7) RTN_UNICAST and RTN_UNREACHABLE, as ip(8) prints them with -N. */
const main = '254'
export const unicast = '1'
export const unreachable = '7'

/** A route as `ip -N -json -details` prints it. */
export interface Route {
  readonly type: string
  readonly dst: string
  readonly dev?: string
  readonly table: string
  readonly protocol?: string
  readonly prefsrc?: string
  readonly metric?: number
  readonly metrics?: readonly { readonly congestion?: string }[]
}

export type Config = Pick<TunnelConfig, 'interface' | 'table' | 'addresses' | 'peers'>

/** One that we make. */
export interface OwnRoute {
  readonly type: typeof unicast | typeof unreachable
  readonly prefix: string
  readonly table: string
  readonly source: string | undefined
  readonly metric: number
}

/** What there is to know beside the config and the routes that are there. */
export interface RouteContext {
  readonly ipv6: boolean
  /** Prefixes, with their table, to which this run has made a route: whoever has one there now came after us. */
  readonly made: Set<string>
}

export function ownRoutes(
  config: Config,
  present: readonly Route[],
  { ipv6, made }: RouteContext,
): OwnRoute[] {
  if (config.table === 'off') return []
  const table = tableOf(config)
  const left = new Set(leftAlone(config, present, { ipv6, made }).map(({ prefix }) => prefix))
  const into = routedPrefixes(config, ipv6)
    .filter(prefix => !left.has(prefix))
    .map(prefix => {
      const source = sourceOf(parseCidr(prefix)!, config.addresses)
      return { type: unicast, prefix, table, source, metric: isIPv6(prefix) ? connectedMetric6 : 0 } as const
    })
  const metric = backstopMetric(config.interface)
  const behind = textsOf(tunnelled(config), ipv6).map(prefix => {
    return { type: unreachable, prefix, table, source: undefined, metric } as const
  })
  return [...into, ...behind]
}

/** Prefixes of peers that another interface has in our table, and had before us. */
export function leftAlone(config: Config, present: readonly Route[], { ipv6, made }: RouteContext) {
  const table = tableOf(config)
  const inTable = present.filter(route => route.type === unicast && route.table === table)
  const byPrefix = Map.groupBy(inTable, ({ dst }) => prefixOf(dst))
  return routedPrefixes(config, ipv6).flatMap(prefix => {
    const same = byPrefix.get(prefix) ?? []
    const other = same.find(({ dev }) => dev !== config.interface)
    const isMade = made.has(keyOf({ table, prefix })) || same.some(route => isOurs(route, config.interface))
    if (other === undefined || isMade) return []
    return [{ prefix, table, other: other.dev }]
  })
}

export function keyOf({ table, prefix }: Pick<OwnRoute, 'table' | 'prefix'>): string {
  return `${table} ${prefix}`
}

/** A backstop has no device, or `lo`: its metric says whose it is. */
export function isOurs({ type, dev, protocol: by, metric }: Route, name: string): boolean {
  if (by !== protocol) return false
  return type === unicast ? dev === name : type === unreachable && metric === backstopMetric(name)
}

/** What makes two routes the same, whatever their attributes. */
export function identityOf(route: OwnRoute | Route): string {
  const prefix = 'prefix' in route ? route.prefix : prefixOf(route.dst)
  return `${route.type} ${prefix} ${route.table}`
}

export function hasAttributes(own: OwnRoute, route: Route, congestionControl: string): boolean {
  if (own.type === unreachable) return true
  const congestion = route.metrics?.find(metric => metric.congestion !== undefined)?.congestion ?? 'kernel'
  const hasSource = own.source === undefined || own.source === parseCidr(route.prefsrc ?? '')?.address
  return hasSource && congestion === congestionControl && own.metric === (route.metric ?? 0)
}

/**
 * The worst metrics there are, one of 2^20 for each interface name (FNV-1a, folded): of several ends on a host each
 * finds its own backstops, also those of a run that was killed.
 */
function backstopMetric(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return 0xffffffff - (((hash >>> 20) ^ hash) & 0xfffff)
}

function routedPrefixes({ table, peers }: Config, ipv6: boolean): string[] {
  return table === 'off'
    ? []
    : textsOf(
        peers.flatMap(peer => peer.trusted),
        ipv6,
      )
}

function textsOf(prefixes: readonly Cidr[], ipv6: boolean): string[] {
  return [...new Set(prefixes.filter(({ family }) => family === 4 || ipv6).map(networkOf))]
}

/**
 * From which of our addresses: the one of the same subnet, as the kernel's own route has it, else the first. Left to
 * itself the kernel takes the one that was added first, which after a change may be any.
 */
function sourceOf(prefix: Cidr, addresses: readonly Cidr[]): string | undefined {
  const ours = addresses.filter(({ family }) => family === prefix.family)
  return (ours.find(own => covers(own, prefix.address) || covers(prefix, own.address)) ?? ours[0])?.address
}

function prefixOf(dst: string): string {
  const cidr = parseCidr(dst)
  return cidr === undefined ? dst : networkOf(cidr)
}

function tableOf({ table }: Config): string {
  return typeof table === 'number' ? String(table) : main
}

function isIPv6(prefix: string): boolean {
  return prefix.includes(':')
}
