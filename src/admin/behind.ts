import { familyOf, parseCidr, parseHostPorts, toNumber } from '../config/address.ts'
import type { ForwardStatus, TargetStatus } from '../forward/status.ts'
import type { PeerStatus, TunnelStatus } from '../tunnel/status.ts'
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
  /** Peers by their networks' numbers, of each length of a prefix; the longest first. */
  readonly #lengths: { readonly family: 4 | 6; readonly bits: number; readonly peers: Map<bigint, P> }[] = []

  constructor({ peers, addresses }: Tunnel<P>) {
    this.#own = new Set(addresses.map(own => own.split('/')[0]!))
    for (const peer of peers) for (const route of peer.routes) this.#add(peer, route)
    this.#lengths.sort((a, b) => b.bits - a.bits)
  }

  /** The peer that has the target, if it is one's. */
  of({ address }: Target): P | undefined {
    const { host = '' } = parseHostPorts(address) ?? {}
    const family = familyOf(host)
    if (family === 0 || this.#own.has(host)) return undefined
    const number = toNumber(host)
    for (const length of this.#lengths) {
      const peer = length.family === family ? length.peers.get(networkOf(number, length)) : undefined
      if (peer !== undefined) return peer
    }
    return undefined
  }

  #add(peer: P, route: string): void {
    const prefix = parseCidr(route)
    if (prefix === undefined) return
    const { family, bits, address } = prefix
    let length = this.#lengths.find(known => known.family === family && known.bits === bits)
    if (length === undefined) {
      length = { family, bits, peers: new Map() }
      this.#lengths.push(length)
    }
    const network = networkOf(toNumber(address), length)
    if (!length.peers.has(network)) length.peers.set(network, peer)
  }
}

function networkOf(
  address: bigint,
  { family, bits }: { readonly family: 4 | 6; readonly bits: number },
): bigint {
  return address >> BigInt((family === 4 ? 32 : 128) - bits)
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
