import { type Cidr, familyOf } from '../address.ts'
import type { Config, ForwardConfig, PeerConfig } from '../config/config.ts'
import type { LinkPlan } from '../link/links.ts'
import type { Forward } from './forward.ts'

/** What an end forwards. */
export interface ForwardPlan {
  readonly forwards: readonly ForwardConfig[]
  /** What `tunnel` stands for in a listen address. */
  readonly tunnelAddresses: readonly string[]
  /** Milliseconds that the connections of a forward have which is left out. */
  readonly drainTimeout: number
  readonly link: LinkEnds | undefined
  /** Who may connect through the tunnel. */
  readonly peers: readonly Pick<PeerConfig, 'publicKey' | 'allowedIps'>[]
}

/** Who may be at the other end of a link. */
export interface LinkEnds {
  readonly port: number
  /** How many links to each peer there are to be; asked when they are made. */
  readonly perPeer: () => number
  /** The peers' own tunnel addresses, where they are known. */
  readonly peers: readonly string[]
  /** Who may open a link to this end. */
  readonly trusted: readonly Cidr[]
}

/** Whose the connections are that come to an address and port, and how far into its range the port is. */
export type Route = { readonly forward: Forward; readonly offset: number } | 'link'

/** Where a forward wants connections or datagrams from. */
export interface Wanted {
  readonly protocol: ForwardConfig['protocol']
  readonly host: string
  readonly port: number
  readonly route: Route
}

/** @param perPeer how many links to each peer there are to be. */
export function planOf(
  { forwards, drainTimeout, link, tunnel }: Config,
  tunnelAddresses: readonly string[],
  perPeer: () => number,
): ForwardPlan {
  const peers = tunnel?.peers ?? []
  const addresses = peers.flatMap(({ address }) => address ?? [])
  const trusted = peers.flatMap(peer => peer.trusted)
  return {
    forwards,
    tunnelAddresses,
    drainTimeout,
    link: link && { port: link.port, perPeer, peers: addresses, trusted },
    peers,
  }
}

/** The targets that are addresses. */
export function literalTargets({ forwards }: Pick<Config, 'forwards'>): string[] {
  return forwards
    .flatMap(({ upstream, routes }) => [upstream, ...routes.map(route => route.upstream)])
    .flatMap(({ targets }) => targets.map(({ host }) => host))
    .filter(host => familyOf(host) !== 0)
}

export function wantedBy(plan: ForwardPlan, forwards: ReadonlyMap<string, Forward>): Wanted[] {
  const { tunnelAddresses, link } = plan
  const wanted = plan.forwards.flatMap(({ name, protocol, listen }) => {
    const hosts = listen.host === 'tunnel' ? tunnelAddresses : [listen.host]
    const ports = Array.from({ length: listen.last - listen.first + 1 }, (_, i) => listen.first + i)
    const forward = forwards.get(name)!
    return hosts.flatMap(host =>
      ports.map(
        (port): Wanted => ({
          protocol,
          host,
          port,
          route: { forward, offset: port - listen.first },
        }),
      ),
    )
  })
  if (link !== undefined)
    for (const host of tunnelAddresses) wanted.push({ protocol: 'tcp', host, port: link.port, route: 'link' })
  return wanted
}

/** Links go to the peers that forwards with a PROXY header send to. */
export function linkPlan({ forwards, link }: ForwardPlan): LinkPlan | undefined {
  if (link === undefined) return undefined
  const targets = forwards.flatMap(({ protocol, sendProxy, upstream, routes }) =>
    protocol === 'udp' || sendProxy === false
      ? []
      : [upstream, ...routes.map(route => route.upstream)].flatMap(({ targets }) => targets),
  )
  const peers = new Set(link.peers)
  return {
    port: link.port,
    perPeer: link.perPeer(),
    addresses: new Set(targets.map(({ host }) => host).filter(host => peers.has(host))),
    ports: new Set(targets.map(({ first }) => first)),
    trusted: link.trusted,
  }
}

export function keyOf({ protocol, host, port }: Pick<Wanted, 'protocol' | 'host' | 'port'>): string {
  return `${protocol} ${host} ${port}`
}
