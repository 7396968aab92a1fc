import { isoTime } from '../clock.ts'
import type { ConnectionStatus, DatagramCounts, ForwardStatus } from '../connection/status.ts'
import type { LinkStatus } from '../link/links.ts'
import type { ReloadStatus } from '../reload.ts'
import type { TunnelStatus } from '../tunnel/status.ts'
import { dropReasons } from '../upstream/drop-reason.ts'
import { refusalReasons } from '../upstream/refusal-reason.ts'
import type { TargetStatus } from '../upstream/status.ts'
import { knownForwards, knownReasons } from './behind.ts'
import type { HealthReport } from './health.ts'

/** The status of one end as JSON: made inside the running end, shown by it and by whoever asks it. */

/** T with its times, inside the program on performance.now()'s clock, as ISO 8601 text. */
export type Dated<T> = {
  readonly [K in keyof T]: K extends 'since' | 'lastHandshake' | 'lastAnswer' ? DatedTime<T[K]> : Dated<T[K]>
}
type DatedTime<T> = T extends number ? string : T

/** The body of /status.json. */
export interface EndStatus {
  readonly version: string
  /** Module version of wireguard-go, where there is a tunnel. */
  readonly wireguardGo: string | undefined
  readonly node: string
  /** ISO 8601. */
  readonly startedAt: string
  /** Since the start, because stdout took none. */
  readonly logLinesDropped: number
  readonly interface: string | undefined
  readonly health: HealthReport
  /** `undefined` until the first start is complete. */
  readonly config: Dated<ReloadStatus> | undefined
  readonly tunnel: Dated<TunnelStatus> | undefined
  /** To and from other ends of ours. */
  readonly links: readonly Dated<LinkStatus>[]
  readonly forwards: readonly Dated<ForwardStatus>[]
  /** Open now: the newest 200, newest first. */
  readonly connections: readonly Dated<ConnectionStatus>[]
  /** How many are open now. */
  readonly connectionsTotal: number
}

export interface EndParts {
  readonly version: string
  readonly wireguardGo?: string | undefined
  /** On performance.now()'s clock. */
  readonly startedAt: number
  readonly logLinesDropped?: number
  readonly health: HealthReport
  readonly config?: ReloadStatus | undefined
  readonly tunnel: TunnelStatus | undefined
  readonly links: readonly LinkStatus[]
  readonly forwards: readonly ForwardStatus[]
  readonly connections: readonly ConnectionStatus[]
}

/** Copies field by field: what a part carries beyond its status type, a key for example, is left behind. */
export function endStatus(parts: EndParts): EndStatus {
  const forwards = knownForwards(parts.forwards, parts.tunnel)
  const newest = parts.connections.toSorted((a, b) => b.since - a.since).slice(0, 200)
  return {
    version: parts.version,
    wireguardGo: parts.wireguardGo,
    node: process.version,
    startedAt: isoTime(parts.startedAt),
    logLinesDropped: parts.logLinesDropped ?? 0,
    interface: parts.tunnel?.interface,
    health: { ...parts.health, reasons: knownReasons(parts.health.reasons, forwards) },
    config: parts.config && datedConfig(parts.config),
    tunnel: parts.tunnel && datedTunnel(parts.tunnel),
    links: parts.links.map(({ since, ...link }) => ({
      ...link,
      since: since === undefined ? since : isoTime(since),
    })),
    forwards: forwards.map(datedForward),
    connections: newest.map(datedConnection),
    connectionsTotal: parts.connections.length,
  }
}

function datedConfig({ file, since, reloads, rejections, rejected }: ReloadStatus): Dated<ReloadStatus> {
  return {
    file,
    since: isoTime(since),
    reloads,
    rejections,
    rejected: rejected && { ...rejected, since: isoTime(rejected.since) },
  }
}

