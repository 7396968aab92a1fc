import { type Cidr, parseCidr, parseHostPorts } from '../address.ts'
import { Covered } from '../config/covered.ts'
import type { ForwardStatus } from '../connection/status.ts'
import type { PeerStatus, TunnelStatus } from '../tunnel/status.ts'
import type { TargetStatus } from '../upstream/status.ts'
import type { HealthReason } from './health.ts'

/**
 * What lies behind a peer that is not reached: nothing is known of it now, whatever was known before. One fault is told
 * once, where it is; what follows from it points there.
 */

type Target = Pick<TargetStatus, 'address'>
type Routed = Pick<PeerStatus, 'routes'>

interface Tunnel<P extends Routed> {
  readonly peers: readonly P[]
  readonly addresses: readonly string[]
}

/** Whose the targets are, as routes go: by the longest prefix. For thousands of them; made of one status. */
export class Owners<P extends Routed> {
  readonly #own: ReadonlySet<string>
  readonly #routed: Covered<Cidr & { readonly peer: P }>

  constructor({ peers, addresses }: Tunnel<P>) {
    this.#own = new Set(addresses.map(own => own.split('/')[0]!))
    const prefixesOf = (peer: P) =>
      peer.routes.flatMap(route => {
        const prefix = parseCidr(route)
        return prefix === undefined ? [] : [{ ...prefix, peer }]
      })
    this.#routed = new Covered(peers.flatMap(prefixesOf))
  }

  /** The peer that has the target, if it is one's. */
  of({ address }: Target): P | undefined {
    const { host = '' } = parseHostPorts(address) ?? {}
    return this.#own.has(host) ? undefined : this.#routed.find(host)?.peer
  }
}

/** The forwards, with their targets as they are known now: `unknown` behind a peer that is not reached, since it is not. */
export function knownForwards(
  forwards: readonly ForwardStatus[],
  tunnel: TunnelStatus | undefined,
): readonly ForwardStatus[] {
  if (tunnel === undefined) return forwards
  const owners = new Owners(tunnel)
  const known = (target: TargetStatus): TargetStatus => {
    const peer = owners.of(target)
    if (peer === undefined || isReached(peer, tunnel)) return target
    const { state, since } = tunnel.process
    const lostSince = state === 'running' ? peer.path.since : since
    return { ...target, state: 'unknown', since: lostSince, error: undefined, behind: peer.publicKey }
  }
  return forwards.map(forward => ({ ...forward, targets: forward.targets.map(known) }))
}

/** The reasons, where a forward has no target because a peer is not reached with the peer's key. */
export function knownReasons(
  reasons: readonly HealthReason[],
  forwards: readonly ForwardStatus[],
): readonly HealthReason[] {
  const byName = new Map(forwards.map(forward => [forward.name, forward]))
  return reasons.map(reason => {
    if (reason.code !== 'backend-down') return reason
    const targets = byName.get(reason.forward ?? '')?.targets ?? []
    const behind = targets[0]?.behind
    return behind !== undefined && targets.every(target => target.behind !== undefined)
      ? { ...reason, behind }
      : reason
  })
}

function isReached({ path }: PeerStatus, { process }: TunnelStatus): boolean {
  return process.state === 'running' && (path.state === 'up' || path.state === 'mtu-black-hole')
}
