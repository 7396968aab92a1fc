import { type Cidr, covers, familyOf, isLinkLocal, isLoopback, parseCidr } from './address.ts'
import type { ForwardConfig, TunnelConfig, UpstreamConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import type { Issue } from './issue.ts'

/** A warning for each target that no route of this program's leads to, or none that a peer's AllowedIPs let through. */
export function targetRouteIssues(
  forwards: readonly ForwardConfig[],
  tunnel: TunnelConfig | undefined,
  document: ConfigDocument,
): Issue[] {
  if (tunnel === undefined) return []
  return forwards.flatMap(forward => {
    const path = ['forwards', forward.name]
    const places = [
      ...placesOf(forward.upstream, [...path, 'target']),
      ...forward.routes.flatMap(({ name, upstream }) => placesOf(upstream, [...path, 'routes', name])),
    ]
    return places.flatMap(({ host, path }) => {
      const problem = familyOf(host) === 0 ? undefined : problemOf(host, forward, tunnel)
      return problem === undefined ? [] : [document.issue('warning', path, `found ${host}, ${problem}`)]
    })
  })
}

/**
 * Literal targets inside AllowedIPs of a peer to which this program makes no route, because its prefixes are too short and
 * its own address is not named. Data for them goes through the tunnel, by a route of the user's, or nowhere.
 */
export function unroutedTargets(forwards: readonly ForwardConfig[], tunnel: TunnelConfig): Cidr[] {
  const hosts = forwards
    .filter(({ listen }) => listen.host !== 'tunnel')
    .flatMap(({ upstream, routes }) => [upstream, ...routes.map(route => route.upstream)])
    .flatMap(({ targets }) => targets.map(({ host }) => host))
  const unrouted = new Set(hosts.filter(host => familyOf(host) !== 0 && isUnrouted(host, tunnel)))
  return Array.from(unrouted, host => parseCidr(host)!)
}

function placesOf({ targets }: UpstreamConfig, path: readonly string[]) {
  return targets.map(({ host }, index) => ({
    host,
    path: targets.length > 1 ? [...path, `${index}`] : path,
  }))
}

function problemOf(host: string, { listen }: ForwardConfig, tunnel: TunnelConfig): string | undefined {
  const { addresses, peers, table } = tunnel
  const isIn = (prefixes: readonly Cidr[]) => prefixes.some(prefix => covers(prefix, host))
  if (isOwn(host, tunnel)) return undefined
  const isRouted = isIn(peers.flatMap(peer => peer.trusted))
  const isAllowed = isIn(peers.flatMap(peer => peer.allowedIps))
  const isOnLink = isIn(addresses)
  if (isRouted && table !== 'auto' && !isOnLink) return unrouted(host, tunnel)
  if (isOnLink && !isAllowed)
    return "which is in the tunnel's subnet and in no peer's AllowedIPs: nothing that is sent there arrives; add it to those of the peer that has it"
  // A target of what comes out of the tunnel is not meant to be in it.
  if (listen.host === 'tunnel' || !isUnnamed(host, tunnel)) return undefined
  const short = 'which only a prefix covers that is too short to be routed'
  return isUnrouted(host, tunnel)
    ? `${short}: until a route leads there through ${tunnel.interface}, connections to it are refused; name the peer's own address in tunnel.probe.addresses`
    : `${short}: it is reached outside of the tunnel; if it is a peer's, name it in tunnel.probe.addresses`
}

/** Whether it is inside AllowedIPs that say nothing of where the peer is. */
function isUnnamed(host: string, tunnel: TunnelConfig): boolean {
  const { addresses, peers } = tunnel
  const isIn = (prefixes: readonly Cidr[]) => prefixes.some(prefix => covers(prefix, host))
  if (isOwn(host, tunnel) || isIn([...addresses, ...peers.flatMap(peer => peer.trusted)])) return false
  return peers.some(({ trusted, allowedIps }) => trusted.length === 0 && isIn(allowedIps))
}

/** Whether it is, and there is no route to it but one of the user's: there is no subnet of its family either. */
function isUnrouted(host: string, tunnel: TunnelConfig): boolean {
  const isSubnet = ({ family, bits }: Cidr) => family === familyOf(host) && bits < (family === 4 ? 32 : 128)
  return isUnnamed(host, tunnel) && (tunnel.table === 'off' || !tunnel.addresses.some(isSubnet))
}

function isOwn(host: string, { addresses }: TunnelConfig): boolean {
  return addresses.some(({ address }) => address === host) || isLinkLocal(host) || isLoopback(host)
}

function unrouted(host: string, { interface: name, table }: TunnelConfig): string {
  const refused = 'until one does, connections to it are refused'
  return table === 'off'
    ? `a peer's, and with Table = off no route leads there: ${refused}; make one (ip route add ${host} dev ${name}) as soon as the tunnel is up, or leave out Table`
    : `a peer's, to which a route leads only in table ${table}: ${refused}; see that a rule leads there (ip rule add to ${host} lookup ${table}), or leave out Table`
}