function datedTunnel(tunnel: TunnelStatus): Dated<TunnelStatus> {
  const { state, since, pid, restarts } = tunnel.process
  return {
    interface: tunnel.interface,
    publicKey: tunnel.publicKey,
    addresses: tunnel.addresses,
    listenPort: tunnel.listenPort,
    mtu: tunnel.mtu,
    congestionControl: tunnel.congestionControl,
    process: { state, since: isoTime(since), pid, restarts },
    device: {
      putBack: { ...tunnel.device.putBack },
      shut: tunnel.device.shut.map(({ address, why }) => ({ address, why })),
    },
    peers: tunnel.peers.map(peer => ({
      publicKey: peer.publicKey,
      allowedIps: peer.allowedIps,
      routes: peer.routes,
      configuredEndpoint: peer.configuredEndpoint,
      endpoint: peer.endpoint,
      lastHandshake:
        peer.lastHandshake === undefined ? undefined : new Date(peer.lastHandshake).toISOString(),
      receivedBytes: peer.receivedBytes,
      sentBytes: peer.sentBytes,
      keepalive: peer.keepalive,
      path: {
        ...peer.path,
        since: isoTime(peer.path.since),
        lastAnswer: peer.path.lastAnswer === undefined ? undefined : isoTime(peer.path.lastAnswer),
      },
    })),
  }
}

function datedForward(forward: ForwardStatus): Dated<ForwardStatus> {
  const refused = refusalReasons.map(reason => [reason, forward.refused[reason]] as const)
  return {
    name: forward.name,
    ...protocolOf(forward),
    listeners: forward.listeners,
    proxyHeaderLimit: forward.proxyHeaderLimit,
    balance: forward.balance,
    targets: forward.targets.map(
      ({ address, name, routes, state, since, error, active, behind, judged }) => ({
        address,
        name,
        ...(routes && { routes }),
        state,
        since: isoTime(since),
        error,
        active,
        ...(behind && { behind }),
        ...(judged && { judged: { ...judged, since: isoTime(judged.since) } }),
      }),
    ),
    active: forward.active,
    accepted: forward.accepted,
    checks: forward.checks,
    receivedBytes: forward.receivedBytes,
    sentBytes: forward.sentBytes,
    droppedTlvs: forward.droppedTlvs,
    headerResets: forward.headerResets,
    refused: Object.fromEntries(refused) as ForwardStatus['refused'],
  }
}

function protocolOf(forward: ForwardStatus) {
  if (forward.protocol === 'tcp') {
    const { protocol, acceptProxy, sendProxy } = forward
    return { protocol, acceptProxy, sendProxy }
  }
  const { protocol, acceptProxy, sendProxy, datagrams } = forward
  return { protocol, acceptProxy, sendProxy, datagrams: countsOf(datagrams) }
}

function countsOf({ received, sent, dropped, evicted }: DatagramCounts): DatagramCounts {
  const drops = dropReasons.map(reason => [reason, dropped[reason]] as const)
  return { received, sent, dropped: Object.fromEntries(drops) as DatagramCounts['dropped'], evicted }
}

function datedConnection(connection: ConnectionStatus): Dated<ConnectionStatus> {
  const { forward, client, serverName, target, since, receivedBytes, sentBytes, datagrams, id } = connection
  const counts = datagrams && { datagrams: { received: datagrams.received, sent: datagrams.sent } }
  return {
    forward,
    client,
    serverName,
    target,
    since: isoTime(since),
    receivedBytes,
    sentBytes,
    ...counts,
    id,
  }
}

/** The first 8 characters of a public key, which is how people and metrics name a peer. */
export function shortKey(publicKey: string): string {
  return publicKey.slice(0, 8)
}

/** What there is to say of a target that is not up. */
export function targetTrouble({ error, behind }: Pick<TargetStatus, 'error' | 'behind'>): string | undefined {
  return behind === undefined ? error : `behind peer ${shortKey(behind)}, which is not reached`
}

/** A target as people read it: its address, and the name that it is of. */
export function targetText({
  address,
  name,
  routes = [],
}: Pick<TargetStatus, 'address' | 'name' | 'routes'>): string {
  const [first, ...others] = routes
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  const route = first === undefined ? '' : `, for ${first}${more}`
  return `${address}${name === undefined || address.startsWith(name) ? '' : ` (${name})`}${route}`
}

/** Counts by reason, those that are 0 left out: `12 too-big, 3 backlog`. */
export function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ')
}
