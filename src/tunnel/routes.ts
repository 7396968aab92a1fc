import { createSocket } from 'node:dgram'
import { type Cidr, covers, networkOf, parseCidr } from '../config/address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Ip, ipBatch } from './ip.ts'

/** The routing protocol number that marks our routes; ip-route(8) leaves 5 to 255 to whoever wants one. */
const protocol = '87'

/** What IPv6 gives a connected prefix: with the same metric ours replaces it, with another it would lose. */
const connectedMetric6 = 256

/** RT_TABLE_MAIN. */
const main = '254'

interface Route {
  /** Absent: unicast. */
  readonly type?: string
  readonly dst: string
  readonly dev?: string
  /** A number; absent for main. */
  readonly table?: string
  readonly protocol?: string
}

/**
 * Makes our routes these: one for each prefix of a peer, those of an earlier config removed. The prefix of our own
 * address is put explicitly as well, because the route that the kernel made for it carries no congestion control.
 * A prefix that another interface already has is left to it, with a warning: replacing it could cut the host off.
 *
 * Resolves to the congestion control that TCP through the tunnel now uses, `kernel` for the kernel's own.
 */
export async function reconcileRoutes(
  ip: Ip,
  config: Pick<TunnelConfig, 'interface' | 'table' | 'addresses' | 'peers' | 'congestionControl'>,
  log: Log,
  options: { readonly ipv6: boolean },
): Promise<string> {
  // Numeric, because the host may have names of its own for tables and protocols.
  const present = (JSON.parse(await ip(['-N', '-json', 'route', 'show', 'table', 'all'])) as Route[]).filter(
    route => route.type === undefined && route.dst !== 'default',
  )
  const table = config.table === 'auto' ? main : String(config.table)
  const wanted = prefixesOf(config, options.ipv6).filter(prefix => {
    const other = present.find(
      route => keyOf(route) === `${prefix} ${table}` && route.dev !== config.interface,
    )
    if (other !== undefined)
      log.warn({ prefix, interface: other.dev, table }, 'prefix is routed elsewhere already, left there')
    return other === undefined
  })
  await ipBatch(
    ip,
    present
      .filter(route => route.dev === config.interface && route.protocol === protocol)
      .filter(route => !wanted.some(prefix => keyOf(route) === `${prefix} ${table}`))
      .map(route => `route delete ${route.dst} dev ${route.dev} table ${tableOf(route)} proto ${protocol}`),
  )
  const lines = wanted.map(
    prefix =>
      `route replace ${prefix} dev ${config.interface} table ${table} proto ${protocol}` +
      sourceOf(parseCidr(prefix)!, config.addresses) +
      (prefix.includes(':') ? ` metric ${connectedMetric6}` : ''),
  )
  return putRoutes(ip, lines, config.congestionControl, log)
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

function prefixesOf({ table, peers }: Pick<TunnelConfig, 'table' | 'peers'>, ipv6: boolean): string[] {
  if (table === 'off') return []
  const trusted = peers.flatMap(peer => peer.trusted).filter(({ family }) => family === 4 || ipv6)
  return [...new Set(trusted.map(networkOf))]
}

/**
 * From which of our addresses: the one of the same subnet, as the kernel's own route has it, else the first. Left to
 * itself the kernel takes the one that was added first, which after a change may be any.
 */
function sourceOf(prefix: Cidr, addresses: readonly Cidr[]): string {
  const ours = addresses.filter(({ family }) => family === prefix.family)
  const source = ours.find(own => covers(own, prefix.address) || covers(prefix, own.address)) ?? ours[0]
  return source === undefined ? '' : ` src ${source.address}`
}

function keyOf(route: Route): string {
  const cidr = parseCidr(route.dst)
  return `${cidr === undefined ? route.dst : networkOf(cidr)} ${tableOf(route)}`
}

function tableOf(route: Route): string {
  return route.table ?? main
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
