import { type Cidr, covers, familyOf, isLinkLocal } from './address.ts'
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

function placesOf({ targets }: UpstreamConfig, path: readonly string[]) {
  return targets.map(({ host }, index) => ({
    host,
    path: targets.length > 1 ? [...path, `${index}`] : path,
  }))
}

function problemOf(host: string, { listen }: ForwardConfig, tunnel: TunnelConfig): string | undefined {
  const { addresses, peers, table } = tunnel
  const isIn = (prefixes: readonly Cidr[]) => prefixes.some(prefix => covers(prefix, host))
  if (addresses.some(({ address }) => address === host) || isLinkLocal(host)) return undefined
  const isRouted = isIn(peers.flatMap(peer => peer.trusted))
  const isAllowed = isIn(peers.flatMap(peer => peer.allowedIps))
  const isOnLink = isIn(addresses)
  if (isRouted && table !== 'auto' && !isOnLink) return unrouted(host, tunnel)
  if (isOnLink && !isAllowed)
    return "which is in the tunnel's subnet and in no peer's AllowedIPs: nothing that is sent there arrives; add it to those of the peer that has it"
  // A target of what comes out of the tunnel is not meant to be in it.
  const isUnnamed = peers.some(({ trusted, allowedIps }) => trusted.length === 0 && isIn(allowedIps))
  if (isAllowed && !isRouted && !isOnLink && isUnnamed && listen.host !== 'tunnel')
    return "which only a prefix covers that is too short to be routed: it is reached outside of the tunnel; if it is a peer's, name it in tunnel.probe.addresses"
  return undefined
}

function unrouted(host: string, { interface: name, table }: TunnelConfig): string {
  const refused = 'until one does, connections to it are refused'
  return table === 'off'
    ? `a peer's, and with Table = off no route leads there: ${refused}; make one (ip route add ${host} dev ${name}) as soon as the tunnel is up, or leave out Table`
    : `a peer's, to which a route leads only in table ${table}: ${refused}; see that a rule leads there (ip rule add to ${host} lookup ${table}), or leave out Table`
}
