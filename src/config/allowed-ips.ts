import { type Cidr, covers, familyOf, isLinkLocal, networkOf, specialKindOf, unmap } from '../address.ts'
import type { PeerConfig } from './config.ts'
import type { Host } from './host.ts'
import type { WgConf, WgPeer } from './wg-conf.ts'
import type { Placed, Report } from './wg-section.ts'

/**
 * AllowedIPs say three things: what WireGuard takes from a peer, what is routed to it, and who may send PROXY
 * headers. The first is the file's as it stands; for the other two a prefix shorter than /8 (IPv6 /32) is no answer:
 * 0.0.0.0/0 would route the host into the tunnel and trust everyone.
 */
const SHORTEST = { 4: 8, 6: 32 }

const KEY = 'Peer.AllowedIPs'

export interface PeerContext {
  /** The peers' own addresses of `tunnel.probe.addresses`, by public key. */
  readonly named: ReadonlyMap<string, string>
  readonly host: Host
  readonly report: Report
}

export function resolvePeers(conf: WgConf, context: PeerContext): PeerConfig[] {
  reportSharedPrefixes(conf.peers, context.report)
  for (const { endpoint } of conf.peers) {
    const kind = endpoint && specialKindOf(endpoint.value.host)
    if (kind !== undefined)
      context.report(
        'warning',
        endpoint!,
        'Peer.Endpoint',
        `found ${endpoint!.value.host}, ${kind}: nothing sent there arrives; write the public address or name of the other end`,
      )
  }
  return conf.peers.map(peer => resolvePeer(peer, conf, context))
}

function resolvePeer(peer: WgPeer, conf: WgConf, { named, host, report }: PeerContext): PeerConfig {
  const routed = conf.table !== 'off'
  const name = named.get(peer.publicKey.value)
  const allowedIps = unique(peer.allowedIps)
  const long = allowedIps.filter(({ value }) => value.bits >= SHORTEST[value.family])
  for (const prefix of allowedIps)
    if (name === undefined && prefix.value.bits < SHORTEST[prefix.value.family])
      reportShort(prefix, peer, report)
  if (allowedIps.length === 0)
    report(
      'warning',
      peer.publicKey,
      KEY,
      'missing; without it nothing passes between this peer and this end',
    )
  if (routed) for (const prefix of long) reportSwallowed(prefix, peer, host, report)

  const usable = long.map(({ value }) => value).filter(({ family }) => family === 4 || host.ipv6)
  const hosts = long.map(({ value }) => value).filter(({ bits, family }) => bits === width(family))
  const address = name ?? hosts.find(({ address }) => !isLinkLocal(address))?.address
  const needsName = name !== undefined && !usable.some(prefix => covers(prefix, name))
  const trusted = needsName ? [...usable, hostPrefix(name)] : usable
  const isInPrefix = conf.addresses.some(
    ({ value }) => value.bits < width(value.family) && !isLinkLocal(value.address),
  )
  return {
    publicKey: peer.publicKey.value,
    presharedKey: peer.presharedKey,
    allowedIps: allowedIps.map(({ value }) => value),
    trusted,
    endpoint: peer.endpoint?.value,
    keepalive: peer.keepalive,
    address,
    mayBeRouted: trusted.length > 0 || isInPrefix || !routed,
  }
}

function reportShort(prefix: Placed<Cidr>, peer: WgPeer, report: Report): void {
  const { family } = prefix.value
  report(
    'warning',
    prefix,
    KEY,
    `found ${networkOf(prefix.value)}, shorter than /${SHORTEST[family]}: it is neither routed nor trusted to send ` +
      `PROXY headers; name the peer's own address, which then is: tunnel.probe.addresses: {"${peer.publicKey.value}": IP}`,
  )
}

/** A route into the tunnel that covers what the tunnel's own packets, or the host, need outside of it. */
function reportSwallowed(prefix: Placed<Cidr>, { endpoint }: WgPeer, host: Host, report: Report): void {
  const text = networkOf(prefix.value)
  const narrow = "narrow it to the peer's tunnel addresses"
  if (endpoint !== undefined && covers(prefix.value, unmap(endpoint.value.host)))
    report(
      'error',
      prefix,
      KEY,
      `found ${text}, which covers the peer's endpoint ${endpoint.value.host}: the tunnel would run through itself; ${narrow}`,
    )
  for (const gateway of host.gateways.filter(gateway => covers(prefix.value, gateway)))
    report(
      'warning',
      prefix,
      KEY,
      `found ${text}, which covers this host's default gateway ${gateway}; ${narrow}`,
    )
  for (const server of host.nameservers.filter(server => covers(prefix.value, server)))
    report(
      'warning',
      prefix,
      KEY,
      `found ${text}, which covers the nameserver ${server} of /etc/resolv.conf: names would be asked through the tunnel; ${narrow}`,
    )
}

function reportSharedPrefixes(peers: readonly WgPeer[], report: Report): void {
  const first = new Map<string, Placed<Cidr>>()
  for (const peer of peers)
    for (const prefix of unique(peer.allowedIps)) {
      const network = networkOf(prefix.value)
      const other = first.get(network)
      if (other === undefined) first.set(network, prefix)
      else
        report(
          'error',
          prefix,
          KEY,
          `found ${network} again, it is the peer's in line ${other.line} already; give each prefix to one peer`,
        )
    }
}

/** Without the prefixes that an earlier one equals. */
function unique(prefixes: readonly Placed<Cidr>[]): Placed<Cidr>[] {
  const byNetwork = new Map<string, Placed<Cidr>>()
  for (const prefix of prefixes) {
    const network = networkOf(prefix.value)
    if (!byNetwork.has(network)) byNetwork.set(network, prefix)
  }
  return [...byNetwork.values()]
}

function hostPrefix(address: string): Cidr {
  const family = familyOf(address) as 4 | 6
  return { address, bits: width(family), family }
}

function width(family: 4 | 6): number {
  return family === 4 ? 32 : 128
}
