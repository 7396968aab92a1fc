import { type Cidr, familyOf, isLinkLocal, isLoopback, parseCidr } from '../address.ts'
import type { ForwardConfig, TunnelConfig, UpstreamConfig } from './config.ts'
import { Covered } from './covered.ts'
import type { ConfigDocument } from './document.ts'
import type { Issues } from './issues.ts'

/** A warning for each target that no route of this program's leads to, or none that a peer's AllowedIPs let through. */
export function reportTargetRoutes(
  forwards: readonly ForwardConfig[],
  tunnel: TunnelConfig | undefined,
  document: ConfigDocument,
  issues: Issues,
): void {
  if (tunnel === undefined) return
  const ways = waysOf(tunnel)
  for (const forward of forwards) {
    const path = ['forwards', forward.name]
    const places = [
      ...placesOf(forward.upstream, [...path, 'target']),
      ...forward.routes.flatMap(({ name, upstream }) => placesOf(upstream, [...path, 'routes', name])),
    ]
    for (const { host, path } of places) {
      const problem = familyOf(host) === 0 ? undefined : problemOf(host, forward, ways)
      if (problem !== undefined) issues.add(document.issue('warning', path, `found ${host}, ${problem}`))
    }
  }
}

/**
 * Literal targets inside AllowedIPs of a peer to which this program makes no route, because its prefixes are too short and
 * its own address is not named. Data for them goes through the tunnel, by a route of the user's, or nowhere.
 */
export function unroutedTargets(forwards: readonly ForwardConfig[], tunnel: TunnelConfig): Cidr[] {
  const ways = waysOf(tunnel)
  const hosts = forwards
    .filter(({ listen }) => listen.host !== 'tunnel')
    .flatMap(({ upstream, routes }) => [upstream, ...routes.map(route => route.upstream)])
    .flatMap(({ targets }) => targets.map(({ host }) => host))
  const unrouted = Array.from(new Set(hosts)).filter(host => familyOf(host) !== 0 && isUnrouted(host, ways))
  return unrouted.map(host => parseCidr(host)!)
}

/** Where the prefixes of a tunnel lead, made once for all targets. */
interface Ways {
  readonly tunnel: TunnelConfig
  readonly onLink: Covered
  readonly routed: Covered
  readonly allowed: Covered
  /** AllowedIPs of the peers that nothing is routed to. */
  readonly unnamed: Covered
}

function waysOf(tunnel: TunnelConfig): Ways {
  const { addresses, peers } = tunnel
  return {
    tunnel,
    onLink: new Covered(addresses),
    routed: new Covered(peers.flatMap(peer => peer.trusted)),
    allowed: new Covered(peers.flatMap(peer => peer.allowedIps)),
    unnamed: new Covered(peers.flatMap(peer => (peer.trusted.length === 0 ? peer.allowedIps : []))),
  }
}

function placesOf({ targets }: UpstreamConfig, path: readonly string[]) {
  return targets.map(({ host }, index) => ({
    host,
    path: targets.length > 1 ? [...path, `${index}`] : path,
  }))
}

function problemOf(host: string, { listen, protocol }: ForwardConfig, ways: Ways): string | undefined {
  const { tunnel, onLink, routed, allowed } = ways
  if (isOwn(host, tunnel)) return undefined
  const isOnLink = onLink.has(host)
  const refused = `${protocol === 'udp' ? 'flows' : 'connections'} to it are refused`
  if (routed.has(host) && tunnel.table !== 'auto' && !isOnLink) return unrouted(host, tunnel, refused)
  if (isOnLink && !allowed.has(host))
    return "which is in the tunnel's subnet and in no peer's AllowedIPs: nothing that is sent there arrives; add it to those of the peer that has it"
  // A target of what comes out of the tunnel is not meant to be in it.
  if (listen.host === 'tunnel' || !isUnnamed(host, ways)) return undefined
  const short = 'which only a prefix covers that is too short to be routed'
  return isUnrouted(host, ways)
    ? `${short}: until a route leads there through ${tunnel.interface}, ${refused}; name the peer's own address in tunnel.probe.addresses`
    : `${short}: it is reached outside of the tunnel; if it is a peer's, name it in tunnel.probe.addresses`
}

/** Whether it is inside AllowedIPs that say nothing of where the peer is. */
function isUnnamed(host: string, { tunnel, onLink, routed, unnamed }: Ways): boolean {
  return !isOwn(host, tunnel) && !onLink.has(host) && !routed.has(host) && unnamed.has(host)
}

/** Whether it is, and there is no route to it but one of the user's: there is no subnet of its family either. */
function isUnrouted(host: string, ways: Ways): boolean {
  const { table, addresses } = ways.tunnel
  const isSubnet = ({ family, bits }: Cidr) => family === familyOf(host) && bits < (family === 4 ? 32 : 128)
  return isUnnamed(host, ways) && (table === 'off' || !addresses.some(isSubnet))
}

function isOwn(host: string, { addresses }: TunnelConfig): boolean {
  return addresses.some(({ address }) => address === host) || isLinkLocal(host) || isLoopback(host)
}

function unrouted(host: string, { interface: name, table }: TunnelConfig, refused: string): string {
  return table === 'off'
    ? `a peer's, and with Table = off no route leads there: until one does, ${refused}; make one (ip route add ${host} dev ${name}) as soon as the tunnel is up, or leave out Table`
    : `a peer's, to which a route leads only in table ${table}: until one does, ${refused}; see that a rule leads there (ip rule add to ${host} lookup ${table}), or leave out Table`
}
