import { createSocket } from 'node:dgram'
import { type Cidr, covers, networkOf, parseCidr } from '../config/address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { tunnelled } from '../config/tunnelled.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Ip, ipAnswers, ipBatch } from './ip.ts'

/**
 * The routes that this program makes, two for each prefix of a peer: one into the device, and behind it a backstop of
 * the type `unreachable`. When the first is gone, with its device or by another program's doing, the kernel itself
 * refuses what would have gone through the tunnel, and the default route never gets it.
 */

/** The routing protocol number that marks our routes; ip-route(8) leaves 5 to 255 to whoever wants one. */
const protocol = '87'

/** What IPv6 gives a connected prefix: with the same metric ours replaces it, with another it would lose. */
const connectedMetric6 = 256

/** RT_TABLE_MAIN, and of rtnetlink(7) RTN_UNICAST and RTN_UNREACHABLE, as ip(8) prints them with -N. */
const main = '254'
const unicast = '1'
const unreachable = '7'

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

type Config = Pick<TunnelConfig, 'interface' | 'table' | 'addresses' | 'peers'>

/** One that we make. */
interface OwnRoute {
  readonly type: typeof unicast | typeof unreachable
  readonly prefix: string
  readonly table: string
  readonly source: string | undefined
  readonly metric: number
}

/**
 * Makes our routes these, those of an earlier config removed. The prefix of our own address is put explicitly as well,
 * because the route that the kernel made for it carries no congestion control. A prefix that another interface already
 * has is left to it, with a warning: replacing it could cut the host off.
 *
 * Resolves to the congestion control that TCP through the tunnel now uses, `kernel` for the kernel's own.
 */
export async function reconcileRoutes(
  ip: Ip,
  config: Config & Pick<TunnelConfig, 'congestionControl'>,
  log: Log,
  options: { readonly ipv6: boolean },
): Promise<string> {
  const present = await presentRoutes(ip)
  for (const { prefix, table, other } of leftAlone(config, present, options.ipv6))
    log.warn({ prefix, interface: other, table }, 'prefix is routed elsewhere already, left there')
  const wanted = ownRoutes(config, present, options.ipv6)
  const obsolete = present.filter(
    route => isOurs(route, config.interface) && !wanted.some(own => isSame(own, route)),
  )
  await ipBatch(ip, obsolete.map(deleteLine))
  // The backstops first: what is put into the device from then on can fall to nobody else.
  const isBackstop = ({ type }: OwnRoute) => type === unreachable
  await ipBatch(
    ip,
    wanted.filter(isBackstop).map(route => putLine(route, config.interface)),
  )
  const lines = wanted.filter(route => !isBackstop(route)).map(route => putLine(route, config.interface))
  return putRoutes(ip, lines, config.congestionControl, log)
}

/** Removes the backstops, which outlive the device. */
export async function removeBackstops(ip: Ip, name: string): Promise<void> {
  const present = await presentRoutes(ip)
  const ours = present.filter(route => route.type === unreachable && isOurs(route, name))
  await ipBatch(ip, ours.map(deleteLine))
}

/** Of our routes those that are not there, or not as we made them. */
export function lostRoutes(
  config: Config,
  present: readonly Route[],
  congestionControl: string,
  options: { readonly ipv6: boolean },
): { readonly prefix: string; readonly isBackstop: boolean }[] {
  const isThere = (own: OwnRoute) =>
    present.some(
      route =>
        isOurs(route, config.interface) && isSame(own, route) && hasAttributes(own, route, congestionControl),
    )
  return ownRoutes(config, present, options.ipv6)
    .filter(own => !isThere(own))
    .map(({ type, prefix }) => ({ prefix, isBackstop: type === unreachable }))
}

export async function presentRoutes(ip: Ip): Promise<Route[]> {
  return (await ipAnswers(ip, [routesQuestion])) as Route[]
}

