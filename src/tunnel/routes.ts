import { createSocket } from 'node:dgram'
import type { TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { type Ip, ipAnswers, ipBatch } from './ip.ts'
import {
  type Config,
  hasAttributes,
  identityOf,
  isOurs,
  keyOf,
  leftAlone,
  type OwnRoute,
  ownRoutes,
  protocol,
  type Route,
  type RouteContext,
  unicast,
  unreachable,
} from './own-routes.ts'

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
  context: RouteContext,
): Promise<string> {
  const present = await presentRoutes(ip)
  for (const { prefix, table, other } of leftAlone(config, present, context))
    log.warn({ prefix, interface: other, table }, 'prefix is routed elsewhere already, left there')
  const wanted = ownRoutes(config, present, context)
  const kept = new Set(wanted.map(identityOf))
  const obsolete = present.filter(route => isOurs(route, config.interface) && !kept.has(identityOf(route)))
  await ipBatch(ip, obsolete.map(deleteLine))
  // The backstops first: what is put into the device from then on can fall to nobody else.
  const isBackstop = ({ type }: OwnRoute) => type === unreachable
  await ipBatch(
    ip,
    wanted.filter(isBackstop).map(route => putLine(route, config.interface)),
  )
  const into = wanted.filter(route => !isBackstop(route))
  const lines = into.map(route => putLine(route, config.interface))
  const congestionControl = await putRoutes(ip, lines, config.congestionControl, log)
  context.made.clear()
  for (const route of into) context.made.add(keyOf(route))
  return congestionControl
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
  context: RouteContext,
): { readonly prefix: string; readonly isBackstop: boolean }[] {
  const ours = present.filter(route => isOurs(route, config.interface))
  const there = Map.groupBy(ours, identityOf)
  const isThere = (own: OwnRoute) =>
    there.get(identityOf(own))?.some(route => hasAttributes(own, route, congestionControl)) ?? false
  return ownRoutes(config, present, context)
    .filter(own => !isThere(own))
    .map(({ type, prefix }) => ({ prefix, isBackstop: type === unreachable }))
}

export async function presentRoutes(ip: Ip): Promise<Route[]> {
  return (await ipAnswers(ip, [routesQuestion])) as Route[]
}

export const routesQuestion = 'route show table all'

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
