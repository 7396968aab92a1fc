import { covers, familyOf, parseCidr, parseHostPorts } from '../config/address.ts'
import type { ForwardStatus, TargetStatus } from '../forward/status.ts'
import type { PeerStatus, TunnelStatus } from '../tunnel/status.ts'
import type { HealthReason } from './health.ts'

/**
 * What lies behind a peer that is not reached: nothing is known of it now, whatever was known before. One fault is told
 * once, where it is; what follows from it points there.
 */

type Target = Pick<TargetStatus, 'address'>

/** The peer that has the target, if it is one's: as routes go, by the longest prefix. */
export function peerOf<P extends Pick<PeerStatus, 'routes'>>(
  { address }: Target,
  tunnel: { readonly peers: readonly P[]; readonly addresses: readonly string[] } | undefined,
): P | undefined {
  const { host = '' } = parseHostPorts(address) ?? {}
  if (tunnel === undefined || familyOf(host) === 0) return undefined
  if (tunnel.addresses.some(own => own.split('/')[0] === host)) return undefined
  const bitsOf = ({ routes }: P) =>
    Math.max(
      -1,
      ...routes.map(route => {
        const prefix = parseCidr(route)
        return prefix !== undefined && covers(prefix, host) ? prefix.bits : -1
      }),
    )
  const [first] = tunnel.peers.toSorted((a, b) => bitsOf(b) - bitsOf(a))
  return first !== undefined && bitsOf(first) >= 0 ? first : undefined
}

/** The targets as they are known now: `unknown` behind a peer that is not reached, since it is not. */
export function knownTargets(
  targets: readonly TargetStatus[],
  tunnel: TunnelStatus | undefined,
): readonly TargetStatus[] {
  return targets.map(target => {
    const peer = peerOf(target, tunnel)
    if (peer === undefined || isReached(peer, tunnel!)) return target
    const { state, since } = tunnel!.process
    const lostSince = state === 'running' ? peer.path.since : since
    return { ...target, state: 'unknown', since: lostSince, error: undefined, behind: peer.publicKey }
  })
}

/** The reasons, where a forward has no target because a peer is not reached with the peer's key. */
export function knownReasons(
  reasons: readonly HealthReason[],
  forwards: readonly ForwardStatus[],
): readonly HealthReason[] {
  return reasons.map(reason => {
    if (reason.code !== 'backend-down') return reason
    const targets = forwards.find(({ name }) => name === reason.forward)?.targets ?? []
    const behind = targets[0]?.behind
    return behind !== undefined && targets.every(target => target.behind !== undefined)
      ? { ...reason, behind }
      : reason
  })
}

function isReached({ path }: PeerStatus, { process }: TunnelStatus): boolean {
  return process.state === 'running' && (path.state === 'up' || path.state === 'mtu-black-hole')
}