export const routesQuestion = 'route show table all'

function ownRoutes(config: Config, present: readonly Route[], ipv6: boolean): OwnRoute[] {
  if (config.table === 'off') return []
  const table = tableOf(config)
  const left = leftAlone(config, present, ipv6).map(({ prefix }) => prefix)
  const routed = prefixesOf(
    config.peers.flatMap(peer => peer.trusted),
    ipv6,
  )
  const into = routed
    .filter(prefix => !left.includes(prefix))
    .map(prefix => {
      const source = sourceOf(parseCidr(prefix)!, config.addresses)
      return { type: unicast, prefix, table, source, metric: isIPv6(prefix) ? connectedMetric6 : 0 } as const
    })
  const metric = backstopMetric(config.interface)
  const behind = prefixesOf(tunnelled(config), ipv6).map(prefix => {
    return { type: unreachable, prefix, table, source: undefined, metric } as const
  })
  return [...into, ...behind]
}

/** Prefixes of peers that another interface has in our table. */
function leftAlone(config: Config, present: readonly Route[], ipv6: boolean) {
  const table = tableOf(config)
  const elsewhere = present.filter(
    route => route.type === unicast && route.table === table && route.dev !== config.interface,
  )
  return prefixesOf(config.table === 'off' ? [] : config.peers.flatMap(peer => peer.trusted), ipv6).flatMap(
    prefix => {
      const other = elsewhere.find(({ dst }) => prefixOf(dst) === prefix)
      return other === undefined ? [] : [{ prefix, table, other: other.dev }]
    },
  )
}

async function putRoutes(ip: Ip, lines: readonly string[], name: string, log: Log): Promise<string> {
  if (lines.length === 0) return 'kernel'
  if (name !== 'kernel') {
    try {
      await ipBatch(
        ip,
        lines.map(line => `${line} congctl ${name}`),
      )
      return name
    } catch (error) {
      // The name may be what the kernel refuses, or the route: without the name the second try tells.
      await ipBatch(ip, lines)
      log.warn(
        { congestionControl: name, error: messageOf(error) },
        'this kernel does not have the congestion control, its own is used',
      )
      return 'kernel'
    }
  }
  await ipBatch(ip, lines)
  return 'kernel'
}

function putLine({ type, prefix, table, source, metric }: OwnRoute, name: string): string {
  const what = type === unicast ? `${prefix} dev ${name}` : `unreachable ${prefix}`
  return (
    `route replace ${what} table ${table} proto ${protocol}` +
    (source === undefined ? '' : ` src ${source}`) +
    (metric === 0 ? '' : ` metric ${metric}`)
  )
}

function deleteLine({ type, dst, dev, table, metric }: Route): string {
  const what = type === unicast ? `${dst} dev ${dev}` : `unreachable ${dst}`
  return `route delete ${what} table ${table} proto ${protocol}${metric ? ` metric ${metric}` : ''}`
}

/** A backstop has no device, or `lo`: its metric says whose it is. */
function isOurs({ type, dev, protocol: by, metric }: Route, name: string): boolean {
  if (by !== protocol) return false
  return type === unicast ? dev === name : type === unreachable && metric === backstopMetric(name)
}

function isSame(own: OwnRoute, route: Route): boolean {
  return own.type === route.type && own.prefix === prefixOf(route.dst) && own.table === route.table
}

function hasAttributes(own: OwnRoute, route: Route, congestionControl: string): boolean {
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

function prefixesOf(prefixes: readonly Cidr[], ipv6: boolean): string[] {
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

/** Whether there is a route to this address: a UDP socket finds out when it is connected, and sends nothing. */
export function hasRoute(address: string): Promise<boolean> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  return new Promise(resolve => {
    // With a callback Node gives a failure to it, as its argument, and emits no `error`.
    socket.connect(9, address, (error?: Error) => {
      socket.close()
      resolve(error === undefined)
    })
  })
}
